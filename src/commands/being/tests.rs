//! The commands about beings against stand-ins, and their JSON, which scripts read.

use std::path::Path;
use std::time::{Duration, Instant};

use genii_protocols::admin::run_reply::Said;
use genii_protocols::being::{NotAnswered, NotSaid};
use genii_protocols::budget::{BudgetFor, BudgetOf, BudgetSpent};
use genii_protocols::{Address, Destination, Fault, TimeSpan};
use genii_supervision::{Key, What};
use serde_json::{Value, json};

use super::reach::{how_to_begin, of_fault};
use super::stand_ins::{
    ASLEEP, AWAY, DOWN_THERE, FAILS_WHEN_ASKED, HOMELESS, NOTICED, SUSPENDED_THERE, TALK_ON, side,
    side_of_beings_elsewhere, side_that_starts, side_with_a_registry_that_hangs,
    side_without_registry,
};
use crate::admin::client::Client;
use crate::admin::server::AdminSocket;
use crate::commands::{Call, Refusal, Side, begin_anywhere};
use crate::ctl::{Line, parse};
use crate::data::Data;
use crate::screen::Screen;

const DEADLINE: Duration = Duration::from_secs(30);

fn call(line: &str) -> Call {
    match parse(line) {
        Ok(Line::Call(call)) => call,
        Ok(_) => panic!("{line} is no command"),
        Err(fault) => panic!("{line}: {fault}"),
    }
}

/// What a line brings: what it says in JSON, and what a person sees of it.
async fn run(side: &Side, line: &str) -> Result<(Vec<Value>, String), Refusal> {
    let call = call(line);
    let (arguments, node) = (call.arguments.clone(), call.node.clone());
    let mut listener = begin_anywhere(call.entry, arguments, node, side.clone());
    let (mut said, mut screen) = (Vec::new(), Screen::stdout());
    while let Some(one) = listener.recv().await {
        match one {
            Said::Output(text) => {
                let value: Value = serde_json::from_str(&text).unwrap();
                call.show(value.clone(), &mut screen).unwrap();
                said.push(value);
            }
            Said::Refusal(no) => {
                let (message, help, passes) = (no.message, no.help, no.passes);
                return Err(Refusal { message, help, passes });
            }
        }
    }
    Ok((said, screen.into_text()))
}

async fn json(side: &Side, line: &str) -> Value {
    run(side, line).await.unwrap().0.pop().unwrap()
}

async fn shown(side: &Side, line: &str) -> String {
    run(side, line).await.unwrap().1
}

async fn refused(side: &Side, line: &str) -> String {
    let Refusal { message, help, .. } = run(side, line).await.map(|it| it.1).unwrap_err();
    format!("{message} / {help}")
}

/// What is wrong with a line.
fn wrong(line: &str) -> String {
    parse(line).map(drop).unwrap_err().to_string()
}

#[tokio::test]
async fn a_list_is_one_array_of_all_pages() {
    let side = side(2_345).await;
    let all = json(&side, "being list").await;
    assert_eq!(all.as_array().unwrap().len(), 2_345);
    let marit = &all[0];
    let expected = ["marit", "being/marit", "awake"];
    assert_eq!(["id", "address", "state"].map(|key| marit[key].as_str().unwrap()), expected);
    assert_eq!(json(&side, "being list -n 1500").await.as_array().unwrap().len(), 1_500);
    assert_eq!(json(&side, "being list --matching tob").await[0]["id"], "tobin");
    let behind = json(&side, "being list -n 1001 --after x000002").await;
    assert_eq!((&behind[0]["id"], &behind[1_000]["id"]), (&json!("x000003"), &json!("x001003")));
    assert_eq!(json(&side, "being list --matching nobody").await, json!([]));
    assert!(shown(&side, "being list -n 2").await.contains("its store is damaged"));
    assert!(shown(&side, "being list -m nobody").await.starts_with("no being has 'nobody' in its"));
}

