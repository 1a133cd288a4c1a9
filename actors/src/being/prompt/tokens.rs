//! How many tokens a text takes.

/// Counts the tokens of a text.
pub trait TokenCounter: Send + Sync {
    /// How many tokens it takes, or a little more.
    fn count(&self, text: &str) -> u32;
}

/// Counts by letters and words, without a model's vocabulary.
///
/// A word takes a token for each 5 of its letters, begun or whole; a digit, a sign and two line breaks
/// one each; what is not ASCII one for each two of its bytes, an emoji three. A space before a word
/// takes none.
///
/// It errs towards too many, so that a prompt that fits by it fits. Against two vocabularies in wide use
/// (cl100k and o200k, of 100,000 and 200,000 tokens) it counts a quarter too many for English talk,
/// half for program text, and up to three times too many for other scripts. It can count too few, too:
/// by up to a sixth for German or the like with the smaller vocabulary, and by up to a half for random
/// letters such as keys. So leave a sixth of what a model takes unused.
#[derive(Debug, Clone, Copy, Default)]
pub struct EstimatedTokens;

/// How many ASCII letters of a word make a token.
const LETTERS_PER_TOKEN: u32 = 5;

/// How many spaces in a row make a token, after the first.
const SPACES_PER_TOKEN: u32 = 4;

impl TokenCounter for EstimatedTokens {
    fn count(&self, text: &str) -> u32 {
        let mut tokens = 0_u32;
        let mut chars = text.chars().peekable();
        while let Some(first) = chars.next() {
            let kind = Kind::of(first);
            let mut run = 1_u32;
            while kind.runs() && chars.next_if(|next| Kind::of(*next) == kind).is_some() {
                run = run.saturating_add(1);
            }
            tokens = tokens.saturating_add(kind.tokens(run));
        }
        tokens
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Letter,
    Space,
    Break,
    Sign,
    /// A character beyond ASCII of so many bytes.
    Other(u32),
}

impl Kind {
    fn of(c: char) -> Self {
        match c {
            'a'..='z' | 'A'..='Z' => Self::Letter,
            '\n' => Self::Break,
            ' ' | '\t' | '\r' => Self::Space,
            '\0'..='\x7f' => Self::Sign,
            // At most 4.
            other => Self::Other(other.len_utf8() as u32),
        }
    }

    /// Whether several in a row count together.
    fn runs(self) -> bool {
        matches!(self, Self::Letter | Self::Space | Self::Break)
    }

    fn tokens(self, run: u32) -> u32 {
        match self {
            Self::Letter => run.div_ceil(LETTERS_PER_TOKEN),
            Self::Space => (run - 1).div_ceil(SPACES_PER_TOKEN),
            Self::Break => run.div_ceil(2),
            Self::Sign => 1,
            Self::Other(4) => 3,
            Self::Other(bytes) => bytes.div_ceil(2),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_counted_as_the_doc_says() {
        for (text, tokens) in [
            ("", 0),
            ("a cat", 2),
            ("wonderful", 2),
            ("In 1984, yes.", 8),
            ("a\n\nb\nc", 5),
            ("a     b", 3),
            ("日本", 4),
            ("é", 1),
            ("\u{1f408}", 3),
        ] {
            assert_eq!(EstimatedTokens.count(text), tokens, "{text:?}");
        }
    }
}
