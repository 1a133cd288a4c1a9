//! What is wrong with a folder is told in words that help.

use std::io::Write;

use super::*;

#[track_caller]
fn refused(folder: &Path, options: &OnnxOptions, wanted: &[&str]) {
    let refused = OnnxEmbedder::open(folder, options).unwrap_err().to_string();
    for part in wanted {
        assert!(refused.contains(part), "it does not say {part:?}: {refused}");
    }
}

/// Refused with a file of it changed.
#[track_caller]
fn refused_with(name: &str, content: &[u8], wanted: &[&str]) {
    let folder = copied();
    fs::write(folder.path().join(name), content).unwrap();
    refused(folder.path(), &OnnxOptions::default(), &[&[name], wanted].concat());
}

#[track_caller]
fn refused_without(name: &str) {
    let folder = copied();
    fs::remove_file(folder.path().join(name)).unwrap();
    let wanted = [folder.path().to_str().unwrap(), "has no", name, "sentence-transformers"];
    refused(folder.path(), &OnnxOptions::default(), &wanted);
}

#[test]
fn what_is_missing_is_named() {
    let nowhere = Path::new("/nowhere/at/all");
    refused(
        nowhere,
        &OnnxOptions::default(),
        &["no model folder /nowhere/at/all", "tokenizer.json"],
    );
    let file = tiny_model().join("model.onnx");
    refused(&file, &OnnxOptions::default(), &["no model folder"]);
    refused_without("model.onnx");
    refused_without("tokenizer.json");
}

#[test]
fn a_model_that_is_none_is_told_so() {
    refused_with("model.onnx", b"", &["is not an ONNX model", "it is empty"]);
    refused_with("model.onnx", b"<html>404</html>", &["is not an ONNX model", "copy it again"]);
    let pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 90\n";
    refused_with("model.onnx", pointer, &["git lfs pull"]);
    let graph_of_nonsense = [&[0x08, 7, 0x3a, 64][..], &[0xff; 64]].concat();
    refused_with("model.onnx", &graph_of_nonsense, &["cannot be run on tract"]);
}

#[test]
fn a_model_that_was_cut_short_anywhere_is_refused() {
    let whole = fs::read(tiny_model().join("model.onnx")).unwrap();
    let folder = copied();
    for len in (0..whole.len()).step_by(whole.len() / 150) {
        fs::write(folder.path().join("model.onnx"), &whole[..len]).unwrap();
        refused(folder.path(), &OnnxOptions::default(), &["is not an ONNX model"]);
    }
}

/// tract panics on many of these, and may take some for models.
#[test]
fn a_wrong_byte_in_a_model_harms_nobody_else() {
    let mut model = fs::read(tiny_model().join("model.onnx")).unwrap();
    // The name of the table of words stands behind all operators.
    let operators = model.windows(5).rposition(|window| window == b"words").unwrap();
    let folder = copied();
    let whole = open(&tiny_model());
    let wanted = whole.embed(&["the cat"]).unwrap();
    for at in (0..operators).step_by(operators / 60) {
        model[at] ^= 0x81;
        fs::write(folder.path().join("model.onnx"), &model).unwrap();
        let _ = OnnxEmbedder::open(folder.path(), &OnnxOptions::default());
        model[at] ^= 0x81;
    }
    assert_eq!(whole.embed(&["the cat"]).unwrap(), wanted);
}

#[test]
fn a_broken_tokenizer_is_refused() {
    let whole = fs::read(tiny_model().join("tokenizer.json")).unwrap();
    let wanted = ["is no tokenizer that can be used", "copy it again"];
    refused_with("tokenizer.json", b"", &wanted);
    refused_with("tokenizer.json", b"{}", &wanted);
    refused_with("tokenizer.json", &whole[..whole.len() / 2], &wanted);
}

#[test]
fn settings_that_cannot_be_followed_are_refused() {
    refused_with("modules.json", b"[{\"type\": \"models.Dense\"}]", &["the step models.Dense"]);
    refused_with("1_Pooling/config.json", b"{\"pooling_mode_max_tokens\": true}", &["max_tokens"]);
    refused_with("sentence_bert_config.json", b"[]]", &["copy it again"]);
}

#[test]
fn models_that_cannot_be_used_are_told_why() {
    let cases: [(&str, &[&str]); 6] = [
        ("missing-output", &["cannot be run on tract", "it panicked", "another runtime"]),
        ("unknown-operator", &["cannot be run on tract", "Frobnicate", "another runtime"]),
        ("unknown-input", &["no sentence-embedding model", "it takes pixel_values"]),
        ("flat-output", &["no sentence-embedding model", "logits has the shape"]),
        ("whole-numbers", &["no sentence-embedding model", "not of 32-bit numbers"]),
        ("no-numbers", &["no sentence-embedding model", "holds what is no number"]),
    ];
    for (name, wanted) in cases {
        let folder = variant(name);
        refused(folder.path(), &OnnxOptions::default(), wanted);
    }
}

#[test]
fn sizes_have_limits_that_are_named() {
    let small = OnnxOptions { model_bytes_max: 1_000, ..OnnxOptions::default() };
    refused(&tiny_model(), &small, &["model.onnx has", "more than model_bytes_max of 1000"]);
    let small = OnnxOptions { tokenizer_bytes_max: 100, ..OnnxOptions::default() };
    refused(&tiny_model(), &small, &["tokenizer.json", "more than tokenizer_bytes_max of 100"]);

    let folder = copied();
    let mut weights = fs::File::create(folder.path().join("model.onnx_data")).unwrap();
    weights.write_all(&[0; 100_000]).unwrap();
    let small = OnnxOptions { model_bytes_max: 100_000, ..OnnxOptions::default() };
    refused(folder.path(), &small, &["more than model_bytes_max of 100000"]);
}

#[test]
fn a_text_must_have_room_beside_the_tokens_of_the_tokenizer() {
    let none = OnnxOptions { text_tokens_max: 2, ..OnnxOptions::default() };
    refused(&tiny_model(), &none, &["2 of them the tokenizer's own", "raise text_tokens_max"]);
}

#[test]
fn a_call_that_finds_no_session_fails_after_its_time() {
    let options = OnnxOptions { session_wait: Duration::ZERO, ..OnnxOptions::default() };
    let embedder = OnnxEmbedder::open(&tiny_model(), &options).unwrap();
    let taken = embedder.sessions.take(EmbedFor::Memories, Duration::ZERO).unwrap();
    let refused = embedder.embed(&["the cat"]).unwrap_err().to_string();
    assert!(refused.contains("busy with others for 0ns"), "{refused}");
    assert!(refused.contains("tiny-model"), "{refused}");
    drop(taken);
    embedder.embed(&["the cat"]).unwrap();
}

#[test]
fn a_question_waits_for_a_session_no_longer_than_it_may_wait_at_all() {
    let options = OnnxOptions {
        session_wait: Duration::from_secs(600),
        question_wait: Duration::ZERO,
        ..OnnxOptions::default()
    };
    let embedder = OnnxEmbedder::open(&tiny_model(), &options).unwrap();
    let asking = || embedder.embed_for(&["the cat"], EmbedFor::Question, Instant::now());
    let taken = embedder.sessions.take(EmbedFor::Memories, Duration::ZERO).unwrap();
    let refused = asking().unwrap_err();
    assert!(matches!(refused, EmbedError::Busy { .. }), "{refused}");
    drop(taken);
    asking().unwrap();
}