#[tokio::test]
async fn a_being_is_made_of_a_file_that_is_read_here() {
    let side = side(2).await;
    let scratch = tempfile::tempdir().unwrap();
    let file = scratch.path().join("ann.toml");
    std::fs::write(&file, "name = \"Ann\"").unwrap();
    let file = file.display();
    let made = json(&side, &format!("being create {file} --id ann")).await;
    assert_eq!(
        (&made["id"], &made["name"], &made["notes"]),
        (&json!("ann"), &json!("Ann"), &json!([]))
    );
    let by = format!("being create {file} --base-url http://localhost:1/v1 --model m");
    let made = json(&side, &by).await;
    assert!(made["name"].as_str().unwrap().contains("\"kind\":\"openai\""), "{made}");
    let taken = refused(&side, &format!("being create {file} --id marit")).await;
    assert!(taken.contains("take another id") && taken.contains("--id"), "{taken}");
    std::fs::write(scratch.path().join("ann.toml"), "nmae = \"Ann\"").unwrap();
    let no_character = wrong(&format!("being create {file}"));
    assert!(no_character.contains("is no good character"), "{no_character}");
    assert!(wrong("being create /nowhere/x.toml").contains("cannot be read"));
}

#[tokio::test]
async fn a_being_that_is_not_there_is_told_with_the_nearest() {
    let side = side(2).await;
    for line in
        ["being show mart", "being ask mart hello", "being recall mart nuts", "being core mart"]
    {
        let no = refused(&side, line).await;
        assert!(no.contains("no being is called mart; did you mean marit?"), "{line}: {no}");
        assert!(no.contains("`being list`"), "{line}: {no}");
    }
    // One that is held back is told with the reason.
    let held = refused(&side, "being recall tobin nuts").await;
    assert!(held.contains("tobin is quarantined: its store is damaged"), "{held}");
    assert!(held.contains("`being check tobin`"), "{held}");
    let seen = shown(&side, "being show tobin").await;
    assert!(
        seen.contains("its store is damaged") && seen.contains("`being check tobin`"),
        "{seen}"
    );
    // That a registry knows nobody of this name says more than that whoever had it ended.
    json(&side, "being delete marit --yes").await;
    run(&side, "stop being/marit").await.unwrap();
    let gone = refused(&side, "being ask marit hello").await;
    assert!(gone.contains("marit is no more: it was deleted"), "{gone}");
    assert!(gone.contains("`being list`"), "{gone}");
}

#[tokio::test]
async fn one_that_is_held_back_because_it_was_asked_is_shown_as_it_stands_then() {
    let side = side(8).await;
    let show = format!("being show {FAILS_WHEN_ASKED}");
    let known = json(&side, &show).await;
    assert_eq!((&known["state"], &known["info"]), (&json!("quarantined"), &json!(null)));
    let seen = shown(&side, &show).await;
    assert!(seen.contains(&format!("`being check {FAILS_WHEN_ASKED}`")), "{seen}");
    assert!(seen.matches("its store is damaged").count() == 1, "{seen}");
}

#[test]
fn whoever_meets_damage_is_told_what_saves_the_rest() {
    let marit = super::stand_ins::name("marit");
    let damage = "memory 7 of the store /x/being.redb is damaged: it is not what was written";
    let told = super::reach::refused(&marit, &damage);
    assert!(told.message.starts_with("marit: memory 7 of the store"), "{told:?}");
    assert!(told.help.contains("`being check marit`"), "{told:?}");
    assert_eq!(super::reach::refused(&marit, &"there is nothing to remember").help, "");
}

#[test]
fn whoever_has_spent_a_budget_is_told_where_it_is_set() {
    let (of, per) = (BudgetOf::Requests, BudgetFor::Ever);
    let spent = BudgetSpent { of, per, limit: 2, spent: 2, wanted: 1, free_at: None };
    let no = NotAnswered::Spent { spent, turn: 7 };
    let told = super::reach::refused(&super::stand_ins::name("marit"), &no);
    assert!(told.message.starts_with("marit: the budget is 2 questions in all"), "{told:?}");
    assert!(told.help.contains("`being budget marit`"), "{told:?}");
    let other = NotSaid::NotAnswered { why: format!("tobin does not answer: {no}") };
    let told = super::reach::refused(&super::stand_ins::name("marit"), &other);
    assert!(told.help.contains("`being budget tobin`"), "{told:?}");
}

