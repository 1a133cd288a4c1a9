//! A chat that is read from a pipe or a file, for scripts: answers go to standard output, all else to
//! standard error.
//!
//! | what happens | what comes of it |
//! |---|---|
//! | a line is refused, or its answer fails | that is told, and the next is said; it ends with 1 |
//! | a line is not UTF-8 text | that is told, with its number, and the next is said; it ends with 1 |
//! | a line is longer than 1 MiB | that is told, with its number, and it ends with 2 |
//! | there are no more lines, or one is `/quit` | it ends |
//! | nobody reads the answers any more | it ends as any command does then, and says nothing more |
//! | an answer cannot be written otherwise, as to a full disk | it ends with 1 |
//! | Ctrl-C, while a line is waited for | it ends with 130 |
//! | Ctrl-C, while a being answers | the answer is stopped, and the next line is said; it ends with 1 |

use std::borrow::Cow;
use std::io::{BufRead, Read};
use std::process::ExitCode;
use std::sync::mpsc;

use serde_json::{Value, json};

use super::conversation::{Conversation, Went, show};
use super::line::{Line, goes_on, help};
use crate::commands::being::words;
use crate::fault::Fault;
use crate::reader::Reader;
use crate::screen::{Screen, complain};
use crate::up::INTERRUPTED;

/// How long a line may be, with those that it goes on in, in bytes.
const LINE_MAX_LEN: u64 = 1024 * 1024;

/// Says each line, until there are no more or nobody reads the answers.
///
/// # Errors
/// When a line cannot be read, or an answer not be written.
pub fn run(mut talk: Conversation<'_>, json: bool, reader: &Reader) -> Result<ExitCode, Fault> {
    let mut input = Input::begin();
    let mut code = ExitCode::SUCCESS;
    loop {
        let line = match talk.wait_for(input.next())? {
            Went::Through(Some(line)) => line,
            Went::Through(None) => return Ok(code),
            Went::Stopped => return Ok(ExitCode::from(INTERRUPTED)),
        };
        let done = match line {
            Line::Nothing => Ok(()),
            Line::Quit => return Ok(code),
            Line::Help => {
                complain(help(None));
                Ok(())
            }
            Line::Wrong(why) => Err(Fault::new(why).into()),
            line => carry_out(&mut talk, &line, json, reader),
        };
        match done {
            Ok(()) => {}
            Err(Amiss::Refused(fault)) => {
                code = ExitCode::FAILURE;
                fault.told_to(reader).tell(json);
            }
            // Whoever read it has read enough.
            Err(Amiss::Unread) => return Ok(code),
            Err(Amiss::Unwritten(fault)) => return Err(fault),
        }
    }
}

/// Why a line did not bring what it is for.
enum Amiss {
    /// It was refused, or there is no answer. The next may have one.
    Refused(Fault),
    /// Nobody reads the answers any more.
    Unread,
    /// The answers cannot be written.
    Unwritten(Fault),
}

impl From<Fault> for Amiss {
    fn from(fault: Fault) -> Self {
        Self::Refused(fault)
    }
}

fn carry_out(
    talk: &mut Conversation<'_>,
    line: &Line,
    json: bool,
    reader: &Reader,
) -> Result<(), Amiss> {
    let tell = |command, said| tell(command, said, json, reader);
    match line {
        Line::Say(text) => answer(talk, text, json),
        Line::Recall(words) => tell("being recall", talk.recall(words)?.through()?),
        Line::History(turns) => tell("being history", talk.history(*turns)?.through()?),
        Line::Memories => {
            let recalled = talk.last().map(|answered| &answered.recalled);
            tell("being recall", json!({ "memories": recalled.cloned().unwrap_or_default() }))
        }
        Line::Nothing | Line::Help | Line::Quit | Line::Wrong(_) => Ok(()),
    }
}

fn answer(talk: &mut Conversation<'_>, text: &str, json: bool) -> Result<(), Amiss> {
    let mut has_begun = false;
    let mut written: Result<(), Amiss> = Ok(());
    let hand_on = |words: &str| {
        if !json {
            has_begun = true;
            written = write(words::harmless(words));
        }
        written.is_ok()
    };
    let said = talk.say(text, hand_on).map(|went| match went {
        Went::Through(answered) => Some(json!(answered)),
        Went::Stopped => None,
    });
    // If it was not, that is why the answer was stopped.
    written?;
    if has_begun {
        write("\n")?;
    }
    match said? {
        Some(answered) if json => {
            let mut screen = Screen::stdout();
            screen.json_line(&answered);
            flush(&mut screen)
        }
        Some(_) => Ok(()),
        None => Err(Fault::new("the answer was stopped").into()),
    }
}

