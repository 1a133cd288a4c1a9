//! The terminal while a chat is on it: what is typed while a being answers is not shown among its words.
//!
//! | what is pressed while it answers | what comes of it |
//! |---|---|
//! | letters, Enter | they wait unseen, and stand at the next prompt as if they were typed there |
//! | Ctrl-C | it stops the answer, and what was typed before is thrown away, as by a shell |
//!
//! However a chat ends, the terminal is then as it was found: also by a panic, and by the signals that end
//! a program.

use std::io::stdin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use rustix::process::getpgrp;
use rustix::termios::{
    InputModes, LocalModes, OptionalActions, Termios, tcgetattr, tcgetpgrp, tcsetattr,
};
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};

use crate::fault::Fault;

/// The signals that end a program at a terminal. Ctrl-C is none of them here: it ends an answer.
const ENDS: [SignalKind; 3] = [SignalKind::hangup(), SignalKind::quit(), SignalKind::terminate()];

/// What a program ends with that a signal ends: this, and the number of the signal.
const ENDED_BY_SIGNAL: i32 = 128;

/// Takes back what the editor asks of a terminal while one types: to mark what is pasted, and to tell keys apart.
const EDITOR_ENDS: &[u8] = b"\x1b[?2004l\x1b[<1u";

/// How long a terminal may take to take that in. One that is held (Ctrl-S) takes nothing.
const EDITOR_ENDS_PATIENCE: Duration = Duration::from_millis(200);

/// The terminal on standard input, as long as a chat is on it.
pub struct Quiet {
    /// As it is to be again.
    found: Termios,
}

impl Quiet {
    /// What is typed waits unseen from now on, unless an editor reads it, until this is dropped.
    ///
    /// # Errors
    /// When there is no terminal, or signals cannot be heard, which would leave it so.
    pub fn begin(runtime: &Runtime) -> Result<Self, Fault> {
        let found = tcgetattr(stdin())
            .map_err(|error| Fault::new(format!("the terminal is gone: {error}")))?;
        restore_at_signals(runtime, &found)?;
        let quiet = Self { found };
        quiet.hush();
        Ok(quiet)
    }

    /// The same once more: whoever stopped the chat and went on with it may have set the terminal otherwise.
    pub fn hush(&self) {
        let mut modes = self.found.clone();
        // Letter by letter, since it is an editor that reads them next.
        modes.local_modes.remove(LocalModes::ECHO | LocalModes::ICANON);
        // And Enter as the key that it is.
        modes.input_modes.remove(InputModes::ICRNL);
        set(&modes);
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        set(&self.found);
    }
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
    set(found);
    // Not by way of what locks the output, which may be held for ever.
    let ends = tokio::task::spawn_blocking(|| rustix::io::write(std::io::stdout(), EDITOR_ENDS));
    let _nothing_more_to_do = tokio::time::timeout(EDITOR_ENDS_PATIENCE, ends).await;
}

/// A signal that ends this program lets the terminal be as it was found before. Once for all that come to be on
/// it: what is heard once is heard as long as the program lives.
fn restore_at_signals(runtime: &Runtime, found: &Termios) -> Result<(), Fault> {
    static ARE_HEARD: AtomicBool = AtomicBool::new(false);
    if ARE_HEARD.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let not_heard = |error: std::io::Error| Fault::new(format!("signals cannot be heard: {error}"));
    let _within = runtime.enter();
    // Ctrl-C ends no program from here on, also where no answer is there to be stopped yet.
    let _heard_while_answering = signal(SignalKind::interrupt()).map_err(not_heard)?;
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