#[tokio::test]
async fn why_tells_of_beings_that_are_not_at_hand_what_the_registry_knows() {
    let side = side(4).await;
    for (id, says) in [
        ("tobin", "being/tobin is quarantined on test: its store is damaged"),
        (AWAY, "lives on pc9, which is unseen"),
        (HOMELESS, "is unreachable on test: its home does not run"),
    ] {
        let why = shown(&side, &format!("why being/{id}")).await;
        assert!(why.contains(says), "{why}");
    }
    let why = shown(&side, "why being/tobin").await;
    assert!(why.contains("`being check tobin`") && !why.contains("`release"), "{why}");
    let no = refused(&side, "why being/nobody").await;
    assert!(no.contains("being/nobody is not in this house"), "{no}");
}

#[tokio::test]
async fn of_one_that_sleeps_it_is_said_that_it_does() {
    let side = side(5).await;
    for command in
        ["start", "stop", "restart", "kill", "release", "state", "suspend", "resume", "messages"]
    {
        let no = refused(&side, &format!("{command} being/{ASLEEP}")).await;
        let says = format!("being/{ASLEEP} is asleep on test; it wakes when it is spoken to");
        assert!(no.contains(&says), "{command}: {no}");
    }
    let no = refused(&side, "stop being/tobin").await;
    assert!(no.contains("being/tobin is quarantined on test: its store is damaged"), "{no}");
}

#[tokio::test]
async fn one_that_is_suspended_is_not_waited_for() {
    let side = side(1).await;
    run(&side, "suspend being/marit").await.unwrap();
    let began = Instant::now();
    for line in ["being ask marit hello", "being recall marit nuts"] {
        let no = refused(&side, line).await;
        assert!(no.contains("marit is suspended, and handles nothing until it is resumed"), "{no}");
        assert!(no.contains("`resume being/marit`"), "{no}");
    }
    // What the registry knows is told all the same.
    let known = json(&side, "being show marit").await;
    assert_eq!((&known["state"], &known["info"]), (&json!("awake"), &json!(null)));
    let shown_suspended = shown(&side, "being show marit").await;
    assert!(shown_suspended.contains("marit is suspended"), "{shown_suspended}");
    assert!(began.elapsed() < DEADLINE / 2, "{:?}", began.elapsed());
    run(&side, "resume being/marit").await.unwrap();
    assert!(shown(&side, "being ask marit hello").await.contains("You said: hello"));
}

#[tokio::test]
async fn one_of_another_machine_that_is_suspended_or_down_there_is_not_waited_for() {
    let side = side_of_beings_elsewhere().await;
    for words in ["ask", "recall"] {
        let line = format!("being {words} {SUSPENDED_THERE} hello");
        let no = run(&side, &line).await.map(drop).unwrap_err();
        assert!(!no.passes && no.message.contains("is suspended, and handles nothing"), "{no:?}");
        assert_eq!(no.help, format!("`resume being/{SUSPENDED_THERE}` ends that"));
        let line = format!("being {words} {DOWN_THERE} hello");
        let no = run(&side, &line).await.map(drop).unwrap_err();
        let says = format!("being/{DOWN_THERE} is down: its disk was full");
        assert!(no.passes && no.message.contains(&says), "{line}: {no:?}");
    }
}

#[tokio::test]
async fn notes_of_a_being_that_is_no_more_are_asked_for_on_a_machine_by_name() {
    let side = side(1).await;
    let gone = Address::parse("being/gone").unwrap();
    let noted = What::KeptNote { text: "was deleted".into(), is_coming: false };
    side.house.node().tree().record(&Key::from(gone.shared()), 0, noted);
    let seen = shown(&side, "journal being/gone@test").await;
    assert!(seen.contains("was deleted"), "{seen}");
    let no = refused(&side, "log being/gone@test").await;
    assert!(no.contains("being/gone is not on test"), "{no}");
}

