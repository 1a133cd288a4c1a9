//! A chat at a terminal: an editor with history, answers as they come, Ctrl-C that stops an answer.

use std::borrow::Cow;
use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use genii_actors::being::character::macros::expand;
use genii_actors::being::character::{Character, Names};
use genii_protocols::being::BeingInfo;
use parking_lot::Mutex;
use reedline::{
    FileBackedHistory, History, Prompt, PromptEditMode, PromptHistorySearch, Reedline, Signal,
    ValidationResult, Validator,
};

use super::conversation::{Conversation, Went, show};
use super::line::{Line, goes_on, help};
use super::quiet::{Quiet, take_back};
use crate::commands::being::ask::remark;
use crate::commands::being::show::Known;
use crate::commands::being::words;
use crate::fault::Fault;
use crate::reader::Reader;
use crate::screen::flow::Flow;
use crate::screen::{Screen, columns, complain, put, say};

/// How long nothing comes before that is told.
const SILENCE: Duration = Duration::from_secs(3);

/// How many things that were typed to a being are kept.
const TYPED_MAX: usize = 1_000;

/// Talks until Ctrl-D. What went wrong is told to this reader.
pub fn run(talk: Conversation<'_>, known: &Known, reader: Reader) -> Result<ExitCode, Fault> {
    let name = words::harmless(&known.being.name);
    let typed = talk.data().typed_to(talk.being());
    // Before the editor, so that it is let go of behind it.
    let quiet = Quiet::begin(talk.runtime())?;
    let mut editor = editor(&typed);
    let is_kept = typed.exists();
    let prompt = Asking { who: words::harmless(talk.speaker().unwrap_or("you")) };
    let mut chat = Chat { talk, name, reader };
    chat.greet(known);
    loop {
        if is_kept {
            heed_forgetting(editor.history_mut(), &typed);
        }
        quiet.make_way();
        let read = editor.read_line(&prompt);
        if is_kept {
            heed_forgetting(editor.history_mut(), &typed);
        }
        match read {
            Ok(Signal::Success(text)) => {
                if let Err(error) = editor.sync_history() {
                    tracing::debug!("what was typed cannot be kept: {error}");
                }
                match Line::read(&text) {
                    Line::Quit => return Ok(ExitCode::SUCCESS),
                    line => {
                        quiet.hush();
                        if let Went::Stopped = chat.take(line)
                            && take_back(&mut editor).is_break()
                        {
                            return Ok(ExitCode::SUCCESS);
                        }
                    }
                }
            }
            Ok(Signal::CtrlC) => chat.hint("(Ctrl-D or /quit leaves)"),
            Ok(Signal::CtrlD) => return Ok(ExitCode::SUCCESS),
            Ok(_) => {}
            Err(error) => return Err(Fault::new(format!("the terminal is gone: {error}"))),
        }
    }
}

struct Chat<'a> {
    talk: Conversation<'a>,
    /// What the being is called.
    name: String,
    /// Who is told what went wrong.
    reader: Reader,
}

