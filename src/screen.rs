//! Where a person reads: colours, tables, lines of whole words, and nothing of these where nobody looks.

pub mod flow;

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width, presets};
use owo_colors::{OwoColorize, Style};

use self::flow::Flow;
use crate::fault::Fault;
use crate::reader::Reader;

/// Says something on standard error. Whoever would read it may have gone, and is not missed.
pub fn complain(text: impl std::fmt::Display) {
    let _nobody_reads = writeln!(std::io::stderr().lock(), "{text}");
}

/// Says something on standard output, as [`complain`] does.
pub fn say(text: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    let _nobody_reads = writeln!(out, "{text}").and_then(|()| out.flush());
}

/// Says a part of a line on standard output, at once, as [`say`] does.
pub fn put(text: impl std::fmt::Display) {
    let mut out = std::io::stdout().lock();
    let _nobody_reads = write!(out, "{text}").and_then(|()| out.flush());
}

/// Whether a person can be asked with an editor: it reads standard input, and draws on standard error.
pub fn has_editor() -> bool {
    std::io::stdin().is_terminal() && std::io::stderr().is_terminal()
}

/// How many columns the terminal on standard output has; `None` where there is none, or it does not tell.
pub fn columns() -> Option<usize> {
    // As tables have it.
    Table::new().width().map(usize::from).filter(|columns| *columns > 0)
}