#[tokio::test]
async fn a_name_without_its_group_is_told_with_the_group_if_one_alone_has_it() {
    let side = side(4).await;
    for (line, meant) in [
        ("why marit", "did you mean being/marit?"),
        ("inspect marit", "did you mean being/marit?"),
        ("why registry", "did you mean beings/registry?"),
        // Only the registry knows of this one.
        ("why tobin", "did you mean being/tobin?"),
        ("journal tobin", "did you mean being/tobin?"),
        ("why nobody", "`ps` lists all agents"),
    ] {
        let no = refused(&side, line).await;
        assert!(no.contains(meant), "{line}: {no}");
    }
}

#[tokio::test]
async fn a_house_without_a_registry_says_how_to_have_one() {
    let side = side_without_registry().await;
    for line in ["being list", "being ask ann hello"] {
        let no = refused(&side, line).await;
        assert!(no.contains("the house has no beings/registry"), "{line}: {no}");
        assert!(no.contains("kind = \"beings-registry\""), "{line}: {no}");
    }
    assert_eq!(how_to_begin(&side.house, "genii", Path::new("")).await, None);
}

#[tokio::test]
async fn what_is_asked_before_all_has_started_may_be_asked_again_in_a_moment() {
    let starting = side_that_starts().await;
    for line in ["being ask marit hello", "being recall marit nuts", "being list"] {
        let no = run(&starting, line).await.map(drop).unwrap_err();
        assert!(no.passes && no.message.contains("beings/registry is down"), "{line}: {no:?}");
    }
    let side = side(2).await;
    for line in ["being ask mart hello", "being recall tobin nuts"] {
        assert!(!run(&side, line).await.map(drop).unwrap_err().passes, "{line}");
    }
}

#[tokio::test]
async fn a_being_is_shown_by_its_own_account_while_the_registry_does_not_answer() {
    for side in [side_without_registry().await, side_with_a_registry_that_hangs().await] {
        let known = json(&side, "being show marit").await;
        let told = (&known["id"], &known["state"], &known["node"], &known["info"]["turns"]);
        assert_eq!(told, (&json!("marit"), &json!("awake"), &json!("test"), &json!(450)));
        assert!(known["why"].as_str().unwrap().contains("beings/registry"), "{known}");
        assert_eq!(known["silent"], json!(null));
    }
    let neither = refused(&side_without_registry().await, "being show ann").await;
    assert!(neither.contains("the house has no beings/registry"), "{neither}");
}

#[tokio::test]
async fn whoever_has_waited_too_long_is_told_that_it_may_go_on() {
    let to = Destination::from(Address::parse("beings/registry").unwrap());
    let message = "beings.create".to_owned();
    let fault = Fault::Timeout { to: to.clone(), message, after: TimeSpan::from_secs(1) };
    let told = of_fault(&side(1).await.house, &to, &fault);
    let help = told.help;
    assert!(help.contains("it may go on") && help.contains("`being list`"), "{help}");
    assert!(!help.contains("--timeout"), "{help}");
}

#[tokio::test]
async fn only_a_house_without_beings_is_told_how_to_make_the_first() {
    let (scratch, source) = (tempfile::tempdir().unwrap(), Path::new(env!("CARGO_MANIFEST_DIR")));
    let (none, one) = (side(0).await, side(1).await);
    let how = how_to_begin(&none.house, "genii --data x", scratch.path()).await.unwrap();
    assert!(how.contains("| genii --data x being create -`"), "{how}");
    let how = how_to_begin(&none.house, "genii", source).await.unwrap();
    assert!(how.contains("`genii being create ") && how.contains("marit.toml"), "{how}");
    assert_eq!(how_to_begin(&one.house, "genii", source).await, None);
}

#[tokio::test]
async fn an_answer_comes_in_parts_and_then_as_a_whole() {
    let side = side(1).await;
    let (said, shown) = run(&side, "being ask marit hello --as Ann").await.unwrap();
    assert_eq!(said[..2], [json!({ "words": "You said: " }), json!({ "words": "hello" })]);
    assert_eq!(said[2]["answered"]["text"], "You said: hello");
    assert_eq!(shown, "You said: hello\n(one memory was used)\n");
    assert!(refused(&side, "being ask marit ''").await.contains("marit: nothing was said"));
}

