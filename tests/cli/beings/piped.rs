//! Chats from a pipe, and what they do when their answers find nobody.

use std::fs;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, Stdio};

use rustix::process::{Pid, Signal, kill_process};

use super::{HOUSE, begin_chat, create, last_answer, last_turn};
use crate::support::{House, finish, skipped, wait_until};

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
        let test = "beings::piped::a_chat_whose_answers_cannot_be_written_says_so_and_ends";
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
