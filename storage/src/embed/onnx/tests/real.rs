//! A real model, where one is there.

use std::env;

use super::*;

/// The folder of a real model, and the library to run it with; without that, tract does.
const MODEL: &str = "GENII_TEST_MODEL";
const LIBRARY: &str = "GENII_TEST_ONNXRUNTIME";

/// Two sentences of each pair mean alike, and no two of different pairs.
const PAIRS: [[&str; 2]; 4] = [
    ["A man is playing a guitar on the stage.", "Somebody makes music for an audience."],
    ["The stock market fell sharply on Tuesday.", "Shares lost much of their value this week."],
    ["I had pasta with tomatoes for dinner.", "We ate Italian food in the evening."],
    ["My sister moved to another city last year.", "She lives far away from her family now."],
];

fn options() -> OnnxOptions {
    let runtime = env::var_os(LIBRARY).map(|path| OnnxRuntime::Library(path.into()));
    OnnxOptions { runtime: runtime.unwrap_or_default(), ..OnnxOptions::default() }
}

#[test]
fn a_real_model_knows_what_means_alike() {
    let Some(folder) = env::var_os(MODEL) else {
        println!(
            "skipped: set {MODEL} to a folder with model.onnx and tokenizer.json of a \
             sentence-transformers model, and {LIBRARY} to a libonnxruntime.so to run it with that"
        );
        return;
    };
    let embedder = OnnxEmbedder::open(Path::new(&folder), &options()).unwrap();
    let texts = PAIRS.as_flattened();
    let vectors = embedder.embed(texts).unwrap();
    for (at, vector) in vectors.iter().enumerate() {
        let length: f32 = vector.iter().map(|number| number * number).sum();
        assert!((length - 1.0).abs() < 1e-4, "{}: {length}", texts[at]);
        let others = (0..texts.len()).filter(|&other| other != at);
        let nearest = others.min_by(|&one, &other| {
            let distance = |to: usize| pooling::distance(vector, &vectors[to]);
            distance(one).total_cmp(&distance(other))
        });
        assert_eq!(nearest, Some(at ^ 1), "{} is nearest to another", texts[at]);
        let alone = embedder.embed(&[texts[at]]).unwrap();
        let distance = pooling::distance(&alone[0], vector);
        assert!(distance < BATCH_DISTANCE_MAX, "{}: {distance} from itself alone", texts[at]);
    }
    let long = PAIRS[0][0].repeat(1_000);
    embedder.embed(&[&long, ""]).unwrap();
    println!("{embedder:?}");
}
