//! What a line of a chat says: something to the being, or a command to the chat.

use crate::screen::flow::Flow;

/// How many turns `/history` shows.
const TURNS_SHOWN: u32 = 10;

/// What `/help` shows: each command, and what it does.
const COMMANDS: [(&str, &str); 6] = [
    ("/recall WORDS", "what it remembers of something, and why"),
    ("/memories", "what it remembered for its last answer, and why"),
    ("/history [N]", "the last turns"),
    ("/help", "this"),
    ("/quit", "leave; Ctrl-D does as well"),
    ("//TEXT", "say something that begins with /"),
];

/// What it shows behind them: what else may be pressed.
const KEYS: [&str; 3] = [
    "Alt-Enter or Shift-Enter begins a new line, and so does a \\ at the end of one; what is pasted \
     stays together.",
    "Ctrl-C stops an answer. What it had said by then is remembered.",
    "What is typed while it answers stands at the next prompt.",
];

/// Behind what of a line it is shown what a command does.
const BEHIND: &str = "                ";

/// What `/help` shows. On a terminal of so many columns, lines go on in the next behind a word.
pub fn help(columns: Option<usize>) -> String {
    let commands = COMMANDS.iter().map(|(command, what)| {
        let command = format!("{command:<width$}", width = BEHIND.len());
        let what = Flow::new(columns, &command, BEHIND).whole(what);
        command + &what
    });
    let keys = KEYS.iter().map(|key| Flow::new(columns, "", "").whole(key));
    let lines: Vec<String> = commands.chain(std::iter::once(String::new())).chain(keys).collect();
    lines.join("\n")
}

/// What a line says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Nothing.
    Nothing,
    /// This, to the being.
    Say(String),
    /// Show what may be typed.
    Help,
    /// Show what is remembered of this.
    Recall(String),
    /// Show what was remembered for the last answer.
    Memories,
    /// Show so many turns.
    History(u32),
    /// Leave.
    Quit,
    /// It is no command, and why.
    Wrong(String),
}

impl Line {
    /// Reads a line, which may have several where it was continued.
    pub fn read(text: &str) -> Self {
        let text = joined(text);
        let text = text.trim();
        if text.is_empty() {
            return Self::Nothing;
        }
        let Some(command) = text.strip_prefix('/') else { return Self::Say(text.to_owned()) };
        if command.starts_with('/') {
            return Self::Say(command.to_owned());
        }
        let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
        match (name, rest.trim()) {
            ("help" | "?", "") => Self::Help,
            ("memories", "") => Self::Memories,
            ("quit" | "exit", "") => Self::Quit,
            ("recall", "") => Self::Wrong("/recall takes words, as /recall my sister".to_owned()),
            ("recall", words) => Self::Recall(words.to_owned()),
            ("history", "") => Self::History(TURNS_SHOWN),
            ("history", count) => match count.parse() {
                Ok(count @ 1..) => Self::History(count),
                _ => Self::Wrong(format!("/history takes a number, and {count:?} is none")),
            },
            ("help" | "?" | "memories" | "quit" | "exit", _) => {
                Self::Wrong(format!("/{name} takes nothing more"))
            }
            _ => Self::Wrong(unknown(name)),
        }
    }
}

fn unknown(name: &str) -> String {
    let known = ["help", "history", "memories", "quit", "recall"];
    match genii_runtime::nearest(name, known) {
        Some(nearest) => format!("there is no command /{name}; did you mean /{nearest}?"),
        None => format!("there is no command /{name}; /help lists them, and //{name} says it"),
    }
}

/// Whether a line goes on in the next: an odd number of backslashes ends it.
pub fn goes_on(line: &str) -> bool {
    line.chars().rev().take_while(|letter| *letter == '\\').count() % 2 == 1
}

/// The text without the backslashes by which its lines go on.
fn joined(text: &str) -> String {
    let mut lines = Vec::new();
    for line in text.split('\n') {
        lines.push(if goes_on(line) { &line[..line.len() - 1] } else { line });
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_said_unless_they_are_commands() {
        let say = |text: &str| Line::Say(text.to_owned());
        for (text, expected) in [
            ("  ", Line::Nothing),
            ("hello there", say("hello there")),
            ("a\n  b", say("a\n  b")),
            ("one \\\ntwo", say("one \ntwo")),
            ("C:\\\\", say("C:\\\\")),
            ("//quit is a command", say("/quit is a command")),
            ("/help", Line::Help),
            (" /quit ", Line::Quit),
            ("/recall  my sister", Line::Recall("my sister".to_owned())),
            ("/memories", Line::Memories),
            ("/history", Line::History(TURNS_SHOWN)),
            ("/history 3", Line::History(3)),
        ] {
            assert_eq!(Line::read(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_slip_in_a_command_is_told_and_not_said_to_the_being() {
        for (text, said) in [
            ("/memory", "/memories"),
            ("/frobnicate", "//frobnicate"),
            ("/recall", "takes words"),
            ("/history many", "a number"),
            ("/history 0", "a number"),
            ("/quit now", "nothing more"),
        ] {
            let Line::Wrong(why) = Line::read(text) else { panic!("{text:?} is taken") };
            assert!(why.contains(said), "{why}");
        }
    }

    #[test]
    fn help_is_kept_within_the_terminal_and_is_as_long_as_it_is_in_a_pipe() {
        let piped = help(None);
        assert_eq!(piped.lines().count(), COMMANDS.len() + 1 + KEYS.len());
        assert!(piped.contains("/recall WORDS   what it remembers of something, and why\n"));
        let narrow = help(Some(30));
        assert!(narrow.lines().all(|line| line.chars().count() <= 30), "{narrow}");
        let begins = "/recall WORDS   what it \n                remembers of \n";
        assert!(narrow.starts_with(begins), "{narrow}");
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&narrow), words(&piped));
    }

    #[test]
    fn a_backslash_at_the_end_goes_on_and_two_do_not() {
        assert!(goes_on("a\\") && goes_on("a\\\\\\") && goes_on("first\nsecond\\"));
        assert!(!goes_on("a") && !goes_on("a\\\\") && !goes_on("a\\ ") && !goes_on(""));
    }
}
