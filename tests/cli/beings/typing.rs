//! What is typed at a terminal while a being answers there: it waits unseen for the next prompt, and in the end
//! the terminal is as it was.

use std::fs;
use std::path::Path;
use std::sync::mpsc::Sender;

use rustix::process::{Pid, Signal, kill_process};

use super::providers::{with_a_provider_that_stops_after, with_a_provider_that_waits};
use super::{HOUSE, create, last_turn};
use crate::support::{House, Said, finish, skipped, wait_until};
use crate::terminal::Terminal;

/// How `stty` tells of a terminal that takes lines and shows them as they are typed.
const SHOWS_WHAT_IS_TYPED: &str = "isig icanon iexten echo ";

/// A chat, as a shell calls it.
const CHAT: &str = concat!(env!("CARGO_BIN_EXE_genii"), " being chat marit --as Ann");

/// The same, of one that writes down which process it is.
fn chat_that_says_its_pid() -> String {
    format!("sh -c 'echo $$ > pid; exec {CHAT}'")
}

/// Which process was written down.
fn said_pid(house: &House) -> Pid {
    let pid = fs::read_to_string(house.path("pid")).unwrap();
    Pid::from_raw(pid.trim().parse().unwrap()).unwrap()
}

/// A terminal that shows what is typed, on which there is a chat, called so, until it has ended.
fn chat_at_a_usual_terminal(house: &House, chat: &str) -> Terminal {
    // Ctrl-C is for the chat alone: not every shell lives on when a program that it has called does.
    let line = format!("trap : INT; stty echo; {chat}; echo it ended with $?; stty -a");
    Terminal::run(house, &line)
}

/// Has a being begin to answer in a chat.
fn begin_an_answer(terminal: &mut Terminal) {
    terminal.wait_for("Ann> ");
    terminal.press("My boat is called Sandpiper.\r");
    terminal.wait_for("A fine ");
}

/// Types a question, and perhaps more, while a being is answering, and lets it end: nothing of that is shown
/// among its words, and the question is said next.
fn type_ahead(house: &House, terminal: &mut Terminal, keys: &str, waits: Sender<()>) {
    terminal.press(keys);
    // That takes long enough for the keys to come to the terminal.
    last_turn(house, "marit");
    drop(waits);
    let shown = terminal.wait_for("Ann> ");
    assert!(shown.contains("name.") && !shown.contains("Is it?"), "{shown:?}");
    terminal.wait_for("Is it?");
    terminal.wait_for("Marit Holm: ");
    terminal.wait_for("Ann> ");
}

/// What `stty` says when it is called so about the terminal of a process.
fn stty(house: &House, process: Pid, words: &[&str]) -> Said {
    let terminal = format!("/proc/{}/fd/0", process.as_raw_nonzero());
    finish(house.command("stty").args(["-F", &terminal]).args(words).spawn().unwrap())
}

/// Waits until the terminal of a process shows nothing of what is typed.
fn wait_until_nothing_is_shown(house: &House, process: Pid) {
    wait_until("the terminal to show nothing", || {
        let modes = stty(house, process, &["-a"]).out;
        if modes.contains(" -echo ") && modes.contains(" -icanon ") { Ok(()) } else { Err(modes) }
    });
}

/// Waits until just this was said to a being, the last first: what was stopped is kept a moment later.
fn wait_until_said(house: &House, wanted: &[&str]) {
    wait_until("what was said", || match said(house) {
        said if said == wanted => Ok(()),
        said => Err(format!("{said:?}")),
    });
}

/// What was said to a being, the last first.
fn said(house: &House) -> Vec<String> {
    let history = house.json(&["being", "history", "marit", "--json"]);
    let turns = history["turns"].as_array().unwrap().iter();
    turns.map(|turn| turn["said"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_is_typed_while_a_being_answers_waits_unseen_for_the_next_prompt() {
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    let waits = with_a_provider_that_waits(&house, "marit", "A fine ", "name.");
    let mut terminal = chat_at_a_usual_terminal(&house, CHAT);
    begin_an_answer(&mut terminal);
    type_ahead(&house, &mut terminal, "Is it?\rAnd is", waits);
    terminal.wait_for("And is");
    terminal.press(" it?\r");
    terminal.wait_for("Marit Holm: ");
    terminal.wait_for("Ann> ");
    assert_eq!(said(&house), ["And is it?", "Is it?", "My boat is called Sandpiper."]);
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
    let mut terminal = chat_at_a_usual_terminal(&house, &chat_that_says_its_pid());
    begin_an_answer(&mut terminal);
    let chat = said_pid(&house);
    kill_process(chat, Signal::STOP).unwrap();
    // As a shell sets it for itself.
    let set = stty(&house, chat, &["echo", "icanon", "icrnl"]);
    assert_eq!(set.code, 0, "{}", set.err);
    kill_process(chat, Signal::CONT).unwrap();
    wait_until_nothing_is_shown(&house, chat);
    type_ahead(&house, &mut terminal, "Is it?\r", waits);
    terminal.press("\x04");
    terminal.wait_for("it ended with 0");
    terminal.wait_for(SHOWS_WHAT_IS_TYPED);
    running.stop();
}

#[test]
fn what_is_typed_waits_unseen_also_when_the_chat_has_gone_on_behind_the_shell() {
    if !Path::new("/bin/bash").exists() {
        let test = "beings::typing::\
                    what_is_typed_waits_unseen_also_when_the_chat_has_gone_on_behind_the_shell";
        return skipped(test, "there is no /bin/bash", "install it");
    }
    let house = House::new();
    let running = house.up(HOUSE);
    create(&house, "marit");
    let waits = with_a_provider_that_waits(&house, "marit", "A fine ", "name.");
    let mut terminal = Terminal::run(&house, "HISTFILE= /bin/bash --norc --noprofile -i");
    terminal.press(&format!("{CHAT}\r"));
    begin_an_answer(&mut terminal);
    terminal.press("\x1a");
    terminal.wait_for("Stopped");
    terminal.press("jobs -p >pid; bg\r");
    terminal.wait_for("--as Ann &");
    // This shell does not tell one that it fetches that it goes on.
    terminal.press("fg; echo it ended with $?\r");
    terminal.wait_for("being chat marit --as Ann");
    wait_until_nothing_is_shown(&house, said_pid(&house));
    type_ahead(&house, &mut terminal, "Is it?\r", waits);
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
    let mut terminal = chat_at_a_usual_terminal(&house, CHAT);
    terminal.wait_for("Ann> ");
    // The editor gets all of it, and says the first line.
    terminal.press("Is it?\rAnd is it so?\r");
    terminal.wait_for("A fine ");
    terminal.press("\x03");
    terminal.wait_for("(stopped; what it had said is remembered)");
    terminal.wait_for("Ann> ");
    terminal.wait_for("And is it so?");
    wait_until_said(&house, &["Is it?"]);
    // It is to be said with Enter.
    terminal.press("\r");
    terminal.wait_for("A fine ");
    wait_until_said(&house, &["And is it so?", "Is it?"]);
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
    for is_answering in [false, true] {
        let mut terminal = chat_at_a_usual_terminal(&house, &chat_that_says_its_pid());
        if is_answering {
            begin_an_answer(&mut terminal);
        } else {
            terminal.wait_for("Ann> ");
        }
        kill_process(said_pid(&house), Signal::TERM).unwrap();
        let before = terminal.wait_for("it ended with 143");
        assert!(before.ends_with('\n'), "{before:?}");
        terminal.wait_for(SHOWS_WHAT_IS_TYPED);
    }
    running.stop();
}
