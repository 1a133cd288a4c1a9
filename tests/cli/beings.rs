//! Beings, as their owner meets them: made, talked with, remembering, forgetting, and back after the end
//! of genii.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::mpsc::{Sender, channel};

use rustix::fs::{CWD, Mode, mkfifoat};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::cluster::{Two, TwoOptions, begin, on};
use crate::support::{House, Said, finish, skipped, wait_until};
use crate::terminal::Terminal;

/// A house in which beings may live.
pub const HOUSE: &str = "[groups.beings]\n[groups.homes]\n\
    [agents.\"beings/registry\"]\nkind = \"beings-registry\"\nwants = \"homes/beings\"\n\
    [agents.\"homes/beings\"]\nkind = \"beings-home\"\n";

/// A character in its shortest form.
const MARIT: &str = "name = \"Marit Holm\"\ndescription = \"{{char}} was a harbour pilot.\"\n\
                     first_message = \"Sit down, {{user}}.\"\n";

pub fn create(house: &House, id: &str) -> Value {
    let file = house.file("marit.toml", MARIT);
    house.json(&["being", "create", file.to_str().unwrap(), "--id", id, "--json"])
}

/// Chats from a pipe.
fn chat(house: &House, args: &[&str], lines: &str) -> Said {
    let mut child = begin_chat(house, args, Stdio::piped());
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    finish(child)
}

/// Begins a chat from a pipe, whose answers go there.
fn begin_chat(house: &House, args: &[&str], answers: impl Into<Stdio>) -> Child {
    let mut command = house.command(env!("CARGO_BIN_EXE_genii"));
    command.args(["being", "chat"]).args(args).stdin(Stdio::piped()).stdout(answers);
    command.spawn().unwrap()
}

/// Says three things in a chat whose answers cannot be shown, and waits until it ends: its exit code, and what
/// it complained of. No more than the first is said to the being.
fn say_three_to_nobody(house: &House, mut child: Child) -> (Option<i32>, String) {
    let lines = b"the first question\nthe second question\nthe third question\n";
    child.stdin.take().unwrap().write_all(lines).unwrap();
    let status = wait_until("the chat to end", || child.try_wait().unwrap());
    let mut complaint = String::new();
    child.stderr.take().unwrap().read_to_string(&mut complaint).unwrap();
    let said = house.json(&["being", "history", "marit", "--json"])["turns"].to_string();
    assert!(!said.contains("the second") && !said.contains("the third"), "{said}");
    (status.code(), complaint)
}

/// The last answer of a being, once there is one.
fn last_answer(house: &House, id: &str) -> String {
    wait_until(&format!("an answer of {id}"), || {
        last_turn(house, id)["answer"].as_str().map(str::to_owned)
    })
}

pub fn recalled(house: &House, id: &str, query: &str) -> String {
    house.json(&["being", "recall", id, query, "--json"]).to_string()
}

/// Has a being ask a server for its words, which answers each question so.
fn with_a_provider(house: &House, id: &str, answer: impl Fn(&mut TcpStream) + Send + 'static) {
    const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/v1", server.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut askers = Vec::new();
        for mut asker in server.incoming().map_while(Result::ok) {
            let _has_begun = asker.read(&mut [0; 64]).unwrap();
            asker.write_all(HEAD).unwrap();
            answer(&mut asker);
            // One that is let go of would have come to its end.
            askers.push(asker);
        }
    });
    house.json(&["being", "provider", id, "--base-url", &url, "--model", "slow", "--json"]);
}

/// Some words of an answer, as such a server sends them.
fn piece(words: &str) -> String {
    let piece = json!({ "choices": [{ "index": 0, "delta": { "content": words } }] });
    format!("data: {piece}\n\n")
}

/// Has a being ask a server for its words that begins each answer with these, and never goes on.
fn with_a_provider_that_stops_after(house: &House, id: &str, words: &str) {
    let begins = piece(words);
    with_a_provider(house, id, move |asker| asker.write_all(begins.as_bytes()).unwrap());
}

/// Has a being ask a server for its words that answers in two parts, with the second when what is returned is
/// dropped.
fn with_a_provider_that_waits(house: &House, id: &str, begins: &str, ends: &str) -> Sender<()> {
    let (begins, ends) = (piece(begins), format!("{}data: [DONE]\n\n", piece(ends)));
    let (waits, dropped) = channel();
    with_a_provider(house, id, move |asker| {
        asker.write_all(begins.as_bytes()).unwrap();
        let _is_dropped = dropped.recv();
        let _asker_has_gone = asker.write_all(ends.as_bytes());
    });
    waits
}

/// The beings that there are: by what the registry says, and by their folders.
pub fn beings(house: &House) -> (Vec<String>, Vec<String>) {
    let listed = house.json(&["being", "list", "--json"]);
    let listed =
        listed.as_array().unwrap().iter().map(|being| being["id"].as_str().unwrap().to_owned());
    let folders = fs::read_dir(house.path("data/beings")).unwrap().map(Result::unwrap);
    let folders = folders.filter(|entry| entry.path().is_dir());
    let folders = folders.map(|entry| entry.file_name().into_string().unwrap());
    let mut folders: Vec<String> = folders.filter(|name| !name.starts_with('.')).collect();
    folders.sort_unstable();
    (listed.collect(), folders)
}

/// The last turn of a conversation, once there is one.
fn last_turn(house: &House, id: &str) -> Value {
    wait_until(&format!("a turn of {id}"), || {
        let history = house.json(&["being", "history", id, "--json"]);
        history["turns"].get(0).cloned()
    })
}

#[test]
fn a_house_without_beings_says_how_to_make_the_first() {
    let house = House::new();
    let mut running = house.up(HOUSE);
    let hint = running.wait_for("no being lives here yet");
    let empty = house.genii(&["being", "list"]);
    assert!(empty.out.contains("`genii being create FILE` makes one"), "{}", empty.out);
    // What it says can be pasted as it stands.
    let genii = Path::new(env!("CARGO_BIN_EXE_genii")).parent().unwrap().display();
    let path = format!("{genii}:{}", std::env::var("PATH").unwrap());
    let mut shell = house.command("sh");
    shell.args(["-c", hint.split('`').nth(1).unwrap()]).env("PATH", path);
    let pasted = finish(shell.spawn().unwrap());
    assert_eq!(pasted.code, 0, "{hint}: {}", pasted.err);
    assert_eq!(house.json(&["being", "list", "--json"])[0]["name"], "Ada");
    running.stop();
    let again = house.up(HOUSE).stop();
    assert!(!again.contains("being create"), "{again}");
}

