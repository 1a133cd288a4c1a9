//! What is shown, faintly, behind the cursor: what a message takes, or how a line went on before.

use std::sync::Arc;

use nu_ansi_term::Style;
use reedline::{DefaultHinter, Hinter, History};

use super::complete::Place;
use super::known::Known;
use crate::schema;

/// Shows hints.
pub struct Hint {
    known: Arc<Known>,
    style: Style,
    history: DefaultHinter,
    /// Whether the last hint was of the history, and may be taken over into the line.
    is_history: bool,
}

impl Hint {
    /// Hints in this style.
    pub fn new(known: Arc<Known>, style: Style) -> Self {
        let history = DefaultHinter::default().with_style(style);
        Self { known, style, history, is_history: false }
    }

    /// What the message takes whose name stands before the cursor.
    fn signature(&self, text: &str) -> Option<String> {
        let place = text.ends_with(' ').then(|| Place::of(text))?;
        let takes_json = matches!(place.command.as_deref(), Some("ask" | "tell"));
        let [address, message] = &place.values[..] else { return None };
        let messages = takes_json.then(|| self.known.messages(address))?;
        let info = messages.into_iter().find(|info| info.name == *message)?;
        Some(schema::signature(&info.request.0))
    }
}

impl Hinter for Hint {
    fn handle(
        &mut self,
        line: &str,
        pos: usize,
        history: &dyn History,
        use_ansi_coloring: bool,
        cwd: &str,
    ) -> String {
        let signature = if pos == line.len() { self.signature(line) } else { None };
        self.is_history = signature.is_none();
        match signature {
            Some(text) if use_ansi_coloring => self.style.paint(text).to_string(),
            Some(text) => text,
            None => self.history.handle(line, pos, history, use_ansi_coloring, cwd),
        }
    }

    fn complete_hint(&self) -> String {
        if self.is_history { self.history.complete_hint() } else { String::new() }
    }

    fn next_hint_token(&self) -> String {
        if self.is_history { self.history.next_hint_token() } else { String::new() }
    }
}
