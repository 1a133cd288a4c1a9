//! `genii repl`: the admin commands with completion, history and hints.

mod complete;
mod hint;
mod known;

use std::os::unix::fs::OpenOptionsExt;
use std::process::ExitCode;
use std::sync::Arc;

use nu_ansi_term::{Color, Style};
use reedline::{
    ColumnarMenu, DefaultPrompt, DefaultPromptSegment, Emacs, FileBackedHistory, KeyCode,
    KeyModifiers, MenuBuilder, Reedline, ReedlineEvent, ReedlineMenu, Signal,
    default_emacs_keybindings,
};
use tokio::runtime::Runtime;

use self::complete::Completer;
use self::hint::Hint;
use self::known::Known;
use crate::admin::client::Client;
use crate::chat;
use crate::ctl::{Line, carry_out, parse};
use crate::data::Data;
use crate::fault::Fault;
use crate::reader::Reader;

/// How many lines of history are kept.
const HISTORY_MAX: usize = 1_000;

/// The name of the completion menu.
const MENU: &str = "completion";

/// Reads lines and carries them out until there are no more.
pub fn run(runtime: &Runtime, data: &Data) -> Result<ExitCode, Fault> {
    let client = runtime.block_on(Client::connect(data))?;
    if !crate::screen::has_editor() {
        return Err(Fault::usage("the REPL needs a terminal")
            .help("`genii ctl < script` runs commands from a file"));
    }
    let known = Arc::new(Known::new(runtime.handle().clone(), client.clone()));
    let mut editor = editor(data, known)?;
    let prompt = DefaultPrompt::new(
        DefaultPromptSegment::Basic("genii".to_owned()),
        DefaultPromptSegment::Empty,
    );
    crate::screen::say(
        "`help` lists the commands; Tab completes; `exit` or Ctrl-D leaves, and genii goes on",
    );
    let mut repl = Repl { runtime, data, client };
    loop {
        match editor.read_line(&prompt) {
            Ok(Signal::Success(line)) => {
                // As typed, and not only at the end: the terminal may be closed.
                if let Err(error) = editor.sync_history() {
                    tracing::debug!("the history cannot be written: {error}");
                }
                match line.split_whitespace().next() {
                    Some("exit" | "quit") => return Ok(ExitCode::SUCCESS),
                    _ => repl.take(&line),
                }
            }
            Ok(Signal::CtrlD) => return Ok(ExitCode::SUCCESS),
            Ok(_) => {}
            Err(error) => return Err(Fault::new(format!("the terminal is gone: {error}"))),
        }
    }
}

fn editor(data: &Data, known: Arc<Known>) -> Result<Reedline, Fault> {
    // It is its owner's alone, as what was typed may be.
    let mut own = std::fs::OpenOptions::new();
    let _told_below = own.append(true).create(true).mode(0o600).open(data.history());
    let history = FileBackedHistory::with_file(HISTORY_MAX, data.history()).map_err(|error| {
        Fault::new(format!("the history {} cannot be read: {error}", data.history().display()))
    })?;
    let mut keys = default_emacs_keybindings();
    keys.add_binding(
        KeyModifiers::NONE,
        KeyCode::Tab,
        ReedlineEvent::UntilFound(vec![
            ReedlineEvent::Menu(MENU.to_owned()),
            ReedlineEvent::MenuNext,
        ]),
    );
    let menu = ColumnarMenu::default().with_name(MENU);
    Ok(Reedline::create()
        .with_history(Box::new(history))
        .with_completer(Box::new(Completer::new(known.clone())))
        .with_hinter(Box::new(Hint::new(known, Style::new().fg(Color::DarkGray))))
        .with_menu(ReedlineMenu::EngineCompleter(Box::new(menu)))
        .with_quick_completions(true)
        .with_partial_completions(true)
        .with_edit_mode(Box::new(Emacs::new(keys))))
}

struct Repl<'a> {
    runtime: &'a Runtime,
    data: &'a Data,
    client: Client,
}

impl Repl<'_> {
    fn take(&mut self, line: &str) {
        let done = parse(line).and_then(|line| match line {
            Line::Nothing => Ok(()),
            Line::Help(text) => {
                crate::screen::say(text);
                Ok(())
            }
            Line::Call(call) => self.runtime.block_on(self.carry_out(&call)),
            Line::Chat(args) => chat::run_within(self.runtime, self.data, &args).map(drop),
        });
        if let Err(fault) = done {
            fault.tell(false);
        }
    }

    /// Carries a command out until it ends, or Ctrl-C ends it. A genii that was started anew is
    /// found again.
    async fn carry_out(&mut self, call: &crate::commands::Call) -> Result<(), Fault> {
        let interrupted = async {
            let _either_way = tokio::signal::ctrl_c().await;
        };
        tokio::select! {
            () = interrupted => {
                crate::screen::say("");
                Ok(())
            }
            done = carry_out(&mut self.client, call, false, &Reader::Repl) => match done {
                Ok(_) => Ok(()),
                Err(fault) => {
                    if let Ok(client) = Client::connect(self.data).await {
                        self.client = client;
                    }
                    Err(fault)
                }
            },
        }
    }
}