#[test]
fn a_being_is_made_listed_and_shown() {
    let house = House::new();
    let running = house.up(HOUSE);
    let made = create(&house, "marit");
    assert_eq!((&made["id"], &made["address"]), (&json!("marit"), &json!("being/marit")));
    assert_eq!(create(&house, "ann")["name"], "Marit Holm");
    let listed = house.json(&["being", "list", "--json"]);
    let ids: Vec<&Value> = listed.as_array().unwrap().iter().map(|being| &being["id"]).collect();
    assert_eq!(ids, ["ann", "marit"]);
    assert!(listed.as_array().unwrap().iter().all(|being| being["state"].is_string()), "{listed}");
    assert_eq!(
        house.json(&["being", "list", "--matching", "MAR", "-n", "1", "--json"])[0]["id"],
        "ann"
    );
    let shown = house.json(&["being", "show", "marit", "--json"]);
    assert_eq!((&shown["name"], &shown["info"]["turns"]), (&json!("Marit Holm"), &json!(0)));
    // The same in scripts, and to whoever asks by the address.
    let said = house.script(&[], "being show marit\nask being/marit being.info\n");
    assert_eq!(said.code, 0, "{}", said.err);
    assert!(said.out.contains("Marit Holm"), "{}", said.out);
    running.stop();
}

#[test]
fn what_it_is_told_outlives_a_kill_and_is_forgotten_for_good() {
    let house = House::new();
    let mut running = house.up(HOUSE);
    create(&house, "marit");
    let told = chat(&house, &["marit", "--as", "Ann"], "My boat is called Sandpiper.\n");
    assert_eq!(told.code, 0, "{}", told.err);
    assert!(!told.out.trim().is_empty());
    house.json(&["being", "remember", "marit", "Ann is allergic to walnuts", "--json"]);
    running.signal(Signal::KILL);
    running.end();
    let running = house.up(HOUSE);
    assert!(recalled(&house, "marit", "what is Ann's boat called?").contains("Sandpiper"));
    let answer = chat(&house, &["marit", "--json"], "What is my boat called?\n");
    let answer: Value = serde_json::from_str(&answer.out).unwrap();
    assert!(answer["recalled"].to_string().contains("Sandpiper"), "{answer}");
    assert!(house.genii(&["being", "history", "marit"]).out.contains("Sandpiper"));
    // It is asked first, and nobody is there to answer.
    let unsure = house.genii(&["being", "forget", "marit", "--matching", "walnuts"]);
    assert_eq!(unsure.code, 2, "{}", unsure.out);
    assert!(unsure.err.contains("--yes"), "{}", unsure.err);
    let stake = house.genii(&["being", "forget", "marit", "--matching", "walnuts", "--dry-run"]);
    assert!(stake.out.contains("allergic to walnuts"), "{}", stake.out);
    let gone = house.genii(&["being", "forget", "marit", "--matching", "walnuts", "--yes"]);
    assert_eq!(gone.code, 0, "{}", gone.err);
    assert!(!recalled(&house, "marit", "walnuts").contains("walnuts"));
    running.stop();
}

#[test]
fn what_is_said_outlives_a_kill_in_mid_answer_and_is_marked() {
    let house = House::new();
    let mut running = house.up(HOUSE);
    create(&house, "marit");
    with_a_provider_that_stops_after(&house, "marit", "A fine name");
    let mut terminal = Terminal::open(&house, "being ask marit 'My boat is called Sandpiper.'");
    terminal.wait_for("A fine name");
    let kept = last_turn(&house, "marit");
    running.signal(Signal::KILL);
    running.end();
    let running = house.up(HOUSE);
    let last = last_turn(&house, "marit");
    assert_eq!((&last["id"], &last["said"]), (&kept["id"], &json!("My boat is called Sandpiper.")));
    let failure = last["failure"].as_str().unwrap_or_default();
    assert!(failure.contains("not answered to the end"), "{last}");
    let spent = &house.json(&["being", "show", "marit", "--json"])["info"]["budget"]["in_all"];
    assert!(spent["requests"] == 1 && spent["tokens"].as_u64() > Some(0), "{spent}");
    let shown = house.genii(&["being", "history", "marit"]).out;
    assert!(shown.contains("Sandpiper") && shown.contains("genii ended meanwhile"), "{shown}");
    assert!(recalled(&house, "marit", "what is the boat called?").contains("Sandpiper"));
    running.stop();
}

#[test]
fn a_kill_in_the_midst_of_making_and_deleting_leaves_each_whole_or_gone() {
    let house = House::new();
    let file = house.file("marit.toml", MARIT);
    let file = file.to_str().unwrap();
    let begin = |args: &[&str]| {
        let mut command = house.command(env!("CARGO_BIN_EXE_genii"));
        command.arg("being").args(args).spawn().unwrap()
    };
    // Wherever it has come to by then, what is said below holds.
    for millis in [0, 15, 30, 60, 120] {
        let mut running = house.up(HOUSE);
        create(&house, "old");
        house.json(&["being", "remember", "old", "the key is under the blue pot", "--json"]);
        let making = begin(&["create", file, "--id", "new"]);
        let deleting = begin(&["delete", "old", "--yes"]);
        std::thread::sleep(std::time::Duration::from_millis(millis));
        running.signal(Signal::KILL);
        let (made, deleted) = (finish(making).code == 0, finish(deleting).code == 0);
        running.end();

        let running = house.up(HOUSE);
        wait_until("each to be whole or gone", || match beings(&house) {
            (listed, folders) if listed == folders => Ok(()),
            others => Err(format!("{others:?}")),
        });
        let (listed, _) = beings(&house);
        let is_listed = |id: &str| listed.iter().any(|listed| listed == id);
        assert!(is_listed("new") || !made, "{millis} ms: it was made, and is not there");
        assert!(!is_listed("old") || !deleted, "{millis} ms: it was deleted, and is there");
        if is_listed("old") {
            assert!(recalled(&house, "old", "where is the key").contains("blue pot"));
        }
        for id in ["new", "old"] {
            if is_listed(id) {
                assert_eq!(house.json(&["being", "show", id, "--json"])["info"]["id"], id);
                assert_eq!(house.genii(&["being", "delete", id, "--yes"]).code, 0);
            }
            create(&house, id);
            assert_eq!(house.genii(&["being", "delete", id, "--yes"]).code, 0);
        }
        running.stop();
    }
}

