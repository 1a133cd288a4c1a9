//! From a text to the numbers of its tokens.

use std::fmt;

use tokenizers::{PostProcessor, Tokenizer, TruncationParams};

use super::error::OpenModelError;
use super::folder::ModelFolder;
use super::runtime::RunFault;

/// What stands for nothing, where the tokenizer does not say it otherwise.
const PADDINGS: [&str; 2] = ["[PAD]", "<pad>"];

/// The tokens of a text, as a model wants them.
pub(super) struct Tokens {
    pub(super) ids: Vec<i64>,
    pub(super) kinds: Vec<i64>,
    /// How many of them are of the text, and not the tokenizer's own.
    of_text: usize,
}

impl Tokens {
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// Whether there is nothing of the text in them.
    pub(super) fn is_empty(&self) -> bool {
        self.of_text == 0
    }
}

/// The tokenizer of a model.
pub(super) struct Tokenizing {
    tokenizer: Tokenizer,
    lower_case: bool,
    text_bytes_max: usize,
    /// What a row is filled up with.
    padding: i64,
}

impl Tokenizing {
    pub(super) fn new(
        found: &ModelFolder,
        tokens_max: usize,
        text_bytes_max: usize,
    ) -> Result<Self, OpenModelError> {
        let path = &found.tokenizer;
        let fault = |cause: String| OpenModelError::Tokenizer { path: path.clone(), cause };
        let bytes = std::fs::read(path)
            .map_err(|source| OpenModelError::Unreadable { path: path.clone(), source })?;
        let mut tokenizer =
            Tokenizer::from_bytes(bytes).map_err(|cause| fault(cause.to_string()))?;
        let added = tokenizer.get_post_processor().map_or(0, |adding| adding.added_tokens(false));
        if tokens_max <= added {
            return Err(OpenModelError::NoRoomForText { tokens_max, added });
        }
        let padding = padding(&tokenizer);
        let truncation = TruncationParams { max_length: tokens_max, ..TruncationParams::default() };
        tokenizer
            .with_padding(None)
            .with_truncation(Some(truncation))
            .map_err(|cause| fault(cause.to_string()))?;
        let lower_case = found.lower_case;
        Ok(Self { tokenizer, lower_case, text_bytes_max, padding })
    }

    pub(super) fn padding(&self) -> i64 {
        self.padding
    }

    /// The tokens of a text, or of its beginning if it is long.
    pub(super) fn tokens(&self, text: &str) -> Result<Tokens, RunFault> {
        let text = &text[..text.floor_char_boundary(self.text_bytes_max)];
        let encoding = if self.lower_case {
            self.tokenizer.encode_fast(text.to_lowercase(), true)
        } else {
            self.tokenizer.encode_fast(text, true)
        };
        let encoding =
            encoding.map_err(|error| RunFault::Failed(format!("its tokenizer says: {error}")))?;
        let of_text = encoding.get_special_tokens_mask().iter().filter(|&&special| special == 0);
        Ok(Tokens {
            ids: encoding.get_ids().iter().copied().map(i64::from).collect(),
            kinds: encoding.get_type_ids().iter().copied().map(i64::from).collect(),
            of_text: of_text.count(),
        })
    }
}

fn padding(tokenizer: &Tokenizer) -> i64 {
    let said = tokenizer.get_padding().map(|padding| padding.pad_id);
    let known = || PADDINGS.iter().find_map(|token| tokenizer.token_to_id(token));
    said.or_else(known).unwrap_or_default().into()
}

impl fmt::Debug for Tokenizing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without the tokenizer, which is a dictionary of tens of thousands of words.
        f.debug_struct("Tokenizing")
            .field("text_bytes_max", &self.text_bytes_max)
            .finish_non_exhaustive()
    }
}
