//! Every way in which a message may end.

use std::time::Duration;

use genii_protocols::{AskError, CauseKind, Destination, Fault, Json, Rejection};
use genii_runtime::Limits;
use serde_json::json;

use crate::parrot::*;

const SECOND: Duration = Duration::from_secs(1);

#[tokio::test(start_paused = true)]
async fn an_ask_ends_in_its_reply_or_its_refusal() {
    let house = House::new().await;
    let polly =
        house.parrot_with("zoo/polly", json!({ "refuses": "cracker" }), Default::default()).await;
    assert_eq!(house.echo(&polly, "hello").await.unwrap(), "hello");
    let refused = house.node.to(&polly).ask(Echo { text: "a cracker".into() }).await;
    assert_eq!(refused, Err(AskError::Refused(WontSay { word: "cracker".into() })));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_address_is_not_found_and_the_nearest_is_named() {
    let house = House::new().await;
    house.parrot("zoo/polly").await;
    let said = house.echo(&address("zoo/poly"), "hello").await.unwrap_err();
    assert_eq!(said, "zoo/poly is not known; did you mean zoo/polly?");
    let tell = house.node.to(address("zoo/poly")).tell(Notes {}).await;
    assert!(matches!(*tell.unwrap_err(), Fault::NotFound { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_message_to_a_node_that_is_not_there_is_unreachable() {
    let house = House::new().await;
    house.parrot("zoo/polly").await;
    let to = |text: &str| house.node.to(Destination::parse(text).unwrap());
    let elsewhere = to("zoo/polly@pc2").ask(Notes {}).await.unwrap_err();
    assert!(matches!(elsewhere.fault(), Some(Fault::Unreachable { .. })), "{elsewhere}");
    assert_eq!(to("zoo/polly@test").ask(Notes {}).await.unwrap(), [0; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_ask_that_is_not_answered_times_out_at_its_deadline() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let began = tokio::time::Instant::now();
    let slow = Note { number: 1, millis: 10_000 };
    let error = house.node.to(&polly).ask_within(slow, SECOND).await.unwrap_err();
    assert_eq!(error.to_string(), "zoo/polly did not answer parrot.note within 1s");
    let took = began.elapsed();
    assert!((SECOND..SECOND + SECOND / 50).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_message_whose_deadline_has_passed_is_not_handled() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let mail = house.node.to(&polly);
    let slow = mail.ask_within(Note { number: 1, millis: 3_000 }, PATIENCE);
    let late = mail.ask_within(Note { number: 2, millis: 0 }, SECOND);
    let (slow, late) = tokio::join!(slow, late);
    assert_eq!(slow.unwrap(), 1);
    assert!(matches!(late.unwrap_err().fault(), Some(Fault::Timeout { .. })));
    assert_eq!(mail.ask(Notes {}).await.unwrap(), [1]);
    assert_eq!(house.node.counters(&polly).unwrap().expired, 1);
}

/// An agent that asks on behalf of an asker has no more time than the asker gave it.
#[tokio::test(start_paused = true)]
async fn a_deadline_holds_for_what_is_asked_on_the_way() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let other = house.parrot("zoo/other").await;
    let relay = Relay { to: other.clone(), millis: 30_000 };
    let began = tokio::time::Instant::now();
    let said = house.node.to(&polly).ask_within(relay, SECOND).await.unwrap();
    assert_eq!(said, "zoo/other did not answer parrot.note within 1s", "and not within its minute");
    assert!(began.elapsed() < 2 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn a_full_mailbox_makes_the_sender_wait_and_then_says_overloaded() {
    let limits = Limits { tell_patience: 2 * SECOND, ..Limits::default() };
    let house = House::with_limits(limits).await;
    let polly = house.small_parrot("zoo/polly", 3).await;
    let mail = house.node.to(&polly);
    let note = |number| Note { number, millis: 5_000 };
    mail.tell(note(0)).await.unwrap();
    tokio::task::yield_now().await;
    for number in 1..=3 {
        mail.try_tell(note(number)).unwrap();
    }
    let full = *mail.try_tell(note(4)).unwrap_err();
    assert_eq!(full, Fault::Overloaded { to: polly.clone().into(), capacity: 3 });
    let began = tokio::time::Instant::now();
    let waited = mail.tell(note(5)).await.unwrap_err();
    assert!(matches!(*waited, Fault::Overloaded { .. }));
    assert!(began.elapsed() >= 2 * SECOND);
    // One who waits gets in as soon as there is room, not when all have been handled.
    let began = tokio::time::Instant::now();
    mail.ask_within(note(6), PATIENCE).await.unwrap();
    assert_eq!(mail.ask(Notes {}).await.unwrap(), [0, 1, 2, 3, 6]);
    assert!(began.elapsed() < 26 * SECOND, "{:?}", began.elapsed());
    let dead = house.node.dead_letters();
    assert_eq!(dead.total(), 2, "what was told and not delivered can be listed");
    assert!(matches!(dead.tail(10)[0].fault, Fault::Overloaded { .. }));
}

#[tokio::test(start_paused = true)]
async fn messages_of_one_sender_arrive_in_order_also_when_it_has_to_wait() {
    let house = House::new().await;
    let polly = house.small_parrot("zoo/polly", 2).await;
    let mail = house.node.to(&polly);
    for number in 0..200 {
        mail.tell(Note { number, millis: 1 }).await.unwrap();
    }
    let notes = mail.ask(Notes {}).await.unwrap();
    assert_eq!(notes, (0..200).collect::<Vec<_>>());
}

#[tokio::test(start_paused = true)]
async fn an_unknown_message_is_rejected_and_the_nearest_is_named() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let error = house.node.to(&polly).ask(Unknown {}).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "zoo/polly rejected parrot.ecko: it has no such message; did you mean parrot.echo?"
    );
    house.node.to(&polly).tell(Unknown {}).await.unwrap();
    house.echo(&polly, "it lives").await.unwrap();
    assert_eq!(house.node.dead_letters().tail(1)[0].message, "parrot.ecko");
    assert_eq!(house.node.counters(&polly).unwrap().rejected, 2);
}

#[tokio::test(start_paused = true)]
async fn messages_in_json_are_the_same_messages() {
    let house = House::new().await;
    let polly =
        house.parrot_with("zoo/polly", json!({ "refuses": "cracker" }), Default::default()).await;
    let mail = house.node.to(&polly);
    let ask = async |name: &str, content| mail.ask_json(name, &Json(content), SECOND).await;
    assert_eq!(ask("parrot.echo", json!({ "text": "hi" })).await, Ok(Json(json!("hi"))));
    let refused = ask("parrot.echo", json!({ "text": "cracker" })).await;
    assert_eq!(refused, Err(AskError::Refused(Json(json!({ "word": "cracker" })))));
    assert_eq!(ask("parrot.notes", json!(null)).await, Ok(Json(json!([]))));

    let rejected = async |name: &str, content| match ask(name, content).await {
        Err(AskError::Fault(fault)) => match *fault {
            Fault::Rejected { reason, .. } => reason,
            other => panic!("{other}"),
        },
        other => panic!("{other:?}"),
    };
    let malformed = rejected("parrot.echo", json!({ "txt": "hi" })).await;
    assert!(matches!(&malformed, Rejection::Malformed { detail } if detail.contains("text")));
    let unknown = rejected("parrot.eco", json!({})).await;
    assert_eq!(unknown, Rejection::UnknownMessage { nearest: Some("parrot.echo".into()) });
    let style = rejected("parrot.count_to", json!({ "number": 3 })).await;
    assert_eq!(style, Rejection::WrongStyle { expected: "a stream".into() });

    mail.tell_json("parrot.note", &Json(json!({ "number": 5 }))).await.unwrap();
    assert_eq!(ask("parrot.notes", json!({})).await, Ok(Json(json!([5]))));
}

#[tokio::test(start_paused = true)]
async fn an_answer_may_come_later_while_the_agent_goes_on() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let mail = house.node.to(&polly);
    let later = mail.ask(AnswerLater { millis: 2_000 });
    let now = mail.ask(Echo { text: "meanwhile".into() });
    let began = tokio::time::Instant::now();
    let (later, ()) = tokio::join!(later, async {
        now.await.unwrap();
        assert!(began.elapsed() < SECOND);
    });
    assert_eq!(later.unwrap(), "at last");
    let never = mail.ask(AnswerLater { millis: 0 }).await.unwrap_err();
    let expected =
        "zoo/polly rejected parrot.answer_later: it dropped the question without an answer";
    assert_eq!(never.to_string(), expected);
}

#[tokio::test(start_paused = true)]
async fn an_agent_that_is_not_running_is_down_and_says_why() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    house.supervisor.terminate_child(polly.as_str()).await.unwrap();
    let fault = house.node.to(&polly).ask(Notes {}).await.unwrap_err();
    let Some(Fault::Down { cause, .. }) = fault.fault() else { panic!("{fault}") };
    assert_eq!(cause.kind, CauseKind::Stopped);
    assert_eq!(cause.message, "it was asked to stop");
}

/// Started is not ready: others are not let in before an agent says that it is.
#[tokio::test(start_paused = true)]
async fn an_agent_that_is_not_ready_takes_no_messages() {
    let house = House::new().await;
    let polly = address("zoo/polly");
    house.node.declare(&polly, None, None);
    let settings = Json(json!({ "ready_after_millis": 3_000 }));
    let child = house.node.agent::<Parrot>(&polly, settings).with_policy(policy());
    let starting = tokio::spawn({
        let supervisor = house.supervisor.clone();
        async move { supervisor.start_child(child).await }
    });
    tokio::time::sleep(SECOND).await;
    let said = house.echo(&polly, "hello").await.unwrap_err();
    assert_eq!(said, "zoo/polly is down: it is starting: it is not ready yet");
    starting.await.unwrap().unwrap();
    assert_eq!(house.echo(&polly, "hello").await.unwrap(), "hello");
}

/// That it is starting would say that the question has reached nobody.
#[tokio::test(start_paused = true)]
async fn who_asked_a_life_before_is_not_told_that_the_next_is_starting() {
    let house = House::new().await;
    let settings = json!({ "ready_after_millis": 3_000 });
    let polly = house.parrot_with("zoo/polly", settings, Default::default()).await;
    let asking = tokio::spawn({
        let mail = house.node.to(&polly);
        async move { mail.ask_within(AnswerLater { millis: 60_000 }, PATIENCE).await }
    });
    tokio::time::sleep(SECOND).await;
    house.supervisor.cycle_child(polly.as_str()).await.unwrap();
    let fault = asking.await.unwrap().unwrap_err();
    let Some(Fault::Down { cause, .. }) = fault.fault() else { panic!("{fault}") };
    assert_eq!(cause.message, "it has ended, and another life is to begin");
    assert_eq!(cause.kind, CauseKind::Stopped);
}

/// The next life has long begun when who is slow comes to the end of what was on its way.
#[tokio::test(start_paused = true)]
async fn a_slow_asker_of_a_life_before_is_told_that_it_was_started_anew() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let count = CountTo { number: 100, panic_at: None };
    let mut answers = house.node.to(&polly).stream(count).await.unwrap();
    tokio::time::sleep(SECOND).await;
    house.supervisor.cycle_child(polly.as_str()).await.unwrap();
    house.reborn(&polly, 1).await;
    while answers.next().await.is_some() {}
    let error = answers.finish().await.unwrap_err();
    let Some(Fault::Down { cause, .. }) = error.fault() else { panic!("{error}") };
    assert_eq!(cause.message, "it has ended, and another life is to begin");
    assert_eq!(cause.kind, CauseKind::Stopped);
}

#[tokio::test(start_paused = true)]
async fn settings_that_are_wrong_are_refused_with_the_key() {
    let house = House::new().await;
    let polly = address("zoo/polly");
    let child = house.node.agent::<Parrot>(&polly, Json(json!({ "refusses": "x" })));
    let error = house.supervisor.start_child(child).await.unwrap_err().to_string();
    assert!(error.contains("its settings are wrong: unknown field `refusses`"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn two_nodes_in_one_process_know_nothing_of_each_other() {
    let (one, two) = (House::new().await, House::new().await);
    let polly = one.parrot("zoo/polly").await;
    assert!(one.echo(&polly, "here").await.is_ok());
    assert_eq!(two.echo(&polly, "there").await.unwrap_err(), "zoo/polly is not known");
    two.parrot("zoo/polly").await;
    one.supervisor.terminate_child("zoo/polly").await.unwrap();
    assert!(two.echo(&polly, "there").await.is_ok());
}

/// A tell that cannot be handled leaves a dead letter, whatever is wrong with it.
#[tokio::test(start_paused = true)]
async fn a_tell_that_is_no_question_for_this_agent_is_a_dead_letter() {
    let house = House::new().await;
    let polly = house.parrot("zoo/polly").await;
    let count = CountTo { number: 3, panic_at: None };
    house.node.to(&polly).tell(count).await.unwrap();
    house.echo(&polly, "handled by now").await.unwrap();
    let dead = house.node.dead_letters().tail(10);
    assert_eq!(dead.len(), 1);
    assert_eq!(dead[0].message, "parrot.count_to");
    assert!(dead[0].fault.to_string().contains("a stream"), "{}", dead[0].fault);

    let nobody = house.node.to(address("zoo/nobody"));
    nobody.tell_json("parrot.note", &Json(json!({}))).await.unwrap_err();
    assert_eq!(house.node.dead_letters().tail(1)[0].to.address.as_str(), "zoo/nobody");
}

#[tokio::test(start_paused = true)]
async fn an_agent_of_another_node_is_unreachable_and_its_stand_in_is_not() {
    let house = House::new().await;
    let far = genii_protocols::NodeName::new("far").unwrap();
    let polly = address("zoo/polly");
    house.node.declare(&polly, None, Some(&far));
    let fault = house.node.to(&polly).ask(Notes {}).await.unwrap_err();
    assert!(matches!(fault.fault(), Some(Fault::Unreachable { node, .. }) if *node == far));
    let here = house.parrot("zoo/here").await;
    house.node.declare(&polly, Some(&here), Some(&far));
    assert_eq!(house.echo(&polly, "hello").await.unwrap(), "hello");
}