impl Chat<'_> {
    /// Says with whom one talks, and what that says first if nobody has talked with it yet.
    fn greet(&self, known: &Known) {
        let by = known.info.as_ref().map(|info| words::harmless(&info.provider));
        let by = by.map(|by| format!("; words by {by}")).unwrap_or_default();
        let id = self.talk.being();
        self.hint(&format!(
            "{} ({id}){by}; /help tells what may be typed, Ctrl-D leaves",
            self.name
        ));
        let first = known.info.as_ref().filter(|info| info.turns == 0);
        if let Some(greeting) = first.and_then(|info| greeting(info, self.talk.speaker())) {
            let greeting = self.flow().whole(&words::harmless(&greeting));
            say(format!("{}{greeting}", self.says()));
        }
    }

    /// Carries out what was typed, until its end or Ctrl-C. What goes wrong is told, and the chat goes on.
    fn take(&mut self, line: Line) -> Went<()> {
        let went = match line {
            Line::Nothing | Line::Quit => Ok(Went::Through(())),
            Line::Say(text) => self.answer(&text),
            Line::Help => {
                say(help(columns()));
                Ok(Went::Through(()))
            }
            Line::Recall(words) => {
                self.talk.recall(&words).and_then(|told| self.show("being recall", told))
            }
            Line::History(turns) => {
                self.talk.history(turns).and_then(|told| self.show("being history", told))
            }
            Line::Memories => {
                self.memories();
                Ok(Went::Through(()))
            }
            Line::Wrong(why) => Err(Fault::new(why)),
        };
        went.unwrap_or_else(|fault| {
            fault.told_to(&self.reader).tell(false);
            Went::Through(())
        })
    }

    fn answer(&mut self, text: &str) -> Result<Went<()>, Fault> {
        let (says, mut flow) = (self.says(), self.flow());
        let begun = Arc::new(Mutex::new(false));
        let silence = tell_of_silence(Arc::clone(&begun));
        let went = self.talk.say(text, |words| {
            if !std::mem::replace(&mut *begun.lock(), true) {
                put(&says);
            }
            put(flow.take(&words::harmless(words)));
            true
        });
        let has_begun = std::mem::replace(&mut *begun.lock(), true);
        drop(silence);
        let told = went.map(|went| match went {
            Went::Through(answered) => (remark(answered), Went::Through(())),
            Went::Stopped => {
                let kept = if has_begun { "what it had said" } else { "what you said" };
                (Some(format!("(stopped; {kept} is remembered)")), Went::Stopped)
            }
        });
        if has_begun {
            say(flow.rest());
        }
        let (remark, went) = told?;
        if let Some(remark) = remark {
            self.hint(&remark);
        }
        Ok(went)
    }

    /// Shows what was remembered for the last answer.
    fn memories(&self) {
        let Some(last) = self.talk.last() else {
            return self.hint("(there is no whole answer yet)");
        };
        if last.recalled.is_empty() {
            return self.hint("(it used no memories for its last answer)");
        }
        let mut screen = Screen::stdout();
        for memory in &last.recalled {
            words::recollection(memory, &mut screen);
        }
        put(screen.into_text());
    }

    fn show(&self, command: &str, told: Went<serde_json::Value>) -> Result<Went<()>, Fault> {
        let Went::Through(said) = told else {
            self.hint("(stopped)");
            return Ok(Went::Stopped);
        };
        let mut screen = Screen::stdout().for_reader(&self.reader);
        show(command, said, &mut screen)?;
        screen.flush().map(|_| Went::Through(()))
    }

    fn says(&self) -> String {
        format!("{} ", Screen::stdout().bold(&format!("{}:", self.name)))
    }

    /// What it says, behind its name. The terminal may have become narrower meanwhile.
    fn flow(&self) -> Flow {
        Flow::new(columns(), &format!("{}: ", self.name), "")
    }

    fn hint(&self, text: &str) {
        hint(text);
    }
}

fn hint(text: &str) {
    let text = Flow::new(columns(), "", "").whole(text);
    say(Screen::stdout().faint(&text));
}

/// Tells whoever waits that nothing has come yet, unless something has by then or what is returned is dropped.
fn tell_of_silence(begun: Arc<Mutex<bool>>) -> mpsc::Sender<()> {
    let (wanted, is_wanted) = mpsc::channel();
    std::thread::spawn(move || {
        if is_wanted.recv_timeout(SILENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            // Held, so that no word comes in between.
            let begun = begun.lock();
            if !*begun {
                hint("(no word yet; Ctrl-C stops it)");
            }
        }
    });
    wanted
}

/// What a being says first, with the names in it.
fn greeting(info: &BeingInfo, speaker: Option<&str>) -> Option<String> {
    let character = Character::try_from(&info.character).ok()?;
    let names = Names::new(character.called(), speaker.unwrap_or_default());
    let greeting = expand(character.greeting(0)?, &names, 0);
    Some(greeting.trim().to_owned())
}

