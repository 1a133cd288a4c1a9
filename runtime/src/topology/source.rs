//! A file, and a place in it.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// A file that was read.
#[derive(Debug, PartialEq, Eq)]
pub struct Source {
    /// Its path as it was given, or what else it is called.
    pub name: String,
    /// Its text.
    pub text: String,
}

impl Source {
    /// A source from text.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Arc<Self> {
        Arc::new(Self { name: name.into(), text: text.into() })
    }
}

/// A place in a file.
#[derive(Clone, PartialEq, Eq)]
pub struct Place {
    /// The file.
    pub source: Arc<Source>,
    /// The bytes.
    pub span: Range<usize>,
}

impl Place {
    /// A place in a file. Bytes beyond its end count as its end.
    pub fn new(source: &Arc<Source>, span: Range<usize>) -> Self {
        let end = source.text.len();
        Self { source: source.clone(), span: span.start.min(end)..span.end.min(end) }
    }

    /// The line, counted from one.
    pub fn line(&self) -> usize {
        self.before().matches('\n').count() + 1
    }

    /// The column in characters, counted from one.
    pub fn column(&self) -> usize {
        self.before().rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1
    }

    fn before(&self) -> &str {
        let mut at = self.span.start;
        while !self.source.text.is_char_boundary(at) {
            at -= 1;
        }
        &self.source.text[..at]
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.source.name, self.line(), self.column())
    }
}

impl fmt::Debug for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_and_columns_count_from_one_and_in_characters() {
        let source = Source::new("x", "ab\ncdé\nf");
        let at = |byte: usize| Place::new(&source, byte..byte).to_string();
        assert_eq!(at(0), "x:1:1");
        assert_eq!(at(3), "x:2:1");
        assert_eq!(at(7), "x:2:4");
        assert_eq!(at(6), "x:2:3", "in the middle of a character is at its start");
        assert_eq!(at(99), "x:3:2");
    }
}