#[tokio::test]
async fn no_answer_to_any_message_commands_the_terminal() {
    let side = side(1).await;
    let asked = r#"ask being/marit being.converse '{"said": "a\u001b[2Jb\u009b31mc"}'"#;
    let (said, shown) = run(&side, asked).await.unwrap();
    assert_eq!(said[1], json!({ "item": "a\u{1b}[2Jb\u{9b}31mc" }));
    assert!(shown.contains("\na[2Jb31mc\n"), "{shown:?}");
    assert!(shown.chars().all(|letter| letter == '\n' || !letter.is_control()), "{shown:?}");
}

#[tokio::test]
async fn what_is_remembered_is_shown_with_when_who_score_and_why() {
    let side = side(1).await;
    let recalled = json(&side, "being recall marit nuts -n 1").await;
    assert_eq!(recalled["memories"][0]["memory"]["id"], 3);
    assert_eq!(recalled["memories"][0]["reasons"]["kind"], 0.75);
    let seen = shown(&side, "being recall marit nuts --kind note,fact --from 2026-05-01").await;
    for part in
        ["0.75", "memory 3 (note)", "2026-05-03T10:00:00.000Z", "by Ann", "because the words nuts"]
    {
        assert!(seen.contains(part), "{part}: {seen}");
    }
    let noted = json(&side, "being remember marit tea --speaker Ann --at 2026-05-01").await;
    assert_eq!((&noted["text"], &noted["speaker"]), (&json!("tea"), &json!("Ann")));
    assert_eq!(noted["at"], "2026-05-01T00:00:00.000000Z");
    assert!(refused(&side, "being remember marit ''").await.contains("nothing to remember"));
}

#[tokio::test]
async fn history_is_paged_and_shown_in_the_order_of_time() {
    let side = side(1).await;
    let history = json(&side, "being history marit -n 450").await;
    assert_eq!(
        (history["turns"].as_array().unwrap().len(), &history["older"]),
        (450, &json!(null))
    );
    let some = json(&side, "being history marit -n 250 --before 400").await;
    assert_eq!((&some["turns"][0]["id"], &some["older"]), (&json!(399), &json!(150)));
    let seen = shown(&side, "being history marit -n 2").await;
    assert!(seen.contains("--before 449"), "{seen}");
    assert!(seen.find("word 449").unwrap() < seen.find("word 450").unwrap(), "{seen}");
    let none = shown(&side, "being history marit --before 0").await;
    assert!(none.starts_with("it has no turn before 0"), "{none}");
}

#[tokio::test]
async fn what_would_be_forgotten_is_shown_first() {
    let side = side(1).await;
    let stake = json(&side, "being forget marit --matching nuts --dry-run").await;
    assert_eq!(stake["at_stake"]["all"]["memories"], 12, "{stake}");
    let seen = shown(&side, "being forget marit --matching nuts --dry-run").await;
    let all = "this would go: 12 memories, 1 turn, 1 answer that quotes it\n";
    assert!(seen.contains(all) && seen.contains("allergic to NUTS"), "{seen}");
    assert!(seen.contains("the newest of each are shown"), "{seen}");
    let seen = shown(&side, "being forget marit --matching xyz --dry-run").await;
    assert_eq!(seen, "nothing would go\n");
    for one in ["--memory 3", "--turn 3"] {
        let gone = json(&side, &format!("being forget marit {one} --yes")).await;
        assert_eq!(
            gone,
            json!({ "forgotten": { "memories": 2, "turns": 1, "answers": 0, "reminders": 0 } })
        );
    }
}