#[test]
fn ctrl_c_ends_the_answer_and_not_the_chat() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    with_a_provider_that_stops_after(&house, "marit", "A fine name");
    let mut terminal = Terminal::open(&house, "being chat marit --as Ann");
    terminal.wait_for("Ann> ");
    terminal.press("My boat is called Sandpiper.\r");
    // The word that has not ended may be held back.
    terminal.wait_for("A fine ");
    terminal.press("\x03");
    terminal.wait_for("Ann> ");
    wait_until("the answer to be called off", || {
        let failure = last_turn(&house, "marit")["failure"].as_str().map(str::to_owned);
        failure.filter(|failure| failure.contains("stopped listening"))
    });
    terminal.press("/recall boat\r");
    terminal.wait_for("because ");
    terminal.wait_for("Ann> ");
    terminal.press("\x04");
    running.stop();
}

/// How `stty` tells of a terminal that takes lines and shows them as they are typed.
const SHOWS_WHAT_IS_TYPED: &str = "isig icanon iexten echo ";

/// A terminal that does so, on which there is a chat, called so, until it has ended.
fn chat_at_a_usual_terminal(house: &House, chat: &str) -> Terminal {
    // Ctrl-C is for the chat alone: not every shell lives on when a program that it has called does.
    let line = format!("trap : INT; stty echo; {chat}; echo it ended with $?; stty -a");
    Terminal::run(house, &line)
}

#[test]
fn what_is_typed_while_a_being_answers_waits_unseen_for_the_next_prompt() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    let waits = with_a_provider_that_waits(&house, "marit", "A fine ", "name.");
    let chat = format!("{} being chat marit --as Ann", env!("CARGO_BIN_EXE_genii"));
    let mut terminal = chat_at_a_usual_terminal(&house, &chat);
    terminal.wait_for("Ann> ");
    terminal.press("My boat is called Sandpiper.\r");
    terminal.wait_for("A fine ");
    terminal.press("Is it?\rAnd is");
    // That takes long enough for the keys to come to the terminal.
    last_turn(&house, "marit");
    drop(waits);
    let shown = terminal.wait_for("Ann> ");
    assert!(shown.contains("name.") && !shown.contains("Is it?"), "{shown:?}");
    terminal.wait_for("Is it?");
    terminal.wait_for("Marit Holm: ");
    terminal.wait_for("Ann> ");
    terminal.wait_for("And is");
    terminal.press(" it?\r");
    terminal.wait_for("Marit Holm: ");
    terminal.wait_for("Ann> ");
    let history = house.json(&["being", "history", "marit", "--json"]);
    let turns = history["turns"].as_array().unwrap().iter();
    let said: Vec<&str> = turns.map(|turn| turn["said"].as_str().unwrap()).collect();
    assert_eq!(said, ["And is it?", "Is it?", "My boat is called Sandpiper."]);
    terminal.press("\x04");
    terminal.wait_for("it ended with 0");
    terminal.wait_for(SHOWS_WHAT_IS_TYPED);
    running.stop();
}

#[test]
fn what_is_typed_while_a_being_answers_waits_unseen_also_when_the_chat_was_stopped_meanwhile() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    let waits = with_a_provider_that_waits(&house, "marit", "A fine ", "name.");
    let genii = env!("CARGO_BIN_EXE_genii");
    let chat = format!("sh -c 'echo $$ > pid; exec {genii} being chat marit --as Ann'");
    let mut terminal = chat_at_a_usual_terminal(&house, &chat);
    terminal.wait_for("Ann> ");
    terminal.press("My boat is called Sandpiper.\r");
    terminal.wait_for("A fine ");
    let pid: i32 = fs::read_to_string(house.path("pid")).unwrap().trim().parse().unwrap();
    let stty = |words: &[&str]| {
        let mut command = house.command("stty");
        finish(command.args(["-F", &format!("/proc/{pid}/fd/0")]).args(words).spawn().unwrap())
    };
    let chat = Pid::from_raw(pid).unwrap();
    kill_process(chat, Signal::STOP).unwrap();
    // As a shell sets it for itself.
    let set = stty(&["echo", "icanon", "icrnl"]);
    assert_eq!(set.code, 0, "{}", set.err);
    kill_process(chat, Signal::CONT).unwrap();
    wait_until("the terminal to show nothing", || {
        let modes = stty(&["-a"]).out;
        if modes.contains(" -echo ") && modes.contains(" -icanon ") { Ok(()) } else { Err(modes) }
    });
    terminal.press("Is it?\r");
    // That takes long enough for the keys to come to the terminal.
    last_turn(&house, "marit");
    drop(waits);
    let shown = terminal.wait_for("Ann> ");
    assert!(shown.contains("name.") && !shown.contains("Is it?"), "{shown:?}");
    terminal.wait_for("Is it?");
    terminal.wait_for("Marit Holm: ");
    terminal.wait_for("Ann> ");
    terminal.press("\x04");
    terminal.wait_for("it ended with 0");
    terminal.wait_for(SHOWS_WHAT_IS_TYPED);
    running.stop();
}

