//! Text that flows onto a terminal as it comes, in lines of whole words.
//!
//! | what comes | what becomes of it |
//! |---|---|
//! | a word | it is held back until it has ended, and begins a line if it does not fit into this one |
//! | a word that is longer than a line, or than [`HELD_MAX`] | it begins a line, and goes on as it comes |
//! | a wide letter, as of Chinese or Japanese | it is a word by itself |
//! | a blank | it stands behind its word, for which each line has room |
//! | what stands between backticks, where [commands are kept](Flow::keeping_commands) | it is a word, with its blanks |
//!
//! A word that is longer than a line is broken by the terminal. But for the lines that were begun, what is
//! shown is what came, in whatever pieces it came.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How many columns of a word are held back at most: there are languages that write no blanks.
const HELD_MAX: usize = 40;

/// How far apart tabs stand, in columns.
const TAB: usize = 8;

/// Text on its way onto a terminal.
pub struct Flow {
    /// How many columns the terminal has; if none is known, all goes on as it comes.
    columns: usize,
    /// With what the lines begin that were begun.
    indent: &'static str,
    /// Where the next letter will stand.
    column: usize,
    /// What is held back of the word that has begun, and how many columns that takes.
    word: String,
    word_columns: usize,
    /// The word that has begun is held back no more.
    is_long: bool,
    /// A command is one word; and whether one has begun.
    keeps_commands: bool,
    is_in_command: bool,
}

impl Flow {
    /// Onto a terminal of so many columns, if that is known, behind what its line has already. Each line that
    /// is begun begins with `indent`.
    pub fn new(columns: Option<usize>, behind: &str, indent: &'static str) -> Self {
        let columns = columns.unwrap_or_default();
        let column = behind.width().checked_rem(columns).unwrap_or_default();
        Self {
            columns,
            indent,
            column,
            word: String::new(),
            word_columns: 0,
            is_long: false,
            keeps_commands: false,
            is_in_command: false,
        }
    }

    /// The same, which breaks no command between backticks: it is to be pasted.
    pub fn keeping_commands(self) -> Self {
        Self { keeps_commands: true, ..self }
    }

    /// What is to be shown now that this has come.
    pub fn take(&mut self, text: &str) -> String {
        if self.columns == 0 {
            return text.to_owned();
        }
        let mut shown = String::with_capacity(text.len());
        for letter in text.chars() {
            self.letter(letter, &mut shown);
        }
        shown
    }

    /// What is to be shown when no more comes.
    pub fn rest(mut self) -> String {
        let mut shown = String::new();
        self.end_word(&mut shown);
        shown
    }

    /// What is to be shown of a text that has come as a whole.
    pub fn whole(mut self, text: &str) -> String {
        let shown = self.take(text);
        shown + &self.rest()
    }

    fn letter(&mut self, letter: char, shown: &mut String) {
        let columns = letter.width().unwrap_or_default();
        if letter == '`' && self.keeps_commands {
            self.is_in_command = !self.is_in_command;
        }
        match letter {
            '\n' => {
                self.end_word(shown);
                shown.push(letter);
                self.column = 0;
                self.is_in_command = false;
            }
            ' ' | '\t' if !self.is_in_command => {
                self.end_word(shown);
                let columns = if letter == '\t' { TAB - self.column % TAB } else { columns };
                self.put(letter.encode_utf8(&mut [0; 4]), columns, self.columns, shown);
            }
            _ if columns > 1 && !self.is_in_command => {
                self.end_word(shown);
                self.put(letter.encode_utf8(&mut [0; 4]), columns, self.words_end(), shown);
            }
            _ if self.is_long => {
                shown.push(letter);
                self.column = (self.column + columns) % self.columns;
            }
            _ => {
                self.word.push(letter);
                self.word_columns += columns;
                let held_max = HELD_MAX.min(self.words_end().saturating_sub(self.indent.width()));
                if self.word_columns > held_max {
                    self.begin_long(shown);
                }
            }
        }
    }

    /// Where words end at the latest, for a blank to have room behind them.
    fn words_end(&self) -> usize {
        self.columns.saturating_sub(1)
    }

    /// Shows what has been held back of a word that is too long for that. It may be as long as a line, and
    /// begins one.
    fn begin_long(&mut self, shown: &mut String) {
        self.put_word(0, shown);
        self.column %= self.columns;
        self.is_long = true;
    }

    fn end_word(&mut self, shown: &mut String) {
        self.is_long = false;
        if !self.word.is_empty() {
            self.put_word(self.words_end(), shown);
        }
    }

    fn put_word(&mut self, end: usize, shown: &mut String) {
        let word = std::mem::take(&mut self.word);
        let columns = std::mem::take(&mut self.word_columns);
        self.put(&word, columns, end, shown);
    }

