//! A library is loaded once for a process, so this is tried in a process of its own.

use std::env;
use std::process::Command;

use super::*;

/// Says to a process of this test what it is to try.
const CASE: &str = "GENII_TEST_RUNTIME_CASE";

fn with_library(path: &Path) -> Result<OnnxEmbedder, String> {
    let runtime = OnnxRuntime::Library(path.to_owned());
    let options = OnnxOptions { runtime, ..OnnxOptions::default() };
    OnnxEmbedder::open(&tiny_model(), &options).map_err(|error| error.to_string())
}

/// Tries a case in a process of its own.
#[track_caller]
fn try_apart(case: &str) {
    let child = Command::new(env::current_exe().unwrap())
        .args(["--exact", "embed::onnx::tests::runtimes::a_process_of_its_own", "--nocapture"])
        .env(CASE, case)
        .output()
        .unwrap();
    let said = [child.stdout, child.stderr].concat();
    assert!(child.status.success(), "{case}: {}", String::from_utf8_lossy(&said));
}

#[test]
fn a_process_of_its_own() {
    match env::var(CASE).as_deref() {
        Ok("broken library") => broken_library(),
        Ok(case) => panic!("there is no case {case}"),
        // Run beside the others, it has nothing to try.
        Err(_) => {}
    }
}

fn broken_library() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing.so");
    let refused = with_library(&missing).unwrap_err();
    assert!(refused.contains("missing.so"), "{refused}");
    assert!(refused.contains("libonnxruntime.so of version 1.24 or"), "{refused}");
    let refused = with_library(folder.path()).unwrap_err();
    assert!(refused.contains("it is no file"), "{refused}");

    let broken = folder.path().join("broken.so");
    fs::write(&broken, "no library").unwrap();
    let first = with_library(&broken).unwrap_err();
    assert!(first.contains("broken.so"), "{first}");
    // A second try must not call into what was never loaded, whatever lies there now.
    let other = folder.path().join("other.so");
    fs::write(&other, "no library either").unwrap();
    for path in [&broken, &other] {
        let second = with_library(path).unwrap_err();
        assert!(second.contains("broken.so"), "{second}");
        assert!(second.contains(path.to_str().unwrap()), "{second}");
    }
    // tract is none the worse for it.
    open(&tiny_model()).embed(&["the cat"]).unwrap();
}

#[test]
fn a_library_that_cannot_be_loaded_is_refused_every_time() {
    try_apart("broken library");
}
