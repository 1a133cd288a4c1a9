use std::fs;

use serde::Deserialize;
use tempfile::TempDir;

use super::*;

mod faults;
mod real;
mod runtimes;

/// How far a number may be from the one that was computed elsewhere.
const PRECISION: f32 = 1e-5;

fn tiny_model() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/tiny-model")
}

/// A copy of the tiny model, to be changed.
fn copied() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let from = tiny_model();
    fs::create_dir(folder.path().join("1_Pooling")).unwrap();
    for name in [
        "model.onnx",
        "tokenizer.json",
        "modules.json",
        "sentence_bert_config.json",
        "1_Pooling/config.json",
    ] {
        fs::copy(from.join(name), folder.path().join(name)).unwrap();
    }
    folder
}

/// A copy with one of the variants in the place of the model.
fn variant(name: &str) -> TempDir {
    let folder = copied();
    let variant = tiny_model().join("variants").join(name).with_extension("onnx");
    fs::copy(variant, folder.path().join("model.onnx")).unwrap();
    folder
}

fn open(folder: &Path) -> OnnxEmbedder {
    OnnxEmbedder::open(folder, &OnnxOptions::default()).unwrap()
}

fn pool_by(folder: &TempDir, way: &str) {
    fs::write(folder.path().join("1_Pooling/config.json"), format!("{{\"{way}\": true}}")).unwrap();
}

#[track_caller]
fn assert_close(found: &[f32], wanted: &[f32], what: &str) {
    let close = |(found, wanted): (&f32, &f32)| (found - wanted).abs() < PRECISION;
    let all = found.len() == wanted.len() && found.iter().zip(wanted).all(close);
    assert!(all, "{what}: {found:?} is not {wanted:?}");
}

/// What a text's vectors must be, as numpy computed them.
#[derive(Deserialize)]
struct Expected {
    text: String,
    mean: Vec<f32>,
    first: Vec<f32>,
}

fn expected() -> Vec<Expected> {
    let text = fs::read_to_string(tiny_model().join("expected.json")).unwrap();
    serde_json::from_str(&text).unwrap()
}

#[test]
fn vectors_are_those_that_were_computed_elsewhere() {
    let (embedder, expected) = (open(&tiny_model()), expected());
    assert_eq!(embedder.dimensions(), expected[0].mean.len());
    let texts: Vec<&str> = expected.iter().map(|case| case.text.as_str()).collect();
    let together = embedder.embed(&texts).unwrap();
    for (case, vector) in expected.iter().zip(&together) {
        assert_close(vector, &case.mean, &case.text);
        let alone = embedder.embed(&[&case.text]).unwrap();
        assert_close(&alone[0], &case.mean, &case.text);
    }
}

#[test]
fn the_first_token_counts_where_the_settings_say_so() {
    let folder = copied();
    pool_by(&folder, "pooling_mode_cls_token");
    let (embedder, expected) = (open(folder.path()), expected());
    let texts: Vec<&str> = expected.iter().map(|case| case.text.as_str()).collect();
    for (case, vector) in expected.iter().zip(embedder.embed(&texts).unwrap()) {
        assert_close(&vector, &case.first, &case.text);
    }
}

#[test]
fn a_model_may_lie_in_a_folder_of_its_own_and_have_no_settings() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("onnx")).unwrap();
    fs::copy(tiny_model().join("model.onnx"), folder.path().join("onnx/model.onnx")).unwrap();
    fs::copy(tiny_model().join("tokenizer.json"), folder.path().join("tokenizer.json")).unwrap();
    let case = &expected()[0];
    let vectors = open(folder.path()).embed(&[&case.text]).unwrap();
    assert_close(&vectors[0], &case.mean, &case.text);
}

#[test]
fn every_kind_of_export_gives_the_same_vectors() {
    let texts = ["the cat sleeps", "snow", "we walked over the bridge to the garden"];
    let plain = variant("ids-only");
    let wanted = open(plain.path()).embed(&texts).unwrap();
    for name in ["fixed-shape", "pooled", "reshapes-to-one"] {
        let folder = variant(name);
        let embedder = open(folder.path());
        for (vector, wanted) in embedder.embed(&texts).unwrap().iter().zip(&wanted) {
            assert_close(vector, wanted, name);
        }
    }
}

