//! A chat that is read from a pipe or a file, for scripts: answers go to standard output, all else to
//! standard error.

use std::io::{BufRead, Read};
use std::process::ExitCode;

use serde_json::{Value, json};

use super::conversation::{Conversation, Went, show};
use super::line::{HELP, Line, goes_on};
use crate::commands::being::words;
use crate::fault::Fault;
use crate::screen::{Screen, complain, put, say};

/// How long a line may be, with those that it goes on in, in bytes.
const LINE_MAX_LEN: u64 = 1024 * 1024;

/// Says each line, until there are no more.
pub fn run(mut talk: Conversation<'_>, json: bool) -> Result<ExitCode, Fault> {
    let mut input = std::io::stdin().lock();
    let mut code = ExitCode::SUCCESS;
    while let Some(text) = next(&mut input)? {
        let done = match Line::read(&text) {
            Line::Nothing => Ok(()),
            Line::Quit => break,
            Line::Help => {
                complain(HELP);
                Ok(())
            }
            Line::Wrong(why) => Err(Fault::new(why)),
            line => carry_out(&mut talk, &line, json),
        };
        if let Err(fault) = done {
            code = ExitCode::FAILURE;
            fault.tell(json);
        }
    }
    Ok(code)
}

fn carry_out(talk: &mut Conversation<'_>, line: &Line, json: bool) -> Result<(), Fault> {
    match line {
        Line::Say(text) => answer(talk, text, json),
        Line::Recall(words) => tell("being recall", talk.recall(words)?, json),
        Line::History(turns) => tell("being history", talk.history(*turns)?, json),
        Line::Memories => {
            let recalled = talk.last().map(|answered| &answered.recalled);
            tell("being recall", json!({ "memories": recalled.cloned().unwrap_or_default() }), json)
        }
        Line::Nothing | Line::Help | Line::Quit | Line::Wrong(_) => Ok(()),
    }
}

fn answer(talk: &mut Conversation<'_>, text: &str, json: bool) -> Result<(), Fault> {
    let mut has_begun = false;
    let hand_on = |words: &str| {
        if !json {
            has_begun = true;
            put(words::harmless(words));
        }
    };
    let said = talk.say(text, hand_on).map(|went| match went {
        Went::Through(answered) => Some(json!(answered)),
        Went::Stopped => None,
    });
    if has_begun {
        say("");
    }
    match said? {
        Some(answered) if json => say(answered),
        Some(_) => {}
        None => return Err(Fault::new("the answer was stopped")),
    }
    Ok(())
}

fn tell(command: &str, said: Value, json: bool) -> Result<(), Fault> {
    let mut screen = Screen::stdout();
    match json {
        true => screen.line(said.to_string()),
        false => show(command, said, &mut screen)?,
    }
    screen.flush().map(drop)
}

/// The next line, with those that it goes on in; `None` when there are no more.
fn next(input: &mut impl BufRead) -> Result<Option<String>, Fault> {
    let mut bytes = Vec::new();
    let mut input = input.take(LINE_MAX_LEN);
    loop {
        let begin = bytes.len();
        let read = input.read_until(b'\n', &mut bytes);
        read.map_err(|error| Fault::new(format!("standard input cannot be read: {error}")))?;
        if input.limit() == 0 {
            return Err(Fault::usage("a line is longer than 1 MiB").help("say it in parts"));
        }
        let line = String::from_utf8_lossy(&bytes[begin..]);
        if bytes.len() == begin || !goes_on(line.trim_end_matches(['\r', '\n'])) {
            break;
        }
    }
    if bytes.is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| Fault::usage("a line is not UTF-8 text").help("save it as UTF-8"));
    text.map(|text| Some(text.replace("\r\n", "\n").trim_end_matches('\n').to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_with_those_that_they_go_on_in() {
        let mut input = "one\r\ntwo\\\nmore\n\nlast\\".as_bytes();
        let mut lines = Vec::new();
        while let Some(line) = next(&mut input).unwrap() {
            lines.push(line);
        }
        assert_eq!(lines, ["one", "two\\\nmore", "", "last\\"]);
    }

    #[test]
    fn a_line_without_an_end_and_one_that_is_no_text_are_refused() {
        let mut endless = std::io::BufReader::new(std::io::repeat(b'a'));
        assert!(next(&mut endless).unwrap_err().message.contains("longer than 1 MiB"));
        let mut latin = &b"caf\xe9\n"[..];
        assert!(next(&mut latin).unwrap_err().message.contains("UTF-8"));
    }
}