#[test]
fn what_is_typed_waits_unseen_also_when_the_chat_has_gone_on_behind_the_shell() {
    if !Path::new("/bin/bash").exists() {
        let test =
            "beings::what_is_typed_waits_unseen_also_when_the_chat_has_gone_on_behind_the_shell";
        return skipped(test, "there is no /bin/bash", "install it");
    }
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    let waits = with_a_provider_that_waits(&house, "marit", "A fine ", "name.");
    let mut terminal = Terminal::run(&house, "HISTFILE= /bin/bash --norc --noprofile -i");
    terminal.press(&format!("{} being chat marit --as Ann\r", env!("CARGO_BIN_EXE_genii")));
    terminal.wait_for("Ann> ");
    terminal.press("My boat is called Sandpiper.\r");
    terminal.wait_for("A fine ");
    terminal.press("\x1a");
    terminal.wait_for("Stopped");
    terminal.press("jobs -p >pid; bg\r");
    terminal.wait_for("--as Ann &");
    // This shell does not tell one that it fetches that it goes on.
    terminal.press("fg; echo it ended with $?\r");
    terminal.wait_for("being chat marit --as Ann");
    let pid = fs::read_to_string(house.path("pid")).unwrap();
    let of = format!("/proc/{}/fd/0", pid.trim());
    wait_until("the terminal to show nothing", || {
        let modes = finish(house.command("stty").args(["-F", &of, "-a"]).spawn().unwrap()).out;
        if modes.contains(" -echo ") && modes.contains(" -icanon ") { Ok(()) } else { Err(modes) }
    });
    terminal.press("Is it?\r");
    // That takes long enough for the keys to come to the terminal.
    last_turn(&house, "marit");
    drop(waits);
    let shown = terminal.wait_for("Ann> ");
    assert!(shown.contains("name.") && !shown.contains("Is it?"), "{shown:?}");
    terminal.wait_for("Is it?");
    terminal.wait_for("Marit Holm: ");
    terminal.wait_for("Ann> ");
    terminal.press("\x04");
    terminal.wait_for("it ended with 0");
    terminal.press("exit\r");
    running.stop();
}

#[test]
fn lines_that_were_typed_ahead_are_not_said_by_themselves_once_an_answer_was_stopped() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    with_a_provider_that_stops_after(&house, "marit", "A fine name");
    let chat = format!("{} being chat marit --as Ann", env!("CARGO_BIN_EXE_genii"));
    let mut terminal = chat_at_a_usual_terminal(&house, &chat);
    terminal.wait_for("Ann> ");
    // The editor gets all of it, and says the first line.
    terminal.press("Is it?\rAnd is it so?\r");
    terminal.wait_for("A fine ");
    terminal.press("\x03");
    terminal.wait_for("(stopped; what it had said is remembered)");
    terminal.wait_for("Ann> ");
    terminal.wait_for("And is it so?");
    let said = || {
        let history = house.json(&["being", "history", "marit", "--json"]);
        let turns = history["turns"].as_array().unwrap().iter();
        turns.map(|turn| turn["said"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(said(), ["Is it?"]);
    // It is to be said with Enter.
    terminal.press("\r");
    terminal.wait_for("A fine ");
    wait_until("what was said with it", || match said() {
        said if said == ["And is it so?", "Is it?"] => Ok(()),
        said => Err(format!("{said:?}")),
    });
    // That it is pressed before there is a prompt makes no difference.
    terminal.press("\x03\x04");
    terminal.wait_for("it ended with 0");
    terminal.wait_for(SHOWS_WHAT_IS_TYPED);
    running.stop();
}

#[test]
fn a_chat_that_a_signal_ends_leaves_the_terminal_as_it_was() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    with_a_provider_that_stops_after(&house, "marit", "A fine name");
    let genii = env!("CARGO_BIN_EXE_genii");
    let chat = format!("sh -c 'echo $$ > pid; exec {genii} being chat marit --as Ann'");
    for is_answering in [false, true] {
        let mut terminal = chat_at_a_usual_terminal(&house, &chat);
        terminal.wait_for("Ann> ");
        if is_answering {
            terminal.press("My boat is called Sandpiper.\r");
            terminal.wait_for("A fine ");
        }
        let pid = fs::read_to_string(house.path("pid")).unwrap().trim().parse().unwrap();
        kill_process(Pid::from_raw(pid).unwrap(), Signal::TERM).unwrap();
        let before = terminal.wait_for("it ended with 143");
        assert!(before.ends_with('\n'), "{before:?}");
        terminal.wait_for(SHOWS_WHAT_IS_TYPED);
    }
    running.stop();
}

#[test]
fn whoever_waits_for_the_first_word_is_told_so() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    with_a_provider_that_stops_after(&house, "marit", "");
    let mut terminal = Terminal::open(&house, "being chat marit --as Ann");
    terminal.wait_for("Ann> ");
    terminal.press("Are you there?\r");
    terminal.wait_for("(no word yet; Ctrl-C stops it)");
    terminal.press("\x03");
    terminal.wait_for("(stopped; what you said is remembered)");
    terminal.wait_for("Ann> ");
    terminal.press("\x04");
    running.stop();
}

#[test]
fn a_chat_whose_answers_nobody_reads_ends_without_the_rest() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    for args in [&["marit"][..], &["marit", "--json"]] {
        let mut child = begin_chat(&house, args, Stdio::piped());
        drop(child.stdout.take());
        assert_eq!(say_three_to_nobody(&house, child), (Some(0), String::new()), "{args:?}");
    }
    running.stop();
}

#[test]
fn a_chat_whose_answers_cannot_be_written_says_so_and_ends() {
    const FULL: &str = "/dev/full";
    if !Path::new(FULL).exists() {
        let test = "beings::a_chat_whose_answers_cannot_be_written_says_so_and_ends";
        return skipped(test, "there is no /dev/full", "run it on Linux");
    }
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    for args in [&["marit"][..], &["marit", "--json"]] {
        let full = fs::File::options().write(true).open(FULL).unwrap();
        let child = begin_chat(&house, args, full);
        let (code, complaint) = say_three_to_nobody(&house, child);
        assert_eq!(code, Some(1), "{args:?}: {complaint}");
        assert!(complaint.contains("standard output cannot be written to"), "{complaint}");
    }
    running.stop();
}

#[test]
fn a_line_of_a_chat_that_is_no_text_is_told_by_its_number_and_the_next_is_said() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    let mut child = begin_chat(&house, &["marit"], Stdio::piped());
    let lines = b"hello\ncaf\xe9\nare you there?\n";
    child.stdin.take().unwrap().write_all(lines).unwrap();
    let said = finish(child);
    assert_eq!(said.code, 1, "{}", said.err);
    assert!(said.err.contains("line 2 is not UTF-8 text"), "{}", said.err);
    assert_eq!(last_turn(&house, "marit")["said"], "are you there?");
    running.stop();
}

