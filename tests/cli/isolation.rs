//! Beings in processes of their own: nobody can tell, until one of them is killed, hangs or takes too much;
//! and then nobody else notices.

use std::io::Read;
use std::net::TcpListener;

use genii_protocols::Address;
use genii_protocols::being::Remember;
use genii_protocols::client::Client;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::beings::{recalled, remember};
use crate::support::{DEADLINE, House, Running, finish, wait_until};

/// A character in its shortest form.
const MARIT: &str = "name = \"Marit Holm\"\ndescription = \"{{char}} was a harbour pilot.\"\n";

/// How much more than it needs a being may have that is to grow beyond it, in MiB: several times as much as
/// two lives of it differ by, which is mostly for how many threads there happen to be.
const TO_SPARE_MB: u64 = 32;

/// A text that takes more than that, in bytes, also if it is there but once. A being has it twice at least
/// before it can say that it is too long to be remembered: as it came, and as it was read.
const TOO_LONG: usize = 48 << 20;

/// A house in which beings may live, with what is set for its home.
fn topology(settings: &str) -> String {
    format!(
        "[groups.beings]\n[groups.homes]\n\
         [agents.\"beings/registry\"]\nkind = \"beings-registry\"\nwants = \"homes/beings\"\n\
         [agents.\"homes/beings\"]\nkind = \"beings-home\"\n\
         [agents.\"homes/beings\".settings]\n{settings}\n"
    )
}

fn create(house: &House, id: &str, isolation: &str) -> Value {
    let file = house.file("marit.toml", MARIT);
    let file = file.to_str().unwrap();
    house.json(&["being", "create", file, "--id", id, "--isolation", isolation, "--json"])
}

/// The process of a being that is awake, once it is another than this.
fn process_of(house: &House, id: &str, but: Option<Pid>) -> Pid {
    let name = format!("being/{id}");
    wait_until(&format!("the process of {name}"), || {
        let rows = house.json(&["ctl", "ps", "--json"]);
        let row = rows.as_array().unwrap().iter().find(|row| row["name"] == name.as_str()).cloned();
        let pid = row.filter(|row| row["state"] == "ready")?["pid"].as_i64()?;
        Pid::from_raw(i32::try_from(pid).ok()?).filter(|pid| Some(*pid) != but)
    })
}

/// For how much memory a process has asked, in MiB, as its limit counts it.
fn asked_for_mb(process: Pid) -> u64 {
    let status = format!("/proc/{}/status", process.as_raw_nonzero());
    let status = std::fs::read_to_string(status).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmData:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() >> 10
}

/// How many beings have a process.
fn tenants(house: &House) -> usize {
    // The words of their keepers hold those of their own.
    let is_tenant =
        |words: &&String| words.contains(" live-as-tenant ") && !words.contains("-process ");
    house.processes().iter().filter(is_tenant).count()
}

/// Makes marit, tobin and ann, of whom ann alone has no process of her own.
fn create_three(house: &House) {
    create(house, "marit", "process");
    create(house, "tobin", "process");
    create(house, "ann", "actor");
}

/// The same, and each remembers something.
fn create_three_who_remember(house: &House) {
    create_three(house);
    remember(house, "marit", "The spare key is under the blue pot");
    remember(house, "tobin", "The bakery opens at six");
    remember(house, "ann", "The ferry leaves at nine");
}

/// Whatever becomes of marit, the other two of those remember what they did.
fn the_others_remember(house: &House) {
    assert!(recalled(house, "tobin", "when does the bakery open?").contains("six"));
    assert!(recalled(house, "ann", "when does the ferry leave?").contains("nine"));
}

/// Has a being ask a server for its words that takes every question and answers none. What is returned
/// waits until one has come.
fn with_a_silent_provider(house: &House, id: &str) -> TcpListener {
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", server.local_addr().unwrap());
    house.json(&["being", "provider", id, "--base-url", &url, "--model", "silent", "--json"]);
    server
}

