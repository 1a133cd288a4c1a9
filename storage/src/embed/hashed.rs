//! The default embedder: words and their trigrams, hashed. It needs no model and no download, and finds
//! what is spelt alike; of meaning it knows nothing.

use std::collections::BTreeMap;

use super::{EmbedError, Embedder};
use crate::text;

/// How many numbers a vector has. Half as many find clearly less, and twice as many little more
/// (`docs/recall.md`).
const DIMENSIONS: usize = 256;

/// What a whole word weighs beside its trigrams together.
const TERM_SHARE: f32 = 0.5;

/// Goes up whenever a text may give another vector than before.
const VERSION: u32 = 1;

/// Hashes words and trigrams of a text into a vector. The same text gives the same vector on every
/// machine.
#[derive(Debug, Clone)]
pub struct Hashed {
    name: String,
}

impl Hashed {
    /// The embedder.
    pub fn new() -> Self {
        Self { name: format!("hashed-{DIMENSIONS}-v{VERSION}-text-v{}", text::VERSION) }
    }
}

impl Default for Hashed {
    fn default() -> Self {
        Self::new()
    }
}

impl Embedder for Hashed {
    fn name(&self) -> &str {
        &self.name
    }

    fn dimensions(&self) -> usize {
        DIMENSIONS
    }

    fn is_quick(&self) -> bool {
        true
    }

    fn embed(&self, texts: &[&str]) -> Result<Vec<Vec<f32>>, EmbedError> {
        Ok(texts.iter().map(|text| vector(text)).collect())
    }
}

fn vector(text: &str) -> Vec<f32> {
    let mut counts: BTreeMap<(String, String), u32> = BTreeMap::new();
    for term_and_word in text::terms_and_words(text) {
        *counts.entry(term_and_word).or_default() += 1;
    }
    let mut vector = vec![0.0; DIMENSIONS];
    for ((term, word), count) in counts {
        add(&mut vector, &term, &word, weight(count));
    }
    normalise(&mut vector);
    vector
}

/// What a term weighs that occurs so often: 1, 2, 2, 3, 3, 3, 3, 4 ... A logarithm in whole numbers,
/// because that of a standard library is not the same to the last bit on all machines.
fn weight(count: u32) -> f32 {
    (count.ilog2() + 1) as f32
}

/// Adds a term, and the trigrams of the word that it is of, which weigh more together: whole words are
/// also found by the full-text index, misspelt ones by these alone.
fn add(vector: &mut [f32], term: &str, word: &str, weight: f32) {
    place(vector, hash(&bounded(term)), TERM_SHARE * weight);
    let letters = bounded(word);
    let trigrams = letters.windows(3);
    let share = weight / (trigrams.len().max(1) as f32).sqrt();
    for trigram in trigrams {
        place(vector, hash(trigram), share);
    }
}

/// The letters of a word between two signs, so that its beginning and end are told from its middle.
fn bounded(word: &str) -> Vec<u32> {
    [u32::from('^')]
        .into_iter()
        .chain(word.chars().map(u32::from))
        .chain([u32::from('$')])
        .collect()
}

/// Adds at the place that a hash says, with the sign that it says, so that what meets there by chance
/// cancels out as often as it adds up. (Weinberger and others, "Feature hashing for large scale
/// multitask learning", 2009.)
fn place(vector: &mut [f32], hash: u64, amount: f32) {
    let at = (hash >> 1) as usize % vector.len();
    vector[at] += if hash & 1 == 1 { amount } else { -amount };
}

/// FNV-1a over letters, and the last step of SplitMix64, because FNV leaves its low bits poorly mixed.
/// Written here because it must never change.
fn hash(letters: &[u32]) -> u64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let hashed =
        letters.iter().fold(OFFSET, |hash, letter| (hash ^ u64::from(*letter)).wrapping_mul(PRIME));
    let mixed = (hashed ^ (hashed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// Makes it of length one, if it has any.
fn normalise(vector: &mut [f32]) {
    let length = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
    if length > 0.0 {
        vector.iter_mut().for_each(|number| *number /= length);
    }
}

#[cfg(test)]
mod tests;