#[test]
fn words_are_kept_whole_at_the_edge_of_a_terminal() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    house.json(&["being", "remember", "marit", "The key is under the blue pot", "--json"]);
    let recall = ["being", "recall", "marit", "key"];
    let mut terminal = Terminal::open_at(&house, 30, &recall.join(" "));
    terminal.wait_for("    The key is under the blue \r\n    pot\r\n");
    let mut terminal = Terminal::open_at(&house, 30, "being chat marit --as Ann");
    let head = terminal.wait_for("Ann> ");
    assert!(head.lines().all(|line| line.chars().count() <= 30), "{head:?}");
    terminal.press("/help\r");
    terminal.wait_for("/recall WORDS   what it \r\n                remembers of \r\n");
    terminal.press("\x04");
    let mut terminal = Terminal::open_at(&house, 12, "being ask marit 'Where is the key?'");
    let answer = terminal.wait_for("used)");
    assert!(answer.lines().last().is_some_and(|line| line.chars().count() <= 12), "{answer:?}");
    // In a pipe a line is as long as it is.
    let piped = house.genii(&recall);
    assert!(piped.out.contains("    The key is under the blue pot\n"), "{}", piped.out);
    running.stop();
}

#[test]
fn ctrl_c_ends_a_chat_from_a_pipe_that_waits_for_its_next_line() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    let mut child = begin_chat(&house, &["marit"], Stdio::piped());
    let mut lines = child.stdin.take().unwrap();
    lines.write_all(b"hello\n").unwrap();
    last_answer(&house, "marit");
    // Again and again: the first may come while it is still answering.
    let pid = Pid::from_child(&child);
    let status = wait_until("the chat to end", || {
        kill_process(pid, Signal::INT).unwrap();
        child.try_wait().unwrap()
    });
    assert_eq!(status.code(), Some(130));
    drop(lines);
    running.stop();
}

/// What is typed would be drawn where nobody looks.
#[test]
fn nothing_is_asked_with_an_editor_whose_screen_goes_elsewhere() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    let mut terminal = Terminal::open(&house, "being chat marit --as Ann 2>errors");
    terminal.press("My boat is called Sandpiper.\r");
    let answer = last_answer(&house, "marit");
    let before = terminal.wait_for(answer.lines().next().unwrap());
    assert!(!before.contains("Marit Holm: "), "{before}");
    terminal.press("\x04");
    let _terminal = Terminal::open(&house, "being delete marit 2>refusal");
    wait_until("the refusal", || {
        let told = fs::read_to_string(house.path("refusal")).ok();
        told.filter(|told| told.contains("Nobody is here to answer") && told.contains("--yes"))
    });
    assert_eq!(house.json(&["being", "list", "--json"])[0]["id"], "marit");
    running.stop();
}

#[test]
fn a_being_whose_home_does_not_run_is_not_said_to_be_lost() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    let marit = || house.json(&["being", "list", "--json"])[0].clone();
    assert_eq!(house.genii(&["ctl", "stop", "homes/beings"]).code, 0);
    wait_until("its home to be gone", || {
        let marit = marit();
        let why = marit["why"].as_str().unwrap_or_default();
        if why.contains("no machine has a home") { Ok(()) } else { Err(marit) }
    });
    for flags in [&["--yes"][..], &["--yes", "--lost"]] {
        let refused = house.genii(&[&["being", "delete", "marit"], flags].concat());
        let help = "`genii ctl why homes/beings --node main` says why";
        assert!(refused.code == 1 && refused.err.contains(help), "{flags:?}: {}", refused.err);
        assert!(!refused.err.contains("--lost"), "{flags:?}: {}", refused.err);
    }
    let why = house.genii(&["ctl", "why", "homes/beings", "--node", "main"]);
    assert!(why.out.contains("stopped"), "{}{}", why.out, why.err);
    assert_eq!(house.genii(&["ctl", "start", "homes/beings"]).code, 0);
    wait_until("its home to be back", || {
        let marit = marit();
        if marit["state"] == "unreachable" { Err(marit) } else { Ok(()) }
    });
    let deleted = house.genii(&["being", "delete", "marit", "--yes"]);
    assert_eq!(deleted.code, 0, "{}", deleted.err);
    running.stop();
}

#[test]
fn what_helps_is_called_about_the_folder_that_was_named_also_within_a_sentence() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    house.json(&["being", "remember", "marit", "The key is under the blue pot", "--json"]);
    assert_eq!(house.genii(&["ctl", "suspend", "being/marit"]).code, 0);
    for args in [&["list"][..], &["show", "marit"], &["check", "marit"]] {
        let said = on(&house, "data", &[&["being"], args].concat());
        let told = said.out + &said.err;
        let (before, resume) =
            told.split_once(" ctl resume being/marit`").unwrap_or((told.as_str(), ""));
        assert!(before.contains("`genii --data ") && !resume.is_empty(), "{args:?}: {told}");
    }
    running.stop();
}

#[test]
fn what_the_registry_notes_of_a_being_is_in_the_journal_of_its_own_machine() {
    let topology = HOUSE.replace("[groups.beings]\n", "[groups.beings]\nnode = \"main\"\n");
    let mut two = Two::with(&TwoOptions { topology: &topology, ..TwoOptions::default() });
    let file = two.house.file("marit.toml", MARIT);
    let create =
        ["being", "create", file.to_str().unwrap(), "--id", "marit", "--home", "pc2", "--json"];
    wait_until("a being on the other machine", || {
        let made = two.house.genii(&create);
        if made.code == 0 { Ok(()) } else { Err(made.err) }
    });
    let journal = ["ctl", "journal", "being/marit", "--node", "main"];
    for data in ["data", "pc2"] {
        let noted = on(&two.house, data, &journal);
        assert!(noted.out.contains("was made on pc2"), "{data}: {}{}", noted.out, noted.err);
    }
    // Where it lives nothing has happened to it since that was started.
    two.pc2.stop();
    two.pc2 = begin(&two.house, "pc2");
    for data in ["data", "pc2"] {
        wait_until("where its journal is", || {
            let nothing = on(&two.house, data, &["ctl", "journal", "being/marit"]);
            let is_told = nothing.out.contains("nothing is noted of being/marit on pc2; `genii ")
                && nothing.out.contains("ctl journal being/marit --node main` asks the machine");
            if is_told { Ok(()) } else { Err(nothing.out + &nothing.err) }
        });
    }
    let unknown = on(&two.house, "pc2", &["ctl", "journal", "being/nobody"]);
    assert!(unknown.err.contains("journal being/nobody --node main`"), "{}", unknown.err);
    let help = two.house.genii(&["ctl", "journal", "--help"]).out;
    assert!(help.contains("journal being/marit --node main"), "{help}");
    two.pc2.stop();
    two.main.stop();
}