    /// Shows what is not to be broken: in this line if it ends there by `end`, or else in the next.
    fn put(&mut self, text: &str, columns: usize, end: usize, shown: &mut String) {
        let begin = self.indent.width();
        if self.column > begin && self.column + columns > end {
            shown.push('\n');
            shown.push_str(self.indent);
            self.column = begin;
        }
        shown.push_str(text);
        self.column += columns;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXTS: [&str; 6] = [
        "The tide turns at six, and the harbour is full of fog until the sun is up.",
        "two  blanks   and\ttabs, and one at the end ",
        "see https://example.org/a/path/that/is/longer/than/most/lines/will/be/here for more of it",
        "霧が港を覆い、the tide が六時に変わる。",
        "cafe\u{301} \u{301}x naïve 👩\u{200d}🚀 ok",
        "short",
    ];

    fn flow(columns: usize) -> Flow {
        Flow::new(Some(columns), "", "")
    }

    fn columns_of(text: &str) -> usize {
        text.chars().filter_map(|letter| letter.width()).sum()
    }

    #[test]
    fn a_word_that_does_not_fit_begins_a_line() {
        for (columns, text, expected) in [
            (10, "one two three four", "one two \nthree \nfour"),
            (6, "ab\ncd ef gh", "ab\ncd ef \ngh"),
            (80, "one two", "one two"),
            (10, "a abcdefghijklmnop b c d", "a \nabcdefghijklmnop b \nc d"),
            (7, "你好世界", "你好世\n界"),
        ] {
            assert_eq!(flow(columns).whole(text), expected);
        }
        let set_in = Flow::new(Some(12), "    ", "    ");
        assert_eq!(set_in.whole("aaa bbb ccc ddd"), "aaa bbb \n    ccc ddd");
        let behind_a_name = Flow::new(Some(12), "Marit: ", "");
        assert_eq!(behind_a_name.whole("Sit down, Ann."), "Sit \ndown, Ann.");
    }

    #[test]
    fn a_command_that_is_to_be_pasted_is_kept_whole() {
        for (text, expected) in [
            ("try `genii up` now", "try \n`genii up` \nnow"),
            ("(`a b`, `c d`) e", "(`a b`, \n`c d`) e"),
            ("at `ab 你好` e", "at \n`ab 你好` e"),
            // It is longer than a line.
            ("`genii --data x up` or", "`genii --data x up` or"),
            // It does not end.
            ("a `b c\nd e f g h i j", "a `b c\nd e f g h i \nj"),
        ] {
            assert_eq!(flow(12).keeping_commands().whole(text), expected);
        }
        assert_eq!(flow(12).whole("try `genii up` now"), "try `genii \nup` now");
    }

    #[test]
    fn no_more_than_a_word_is_held_back_and_no_wide_letter() {
        let mut flow = flow(100);
        assert_eq!(flow.take("one tw"), "one ");
        assert_eq!(flow.take("o世"), "two世");
        assert_eq!(flow.take(&"x".repeat(HELD_MAX)), "");
        assert_eq!(flow.take("x"), format!("\n{}", "x".repeat(HELD_MAX + 1)));
        assert_eq!(flow.take("x"), "x");
        assert_eq!(flow.take(" y"), " ");
        assert_eq!(flow.rest(), "y");
    }

    #[test]
    fn where_the_columns_are_not_known_all_goes_on_as_it_comes() {
        let mut flow = Flow::new(None, "Marit: ", "");
        for piece in ["one tw", "o", &"x".repeat(100), "\n"] {
            assert_eq!(flow.take(piece), piece);
        }
        assert_eq!(flow.rest(), "");
    }

    #[test]
    fn it_does_not_matter_in_which_pieces_a_text_comes() {
        for text in TEXTS {
            for columns in [1, 2, 9, 20, 60] {
                let whole = flow(columns).whole(text);
                for (at, _) in text.char_indices() {
                    let mut flow = flow(columns);
                    let shown = [flow.take(&text[..at]), flow.take(&text[at..]), flow.rest()];
                    assert_eq!(shown.concat(), whole, "{columns} at {at}");
                }
                let mut flow = flow(columns);
                let letters: String =
                    text.chars().map(|letter| flow.take(&letter.to_string())).collect();
                assert_eq!(letters + &flow.rest(), whole, "{columns}");
            }
        }
    }

    #[test]
    fn no_line_is_wider_than_the_terminal_unless_a_word_is_and_nothing_is_lost() {
        for text in TEXTS {
            for columns in 1..=100 {
                let shown = flow(columns).whole(text);
                assert_eq!(shown.replace('\n', ""), text);
                for line in shown.split('\n') {
                    let has_long = line.split([' ', '\t']).any(|it| columns_of(it) >= columns);
                    assert!(columns_of(line) <= columns || has_long, "{columns}: {line:?}");
                }
            }
        }
    }
}
