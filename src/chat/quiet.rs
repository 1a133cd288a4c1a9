//! The terminal while a chat is on it: what is typed while a being answers is not shown among its words.
//!
//! | what is pressed while it answers | what comes of it |
//! |---|---|
//! | letters, Enter | they wait unseen, and stand at the next prompt as if they were typed there |
//! | Ctrl-C | it stops the answer, and what was typed meanwhile is thrown away, as by a shell; lines that the editor had got before stand at the next prompt, and nobody says them but with Enter |
//! | Ctrl-Z | it stops the chat, and what was typed before is thrown away; what is typed when it goes on waits unseen again, also if it has first gone on behind the shell |
//!
//! However a chat ends, the terminal is then as it was found: also by a panic, and by the signals that end
//! a program.

use std::io::stdin;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crossterm::event;
use parking_lot::Mutex;
use reedline::{EditCommand, EditMode, Emacs, Reedline, ReedlineEvent, ReedlineRawEvent};
use rustix::process::{Signal, getpgrp};
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr,
};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::fault::Fault;

/// The signals that end a program at a terminal. Ctrl-C is none of them here: it ends an answer.
const ENDS: [SignalKind; 3] = [SignalKind::hangup(), SignalKind::quit(), SignalKind::terminate()];

/// What a program hears that goes on after it was stopped. The shell may have set the terminal meanwhile.
const GOES_ON: SignalKind = SignalKind::from_raw(Signal::CONT.as_raw());

/// What a program ends with that a signal ends: this, and the number of the signal.
const ENDED_BY_SIGNAL: i32 = 128;

/// Whether what is typed waits unseen, on the one terminal that there is. Held while that is set, so that it is not
/// set over what an editor has set since.
static IS_HUSHED: Mutex<bool> = Mutex::new(false);

/// Takes back what the editor asks of a terminal while one types: to mark what is pasted, and to tell keys apart. And
/// whatever stands next on the terminal is to stand on a line of its own.
const EDITOR_ENDS: &[u8] = b"\x1b[?2004l\x1b[<1u\n";

/// How long a terminal may take to take that in. One that is held (Ctrl-S) takes nothing.
const EDITOR_ENDS_PATIENCE: Duration = Duration::from_millis(200);

/// How often one that goes on behind another looks whether the terminal is its own again.
const FETCHED_LOOK: Duration = Duration::from_millis(100);

/// How many keys are taken back at a time: more than a terminal and the editor hold.
const KEYS_MAX: usize = 16_384;

/// The terminal on standard input, as long as a chat is on it.
pub struct Quiet {
    /// As it is to be again.
    found: Termios,
}

impl Quiet {
    /// What is typed waits unseen from now on, until [an editor reads it](Self::make_way) or this is dropped.
    ///
    /// # Errors
    /// When there is no terminal, or signals cannot be heard, which would leave it so.
    pub fn begin(runtime: &Runtime) -> Result<Self, Fault> {
        let found = tcgetattr(stdin())
            .map_err(|error| Fault::new(format!("the terminal is gone: {error}")))?;
        heed_signals(runtime, &found)?;
        let quiet = Self { found };
        quiet.hush();
        Ok(quiet)
    }

    /// The same once more, after an editor has read.
    pub fn hush(&self) {
        let mut is_hushed = IS_HUSHED.lock();
        *is_hushed = true;
        hush(&self.found);
    }

    /// An editor reads from now on, and sets the terminal itself.
    pub fn make_way(&self) {
        *IS_HUSHED.lock() = false;
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        self.make_way();
        set(&self.found);
    }
}