#[test]
fn a_being_is_written_out_taken_in_and_deleted() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    house.json(&["being", "remember", "marit", "The key is under the blue pot", "--json"]);
    let exported = house.json(&["being", "export", "marit", "marit.being", "--json"]);
    let file = house.path("marit.being");
    assert_eq!(exported["bytes"], file.metadata().unwrap().len());
    assert!(exported["node"].is_string(), "{exported}");
    let again = house.genii(&["being", "export", "marit", "marit.being"]);
    assert_eq!(again.code, 1, "it overwrote the file: {}", again.out);
    let taken = house.genii(&["being", "import", "marit.being"]);
    assert!(taken.code == 1 && taken.err.contains("--id"), "{}", taken.err);
    let copy = house.json(&["being", "import", "marit.being", "--id", "copy", "--json"]);
    assert_eq!(copy["id"], "copy");
    assert!(recalled(&house, "copy", "where is the key?").contains("blue pot"));
    assert_eq!(house.genii(&["being", "delete", "marit", "--yes"]).code, 0);
    let journal = house.genii(&["ctl", "journal", "-n", "1000"]).out;
    assert!(journal.contains("being/marit") && journal.contains("was deleted"), "{journal}");
    let gone = house.genii(&["being", "show", "marit"]);
    assert!(gone.code == 1 && gone.err.contains("no being is called marit"), "{}", gone.err);
    assert!(recalled(&house, "copy", "where is the key?").contains("blue pot"));
    running.stop();
    // What was done with them is told also after the end of genii.
    let running = house.up(HOUSE);
    for (being, texts) in
        [("being/marit", ["was made on", "was deleted"]), ("being/copy", ["was imported on", ""])]
    {
        let journal = house.genii(&["ctl", "journal", being]);
        for text in texts {
            assert!(journal.out.contains(text), "{being}: {}{}", journal.out, journal.err);
        }
    }
    running.stop();
}

#[test]
fn a_provider_comes_with_a_file_only_if_that_is_said() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    let url = "http://127.0.0.1:9/v1";
    house.json(&["being", "provider", "marit", "--base-url", url, "--model", "wise-1", "--json"]);
    let written = house.genii(&["being", "export", "marit", "marit.being"]);
    assert!(written.out.contains("marit.being on "), "{}", written.out);
    let twin = house.json(&["being", "import", "marit.being", "--id", "twin", "--json"]);
    let expected =
        json!({ "kind": "openai", "model": "wise-1", "base_url": url, "is_kept": false });
    assert_eq!(twin["provider"], expected);
    let other = house.genii(&["being", "import", "marit.being", "--id", "other"]);
    assert!(other.out.contains("note: `genii being provider other "), "{}", other.out);
    let friend = ["being", "import", "marit.being", "--id", "friend", "--with-provider", "--json"];
    assert_eq!(house.json(&friend)["provider"]["is_kept"], true);
    for (id, by) in [("twin", "offline"), ("other", "offline"), ("friend", "wise-1")] {
        let finds = house.json(&["being", "provider", id, "--json"]);
        assert!(finds["provider"].as_str().unwrap().contains(by), "{id}: {finds}");
    }
    running.stop();
}

#[test]
fn what_can_be_no_export_is_refused_at_once_and_leaves_nothing() {
    let house = House::new();
    let running = house.up(HOUSE);
    mkfifoat(CWD, house.path("tap"), Mode::RUSR | Mode::WUSR).unwrap();
    fs::create_dir(house.path("den")).unwrap();
    house.file("letter", "Dear Ann,");
    for (file, says) in
        [("/dev/zero", "device"), ("tap", "pipe"), ("den", "folder"), ("letter", "not a store")]
    {
        let refused = house.genii(&["being", "import", file, "--id", "marit"]);
        assert!(refused.code == 1 && refused.err.contains(says), "{file}: {}", refused.err);
    }
    for folder in [".going", ".coming"] {
        let left = fs::read_dir(house.path("data/beings").join(folder));
        assert_eq!(left.map_or(0, Iterator::count), 0, "{folder}");
    }
    running.stop();
}

#[test]
fn what_is_set_for_a_being_stays_set() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    house.json(&["being", "core", "marit", "whom I talk to", "Ann, who sails", "--json"]);
    house.json(&["being", "budget", "marit", "--requests-per-day", "1", "--json"]);
    house.json(&["being", "character", "marit", "nickname", "Mari", "--json"]);
    let url = "http://127.0.0.1:9/v1";
    let server = ["being", "provider", "marit", "--base-url", url, "--model", "none"];
    let more = ["--provider-json", "{\"prompt_tokens_max\": 2800}", "--json"];
    house.json(&[&server[..], &more].concat());
    running.stop();
    let running = house.up(HOUSE);
    let info = house.json(&["being", "show", "marit", "--json"])["info"].clone();
    assert_eq!(info["core"][0]["text"], "Ann, who sails");
    assert_eq!(info["budget"]["limits"]["requests_per_day"], 1);
    assert_eq!(info["character"]["nickname"], "Mari");
    assert!(info["provider"].as_str().unwrap().contains("none"), "{info}");
    let told = house.json(&["being", "provider", "marit", "--json"]);
    let set = json!({
        "kind": "openai", "base_url": url, "model": "none", "prompt_tokens_max": 2_800,
    });
    assert_eq!((&told["provider"], &told["settings"]), (&info["provider"], &set));
    assert_eq!(told["defaults"]["reply_tokens_max"], 1_024);
    let seen = house.genii(&["being", "provider", "marit"]).out;
    assert!(seen.contains("prompt_tokens_max") && seen.contains("first_token_timeout"), "{seen}");
    let seen = house.genii(&["being", "show", "marit"]).out;
    assert!(seen.contains("prompt_tokens_max = 2800"), "{seen}");
    // Nobody listens there, and that is told; what was said is remembered.
    let failed = chat(&house, &["marit"], "hello\n/history\n");
    assert_eq!(failed.code, 1);
    assert!(failed.err.contains("marit: ") && failed.out.contains("hello"), "{}", failed.err);
    running.stop();
}

