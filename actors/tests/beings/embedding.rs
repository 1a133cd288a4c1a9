//! By which embedder beings remember, and what becomes of it when that is another.

use std::path::{Path, PathBuf};

use genii_protocols::being::{AskHealth, Recollection};
use genii_storage::embed::Embedder;
use genii_storage::embed::hashed::Hashed;
use genii_storage::embed::onnx::{OnnxEmbedder, OnnxOptions};
use genii_supervision::Status;

use crate::world::{PATIENCE, World, being};

/// So many that most are in the index, and not only at hand.
const MANY: usize = 600;

fn tiny_model() -> PathBuf {
    let actors = Path::new(env!("CARGO_MANIFEST_DIR"));
    actors.join("../storage/tests/fixtures/tiny-model").canonicalize().unwrap()
}

fn onnx(folder: &Path) -> String {
    format!("embedder = {{ kind = \"onnx\", folder = {:?} }}", folder.display().to_string())
}

/// By which embedder a being finds what was said.
async fn embedder_of(world: &World, id: &str) -> String {
    world.ask(&being(id), AskHealth {}).await;
    let state = world.node.snapshot(&being(id), PATIENCE).await.unwrap();
    state.0["embedder"].as_str().unwrap().to_owned()
}

/// Whether memories are as near to a question as an embedder has them.
fn is_as_near(embedder: &dyn Embedder, question: &str, found: &[Recollection]) -> bool {
    let near = found.iter().filter_map(|found| {
        let likeness = found.reasons.similarity.as_ref().filter(|it| it.beside.is_none());
        likeness.map(|likeness| (&found.memory.text, likeness.cosine))
    });
    let near: Vec<(&String, f32)> = near.collect();
    assert!(!near.is_empty(), "none was found by its meaning: {found:?}");
    near.iter().all(|(text, told)| {
        let vectors = embedder.embed(&[question, text]).unwrap();
        let own: f32 = vectors[0].iter().zip(&vectors[1]).map(|(a, b)| a * b).sum();
        // What is kept of a vector is coarser.
        (own - told).abs() < 0.02
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_embedder_makes_the_index_anew_and_all_is_found_meanwhile() {
    let world = World::new().await;
    world.create("Alice").await;
    world.remember("alice", "the queen sings on the bridge").await;
    for number in 0..MANY {
        world.remember("alice", &format!("shelf {number} holds jam")).await;
    }
    assert!(embedder_of(&world, "alice").await.starts_with("hashed-"));

    let world = world.again_with(&onnx(&tiny_model())).await;
    // It may be anywhere between its beginning and its end.
    let found = world.recall("alice", "who sings on the bridge").await;
    assert_eq!(found[0].memory.text, "the queen sings on the bridge");
    assert!(embedder_of(&world, "alice").await.starts_with("onnx-"));
    world.until(async |world| world.ask(&being("alice"), AskHealth {}).await.is_well).await;
    let question = "who sings on the bridge";
    let found = world.recall("alice", question).await;
    assert_eq!(found[0].memory.text, "the queen sings on the bridge");
    let (model, hashed) =
        (OnnxEmbedder::open(&tiny_model(), &OnnxOptions::default()), Hashed::new());
    assert!(is_as_near(&model.unwrap(), question, &found), "{found:?}");
    assert!(!is_as_near(&hashed, question, &found), "they tell the two apart");
    assert!(world.folder("alice").join("vectors").exists());

    // And back again.
    let world = world.again_with("").await;
    assert!(embedder_of(&world, "alice").await.starts_with("hashed-"));
    world.until(async |world| world.ask(&being("alice"), AskHealth {}).await.is_well).await;
    let found = world.recall("alice", question).await;
    assert_eq!(found[0].memory.text, "the queen sings on the bridge");
    assert!(is_as_near(&hashed, question, &found), "{found:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_embedder_that_cannot_be_had_is_told_and_no_other_is_taken() {
    let nowhere = tempfile::tempdir().unwrap();
    let check = async |settings: String, told: &str| {
        let world = World::with(&settings).await;
        let member = world.house.member("homes/beings").unwrap();
        let Status::Quarantined(why) = member.view.status else { panic!("{:?}", member.view) };
        let why = why.to_string();
        assert!(why.contains("`embedder`") && why.contains(told), "{why}");
    };
    check(onnx(&nowhere.path().join("x")), "there is no model folder").await;
    check(onnx(nowhere.path()), "with model.onnx (or onnx/model.onnx) and tokenizer.json").await;
    let folder = tiny_model().display().to_string();
    let library = nowhere.path().join("libonnxruntime.so").display().to_string();
    let without = format!(
        "embedder = {{ kind = \"onnx\", folder = {folder:?}, runtime = \"onnxruntime\", \
         library = {library:?} }}"
    );
    check(without, "ONNX Runtime cannot be loaded from").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beings_of_one_machine_share_one_model() {
    let world = World::with(&onnx(&tiny_model())).await;
    for id in ["a", "b", "c", "d"] {
        world.create_as(id, "Being").await;
    }
    let talks = ["a", "b", "c", "d"].map(|id| {
        let world = &world;
        async move {
            world.remember(id, "the cat sleeps under the table").await;
            world.recall(id, "where does the cat sleep").await
        }
    });
    for found in futures_util::future::join_all(talks).await {
        assert_eq!(found[0].memory.text, "the cat sleeps under the table");
    }
    assert_eq!(embedder_of(&world, "a").await, embedder_of(&world, "d").await);
}