#[test]
fn a_model_that_asks_for_kinds_of_tokens_is_given_them() {
    let (with, without) = (variant("token-types"), variant("ids-only"));
    let with = open(with.path()).embed(&["the cat"]).unwrap();
    let without = open(without.path()).embed(&["the cat"]).unwrap();
    assert!(pooling::distance(&with[0], &without[0]) > PRECISION, "{with:?}");
}

#[test]
fn a_text_with_nothing_in_it_is_all_zeros() {
    let embedder = open(&tiny_model());
    let vectors = embedder.embed(&["", "the cat", " \n\t "]).unwrap();
    assert!(vectors[0].iter().all(|&number| number == 0.0), "{:?}", vectors[0]);
    assert_eq!(vectors[2], vectors[0]);
    assert_ne!(vectors[1], vectors[0]);
    assert_eq!(embedder.embed(&[]).unwrap(), Vec::<Vec<f32>>::new());
}

#[test]
fn of_a_long_text_the_beginning_counts() {
    let options = OnnxOptions { text_bytes_max: 8, ..OnnxOptions::default() };
    let embedder = OnnxEmbedder::open(&tiny_model(), &options).unwrap();
    // Eight bytes end in the middle of the third word's last letter, which is left out.
    let vectors = embedder.embed(&["the cat", "the cat é", "the cat  and the dog"]).unwrap();
    assert_close(&vectors[1], &vectors[0], "a letter of two bytes");
    assert_close(&vectors[2], &vectors[0], "more words");

    let options = OnnxOptions { text_tokens_max: 4, ..OnnxOptions::default() };
    let embedder = OnnxEmbedder::open(&tiny_model(), &options).unwrap();
    let vectors = embedder.embed(&["the cat", "the cat and the dog"]).unwrap();
    assert_close(&vectors[1], &vectors[0], "more tokens");
}

#[test]
fn many_texts_keep_their_order() {
    let embedder = open(&tiny_model());
    let texts: Vec<String> =
        (0..TEXTS_AT_ONCE + 9).map(|number| "the cat ".repeat(number % 5 + 1)).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let vectors = embedder.embed(&texts).unwrap();
    let wanted = embedder.embed(&texts[..5]).unwrap();
    for (at, vector) in vectors.iter().enumerate() {
        assert_close(vector, &wanted[at % 5], texts[at]);
    }
}

#[test]
fn many_callers_share_the_sessions() {
    let two = NonZeroUsize::new(2).unwrap();
    let options = OnnxOptions { sessions: two, ..OnnxOptions::default() };
    let embedder = OnnxEmbedder::open(&tiny_model(), &options).unwrap();
    let wanted = embedder.embed(&["mother and father"]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let vectors = embedder.embed(&["snow", "mother and father"]).unwrap();
                assert_close(&vectors[1], &wanted[0], "beside other callers");
            });
        }
    });
}

#[test]
fn a_name_changes_with_all_that_vectors_depend_on() {
    let folder = copied();
    let path = |name: &str| folder.path().join(name);
    let name = || open(folder.path()).name().to_owned();
    let mut names = vec![name()];
    assert_eq!(names[0], open(&tiny_model()).name(), "it depends on the place");
    let replace = |file: &str, from: &str, to: &str| {
        let text = fs::read_to_string(path(file)).unwrap();
        assert!(text.contains(from), "{file} has no {from}");
        fs::write(path(file), text.replacen(from, to, 1)).unwrap();
    };
    replace("tokenizer.json", "\"mother\"", "\"mothers\"");
    names.push(name());
    replace("sentence_bert_config.json", "12", "11");
    names.push(name());
    pool_by(&folder, "pooling_mode_cls_token");
    names.push(name());
    fs::write(path("model.onnx_data"), "weights").unwrap();
    names.push(name());
    fs::copy(tiny_model().join("variants/ids-only.onnx"), path("model.onnx")).unwrap();
    names.push(name());
    for (at, name) in names.iter().enumerate() {
        assert!(!names[..at].contains(name), "{names:?} has {name} twice");
    }
}
