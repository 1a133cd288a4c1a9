//! Keys, and the texts in which they are looked for.

use regex::{Regex, RegexBuilder};

/// How much text is searched for keys, in bytes: the newest (16 KiB).
pub const SCAN_BYTES_MAX: usize = 16 << 10;

/// How many patterns a lorebook may have: each takes up to some 200 KiB while its being is awake. Those
/// that are wrong count too, because it may take as long to find that out.
pub const PATTERNS_MAX: usize = 64;

/// How large a compiled pattern may be, in bytes.
const PATTERN_BYTES_MAX: usize = 128 << 10;

/// How much a pattern may remember while it searches, in bytes.
const PATTERN_CACHE_BYTES_MAX: usize = 64 << 10;

/// A key that can never match, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LoreProblem {
    /// Of which entry.
    pub entry: usize,
    /// The key.
    pub key: String,
    /// What is wrong with it, on one line.
    pub why: String,
}

pub(super) fn first_found<'a>(
    keys: &'a [Key],
    haystack: &Haystack,
    depth: u32,
) -> Option<(&'a Key, Place)> {
    keys.iter().find_map(|key| Some((key, haystack.find(key, depth)?)))
}

/// A key that is ready.
#[derive(Debug)]
pub(super) struct Key {
    /// As it was written.
    pub(super) shown: String,
    finder: Finder,
}

#[derive(Debug)]
enum Finder {
    Exact {
        key: String,
        is_word: bool,
    },
    /// The key in lower case.
    Folded {
        key: String,
        is_word: bool,
    },
    Pattern(Box<Regex>),
}

impl Key {
    pub(super) fn text(shown: &str, is_case_sensitive: bool, is_word: bool) -> Self {
        let finder = match is_case_sensitive {
            true => Finder::Exact { key: shown.to_owned(), is_word },
            false => Finder::Folded { key: shown.to_lowercase(), is_word },
        };
        Self { shown: shown.to_owned(), finder }
    }

    fn is_in(&self, text: &Text) -> bool {
        match &self.finder {
            Finder::Exact { key, is_word } => holds(&text.plain, key, *is_word),
            Finder::Folded { key, is_word } => holds(&text.folded, key, *is_word),
            Finder::Pattern(pattern) => pattern.is_match(&text.plain),
        }
    }
}

fn holds(text: &str, key: &str, is_word: bool) -> bool {
    if !is_word {
        return text.contains(key);
    }
    text.match_indices(key).any(|(start, _)| {
        let before = text[..start].chars().next_back();
        let after = text[start + key.len()..].chars().next();
        ![before, after].into_iter().flatten().any(char::is_alphanumeric)
    })
}

/// Compiles patterns while there is room for them.
pub(super) struct Patterns {
    left: usize,
    pub(super) problems: Vec<LoreProblem>,
}

impl Patterns {
    pub(super) fn new() -> Self {
        Self { left: PATTERNS_MAX, problems: Vec::new() }
    }

    pub(super) fn compile(
        &mut self,
        entry: usize,
        shown: &str,
        is_case_sensitive: bool,
    ) -> Option<Key> {
        match self.take(shown, is_case_sensitive) {
            Ok(found) => {
                let finder = Finder::Pattern(Box::new(found));
                Some(Key { shown: shown.to_owned(), finder })
            }
            Err(why) => {
                self.problems.push(LoreProblem { entry, key: shown.to_owned(), why });
                None
            }
        }
    }

    fn take(&mut self, shown: &str, is_case_sensitive: bool) -> Result<Regex, String> {
        if self.left == 0 {
            let why = format!("a lorebook may have {PATTERNS_MAX} patterns, and this is one more");
            return Err(why);
        }
        self.left -= 1;
        pattern(shown, is_case_sensitive).map_err(|error| reason(&error))
    }
}

/// What is wrong with a pattern. The error draws the pattern too, and says this in its last line.
fn reason(error: &regex::Error) -> String {
    if let regex::Error::CompiledTooBig(bytes_max) = error {
        return format!("it is beyond the size limit of {bytes_max} bytes, compiled");
    }
    let whole = error.to_string();
    let last = whole.lines().next_back().unwrap_or_default();
    last.strip_prefix("error: ").unwrap_or(last).to_owned()
}

/// A pattern, alone or as `/pattern/flags`.
fn pattern(shown: &str, is_case_sensitive: bool) -> Result<Regex, regex::Error> {
    let slashed = shown.strip_prefix('/').and_then(|inner| inner.rsplit_once('/'));
    let slashed = slashed.filter(|(_, flags)| flags.chars().all(|flag| "gimsuy".contains(flag)));
    let (source, flags) = slashed.unwrap_or((shown, if is_case_sensitive { "" } else { "i" }));
    RegexBuilder::new(source)
        .case_insensitive(flags.contains('i'))
        .multi_line(flags.contains('m'))
        .dot_matches_new_line(flags.contains('s'))
        .size_limit(PATTERN_BYTES_MAX)
        .dfa_size_limit(PATTERN_CACHE_BYTES_MAX)
        .build()
}

/// A text, as it is and in lower case.
struct Text {
    plain: String,
    folded: String,
}

impl Text {
    fn new(text: &str) -> Self {
        Self { plain: text.to_owned(), folded: text.to_lowercase() }
    }
}

/// Where a key was found.
pub(super) enum Place {
    Talk,
    Lore(usize),
}

/// What keys are looked for in.
pub(super) struct Haystack {
    /// The newest first.
    talk: Vec<Text>,
    lore: Vec<(usize, Text)>,
    /// How much more it may hold, in bytes.
    room: usize,
}

impl Haystack {
    pub(super) fn new(texts: &[&str]) -> Self {
        let mut room = SCAN_BYTES_MAX;
        let mut talk = Vec::new();
        for text in texts.iter().rev() {
            if room == 0 {
                break;
            }
            let end = end_of(text, room);
            room -= end.len();
            talk.push(Text::new(end));
        }
        // Lore has as much room of its own, so that a long talk does not keep it out.
        Self { talk, lore: Vec::new(), room: SCAN_BYTES_MAX }
    }

    pub(super) fn add_lore(&mut self, entry: usize, text: &str) {
        if text.len() <= self.room {
            self.room -= text.len();
            self.lore.push((entry, Text::new(text)));
        }
    }

    pub(super) fn find(&self, key: &Key, depth: u32) -> Option<Place> {
        let depth = usize::try_from(depth).unwrap_or(usize::MAX);
        if self.talk.iter().take(depth).any(|text| key.is_in(text)) {
            return Some(Place::Talk);
        }
        let lore = self.lore.iter().find(|(_, text)| key.is_in(text));
        lore.map(|(entry, _)| Place::Lore(*entry))
    }
}

/// The end of a text, at most so many bytes of it.
fn end_of(text: &str, bytes_max: usize) -> &str {
    let start = text.ceil_char_boundary(text.len().saturating_sub(bytes_max));
    &text[start..]
}
