//! What beings of benchmarks are told and asked: sentences of words that are as frequent as in speech,
//! the same each time.

/// How many words there are.
const VOCABULARY: usize = 20_000;

const ONSETS: [&str; 14] = ["b", "d", "f", "g", "k", "l", "m", "n", "p", "r", "s", "t", "st", "br"];
const VOWELS: [&str; 6] = ["a", "e", "i", "o", "u", "ou"];
const ENDS: [&str; 6] = ["", "n", "r", "s", "l", "nd"];

/// Says one sentence after the other.
pub struct Speech(fastrand::Rng);

impl Speech {
    /// One that says the same for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    /// Something worth remembering.
    pub fn sentence(&mut self) -> String {
        self.words(12..28, ".")
    }

    /// Something to ask.
    pub fn question(&mut self) -> String {
        self.words(5..9, "?")
    }

    fn words(&mut self, count: std::ops::Range<usize>, end: &str) -> String {
        let count = self.0.usize(count);
        let words: Vec<String> = (0..count).map(|_| self.word()).collect();
        format!("{}{end}", words.join(" "))
    }

    /// By Zipf's law: the n-th word is n times rarer than the first.
    fn word(&mut self) -> String {
        let number = (self.0.f64() * (VOCABULARY as f64).ln()).exp() as usize;
        let syllable = |number: usize| {
            let (onset, rest) = (number % ONSETS.len(), number / ONSETS.len());
            let (vowel, end) = (rest % VOWELS.len(), rest / VOWELS.len() % ENDS.len());
            format!("{}{}{}", ONSETS[onset], VOWELS[vowel], ENDS[end])
        };
        let syllables = ONSETS.len() * VOWELS.len() * ENDS.len();
        format!("{}{}", syllable(number), syllable(number / syllables + number % 89))
    }
}