fn editor(typed: &Path) -> Reedline {
    let editor = Reedline::create()
        .with_validator(Box::new(Continued))
        .use_bracketed_paste(true)
        .use_kitty_keyboard_enhancement(true);
    match history(typed) {
        Ok(history) => editor.with_history(Box::new(history)),
        Err(error) => {
            let shown = typed.display();
            complain(format!("warning: what you type is not kept in {shown}: {error}"));
            editor
        }
    }
}

/// What was typed before. It is its owner's alone.
fn history(typed: &Path) -> Result<FileBackedHistory, Box<dyn std::error::Error>> {
    make_private(typed)?;
    Ok(FileBackedHistory::with_file(TYPED_MAX, typed.to_owned())?)
}

/// Makes the file for what is typed, unless it is there. The editor would make one that all may read.
fn make_private(typed: &Path) -> std::io::Result<()> {
    if let Some(folder) = typed.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let file = OpenOptions::new().append(true).create(true).mode(0o600).open(typed)?;
    file.set_permissions(Permissions::from_mode(0o600))
}

/// Forgets what was typed if the file of it is gone: having a being forget, or deleting it, takes that away,
/// and may be done elsewhere while one talks here.
fn heed_forgetting(history: &mut dyn History, typed: &Path) {
    if typed.exists() {
        return;
    }
    // It has no file to delete, which it says after it has forgotten the rest.
    if let Err(error) = history.clear() {
        tracing::debug!("the file of what was typed is gone: {error}");
    }
    if let Err(error) = make_private(typed) {
        tracing::debug!("what was typed cannot be kept: {error}");
    }
}

/// A line that ends in a backslash goes on in the next.
struct Continued;

impl Validator for Continued {
    fn validate(&self, line: &str) -> ValidationResult {
        match goes_on(line) {
            true => ValidationResult::Incomplete,
            false => ValidationResult::Complete,
        }
    }
}

/// What stands before what is typed: who types it.
struct Asking {
    who: String,
}

impl Prompt for Asking {
    fn render_prompt_left(&self) -> Cow<'_, str> {
        Cow::Borrowed(&self.who)
    }

    fn render_prompt_right(&self) -> Cow<'_, str> {
        Cow::Borrowed("")
    }

    fn render_prompt_indicator(&self, _: PromptEditMode) -> Cow<'_, str> {
        Cow::Borrowed("> ")
    }

    fn render_prompt_multiline_indicator(&self) -> Cow<'_, str> {
        Cow::Borrowed("  ")
    }

    fn render_prompt_history_search_indicator(&self, search: PromptHistorySearch) -> Cow<'_, str> {
        Cow::Owned(format!(" (looking for {:?}) ", search.term))
    }
}

#[cfg(test)]
mod tests {
    use reedline::HistoryItem;

    use super::*;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn what_was_typed_is_its_owners_alone() {
        let scratch = tempfile::tempdir().unwrap();
        let typed = scratch.path().join("chats/marit");
        history(&typed).unwrap();
        assert_eq!(mode(&typed), 0o600);
        assert_eq!(mode(typed.parent().unwrap()), 0o700);
        std::fs::set_permissions(&typed, Permissions::from_mode(0o644)).unwrap();
        history(&typed).unwrap();
        assert_eq!(mode(&typed), 0o600);
    }

    #[test]
    fn what_was_typed_is_forgotten_with_its_file() {
        let scratch = tempfile::tempdir().unwrap();
        let typed = scratch.path().join("chats/marit");
        let mut history = history(&typed).unwrap();
        history.save(HistoryItem::from_command_line("my salary")).unwrap();
        history.sync().unwrap();
        heed_forgetting(&mut history, &typed);
        assert_eq!(history.count_all().unwrap(), 1);
        std::fs::remove_file(&typed).unwrap();
        history.save(HistoryItem::from_command_line("my salary once more")).unwrap();
        heed_forgetting(&mut history, &typed);
        assert_eq!(history.count_all().unwrap(), 0);
        // It writes what it has not yet written.
        drop(history);
        assert_eq!(std::fs::read_to_string(&typed).unwrap(), "");
        assert_eq!(mode(&typed), 0o600);
    }
}
