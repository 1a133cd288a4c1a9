//! What one being may use of its server.

use super::server::{Server, Step, answer, begins, finish, stream, usage, words};
use super::*;

#[tokio::test]
async fn more_questions_than_may_be_are_refused_before_they_are_asked() {
    let server = Server::start(vec![answer(&["a"])]).await;
    let requests_per_minute = Some(2);
    let provider =
        provider(&ProviderSettings { requests_per_minute, ..settings(server.base_url()) });
    for _ in 0..2 {
        all_of(provider.answer(request("Hi"))).await.1.unwrap();
    }
    let error = all_of(provider.answer(request("Hi"))).await.1.unwrap_err();
    assert!(matches!(error, ProviderError::Limited { .. }), "{error:?}");
    let says = "this being answers no more for now: its limit of 2 is reached \
                (`requests_per_minute`); ask again in ";
    assert!(error.to_string().starts_with(says), "{error}");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn tokens_are_counted_as_the_server_counts_them() {
    // Each takes 9 by the server's count.
    let server = Server::start(vec![answer(&["a"])]).await;
    let tokens_per_minute = Some(20);
    let provider = provider(&ProviderSettings { tokens_per_minute, ..settings(server.base_url()) });
    for _ in 0..2 {
        all_of(provider.answer(request("Hi"))).await.1.unwrap();
    }
    let error = all_of(provider.answer(request("Hi"))).await.1.unwrap_err();
    assert!(error.to_string().contains("limit of 20 is reached (`tokens_per_minute`)"), "{error}");
    let error = all_of(provider.answer(request(&"long ".repeat(100)))).await.1.unwrap_err();
    assert!(matches!(error, ProviderError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("it has about 129 tokens"), "{error}");
    assert_eq!(server.seen().len(), 2);
}

#[tokio::test]
async fn thinking_that_comes_to_no_word_is_taken_out_of_the_limit() {
    let thought = stream(vec![finish("length"), usage(7, 1_000), done()]);
    let server = Server::start(vec![thought, answer(&["a"])]).await;
    let tokens_per_minute = Some(100);
    let provider = provider(&ProviderSettings { tokens_per_minute, ..settings(server.base_url()) });
    let question = request("Hi");
    let error = all_of(provider.answer(question.clone())).await.1.unwrap_err();
    assert!(matches!(error, ProviderError::Garbage { .. }), "{error:?}");
    // Whoever asked is told of it too.
    assert_eq!(question.under_way.usage(), counted(7, 1_000));
    let error = all_of(provider.answer(request("Hi"))).await.1.unwrap_err();
    assert!(matches!(error, ProviderError::Limited { .. }), "{error:?}");
    assert_eq!(server.seen().len(), 1);
}

#[tokio::test]
async fn whoever_asked_is_told_how_far_the_question_came() {
    let wordless = stream(vec![finish("stop"), done()]);
    let server = Server::start(vec![error(400, "", "{}"), wordless]).await;
    let tokens_per_minute = Some(20);
    let provider = provider(&ProviderSettings { tokens_per_minute, ..settings(server.base_url()) });
    let asked = async |said: &str| {
        let question = request(said);
        all_of(provider.answer(question.clone())).await.1.unwrap_err();
        (question.under_way.was_set(), question.under_way.is_set())
    };
    // The limit of the being, a server that refuses, and one that begins to answer.
    assert_eq!(asked(&"long ".repeat(100)).await, (false, false));
    assert_eq!(asked("Hi").await, (true, false));
    assert_eq!(asked("Hi").await, (true, true));
}

#[tokio::test]
async fn a_question_that_failed_gives_its_tokens_back() {
    let server = Server::start(vec![error(400, "", "{}")]).await;
    let tokens_per_minute = Some(6);
    let provider = provider(&ProviderSettings { tokens_per_minute, ..settings(server.base_url()) });
    for _ in 0..5 {
        let error = all_of(provider.answer(request("Hi"))).await.1.unwrap_err();
        assert!(error.to_string().contains("HTTP 400"), "{error}");
    }
}

#[tokio::test]
async fn a_question_waits_until_another_is_over() {
    let held = [begins(), vec![words("a"), Step::Hang]].concat();
    let server = Server::start(vec![held, answer(&["b"])]).await;
    let one = |total_timeout| ProviderSettings {
        concurrent_max: 1,
        total_timeout,
        ..settings(server.base_url())
    };
    let provider = provider(&one(TimeSpan(PATIENCE)));
    let mut first = provider.answer(request("Hi"));
    assert_eq!(first.next().await, Some(Ok(Piece::Text("a".to_owned()))));
    let mut second = provider.answer(request("Hi"));
    let waits = tokio::time::timeout(SHORT.0, second.next()).await;
    assert!(waits.is_err() && server.seen().len() == 1, "{waits:?}");
    drop(first);
    assert_eq!(second.next().await, Some(Ok(Piece::Text("b".to_owned()))));
}

#[tokio::test]
async fn a_question_does_not_wait_for_ever() {
    let server = Server::start(vec![vec![Step::Hang]]).await;
    let settings = ProviderSettings {
        concurrent_max: 1,
        total_timeout: SHORT,
        first_token_timeout: TimeSpan(PATIENCE),
        ..settings(server.base_url())
    };
    let provider = provider(&settings);
    let (first, second) =
        tokio::join!(all_of(provider.answer(request("1"))), all_of(provider.answer(request("2"))));
    assert!(matches!(first.1, Err(ProviderError::Silent { .. })), "{:?}", first.1);
    // The second may get its turn in the very moment in which its time is over.
    match second.1.unwrap_err() {
        ProviderError::Limited { cause, .. } => {
            assert!(cause.contains("`concurrent_max`"), "{cause}")
        }
        ProviderError::Silent { .. } => {}
        other => panic!("{other:?}"),
    }
}