#[test]
fn wrong_calls_end_with_two_and_refusals_with_one() {
    let house = House::new();
    let none = house.genii(&["being", "list"]);
    assert!(none.code == 1 && none.err.contains("`genii up`"), "{}", none.err);
    let running = house.up(HOUSE);
    create(&house, "marit");
    for (args, code, said) in [
        (&["being", "forget", "marit"][..], 2, "--memory"),
        (&["being", "show", "Marit"], 2, "did you mean"),
        (&["being", "show", "mart"], 1, "did you mean marit?"),
        (&["being", "chat", "mart"], 1, "did you mean marit?"),
        (&["provider", "marit"], 2, "'being provider'"),
        (
            &["being", "provider", "marit", "--provider-json", "{\"timout\": \"5s\"}"],
            2,
            "did you mean `connect_timeout` or `first_token_timeout`",
        ),
        (&["being", "create", "nowhere.toml"], 1, "cannot be read"),
        (&["being", "create", "marit.toml", "--id", "marit"], 1, "--id"),
        (&["being", "say", "marit", "nobody", "hello"], 1, "nobody"),
    ] {
        let done = house.genii(args);
        assert_eq!(done.code, code, "{args:?}: {}", done.err);
        assert!(done.err.contains(said), "{args:?}: {}", done.err);
    }
    let json = house.genii(&["being", "show", "mart", "--json"]);
    let fault: Value = serde_json::from_str(&json.err).unwrap();
    assert!(fault["error"].as_str().unwrap().contains("mart"), "{fault}");
    let script = house.script(&[], "being chat marit\n");
    assert!(script.code == 2 && script.err.contains("line 1"), "{}", script.err);
    running.stop();
}

#[test]
fn what_is_wrong_with_a_command_line_is_json_where_that_is_asked_for() {
    let house = House::new();
    for args in [
        &["being", "recall", "marit", "--json"][..],
        &["being", "show", "Marit", "--json"],
        &["ctl", "--json", "tre"],
        &["settings", "--json", "--nothing-like-it"],
    ] {
        let wrong = house.genii(args);
        assert_eq!((wrong.code, wrong.out.as_str()), (2, ""), "{args:?}: {}", wrong.err);
        let fault: Value = serde_json::from_str(&wrong.err).unwrap();
        assert!(fault["error"].is_string() && fault["help"].is_string(), "{args:?}: {fault}");
    }
    let help = house.genii(&["being", "--json", "--help"]);
    assert!(help.code == 0 && help.out.contains("Usage"), "{}{}", help.out, help.err);
}

/// As long as the file `go` is not there, its beings have no home yet.
fn late_house() -> String {
    let home =
        HOUSE.replace("kind = \"beings-home\"", "kind = \"beings-home\"\nneeds = [\"a/late\"]");
    home + "[groups.a]\n[agents.\"a/late\"]\nkind = \"process\"\n\
        settings.command = [\"sh\", \"-c\", \"until [ -e go ]; do sleep 0.01; done; echo ready; exec sleep 1000\"]\n\
        settings.ready = { line = { contains = \"ready\" } }\n"
}

#[test]
fn who_asks_while_genii_starts_waits_and_is_told_so() {
    let house = House::new();
    house.file("go", "");
    let running = house.up(&late_house());
    create(&house, "marit");
    running.stop();
    fs::remove_file(house.path("go")).unwrap();
    let running = house.begin(&["--topology", "house.toml"]);
    wait_until("genii to be there", || {
        let there = house.genii(&["ctl", "ps"]);
        if there.code == 0 { Ok(()) } else { Err(there.err) }
    });
    let mut command = house.command(env!("CARGO_BIN_EXE_genii"));
    let mut asking = command.args(["being", "ask", "marit", "Are you there?"]).spawn().unwrap();
    let mut told = String::new();
    BufReader::new(asking.stderr.take().unwrap()).read_line(&mut told).unwrap();
    assert!(told.starts_with("(waiting: "), "{told}");
    house.file("go", "");
    let status = wait_until("the answer", || asking.try_wait().unwrap());
    assert!(status.success());
    assert_eq!(last_turn(&house, "marit")["said"], "Are you there?");
    running.stop();
}

#[test]
fn a_person_chats_at_a_terminal_and_genii_is_started_again_meanwhile() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    let mut terminal = Terminal::open(&house, "being chat marit --as Ann");
    terminal.wait_for("Sit down, Ann.");
    terminal.wait_for("Ann> ");
    terminal.press("My boat is called Sandpiper.\r");
    terminal.wait_for("Marit Holm: ");
    terminal.wait_for("Ann> ");
    // A backslash goes on, and so does what is pasted.
    terminal.press("one\\\rtwo\r");
    terminal.wait_for("Marit Holm: ");
    terminal.wait_for("Ann> ");
    terminal.press("/recall boat\r");
    terminal.wait_for("because ");
    terminal.wait_for("Ann> ");
    terminal.press("/memory\r");
    terminal.wait_for("did you mean /memories?");
    terminal.wait_for("Ann> ");
    terminal.press("\x03");
    terminal.wait_for("Ctrl-D or /quit leaves");
    terminal.wait_for("Ann> ");
    running.stop();
    terminal.press("are you there?\r");
    terminal.wait_for("no genii runs on");
    terminal.wait_for("Ann> ");
    let running = house.up(HOUSE);
    terminal.press("and now?\r");
    terminal.wait_for("Marit Holm: ");
    terminal.wait_for("Ann> ");
    terminal.press("\x04");
    wait_until("what was typed", || {
        std::fs::read_to_string(house.path("data/chats/marit"))
            .ok()
            .filter(|typed| typed.contains("Sandpiper") && typed.contains("and now?"))
    });
    let history = house.json(&["being", "history", "marit", "--json"]);
    let said = history["turns"].to_string();
    assert!(said.contains("one\\ntwo") && said.contains("and now?"), "{said}");
    // What is forgotten is gone from there, too.
    let gone = house.genii(&["being", "forget", "marit", "--matching", "Sandpiper", "--yes"]);
    assert_eq!(gone.code, 0, "{}", gone.err);
    assert!(!house.path("data/chats/marit").exists());
    running.stop();
}