/// How many columns the terminal on standard error has; `None` where there is none, or it does not tell.
pub fn columns_of_errors() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(std::io::stderr()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// A text without what a terminal would take for a command, and without what would have it show the letters
/// in another order than they have: models and other people wrote it.
pub fn harmless(text: &str) -> String {
    let is_good = |letter: &char| {
        matches!(letter, '\n' | '\t') || !(letter.is_control() || turns_around(*letter))
    };
    text.chars().filter(is_good).collect()
}

/// Whether it embeds, overrides or isolates what is written in another direction. Marks of a direction do not,
/// and stay.
fn turns_around(letter: char) -> bool {
    matches!(letter, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A value of which no text, and no name of a field, holds what [`harmless`] leaves out.
pub fn harmless_value(value: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    match value {
        Value::String(text) => Value::String(harmless(&text)),
        Value::Array(items) => Value::Array(items.into_iter().map(harmless_value).collect()),
        Value::Object(fields) => {
            let each = |(name, value): (String, Value)| (harmless(&name), harmless_value(value));
            Value::Object(fields.into_iter().map(each).collect())
        }
        value => value,
    }
}

/// JSON as text, of the same value, without what [`harmless`] leaves out. What JSON itself escapes ends below
/// the space, and a terminal heeds some letters behind that, too. They stand in strings alone.
pub fn harmless_json(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for letter in json.chars() {
        match letter {
            letter if matches!(letter, '\u{7f}'..='\u{9f}') || turns_around(letter) => {
                write!(text, "\\u{:04x}", u32::from(letter)).expect("text takes any letter");
            }
            letter => text.push(letter),
        }
    }
    text
}

/// A screen, or a pipe.
pub struct Screen {
    /// Whether it shows colours.
    pub colour: bool,
    /// Whether somebody looks at it, so that it may be redrawn.
    pub is_terminal: bool,
    /// Who that is.
    reader: Reader,
    text: String,
    /// The last that was shown ends in mid-line.
    is_amid_line: bool,
}

impl Screen {
    /// Standard output, where commands are called by their bare names.
    pub fn stdout() -> Self {
        let is_terminal = std::io::stdout().is_terminal();
        let unwanted = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
        let (colour, text) = (is_terminal && !unwanted && !dumb, String::new());
        Self { colour, is_terminal, reader: Reader::Repl, text, is_amid_line: false }
    }

    /// The same, where commands are called as this reader calls them.
    #[must_use]
    pub fn for_reader(self, reader: &Reader) -> Self {
        Self { reader: reader.clone(), ..self }
    }

    /// How many columns it has, where it is a terminal that tells.
    pub fn columns(&self) -> Option<usize> {
        if self.is_terminal { columns() } else { None }
    }

    /// Writes a line.
    pub fn line(&mut self, line: impl AsRef<str>) {
        self.text.push_str(line.as_ref());
        self.text.push('\n');
    }

    /// Writes a part of a line.
    pub fn add(&mut self, text: impl AsRef<str>) {
        self.text.push_str(text.as_ref());
    }

    /// A text in which each command is called as whoever reads it calls it.
    pub fn called(&self, text: &str) -> String {
        self.reader.called(text)
    }

    /// As [`Screen::called`], of what was told of something, in which agents may have had a part.
    pub fn told(&self, text: &str) -> String {
        self.reader.told(text)
    }

    /// Writes a line about what may be done next. On a terminal that is narrower, it goes on in the next behind a
    /// word, and no command in it is broken.
    pub fn hint(&mut self, hint: &str) {
        let hint = self.called(hint);
        let hint = Flow::new(self.columns(), "", "").keeping_commands().whole(&hint);
        self.line(self.faint(&hint));
    }

    /// Writes JSON, for a person to read: a text as it is, but for what would command the terminal.
    pub fn json(&mut self, value: &serde_json::Value) {
        match value {
            serde_json::Value::String(text) => self.line(harmless(text)),
            value => {
                let pretty = serde_json::to_string_pretty(value).unwrap_or_default();
                self.line(harmless_json(&pretty));
            }
        }
    }

    /// Writes JSON on a line of its own, for a script to read. A person may look on.
    pub fn json_line(&mut self, value: &serde_json::Value) {
        self.line(harmless_json(&value.to_string()));
    }

    /// Shows what was written. Says whether anybody still reads it.
    ///
    /// # Errors
    /// When it cannot be shown, and somebody should know.
    pub fn flush(&mut self) -> Result<bool, Fault> {
        let mut out = std::io::stdout().lock();
        let shown = out.write_all(self.text.as_bytes()).and_then(|()| out.flush());
        self.is_amid_line = match self.text.as_bytes().last() {
            Some(last) => *last != b'\n',
            None => self.is_amid_line,
        };
        self.text.clear();
        match shown {
            Ok(()) => Ok(true),
            // Whoever read it has read enough.
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(false),
            Err(error) => Err(Fault::new(format!("standard output cannot be written to: {error}"))),
        }
    }

    /// Ends the line in which what was shown has ended, if it has not: something else comes next.
    ///
    /// # Errors
    /// As [`Screen::flush`].
    pub fn end_line(&mut self) -> Result<(), Fault> {
        if self.is_amid_line {
            self.line("");
        }
        self.flush().map(drop)
    }

    /// What was written, to be shown by somebody else.
    pub fn into_text(self) -> String {
        self.text
    }

    /// Shows the last of what was written.
    ///
    /// # Errors
    /// As [`Screen::flush`].
    pub fn finish(mut self) -> Result<ExitCode, Fault> {
        self.flush().map(|_| ExitCode::SUCCESS)
    }

    /// Begins a new page, where there are pages.
    pub fn clear(&mut self) {
        if self.is_terminal {
            self.text.push_str("\x1b[2J\x1b[H");
        }
    }

    /// A text in a style, where there are styles.
    pub fn paint(&self, text: &str, style: Style) -> String {
        if self.colour { text.style(style).to_string() } else { text.to_owned() }
    }

    /// A state, in the colour that it deserves.
    pub fn state(&self, state: &str) -> String {
        let style = match state {
            "ready" | "completed" | "alive" | "awake" => Style::new().green(),
            "degraded" | "waiting" | "waking" | "starting" | "stopping" | "declared"
            | "suspect" => Style::new().yellow(),
            "down" | "quarantined" | "blocked" | "unreachable" => Style::new().red(),
            _ => Style::new().dimmed(),
        };
        self.paint(state, style)
    }

    /// Something of less weight.
    pub fn faint(&self, text: &str) -> String {
        self.paint(text, Style::new().dimmed())
    }

    /// Something of more weight.
    pub fn bold(&self, text: &str) -> String {
        self.paint(text, Style::new().bold())
    }

    /// A fault.
    pub fn red(&self, text: &str) -> String {
        self.paint(text, Style::new().red())
    }

    /// Writes a table. In a pipe, its columns are as wide as they are. On a terminal that is narrower,
    /// cells go on in a next line behind a word; no word is broken, so that names and times can be read
    /// and copied, and where even the words need more room, lines are longer than the terminal.
    pub fn table(&mut self, header: &[&str], rows: Vec<Vec<String>>) {
        let header = header.iter().map(|name| self.faint(name)).collect();
        let mut table = arranged(header, rows);
        table.set_content_arrangement(match self.is_terminal {
            true => ContentArrangement::Dynamic,
            false => ContentArrangement::Disabled,
        });
        for line in table.lines() {
            writeln!(self.text, "{}", line.trim_end()).expect("text takes any line");
        }
    }
}

/// How far the columns of a table stand apart.
const APART: u16 = 2;

/// A table whose columns are each as wide as their longest word at least.
fn arranged(header: Vec<String>, rows: Vec<Vec<String>>) -> Table {
    let mut words = vec![0; header.len()];
    for row in std::iter::once(&header).chain(&rows) {
        for (widest, cell) in words.iter_mut().zip(row) {
            let widths = cell.split_whitespace().map(width);
            *widest = widths.fold(*widest, std::cmp::Ord::max);
        }
    }
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header).add_rows(rows);
    let last = words.len().saturating_sub(1);
    for (number, (column, word)) in table.column_iter_mut().zip(words).enumerate() {
        let apart = if number == last { 0 } else { APART };
        column.set_padding((0, apart));
        let least = Width::Fixed(word.saturating_add(apart));
        column.set_constraint(ColumnConstraint::LowerBoundary(least));
    }
    table
}

/// How wide a text is on a terminal, without the commands to it that colour the text.
fn width(text: &str) -> u16 {
    let mut letters = 0_u16;
    let mut is_command = false;
    for letter in text.chars() {
        match letter {
            '\x1b' => is_command = true,
            'm' if is_command => is_command = false,
            _ if is_command => {}
            _ => letters = letters.saturating_add(1),
        }
    }
    letters
}

/// So many of something: `1 memory`, `2 memories`.
pub fn many<N>(count: N, one: &str, more: &str) -> String
where
    N: std::fmt::Display + PartialEq + From<u8>,
{
    let what = if count == N::from(1) { one } else { more };
    format!("{count} {what}")
}

/// A span as a person reads it at a glance: `850ms`, `3.2s`, `4m10s`, `2h05m`, `3d04h`.
pub fn span(span: Duration) -> String {
    let secs = span.as_secs();
    match secs {
        0 if span.as_millis() < 10 => format!("{:.1}ms", span.as_secs_f64() * 1_000.0),
        0 => format!("{}ms", span.as_millis()),
        1..60 => format!("{:.1}s", span.as_secs_f64()),
        60..3_600 => format!("{}m{:02}s", secs / 60, secs % 60),
        3_600..86_400 => format!("{}h{:02}m", secs / 3_600, secs % 3_600 / 60),
        _ => format!("{}d{:02}h", secs / 86_400, secs % 86_400 / 3_600),
    }
}

/// Seconds as a [`span`].
pub fn seconds(seconds: f64) -> String {
    span(Duration::try_from_secs_f64(seconds).unwrap_or_default())
}

/// Milliseconds with as many digits as matter.
pub fn millis(millis: f64) -> String {
    match millis {
        m if m < 1.0 => format!("{:.0}us", m * 1_000.0),
        m if m < 10.0 => format!("{m:.1}ms"),
        m if m < 1_000.0 => format!("{m:.0}ms"),
        m => format!("{:.1}s", m / 1_000.0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Commands to the terminal: to clear it, to take a title until its bell, to delete, to turn red, to write
    /// from right to left; and a mark of that direction, which commands nothing.
    const COMMANDS: &str =
        "a\x1b[2Jb\x1b]0;c\x07d\u{7f}e\u{9b}31mf\tg\u{202e}h\u{202c}\u{2067}i\u{2069}\u{200f}j";

    /// What is written of a value for a person, and for a script.
    fn written(value: &serde_json::Value) -> [String; 2] {
        [Screen::json, Screen::json_line].map(|write| {
            let mut screen = Screen::stdout();
            write(&mut screen, value);
            screen.into_text()
        })
    }

    #[test]
    fn no_text_that_is_shown_commands_the_terminal() {
        assert_eq!(harmless("a\x1b[2Jb\r\nc\td\u{9b}31m"), "a[2Jb\nc\td31m");
        let directions = "\u{202a}\u{202b}\u{202c}\u{202d}\u{202e}\u{2066}\u{2067}\u{2068}\u{2069}";
        assert_eq!(harmless(directions), "");
        assert_eq!(harmless("\u{200e}a\u{200f}"), "\u{200e}a\u{200f}");
        let [shown, _] = written(&COMMANDS.into());
        assert_eq!(shown, "a[2Jb]0;cde31mf\tghi\u{200f}j\n");
    }

    #[test]
    fn json_holds_what_it_held_and_commands_no_terminal() {
        let value = serde_json::json!({ COMMANDS: [COMMANDS, 1, null], "words": "\u{a0}äöü 龍" });
        for text in written(&value) {
            let is_command =
                |letter: char| letter != '\n' && (letter.is_control() || turns_around(letter));
            assert!(!text.contains(is_command), "{text:?}");
            assert!(text.contains("\\u009b31m") && text.contains("äöü 龍"), "{text}");
            assert!(text.contains("\\u202eh\\u202c\\u2067i\\u2069\u{200f}j"), "{text}");
            let read: serde_json::Value = serde_json::from_str(&text).unwrap();
            assert_eq!(read, value);
        }
    }

    #[test]
    fn no_word_of_a_table_is_broken_however_narrow_the_terminal_is() {
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        let state = "quarantined".red().to_string();
        let rows = vec![
            row(["pc2-core/unified-error", &state, "core/twin, memory/*"]),
            row(["a/b", "ready (suspended)", "2026-11-21T23:20:47.123Z"]),
        ];
        for width in 1..=90 {
            let mut table = arranged(row(["agent", "state", "what it may"]), rows.clone());
            table.set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
            let said = table.to_string();
            for cell in rows.iter().flatten().flat_map(|cell| cell.split(' ')) {
                let word = cell.trim_start_matches("\x1b[31m").trim_end_matches("\x1b[39m");
                assert!(said.contains(word), "{word} at {width}:\n{said}");
            }
            let is_narrow = said.lines().count() > rows.len() + 1;
            assert_eq!(is_narrow, width < 67, "{width}:\n{said}");
        }
        assert_eq!(super::width(&state), 11);
    }

    #[test]
    fn hints_call_commands_as_their_reader_does() {
        let hinted = |screen: Screen| {
            let mut screen = Screen { colour: false, ..screen };
            screen.hint("(`being list` shows all)");
            screen.into_text()
        };
        assert_eq!(hinted(Screen::stdout()), "(`being list` shows all)\n");
        let reader = Reader::Shell("genii --data x".to_owned());
        let screen = Screen::stdout().for_reader(&reader);
        assert_eq!(hinted(screen), "(`genii --data x being list` shows all)\n");
    }

    #[test]
    fn one_is_not_many() {
        let told = [0_u64, 1, 2].map(|count| many(count, "memory", "memories"));
        assert_eq!(told, ["0 memories", "1 memory", "2 memories"]);
    }

    #[test]
    fn spans_are_short() {
        for (millis, expected) in [
            (0, "0.0ms"),
            (3, "3.0ms"),
            (850, "850ms"),
            (3_200, "3.2s"),
            (250_000, "4m10s"),
            (7_500_000, "2h05m"),
            (273_600_000, "3d04h"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), expected);
        }
        assert_eq!(seconds(-1.0), "0.0ms");
    }
}
