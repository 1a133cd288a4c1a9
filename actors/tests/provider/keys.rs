//! Keys reach the server, and nothing else.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use super::server::{Server, Step, answer, error};
use super::*;

const KEY: &str = "sk-very-secret-0123456789";

/// A file with the key in a folder that goes away.
fn key_file(mode: u32) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    std::fs::write(&path, format!(" {KEY}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
    (folder, path)
}

/// What is written into the log, at its most talkative.
#[derive(Clone, Default)]
struct Log(Arc<parking_lot::Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Log {
    fn begin(&self) -> tracing::subscriber::DefaultGuard {
        let log = self.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || log.clone())
            .finish();
        tracing::subscriber::set_default(subscriber)
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().clone()).unwrap()
    }
}

#[tokio::test]
async fn the_key_of_a_file_is_sent() {
    let (_folder, path) = key_file(0o600);
    let server = Server::start(vec![answer(&["a"])]).await;
    let settings = ProviderSettings { key_file: Some(path), ..settings(server.base_url()) };
    all_of(provider(&settings).answer(request("Hi"))).await.1.unwrap();
    let headers = &server.seen()[0].headers;
    assert!(headers.contains(&format!("authorization: Bearer {KEY}")), "{headers}");
}

#[tokio::test]
async fn the_key_of_an_environment_variable_is_sent() {
    // Any variable that is surely set.
    let key = std::env::var("PATH").unwrap();
    let server = Server::start(vec![answer(&["a"])]).await;
    let key_env = Some("PATH".to_owned());
    let settings = ProviderSettings { key_env, ..settings(server.base_url()) };
    all_of(provider(&settings).answer(request("Hi"))).await.1.unwrap();
    assert!(server.seen()[0].headers.contains(&format!("authorization: Bearer {key}")));
}

#[tokio::test]
async fn without_its_key_nothing_is_asked() {
    let server = Server::start(vec![answer(&["a"])]).await;
    let lost = ProviderSettings {
        key_env: Some("GENII_NO_SUCH_KEY".to_owned()),
        ..settings(server.base_url())
    };
    let error = all_of(provider(&lost).answer(request("Hi"))).await.1.unwrap_err();
    assert!(matches!(error, ProviderError::Keyless { .. }), "{error:?}");
    let says =
        "was not asked, for want of a key: the environment variable GENII_NO_SUCH_KEY is not set";
    assert!(error.to_string().contains(says), "{error}");
    assert_eq!(server.seen().len(), 0);
}

#[tokio::test]
async fn a_key_that_was_refused_is_read_again() {
    let (_folder, path) = key_file(0o600);
    let server = Server::start(vec![error(401, "", "{}"), answer(&["a"])]).await;
    let key_file = Some(path.clone());
    let provider = provider(&ProviderSettings { key_file, ..settings(server.base_url()) });
    all_of(provider.answer(request("Hi"))).await.1.unwrap_err();
    std::fs::write(&path, "sk-new").unwrap();
    all_of(provider.answer(request("Hi"))).await.1.unwrap();
    assert!(server.seen()[1].headers.contains("authorization: Bearer sk-new"));
}

#[tokio::test]
async fn a_server_that_repeats_the_key_betrays_nothing() {
    let (_folder, path) = key_file(0o600);
    for status in [400, 401, 403, 404, 429, 500] {
        let log = Log::default();
        let _logging = log.begin();
        let server = Server::start(vec![vec![Step::EchoAuthorization(status)]]).await;
        let key_file = Some(path.clone());
        let provider = provider(&ProviderSettings { key_file, ..settings(server.base_url()) });
        let error = all_of(provider.answer(request("Hi"))).await.1.unwrap_err();
        let shown = format!("{error} {error:?} {} {}", provider.label(), log.text());
        assert!(shown.contains("bad header: authorization: Bearer [key]"), "{shown}");
        assert!(!shown.contains(KEY) && !shown.contains(&KEY[3..12]), "{shown}");
    }
}

#[tokio::test]
async fn a_stream_that_repeats_the_key_betrays_nothing() {
    let (_folder, path) = key_file(0o600);
    let mut trouble = answer(&["a"]);
    trouble.insert(2, event(&json!({ "error": format!("bad key {KEY}") })));
    for script in [trouble, super::page(KEY, ""), error(307, &format!("location: /{KEY}\r\n"), "")]
    {
        let server = Server::start(vec![script]).await;
        let key_file = Some(path.clone());
        let settings = ProviderSettings { key_file, ..settings(server.base_url()) };
        let error = all_of(provider(&settings).answer(request("Hi"))).await.1.unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(shown.contains("[key]") && !shown.contains(KEY), "{shown}");
    }
}

#[tokio::test]
async fn the_log_knows_neither_question_nor_answer_nor_key() {
    let (_folder, path) = key_file(0o644);
    let log = Log::default();
    let _logging = log.begin();
    let busy = error(503, "", "a body full of woe");
    let server = Server::start(vec![busy, answer(&["the ", "answer"])]).await;
    let key_file = Some(path);
    let provider = provider(&ProviderSettings { key_file, ..settings(server.base_url()) });
    for _ in 0..2 {
        all_of(provider.answer(request("my question"))).await.1.unwrap();
    }
    let text = log.text();
    assert_eq!(
        text.matches("everybody on this machine can read this key file").count(),
        1,
        "{text}"
    );
    assert_eq!(text.matches("a question is asked again").count(), 1, "{text}");
    for secret in [KEY, "my question", "the answer", "woe"] {
        assert!(!text.contains(secret), "{text}");
    }
}