/// Puts lines that were typed ahead at the next prompt of an editor, which would say each of them as it comes: it
/// reads as much as there is, and keeps what stands behind an Enter for its next line. It breaks off at a Ctrl-D
/// that leaves, since nothing stands before it.
pub fn take_back(editor: &mut Reedline) -> ControlFlow<()> {
    let mut keys = Emacs::default();
    for _ in 0..KEYS_MAX {
        let Ok(true) = event::poll(Duration::ZERO) else { break };
        let Ok(event) = event::read() else { break };
        let Ok(event) = ReedlineRawEvent::try_from(event) else { continue };
        match keys.parse_event(event) {
            ReedlineEvent::Edit(edits) => editor.run_edit_commands(&edits),
            ReedlineEvent::Enter => editor.run_edit_commands(&[EditCommand::InsertNewline]),
            ReedlineEvent::CtrlC => editor.run_edit_commands(&[EditCommand::Clear]),
            ReedlineEvent::CtrlD if editor.current_buffer_contents().is_empty() => {
                return ControlFlow::Break(());
            }
            _ => {}
        }
    }
    // Behind the last line, and not on an empty one beneath it.
    let lines = editor.current_buffer_contents().trim_matches('\n').to_owned();
    editor.run_edit_commands(&[EditCommand::Clear, EditCommand::InsertString(lines)]);
    ControlFlow::Continue(())
}

/// What is typed waits unseen from now on, on a terminal that was found so.
fn hush(found: &Termios) {
    let mut modes = found.clone();
    // Letter by letter, since it is an editor that reads them next.
    modes.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON);
    // And Enter as the key that it is.
    modes.input_modes.remove(InputModes::ICRNL);
    set(&modes);
}

/// The same once more, if it is to be so: whoever went on with the chat may have set the terminal otherwise. `false`
/// as long as it is to be so, and the terminal is another's.
fn hush_again(found: &Termios) -> bool {
    let is_hushed = IS_HUSHED.lock();
    if *is_hushed && !is_ours() {
        return false;
    }
    if *is_hushed {
        hush(found);
    }
    true
}

fn set(modes: &Termios) {
    // Whoever sets a terminal from behind another is stopped, and could not end then.
    if !is_ours() {
        return;
    }
    if let Err(error) = tcsetattr(stdin(), OptionalActions::Now, modes) {
        tracing::debug!("the terminal cannot be set: {error}");
    }
}

/// Whether the terminal is this program's just now, and no other's behind which it was put.
fn is_ours() -> bool {
    tcgetpgrp(stdin()).ok().is_none_or(|group| group == getpgrp())
}

/// The terminal is as it was found, also if an answer or the editor is on it.
async fn restore(found: &Termios) {
    if !is_ours() {
        return;
    }
    // Whoever goes on with it only that it may end changes nothing any more.
    *IS_HUSHED.lock() = false;
    set(found);
    // Not by way of what locks the output, which may be held for ever.
    let ends = tokio::task::spawn_blocking(|| rustix::io::write(std::io::stdout(), EDITOR_ENDS));
    let _nothing_more_to_do = tokio::time::timeout(EDITOR_ENDS_PATIENCE, ends).await;
}

/// A signal that ends this program lets the terminal be as it was found before, and one with which it goes on lets
/// what is typed wait unseen again. Once for all that come to be on it: what is heard once is heard as long as the
/// program lives.
fn heed_signals(runtime: &Runtime, found: &Termios) -> Result<(), Fault> {
    static ARE_HEARD: AtomicBool = AtomicBool::new(false);
    if ARE_HEARD.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let not_heard = |error: std::io::Error| Fault::new(format!("signals cannot be heard: {error}"));
    let _within = runtime.enter();
    // Ctrl-C ends no program from here on, also where no answer is there to be stopped yet.
    let _heard_while_answering = signal(SignalKind::interrupt()).map_err(not_heard)?;
    let mut goes_on = signal(GOES_ON).map_err(not_heard)?;
    let terminal = found.clone();
    runtime.spawn(async move {
        while goes_on.recv().await.is_some() {
            // Not every shell sends the signal again when it fetches one that has gone on behind it.
            while !hush_again(&terminal) {
                tokio::time::sleep(FETCHED_LOOK).await;
            }
        }
    });
    for kind in ENDS {
        let mut ending = signal(kind).map_err(not_heard)?;
        let found = found.clone();
        runtime.spawn(async move {
            if ending.recv().await.is_some() {
                restore(&found).await;
                std::process::exit(ENDED_BY_SIGNAL + kind.as_raw_value());
            }
        });
    }
    Ok(())
}