#[test]
fn nobody_can_tell_that_a_being_has_a_process_of_its_own() {
    let house = House::new();
    let running = house.up(&topology(""));
    let made = create(&house, "marit", "process");
    assert_eq!((&made["isolation"], &made["id"]), (&json!("process"), &json!("marit")));
    let pid = process_of(&house, "marit", None);
    assert_ne!(pid, running.pid());
    assert_eq!(tenants(&house), 1);

    remember(&house, "marit", "The spare key is under the blue pot");
    assert!(recalled(&house, "marit", "where is the key?").contains("blue pot"));
    let answer = house.genii(&["being", "ask", "marit", "Where is the spare key?", "--as", "Ann"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    assert!(answer.out.contains("blue pot"), "{}", answer.out);
    let whole = r#"{"said": "Where is the spare key?"}"#;
    let whole = house.json(&["ctl", "ask", "being/marit", "being.query", whole, "--json"]);
    assert!(whole.to_string().contains("blue pot"), "{whole}");
    let history = house.json(&["being", "history", "marit", "--json"]);
    assert_eq!(history["turns"].as_array().unwrap().len(), 2, "{history}");

    let shown = house.json(&["being", "show", "marit", "--json"]);
    assert_eq!(
        (&shown["isolation"], &shown["health"]["is_well"]),
        (&json!("process"), &json!(true))
    );
    assert!(house.genii(&["being", "show", "marit"]).out.contains("a process of its own"));
    let state = house.json(&["ctl", "state", "being/marit", "--json"]);
    assert_eq!(state["pid"], pid.as_raw_nonzero().get(), "{state}");
    let renamed = house.genii(&["being", "character", "marit", "name", "Marit Berg"]);
    assert_eq!(renamed.code, 0, "{}", renamed.err);
    wait_until("the registry to know its new name", || {
        let listed = house.json(&["being", "list", "--json"]);
        (listed[0]["name"] == "Marit Berg").then_some(())
    });

    let mut heard = house.command(env!("CARGO_BIN_EXE_genii"));
    heard.args(["ctl", "subscribe", "--json", "beings.marit.said", "-n", "1"]);
    let mut heard = Running::new(heard.spawn().unwrap());
    heard.wait_for("subscribed");
    let remind = house.genii(&["being", "remind", "marit", "1s", "The tide turns."]);
    assert_eq!(remind.code, 0, "{}", remind.err);
    heard.wait_for("The tide turns.");

    let export = house.json(&["being", "export", "marit", "marit.being", "--json"]);
    assert_eq!(export["bytes"], house.path("marit.being").metadata().unwrap().len());
    let gone = house.genii(&["being", "forget", "marit", "--matching", "blue pot", "--yes"]);
    assert_eq!(gone.code, 0, "{}", gone.err);
    assert!(!recalled(&house, "marit", "where is the key?").contains("blue pot"));
    assert_eq!(house.genii(&["being", "delete", "marit", "--yes"]).code, 0);
    assert_eq!(tenants(&house), 0);
    let annexes = std::fs::read_dir(house.path("data/annexes")).unwrap().count();
    assert_eq!(annexes, 0, "nothing of it is left");
    running.stop();
    let logged = std::fs::read_to_string(house.path("data/logs/genii.log")).unwrap();
    assert!(!logged.contains("TRACE"), "it logs no more than genii does");
}

/// What is told to a being, and not asked.
fn tell(house: &House, id: &str, said: &str) {
    let (being, query) = (format!("being/{id}"), json!({ "said": said }).to_string());
    let told = house.genii(&["ctl", "tell", &being, "being.query", &query]);
    assert_eq!(told.code, 0, "{}", told.err);
}

/// The dead letters of a being, oldest first.
fn dead_letters(house: &House, id: &str) -> Vec<Value> {
    let (being, said) = (format!("being/{id}"), house.json(&["ctl", "dead-letters", "--json"]));
    let letters = said["letters"].as_array().unwrap().iter();
    letters.filter(|letter| letter["to"] == being.as_str()).cloned().collect()
}

#[test]
fn what_it_is_told_and_does_not_keep_is_a_dead_letter_as_that_of_any_other() {
    let house = House::new();
    let running = house.up(&topology(""));
    create(&house, "ann", "actor");
    create(&house, "marit", "process");
    let lost = |id: &str| {
        tell(&house, id, " ");
        let letter = wait_until("its dead letter", || dead_letters(&house, id).into_iter().next());
        let why = letter["why"].as_str().unwrap().replace(&format!("being/{id}"), "it");
        (letter["message"].clone(), letter["from"].clone(), why)
    };
    let (ann, marit) = (lost("ann"), lost("marit"));
    assert_eq!(marit, ann);
    assert!(marit.2.contains("nothing was said"), "{}", marit.2);

    // What has come to a process and is not handled when that is killed.
    let process = process_of(&house, "marit", None);
    kill_process(process, Signal::STOP).unwrap();
    tell(&house, "marit", "Are you there?");
    kill_process(process, Signal::KILL).unwrap();
    wait_until("what was lost with it", || (dead_letters(&house, "marit").len() > 1).then_some(()));
    running.stop();
    house.wait_for_no_process();
}

#[test]
fn one_that_rests_has_no_process_and_wakes_with_its_memory() {
    let house = House::new();
    let running = house.up(&topology("isolation = \"process\"\nidle_after = \"500ms\""));
    let file = house.file("marit.toml", MARIT);
    let made = house.json(&["being", "create", file.to_str().unwrap(), "--id", "marit", "--json"]);
    assert_eq!(made["isolation"], "process");
    remember(&house, "marit", "The spare key is under the blue pot");
    wait_until("it to sleep", || (tenants(&house) == 0).then_some(()));
    assert!(recalled(&house, "marit", "where is the key?").contains("blue pot"));
    running.stop();
    house.wait_for_no_process();
}

#[test]
fn one_that_answers_what_it_was_only_told_does_not_fall_asleep_meanwhile() {
    let house = House::new();
    let running = house.up(&topology("idle_after = \"500ms\""));
    create(&house, "marit", "process");
    let server = with_a_silent_provider(&house, "marit");
    let told = r#"{"said": "Are you there?"}"#;
    let told = house.genii(&["ctl", "tell", "being/marit", "being.query", told]);
    assert_eq!(told.code, 0, "{}", told.err);
    let (question, _) = server.accept().unwrap();
    let state = || house.json(&["ctl", "state", "being/marit", "--json"]);
    wait_until("it to be at work", || (state()["is_at_work"] == true).then_some(()));
    // Read when it is asked for, and not from time to time.
    let taken = state();
    assert!(taken["memory_mb"].as_u64() > Some(0), "{taken}");
    drop((question, server));
    wait_until("it to sleep", || (tenants(&house) == 0).then_some(()));
    let history = house.json(&["being", "history", "marit", "--json"]);
    let failure = history["turns"][0]["failure"].as_str().unwrap_or_default();
    assert!(!failure.is_empty() && !failure.contains("ended meanwhile"), "{history}");
    running.stop();
}

#[test]
fn an_answer_of_one_that_is_deleted_is_interrupted_and_whoever_asked_is_told_why() {
    let house = House::new();
    let running = house.up(&topology("finish_within = \"500ms\""));
    create(&house, "marit", "process");
    let server = with_a_silent_provider(&house, "marit");
    let mut command = house.command(env!("CARGO_BIN_EXE_genii"));
    let asking = command.args(["being", "ask", "marit", "Are you there?"]).spawn().unwrap();
    let (mut question, _) = server.accept().unwrap();
    let _has_begun = question.read(&mut [0; 64]).unwrap();
    let deleted = house.genii(&["being", "delete", "marit", "--yes"]);
    assert_eq!(deleted.code, 0, "{}", deleted.err);
    let ended = finish(asking);
    assert_ne!(ended.code, 0, "{}", ended.out);
    assert!(ended.err.contains("it was interrupted: it is deleted"), "{}", ended.err);
    running.stop();
    house.wait_for_no_process();
}

#[test]
fn one_that_is_killed_loses_its_question_with_the_cause_and_comes_back_with_its_memory() {
    let house = House::new();
    let running = house.up(&topology(""));
    create_three_who_remember(&house);
    let (first, other) = (process_of(&house, "marit", None), process_of(&house, "tobin", None));
    let server = with_a_silent_provider(&house, "marit");
    let mut command = house.command(env!("CARGO_BIN_EXE_genii"));
    let asking = command.args(["being", "ask", "marit", "Are you there?"]).spawn().unwrap();
    let (mut question, _) = server.accept().unwrap();
    let _has_begun = question.read(&mut [0; 64]).unwrap();
    kill_process(first, Signal::KILL).unwrap();
    let lost = finish(asking);
    assert_eq!(lost.code, 1, "{}", lost.out);
    assert!(lost.err.contains("SIGKILL"), "{}", lost.err);

    process_of(&house, "marit", Some(first));
    assert!(recalled(&house, "marit", "where is the key?").contains("blue pot"));
    let why = house.genii(&["ctl", "journal", "being/marit"]).out;
    assert!(why.contains("SIGKILL"), "{why}");
    assert_eq!(process_of(&house, "tobin", None), other, "it has noticed nothing");
    the_others_remember(&house);
    running.stop();
    house.wait_for_no_process();
}

#[test]
fn one_that_hangs_is_noticed_killed_and_started_again() {
    let house = House::new();
    let running = house.up(&topology("limits = { answer_within = \"2s\" }"));
    create(&house, "marit", "process");
    remember(&house, "marit", "The spare key is under the blue pot");
    let first = process_of(&house, "marit", None);
    kill_process(first, Signal::STOP).unwrap();
    process_of(&house, "marit", Some(first));
    assert!(recalled(&house, "marit", "where is the key?").contains("blue pot"));
    let why = house.genii(&["ctl", "journal", "being/marit"]).out;
    assert!(why.contains("does not answer any more") || why.contains("looked up"), "{why}");
    running.stop();
    house.wait_for_no_process();
}

#[test]
fn one_that_takes_too_much_of_a_processor_is_ended_with_the_setting_named() {
    let house = House::new();
    let running = house.up(&topology("limits = { cpu_percent = 1, cpu_window = \"1s\" }"));
    create(&house, "marit", "process");
    let text = "the harbour, the pilot, the fog, the tide and the lamp. ".repeat(500);
    wait_until("it to be ended", || {
        // Each keeps it busy for a while; that it is lost in the end is what is waited for.
        let _either_way = house.genii(&["being", "remember", "marit", &text]);
        let journal = house.genii(&["ctl", "journal", "being/marit"]).out;
        journal.contains("limits.cpu_percent").then_some(())
    });
    running.stop();
    house.wait_for_no_process();
}

#[test]
fn one_that_gets_too_little_memory_says_which_setting_it_is() {
    let house = House::new();
    let running = house.up(&topology("limits = { memory_mb = 4 }"));
    let file = house.file("marit.toml", MARIT);
    let file = file.to_str().unwrap();
    create(&house, "ann", "actor");
    let made = house.genii(&["being", "create", file, "--id", "marit", "--isolation", "process"]);
    assert_eq!(made.code, 1, "{}", made.out);
    assert!(made.err.contains("limits.memory_mb"), "{}", made.err);
    assert!(!house.path("data/beings/marit").exists(), "it was never made");
    assert_eq!(house.genii(&["being", "ask", "ann", "hello"]).code, 0);
    running.stop();
    house.wait_for_no_process();
}

/// What it needs is measured in a life before that in which it is held to it, since that differs from machine
/// to machine, and with how the program was built.
#[tokio::test(flavor = "multi_thread")]
async fn one_that_grows_beyond_its_memory_ends_alone_and_comes_back_with_what_it_remembers() {
    let house = House::new();
    let running = house.up(&topology(""));
    create_three_who_remember(&house);
    let remembers = || recalled(&house, "marit", "where is the key?").contains("blue pot");
    assert!(remembers());
    let may_have = asked_for_mb(process_of(&house, "marit", None)) + TO_SPARE_MB;
    running.stop();

    let running = house.up(&topology(&format!("limits = {{ memory_mb = {may_have} }}")));
    assert!(remembers());
    the_others_remember(&house);
    let (first, other) = (process_of(&house, "marit", None), process_of(&house, "tobin", None));
    let client = Client::unix(house.path("data/clients.sock")).await.unwrap();
    let client = client.with_timeout(DEADLINE);
    let growing = tokio::spawn(async move {
        let marit = Address::parse("being/marit").unwrap();
        let too_long = Remember { text: "x".repeat(TOO_LONG), speaker: None, at: None };
        client.ask(&marit, &too_long).await
    });
    // It ends in time, since the client does not wait for longer.
    loop {
        the_others_remember(&house);
        if growing.is_finished() {
            break;
        }
    }
    let lost = growing.await.unwrap().unwrap_err().to_string();
    let told = format!("it may have {may_have} MiB of memory");
    assert!(lost.contains(&told) && lost.contains("`limits.memory_mb`"), "{lost}");

    process_of(&house, "marit", Some(first));
    assert!(remembers());
    let why = house.genii(&["ctl", "journal", "being/marit"]).out;
    assert!(why.contains("limits.memory_mb"), "{why}");
    assert_eq!(process_of(&house, "tobin", None), other, "it has noticed nothing");
    the_others_remember(&house);
    running.stop();
    house.wait_for_no_process();
}

#[test]
fn one_that_is_taken_in_is_kept_apart_as_it_is_said_then() {
    let house = House::new();
    let running = house.up(&topology(""));
    create(&house, "marit", "process");
    remember(&house, "marit", "The spare key is under the blue pot");
    house.json(&["being", "export", "marit", "marit.being", "--json"]);
    let usual = house.json(&["being", "import", "marit.being", "--id", "ann", "--json"]);
    assert_eq!(usual["isolation"], "actor");
    let import = ["being", "import", "marit.being", "--id", "tobin", "--isolation"];
    let apart = house.json(&[&import[..], &["process", "--json"]].concat());
    assert_eq!(apart["isolation"], "process");
    process_of(&house, "tobin", None);
    assert_eq!(tenants(&house), 2);
    assert!(recalled(&house, "tobin", "where is the key?").contains("blue pot"));
    let wrong = house.genii(&[&import[..], &["cage"]].concat());
    assert!(wrong.code == 2 && wrong.err.contains("process"), "{}", wrong.err);
    running.stop();
}

#[test]
fn none_outlives_genii_also_not_a_kill() {
    let house = House::new();
    let mut running = house.up(&topology(""));
    create(&house, "marit", "process");
    remember(&house, "marit", "The spare key is under the blue pot");
    process_of(&house, "marit", None);
    running.signal(Signal::KILL);
    running.end();
    house.wait_for_no_process();
    let annex = house.path("data/annexes/marit");
    assert!(annex.exists(), "nobody was left to remove it");
    let running = house.up(&topology(""));
    assert!(!annex.exists(), "it sleeps, and needs none");
    assert!(recalled(&house, "marit", "where is the key?").contains("blue pot"));
    assert_eq!(house.json(&["being", "list", "--json"])[0]["isolation"], "process");
    running.stop();
    house.wait_for_no_process();
}

#[test]
fn beings_say_things_to_each_other_however_they_are_kept_apart() {
    let house = House::new();
    let running = house.up(&topology(""));
    create_three(&house);
    for id in ["marit", "tobin", "ann"] {
        remember(&house, id, &format!("{id} keeps the spare key under a blue pot"));
    }
    for (from, to) in [("marit", "tobin"), ("tobin", "ann"), ("ann", "marit")] {
        let said = house.genii(&["being", "say", from, to, "Where is the spare key?"]);
        assert_eq!(said.code, 0, "{from} to {to}: {}", said.err);
        assert!(said.out.contains(&format!("{to} keeps the spare key")), "{}", said.out);
    }
    let nobody = house.genii(&["being", "say", "marit", "nobody", "hello"]);
    assert!(nobody.code == 1 && nobody.err.contains("no being is called nobody"), "{}", nobody.err);
    running.stop();
}

#[test]
fn one_with_a_damaged_store_is_held_back_with_the_reason() {
    let house = House::new();
    let running = house.up(&topology(""));
    create(&house, "marit", "process");
    create(&house, "tobin", "process");
    running.stop();
    std::fs::write(house.path("data/beings/marit/being.redb"), vec![0x5a; 50_000]).unwrap();
    let running = house.up(&topology(""));
    let asked = house.genii(&["being", "ask", "marit", "hello"]);
    assert!(asked.code == 1 && asked.err.contains("not a store"), "{}", asked.err);
    wait_until("it to be held back", || {
        let listed = house.json(&["being", "list", "--json"]);
        let marit = listed[0].clone();
        assert_eq!(marit["id"], "marit");
        let why = marit["why"].as_str().unwrap_or_default().to_owned();
        (marit["state"] == "quarantined" && why.contains("not a store")).then_some(())
    });
    assert_eq!(house.genii(&["being", "ask", "tobin", "hello"]).code, 0);
    running.stop();
}

#[test]
fn a_being_is_kept_apart_in_another_way_at_its_next_waking() {
    let house = House::new();
    let running = house.up(&topology(""));
    let made = create(&house, "marit", "actor");
    assert_eq!(made["isolation"], "actor");
    remember(&house, "marit", "The spare key is under the blue pot");
    let isolate = |how: &str| house.json(&["being", "isolate", "marit", how, "--json"]);
    for (how, processes) in [("process", 1), ("actor", 0), ("process", 1)] {
        let isolated = isolate(how);
        assert_eq!((&isolated["isolation"], &isolated["state"]), (&json!(how), &json!("asleep")));
        assert!(recalled(&house, "marit", "where is the key?").contains("blue pot"));
        assert_eq!(tenants(&house), processes);
    }
    running.stop();
    let running = house.up(&topology(""));
    assert!(recalled(&house, "marit", "where is the key?").contains("blue pot"));
    assert_eq!(tenants(&house), 1);
    let wrong = house.genii(&["being", "isolate", "marit", "cage"]);
    assert!(wrong.code == 2 && wrong.err.contains("process"), "{}", wrong.err);
    running.stop();
}