#[test]
fn a_being_is_reminded_while_nobody_speaks_to_it() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    let late = house.json(&["being", "remind", "marit", "2days", "Oil the hinges.", "--json"]);
    assert_eq!((&late["id"], &late["is_cancelled"]), (&json!(1), &json!(false)));
    house.json(&["being", "remind", "marit", "1s", "The tea is ready.", "--json"]);
    let shown = house.genii(&["being", "reminders", "marit"]);
    assert!(shown.out.contains("Oil the hinges."), "{}", shown.out);
    let turn = wait_until("the reminder", || {
        let history = house.json(&["being", "history", "marit", "--json"]);
        let turn = history["turns"].get(0)?.clone();
        turn["answer"].is_string().then_some(turn)
    });
    assert_eq!(
        (&turn["speaker"], &turn["said"]),
        (&json!("reminder"), &json!("The tea is ready."))
    );
    running.stop();
    let running = house.up(HOUSE);
    let left = house.json(&["being", "reminders", "marit", "--json"]);
    assert_eq!(
        (&left["total"], &left["reminders"][0]["text"]),
        (&json!(1), &json!("Oil the hinges."))
    );
    let back = house.json(&["being", "remind", "marit", "--cancel", "1", "--json"]);
    assert_eq!(back["is_cancelled"], true);
    let again = house.genii(&["being", "remind", "marit", "--cancel", "1"]);
    let how = "`genii being reminders marit`";
    assert!(again.code == 1 && again.err.contains(how), "{}", again.err);
    let past = house.genii(&["being", "remind", "marit", "2020-01-01", "Too late."]);
    assert!(past.code == 2 && past.err.contains("has passed"), "{}", past.err);
    let help = house.genii(&["being", "remind", "--help"]);
    assert!(help.out.contains("genii being remind marit 10m"), "{}", help.out);
    running.stop();
}

#[test]
fn a_person_is_asked_before_anything_is_gone() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    // Nothing would go, but something of before may not be gone for good yet.
    let mut terminal = Terminal::open(&house, "being forget marit --matching walnuts");
    terminal.wait_for("may have left");
    terminal.press("y\r");
    terminal.wait_for("nor is a trace of it left");
    let mut terminal = Terminal::open(&house, "being delete marit");
    terminal.wait_for("Marit Holm (marit)");
    terminal.wait_for("[y/N]");
    terminal.press("n\r");
    terminal.wait_for("nothing was done");
    let mut terminal = Terminal::open(&house, "being delete marit");
    terminal.wait_for("[y/N]");
    terminal.press("y\r");
    terminal.wait_for("is no more");
    assert_eq!(house.json(&["being", "list", "--json"]), json!([]));
    running.stop();
}

#[test]
fn whoever_deletes_a_being_that_is_answering_is_told_what_that_waits_for() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    let waits = with_a_provider_that_waits(&house, "marit", "A fine ", "name.");
    let mut asking = Terminal::open(&house, "being ask marit 'My boat is called Sandpiper.'");
    asking.wait_for("A fine");
    let mut terminal = Terminal::open(&house, "being delete marit --yes");
    terminal.wait_for("(waiting: if it is answering, ");
    drop(waits);
    terminal.wait_for("is no more");
    running.stop();
}

#[test]
fn a_being_is_talked_with_in_the_repl() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    let mut terminal = Terminal::open(&house, "repl");
    terminal.wait_for("genii> ");
    terminal.press("being show ma\t");
    terminal.wait_for("marit");
    terminal.press("\r");
    terminal.wait_for("Marit Holm (marit)");
    terminal.wait_for("genii> ");
    terminal.press("being chat marit\r");
    terminal.wait_for("you> ");
    terminal.press("hello\r");
    terminal.wait_for("Marit Holm: ");
    terminal.wait_for("you> ");
    terminal.press("/quit\r");
    terminal.wait_for("genii> ");
    terminal.press("exit\r");
    running.stop();
}

#[test]
fn a_card_comes_back_to_the_letter() {
    let house = House::new();
    let _running = house.up(HOUSE);
    let characters = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/characters");
    let example = |name: &str| characters.join(name).to_str().unwrap().to_owned();
    let (json, png) = (example("tobin.json"), example("vesper.png"));
    let own = house.json(&["being", "create", &example("marit.toml"), "--id", "marit", "--json"]);
    assert_eq!(own["name"], "Marit Holm");
    house.json(&["being", "create", &json, "--id", "tobin", "--json"]);
    house.json(&["being", "create", &png, "--id", "vesper", "--json"]);
    let out = |name: &str| house.path(name).to_str().unwrap().to_owned();
    let (to_json, to_png) = (out("tobin-again.json"), out("vesper-again.png"));
    house.json(&["being", "card", "tobin", &to_json, "--json"]);
    assert_eq!(fs::read(&to_json).unwrap(), fs::read(&json).unwrap());
    house.json(&["being", "card", "vesper", &to_png, "--image", &png, "--json"]);
    assert_eq!(fs::read(&to_png).unwrap(), fs::read(&png).unwrap());
    let again = house.genii(&["being", "card", "tobin", &to_json]);
    assert!(again.err.contains("is there already"), "{}", again.err);
    let bare = house.genii(&["being", "card", "vesper", &out("bare.png")]);
    assert!(bare.err.contains("--image"), "{}", bare.err);
    let no_image = house.genii(&["being", "card", "vesper", &out("x.png"), "--image", &json]);
    assert_ne!(no_image.code, 0, "{}", no_image.out);
}

#[test]
fn what_a_being_has_on_the_disk_is_looked_over_while_it_sleeps() {
    let house = House::new();
    let _running = house.up(HOUSE);
    create(&house, "marit");
    house.genii(&["being", "remember", "marit", "the tide turns at six"]);
    let checked = house.json(&["being", "check", "marit", "--json"]);
    assert_eq!(checked["finding"], "whole");
    let tables = checked["tables"].as_array().unwrap();
    assert!(tables.iter().any(|table| table["entries"] == 1), "{checked}");
    let mended = house.json(&["being", "check", "marit", "--repair", "--json"]);
    assert_eq!((&mended["finding"], &mended["is_repaired"]), (&json!("whole"), &json!(false)));
    assert!(recalled(&house, "marit", "the tide").contains("turns at six"));
    let unknown = house.genii(&["being", "check", "nobody"]);
    assert!(unknown.err.contains("nobody"), "{}", unknown.err);
}