#[tokio::test]
async fn reminders_are_set_shown_and_taken_back() {
    let side = side(1).await;
    assert_eq!(shown(&side, "being reminders marit").await, "it is to be reminded of nothing\n");
    let set = json(&side, "being remind marit 9999-05-03 'the tea'").await;
    assert_eq!((&set["id"], &set["text"]), (&json!(1), &json!("the tea")));
    assert_eq!(
        (&set["at"], &set["is_cancelled"]),
        (&json!("9999-05-03T00:00:00.000000Z"), &json!(false))
    );
    let seen = shown(&side, "being remind marit 10m 'the milk'").await;
    assert!(
        seen.contains("it will be reminded: reminder 2 at ") && seen.contains("the milk"),
        "{seen}"
    );
    let all = json(&side, "being reminders marit").await;
    assert_eq!((all["reminders"].as_array().unwrap().len(), &all["total"]), (2, &json!(2)));
    let seen = shown(&side, "being reminders marit -n 1").await;
    assert!(seen.contains("reminder 1 at 9999-05-03") && seen.contains("(and 1 more)"), "{seen}");
    let stake = json(&side, "being forget marit --matching TEA --dry-run").await;
    assert_eq!(stake["at_stake"]["reminders"].as_array().unwrap().len(), 1, "{stake}");
    let seen = shown(&side, "being forget marit --matching tea --dry-run").await;
    assert!(seen.contains("reminder 1") && seen.contains(": the tea"), "{seen}");
    let back = json(&side, "being remind marit --cancel 1").await;
    assert_eq!((&back["text"], &back["is_cancelled"]), (&json!("the tea"), &json!(true)));
    let no = refused(&side, "being remind marit --cancel 1").await;
    assert!(no.contains("it has no reminder 1") && no.contains("`being reminders marit`"), "{no}");
    let no = refused(&side, "being remind marit 10m ''").await;
    assert!(no.contains("nothing to be reminded of"), "{no}");
}

#[test]
fn what_cannot_be_undone_is_asked_first() {
    let doubt = |line: &str| {
        let call = call(line);
        call.entry.doubt(&call.arguments).map(|doubt| (doubt.question, doubt.at_stake))
    };
    let (question, at_stake) = doubt("being forget marit --matching nuts").unwrap();
    assert_eq!(question, "Have marit forget all that matches 'nuts' for good?");
    let (command, arguments) = at_stake.unwrap();
    assert_eq!((command, &arguments["dry_run"]), ("being forget", &json!(true)));
    for (what, in_words) in [
        ("--memory 12", "memory 12"),
        ("--turn 40", "turn 40"),
        (
            "--from 2026-05-03 --until 2026-05-04",
            "all that was told from 2026-05-03T00:00:00.000Z until 2026-05-04T00:00:00.000Z",
        ),
    ] {
        let (question, _) = doubt(&format!("being forget marit {what}")).unwrap();
        assert_eq!(question, format!("Have marit forget {in_words} for good?"));
    }
    assert!(doubt("being delete marit").unwrap().0.contains("Delete marit for good"));
    let (question, at_stake) = doubt("being delete marit --lost").unwrap();
    assert!(question.contains("put aside"), "{question}");
    assert_eq!(at_stake, None, "one that is not whole cannot be shown");
    for sure in [
        "being delete marit --yes",
        "being delete marit --lost -y",
        "being forget marit --memory 1 -y",
        "being forget marit --matching x --dry-run",
        "being recall marit x",
    ] {
        assert!(doubt(sure).is_none(), "{sure}");
    }
}

#[test]
fn what_was_typed_to_a_being_goes_with_what_it_forgets() {
    let scratch = tempfile::tempdir().unwrap();
    let data = Data::new(Some(scratch.path().to_owned())).unwrap();
    let typed = data.typed_to(&super::stand_ins::name("marit"));
    std::fs::create_dir_all(typed.parent().unwrap()).unwrap();
    let is_left_after = |line: &str| {
        std::fs::write(&typed, "my salary").unwrap();
        let call = call(line);
        call.entry.done(&call.arguments, &data);
        typed.exists()
    };
    assert!(!is_left_after("being forget marit --memory 1 --yes"));
    assert!(!is_left_after("being delete marit --yes"));
    assert!(is_left_after("being forget marit --matching x --dry-run"));
    assert!(is_left_after("being delete tobin --yes"));
}

