//! Words that are spelt nearly alike.

/// Words of fewer letters are too easily like another one.
const LETTERS_MIN: usize = 5;

/// From so many letters on, two mistakes are borne.
const LETTERS_FOR_TWO: usize = 8;

/// A word that may be misspelt, for comparing it with many.
#[derive(Debug, Clone)]
pub(super) struct Spelling {
    word: String,
    term: String,
    letters: usize,
    /// How many letters may be wrong, missing, too many or in each other's place.
    mistakes_max: usize,
    /// Which letters are in the word and in its term.
    sets: [u32; 2],
}

impl Spelling {
    /// A word with its term, unless it is too short.
    pub(super) fn new(word: &str, term: &str) -> Option<Self> {
        let letters = word.chars().count();
        if letters < LETTERS_MIN {
            return None;
        }
        let mistakes_max = if letters < LETTERS_FOR_TWO { 1 } else { 2 };
        let sets = [letter_set(word), letter_set(term)];
        Some(Self { word: word.to_owned(), term: term.to_owned(), letters, mistakes_max, sets })
    }

    /// With what a term begins that may be like it: one of these bytes.
    pub(super) fn first_bytes(&self) -> impl Iterator<Item = u8> {
        [&self.word, &self.term].into_iter().filter_map(|own| own.bytes().next())
    }

    /// How alike it is to a term, from 0 for another word to 1. Compared are both the word and its own
    /// term, because a mistake can change which ending is taken off.
    pub(super) fn likeness(&self, other: &str) -> f32 {
        let set = letter_set(other);
        let mistakes = [(&self.word, self.sets[0]), (&self.term, self.sets[1])]
            .into_iter()
            .filter(|(own, own_set)| self.may_be_near(own, *own_set, other, set))
            .map(|(own, _)| strsim::osa_distance(own, other))
            .min();
        match mistakes {
            Some(mistakes) if mistakes <= self.mistakes_max => {
                1.0 - mistakes as f32 / self.letters as f32
            }
            _ => 0.0,
        }
    }

    /// What a glance tells, so that few pairs are compared letter by letter. People rarely get the
    /// first letter wrong, and a mistake changes at most two of the letters that there are.
    fn may_be_near(&self, own: &str, own_set: u32, other: &str, set: u32) -> bool {
        own.chars().next() == other.chars().next()
            && own.len().abs_diff(other.len()) <= 4 * self.mistakes_max
            && (own_set ^ set).count_ones() as usize <= 2 * self.mistakes_max
    }
}

fn letter_set(word: &str) -> u32 {
    word.chars().fold(0, |set, letter| set | 1 << (letter as u32 % 32))
}
