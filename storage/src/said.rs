//! What LanceDB and redb say of what went wrong, as a person may read it: they add to many an error where in their
//! source it was made, and that is a path of the machine that built them.

use std::error::Error;
use std::fmt;

/// What the name of a source file ends with, before the number of a line in it.
const LINE_OF: &str = ".rs:";

/// How a place in a source file begins in what is written for whoever seeks faults (`{:?}`), as a panic may say.
const SHOWN: &str = "Location {";

/// What an error and everything beneath it said, in one text.
#[derive(Debug)]
pub(crate) struct Said(String);

impl Said {
    pub(crate) fn of(error: &(dyn Error + 'static)) -> Self {
        let chain = std::iter::successors(Some(error), |error| (*error).source());
        let words = chain.map(|error| without_places(&error.to_string()));
        let mut words: Vec<String> = words.collect();
        // Some repeat what is beneath them.
        words.dedup_by(|beneath, above| above.contains(beneath.as_str()));
        Self(words.join(": "))
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Said {}

/// A text without the places in source files that it names.
pub(crate) fn without_places(text: &str) -> String {
    let text = without_shown(text);
    let (mut left, mut rest) = (String::with_capacity(text.len()), text.as_str());
    while let Some((before, behind)) = around_place(rest) {
        left.push_str(before);
        rest = behind;
    }
    left.push_str(rest);
    left
}

/// The same of those that are written as [`SHOWN`].
fn without_shown(text: &str) -> String {
    let mut parts = text.split(SHOWN);
    let mut left = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        left.push_str("Location");
        left.push_str(part.split_once('}').map_or("", |(_, behind)| behind));
    }
    left
}

/// What stands before the first place that a text names, and what stands behind it.
fn around_place(text: &str) -> Option<(&str, &str)> {
    let (at, behind) = text
        .match_indices(LINE_OF)
        .find_map(|(at, end)| Some((at, behind_numbers(&text[at + end.len()..])?)))?;
    let begins = path_begins(&text[..at]);
    Some((without_lead(&text[..begins]), behind))
}

/// What stands behind the number of a line, and that of a column if there is one; `None` if no number is there.
fn behind_numbers(text: &str) -> Option<&str> {
    let behind = behind_number(text)?;
    Some(behind.strip_prefix(':').and_then(behind_number).unwrap_or(behind))
}

fn behind_number(text: &str) -> Option<&str> {
    let behind = text.trim_start_matches(|letter: char| letter.is_ascii_digit());
    (behind.len() < text.len()).then_some(behind)
}

/// Where the path begins with which a text ends. Blanks may be in one that begins at the root.
fn path_begins(text: &str) -> usize {
    match text.rfind(" /") {
        Some(at) if !text[at..].contains(", ") => at + 1,
        _ => text.rfind(' ').map_or(0, |at| at + 1),
    }
}

/// A text without what leads up to a place behind it: `at`, `location:`, a comma or a colon.
fn without_lead(text: &str) -> &str {
    let text = text.trim_end();
    let text = text.strip_suffix("location:").map_or(text, str::trim_end);
    let text = text.strip_suffix(" at").unwrap_or(text);
    text.strip_suffix([',', ':']).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_place_in_a_source_file_is_told() {
        for (text, told) in [
            (
                "LanceError(IO): full, /home/a b/.cargo/lance-io/src/local.rs:12:34",
                "LanceError(IO): full",
            ),
            ("an append: a, location: /x/write.rs:9:9: b", "an append: a: b"),
            ("/data/x is no file of /data, src/y.rs:1:2", "/data/x is no file of /data"),
            ("it failed at /x/y.rs:7", "it failed"),
            ("one, /x/a.rs:1:2: and two, /x/b.rs:3:4", "one: and two"),
            (
                "IO { location: Location { file: \"/x/y.rs\", line: 5, column: 3 }, source }",
                "IO { location: Location, source }",
            ),
            ("it is poisoned: /x/y.rs:5:3", "it is poisoned"),
            ("/x/y.rs:5:3", ""),
        ] {
            assert_eq!(without_places(text), told, "{text}");
        }
    }

    #[test]
    fn whatever_else_is_told_stays() {
        for text in ["", "/data/marit.rs: no such file", "a.rs, b.rs: 7", "on line 7:3", "mars:7"] {
            assert_eq!(without_places(text), text);
        }
    }

    #[test]
    fn what_is_beneath_an_error_is_told_once() {
        let beneath = std::io::Error::other("the disk is gone");
        let error = lance::Error::io_source(Box::new(std::io::Error::other(beneath)));
        assert_eq!(Said::of(&error).to_string(), "LanceError(IO): the disk is gone");
    }
}