#[tokio::test]
async fn settings_of_a_being_are_shown_and_set() {
    let side = side(2).await;
    let core = json(&side, "being core marit 'whom I talk to' 'Ann, who sails'").await;
    assert_eq!(core["core"][0]["text"], "Ann, who sails");
    assert_eq!(json(&side, "being core marit").await, core);
    assert_eq!(json(&side, "being core marit 'whom I talk to' --remove").await["core"], json!([]));
    assert_eq!(json(&side, "being provider marit").await["provider"], "offline");
    let set = "being provider marit --base-url http://localhost:1/v1 --model llama --key-env KEY \
               --provider-json '{\"retries_max\": 0}'";
    let told = json(&side, set).await;
    assert_eq!((&told["provider"], &told["settings"]["retries_max"]), (&json!("llama"), &json!(0)));
    assert_eq!(told["defaults"]["connect_timeout"], "5s");
    assert_eq!(json(&side, "being provider marit").await["settings"], told["settings"]);
    let seen = shown(&side, "being provider marit").await;
    assert!(seen.starts_with("llama\n"), "{seen}");
    let row = |setting: &str| {
        let row = seen.lines().find(|line| line.starts_with(setting)).unwrap_or_default();
        row.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    assert_eq!(row("key_env"), "key_env KEY set");
    assert_eq!(row("temperature"), "temperature none by default");
    assert_eq!(json(&side, "being show marit").await["provider"]["settings"], told["settings"]);
    let budget = json(&side, "being budget marit --tokens-per-day 100").await;
    assert_eq!(budget["limits"]["tokens_per_day"], 100);
    json(&side, "being budget marit --requests-per-day 5").await;
    let none = json(&side, "being budget marit --tokens-per-day none").await;
    let limits = &none["limits"];
    assert_eq!((&limits["tokens_per_day"], &limits["requests_per_day"]), (&json!(null), &json!(5)));
    json(&side, "being budget marit --tokens-per-day 100").await;
    let seen = shown(&side, "being budget marit").await;
    assert!(seen.contains("100 tokens a day") && seen.contains("5 questions a day"), "{seen}");
    assert!(!seen.contains("answers nothing"), "{seen}");
    json(&side, "being budget marit --requests-per-day 0").await;
    for asked in ["being budget marit", "being show marit"] {
        let seen = shown(&side, asked).await;
        assert!(seen.contains("it answers nothing without a larger budget"), "{seen}");
    }
    json(&side, "being budget marit --requests-per-day 5").await;
    let character = json(&side, "being character marit nickname Mari").await;
    assert_eq!(character, json!({ "nickname": "Mari" }));
    assert!(refused(&side, "being character marit nmae x").await.contains("did you mean name?"));
    let seen = shown(&side, "being show marit").await;
    for part in [
        "MARIT (marit) is awake on test",
        "450",
        "1.5 KiB",
        "its index is being built",
        "A pilot.",
        "key_env = KEY",
        "retries_max = 0",
    ] {
        assert!(seen.contains(part), "{part}: {seen}");
    }
    assert!(!seen.contains("base_url"), "{seen}");
}

#[tokio::test]
async fn beings_are_written_out_taken_in_deleted_and_talk_with_each_other() {
    let side = side(2).await;
    let exported = json(&side, "being export marit m.being").await;
    assert!(exported["file"].as_str().unwrap().starts_with('/'), "{exported}");
    assert_eq!(exported["node"], "test");
    let seen = shown(&side, "being export marit m.being").await;
    assert!(seen.contains("m.being on test: 2.0 KiB, SHA-256 abab"), "{seen}");
    let taken = json(&side, "being import m.being --id ann").await;
    let expected = (&json!("ann"), &json!(false), &json!(null));
    assert_eq!((&taken["id"], &taken["provider"]["is_kept"], &taken["isolation"]), expected);
    let taken = json(&side, "being import m.being --with-provider --isolation process").await;
    let expected = (&json!(true), &json!("process"));
    assert_eq!((&taken["provider"]["is_kept"], &taken["isolation"]), expected);
    let seen = shown(&side, "being import m.being").await;
    assert!(seen.contains("note: its provider: openai, llama at http://localhost:1/v1"), "{seen}");
    assert!(refused(&side, "being import m.zip").await.contains("is no export"));
    assert_eq!(json(&side, "being say marit tobin 'ahoy'").await["text"], "ahoy");
    assert!(refused(&side, "being say marit ann x").await.contains("no being is called ann"));
    assert_eq!(json(&side, "being migrate marit pc2").await["node"], "pc2");
    assert!(shown(&side, "being migrate marit pc2").await.contains("marit lives on pc2"));
    assert_eq!(json(&side, "being delete tobin --yes").await["deleted"]["id"], "tobin");
    assert!(refused(&side, "being delete tobin --yes").await.contains("no being is called tobin"));
    let seen = shown(&side, "being delete marit --lost --yes").await;
    assert!(seen.contains("if test comes back, what it has of it is put aside"), "{seen}");
}

#[test]
fn wrong_calls_are_told() {
    for (line, said) in [
        ("being", "Usage"),
        ("being shwo marit", "did you mean being show?"),
        ("provider marit", "did you mean being provider?"),
        ("show marit", "did you mean being show?"),
        ("chat marit", "did you mean being chat?"),
        ("being frobnicate", "`help being`"),
        ("being show Marit", "did you mean \"marit\"?"),
        ("being forget marit", "--memory"),
        ("being forget marit --from 2026-05-03", "--until"),
        ("being forget marit --from 2026-05-04 --until 2026-05-03", "no time lies between"),
        ("being forget marit --memory 1 --matching x", "cannot be used with"),
        ("being forget marit --turn 1 --memory 1", "cannot be used with"),
        ("being recall marit x --from yesterday", "how long ago"),
        ("being recall marit x -n 101", "101"),
        ("being recall marit x --kind dream", "fact"),
        ("being core marit title", "`being core marit TITLE TEXT` sets it"),
        ("being core marit --remove", "TITLE"),
        ("being core marit title text --remove", "cannot be used with"),
        ("being character marit nickname", "`being character marit FIELD VALUE` sets it"),
        ("being remind marit", "WHEN"),
        ("being remind marit 10m", "TEXT"),
        ("being remind marit soon tea", "in how long"),
        ("being remind marit 2020-05-03 tea", "has passed"),
        ("being remind marit 10m tea --cancel 1", "cannot be used with"),
        ("being reminders marit -n 1001", "1001"),
        ("being character marit --empty", "FIELD"),
        ("being budget marit --tokens-per-day many", "none"),
        ("being budget marit --tokens-per-day -5", "a number from 0"),
        ("being forget marit --memory x", "the number of one"),
        ("ps being/pr", "`why being/pr`"),
        ("being forget marit --dry-run", "it is not said what is to be forgotten"),
        ("being forget marit --matching ' '", "--matching takes words"),
        ("being recall marit ' '", "it is not said what is to be recalled"),
        ("being recall marit tea --from 1hour --until 2hours", "--from is the earlier"),
        ("being provider marit --key-env KEY", "set as a whole"),
        ("being create x --provider-json '[]'", "object"),
        ("being provider marit --model m", "base_url"),
        ("being provider marit --provider-json '{\"modl\": 1}'", "did you mean `model`?"),
    ] {
        let told = wrong(line);
        assert!(told.contains(said), "{line}: {told}");
    }
    // An address does as well as an id.
    assert_eq!(call("being show being/marit").arguments, json!({ "id": "marit" }));
}

#[test]
fn a_chat_is_read_in_the_repl() {
    assert!(matches!(parse("being chat marit --as Ann"), Ok(Line::Chat(_))));
    assert!(wrong("being chat").contains("BEING"));
}

/// Whoever stops listening calls the answer off, through the socket and all.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_waits_for_is_called_off() {
    let scratch = tempfile::tempdir().unwrap();
    let data = Data::new(Some(scratch.path().to_owned())).unwrap();
    let socket = AdminSocket::open(&data.socket(), side(1).await).unwrap();
    let mut client = Client::connect(&data).await.unwrap();
    let text = format!("{TALK_ON} to the socket");
    let said = json!({ "id": "marit", "text": text, "speaker": null });
    let mut replies = client.run("being ask", &said).await.unwrap();
    assert_eq!(replies.next().await.unwrap(), Some(json!({ "words": "You said: " })));
    let has_noticed = || NOTICED.lock().contains(&text);
    assert!(!has_noticed());
    drop(replies);
    let until = Instant::now() + DEADLINE;
    while !has_noticed() {
        assert!(Instant::now() < until, "it talks on");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(client);
    socket.close().await;
}