fn tell(command: &str, said: Value, json: bool, reader: &Reader) -> Result<(), Amiss> {
    let mut screen = Screen::stdout().for_reader(reader);
    match json {
        true => screen.json_line(&said),
        false => show(command, said, &mut screen)?,
    }
    flush(&mut screen)
}

/// Writes a part of an answer, at once.
fn write(text: impl AsRef<str>) -> Result<(), Amiss> {
    let mut screen = Screen::stdout();
    screen.add(text);
    flush(&mut screen)
}

fn flush(screen: &mut Screen) -> Result<(), Amiss> {
    match screen.flush() {
        Ok(true) => Ok(()),
        Ok(false) => Err(Amiss::Unread),
        Err(fault) => Err(Amiss::Unwritten(fault)),
    }
}

/// Standard input, read by a thread of its own: a read cannot be called off, and Ctrl-C is to be heard
/// meanwhile. It reads only what is asked for, so that what follows is left to whoever reads next.
struct Input {
    wanted: mpsc::Sender<()>,
    read: tokio::sync::mpsc::Receiver<Result<Option<Line>, Fault>>,
}

impl Input {
    fn begin() -> Self {
        let (wanted, is_wanted) = mpsc::channel();
        // One line is asked for at a time.
        let (said, read) = tokio::sync::mpsc::channel(1);
        std::thread::spawn(move || {
            let mut lines = Lines { input: std::io::stdin().lock(), number: 0 };
            while is_wanted.recv().is_ok() {
                if said.blocking_send(lines.read()).is_err() {
                    return;
                }
            }
        });
        Self { wanted, read }
    }

    /// The next line; `None` when there are no more.
    async fn next(&mut self) -> Result<Option<Line>, Fault> {
        let gone = || Fault::new("standard input cannot be read: its reader is gone");
        self.wanted.send(()).map_err(|_| gone())?;
        self.read.recv().await.unwrap_or_else(|| Err(gone()))
    }
}

/// Lines, with their numbers.
struct Lines<R> {
    input: R,
    /// That of the last that was read, from 1 on.
    number: u64,
}

impl<R: BufRead> Lines<R> {
    /// The next line, with those that it goes on in; `None` when there are no more.
    fn read(&mut self) -> Result<Option<Line>, Fault> {
        let mut bytes = Vec::new();
        let mut no_text = None;
        let mut input = self.input.by_ref().take(LINE_MAX_LEN);
        loop {
            let begin = bytes.len();
            let read = input.read_until(b'\n', &mut bytes);
            read.map_err(|error| Fault::new(format!("standard input cannot be read: {error}")))?;
            if bytes.len() == begin {
                break;
            }
            self.number += 1;
            if input.limit() == 0 {
                let message = format!("line {} is longer than 1 MiB", self.number);
                return Err(Fault::usage(message).help("say it in parts"));
            }
            let line = String::from_utf8_lossy(&bytes[begin..]);
            if matches!(line, Cow::Owned(_)) {
                no_text = no_text.or(Some(self.number));
            }
            if !goes_on(line.trim_end_matches(['\r', '\n'])) {
                break;
            }
        }
        if bytes.is_empty() {
            return Ok(None);
        }
        let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
        Ok(Some(match no_text {
            Some(number) => Line::Wrong(format!("line {number} is not UTF-8 text")),
            None => Line::read(text.trim_end_matches('\n')),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines<R: BufRead>(input: R) -> Lines<R> {
        Lines { input, number: 0 }
    }

    #[test]
    fn lines_are_read_with_those_that_they_go_on_in() {
        let mut lines = lines("one\r\ntwo\\\nmore\n\nlast\\".as_bytes());
        let say = |text: &str| Line::Say(text.to_owned());
        for expected in [say("one"), say("two\nmore"), Line::Nothing, say("last")] {
            assert_eq!(lines.read().unwrap(), Some(expected));
        }
        assert_eq!(lines.read().unwrap(), None);
    }

    #[test]
    fn a_line_that_is_no_text_is_told_by_its_number_and_the_next_is_read() {
        let mut lines = lines(&b"tea\ncaf\xe9\none\\\n\xff\nmore\n"[..]);
        let wrong = |number| Line::Wrong(format!("line {number} is not UTF-8 text"));
        let say = |text: &str| Line::Say(text.to_owned());
        for expected in [say("tea"), wrong(2), wrong(4), say("more")] {
            assert_eq!(lines.read().unwrap(), Some(expected));
        }
    }

    #[test]
    fn a_line_without_an_end_is_refused_by_its_number() {
        let endless = std::io::BufReader::new(std::io::repeat(b'a'));
        let mut lines = lines("short\n".as_bytes().chain(endless));
        assert_eq!(lines.read().unwrap(), Some(Line::Say("short".to_owned())));
        let fault = lines.read().unwrap_err();
        assert_eq!(fault.message, "line 2 is longer than 1 MiB");
    }
}
