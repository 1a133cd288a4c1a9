//! Words that say nothing, and one form for all forms of a word.
//!
//! English by its rules (Porter's second stemmer) and its exceptions. Words of other languages go
//! through unharmed: the same word always gives the same term, only its other forms may not.

use rust_stemmers::{Algorithm, Stemmer};

use super::TERMS_MAX;
use super::words::folded_words;

/// Function words of English, sorted: articles, pronouns, auxiliaries, prepositions, conjunctions,
/// question words.
#[rustfmt::skip]
const SILENT: [&str; 134] = [
    "a", "about", "again", "all", "also", "am", "an", "and", "any", "are", "as", "at", "be",
    "been", "being", "both", "but", "by", "can", "cannot", "cant", "could", "did", "didnt",
    "do", "does", "doing", "done", "dont", "down", "each", "else", "few", "for", "from", "had",
    "has", "have", "having", "he", "her", "here", "hers", "herself", "him", "himself", "his",
    "how", "i", "if", "im", "in", "into", "is", "isnt", "it", "its", "itself", "ive", "just",
    "may", "me", "might", "mine", "more", "most", "must", "my", "myself", "no", "nor", "not",
    "of", "off", "on", "only", "onto", "or", "other", "our", "ours", "ourselves", "out", "over",
    "own", "same", "shall", "she", "should", "so", "some", "such", "than", "that", "thats",
    "the", "their", "theirs", "them", "themselves", "then", "there", "these", "they", "this",
    "those", "to", "too", "under", "up", "us", "very", "was", "we", "were", "what", "whats",
    "when", "where", "which", "who", "whom", "whose", "why", "will", "with", "wont", "would",
    "you", "your", "youre", "yours", "yourself", "yourselves",
];

/// Forms that no rule finds, sorted: strong verbs, old plurals, what people call their family, and
/// numbers in words. A form that is a common word of its own (`rose`, `bit`) is not among them.
#[rustfmt::skip]
const IRREGULAR: [(&str, &str); 179] = [
    ("arisen", "arise"), ("arose", "arise"), ("ate", "eat"), ("beaten", "beat"),
    ("became", "become"), ("began", "begin"), ("begun", "begin"), ("bent", "bend"),
    ("bitten", "bite"), ("blew", "blow"), ("blown", "blow"), ("bought", "buy"),
    ("broke", "break"), ("broken", "break"), ("brought", "bring"), ("built", "build"),
    ("burnt", "burn"), ("came", "come"), ("caught", "catch"), ("children", "child"),
    ("chose", "choose"), ("chosen", "choose"), ("crept", "creep"), ("dad", "father"),
    ("daddy", "father"), ("dealt", "deal"), ("drank", "drink"), ("drawn", "draw"),
    ("dreamt", "dream"), ("drew", "draw"), ("driven", "drive"), ("drove", "drive"),
    ("drunk", "drink"), ("dug", "dig"), ("eaten", "eat"), ("eight", "8"), ("eleven", "11"),
    ("fallen", "fall"), ("fed", "feed"), ("feet", "foot"), ("fell", "fall"), ("felt", "feel"),
    ("fifty", "50"), ("five", "5"), ("fled", "flee"), ("flew", "fly"), ("flown", "fly"),
    ("forbidden", "forbid"), ("forgave", "forgive"), ("forgiven", "forgive"),
    ("forgot", "forget"), ("forgotten", "forget"), ("forty", "40"), ("fought", "fight"),
    ("found", "find"), ("four", "4"), ("froze", "freeze"), ("frozen", "freeze"),
    ("gave", "give"), ("geese", "goose"), ("given", "give"), ("goes", "go"), ("gone", "go"),
    ("got", "get"), ("gotten", "get"), ("grandad", "grandfather"), ("granddad", "grandfather"),
    ("grandma", "grandmother"), ("grandpa", "grandfather"), ("granny", "grandmother"),
    ("grew", "grow"), ("grown", "grow"), ("halves", "half"), ("heard", "hear"),
    ("held", "hold"), ("hid", "hide"), ("hidden", "hide"), ("hundred", "100"), ("hung", "hang"),
    ("kept", "keep"), ("kid", "child"), ("kids", "child"), ("knelt", "kneel"), ("knew", "know"),
    ("knives", "knife"), ("known", "know"), ("laid", "lay"), ("leapt", "leap"),
    ("learnt", "learn"), ("led", "lead"), ("left", "leave"), ("lent", "lend"),
    ("loaves", "loaf"), ("lost", "lose"), ("made", "make"), ("mama", "mother"),
    ("meant", "mean"), ("men", "man"), ("met", "meet"), ("mice", "mouse"), ("mom", "mother"),
    ("mommy", "mother"), ("mum", "mother"), ("mummy", "mother"), ("nine", "9"),
    ("overcame", "overcome"), ("paid", "pay"), ("papa", "father"), ("ran", "run"),
    ("rang", "ring"), ("ridden", "ride"), ("risen", "rise"), ("rode", "ride"), ("rung", "ring"),
    ("said", "say"), ("sang", "sing"), ("sank", "sink"), ("sat", "sit"), ("saw", "see"),
    ("seen", "see"), ("sent", "send"), ("seven", "7"), ("shaken", "shake"),
    ("shelves", "shelf"), ("shone", "shine"), ("shook", "shake"), ("shown", "show"),
    ("six", "6"), ("slept", "sleep"), ("slid", "slide"), ("sold", "sell"), ("sought", "seek"),
    ("spent", "spend"), ("spoke", "speak"), ("spoken", "speak"), ("stole", "steal"),
    ("stolen", "steal"), ("stood", "stand"), ("struck", "strike"), ("stuck", "stick"),
    ("stung", "sting"), ("sung", "sing"), ("sunk", "sink"), ("swam", "swim"),
    ("swept", "sweep"), ("swore", "swear"), ("sworn", "swear"), ("swum", "swim"),
    ("taken", "take"), ("taught", "teach"), ("teeth", "tooth"), ("ten", "10"),
    ("thieves", "thief"), ("thirty", "30"), ("thought", "think"), ("thousand", "1000"),
    ("three", "3"), ("threw", "throw"), ("thrown", "throw"), ("told", "tell"), ("took", "take"),
    ("tore", "tear"), ("torn", "tear"), ("twelve", "12"), ("twenty", "20"), ("two", "2"),
    ("understood", "understand"), ("went", "go"), ("wept", "weep"), ("wives", "wife"),
    ("woke", "wake"), ("woken", "wake"), ("wolves", "wolf"), ("women", "woman"), ("won", "win"),
    ("wore", "wear"), ("worn", "wear"), ("written", "write"), ("wrote", "write"),
];

/// What an apostrophe may be followed by without changing what a word means.
const ENDINGS: [&str; 6] = ["s", "ll", "re", "ve", "d", "m"];

/// The terms of a text, each with the word that it is of. See [`super::terms`].
pub(crate) fn terms(text: &str) -> Vec<(String, String)> {
    let with_term = |word: String| Some((term(&word)?, word));
    let telling: Vec<_> = folded_words(text).filter_map(with_term).take(TERMS_MAX).collect();
    if !telling.is_empty() {
        return telling;
    }
    let as_it_is = |word: String| (word.replace('\'', ""), word);
    folded_words(text).map(as_it_is).take(TERMS_MAX).collect()
}

/// Whether a folded word says nothing by itself.
pub(crate) fn is_silent(word: &str) -> bool {
    SILENT.binary_search(&word).is_ok()
}

/// The term of a folded word, unless it says nothing.
fn term(word: &str) -> Option<String> {
    let word = bare(word)?;
    if word.is_empty() || is_silent(&word) {
        return None;
    }
    let base = match IRREGULAR.binary_search_by_key(&word.as_str(), |(form, _)| form) {
        Ok(at) => IRREGULAR[at].1,
        Err(_) => word.as_str(),
    };
    // The rules are for letters of English, and are asked about nothing else.
    if base.len() < 3 || !base.bytes().all(|byte| byte.is_ascii_lowercase()) {
        return Some(base.to_owned());
    }
    // Making one costs nothing: it is a pointer to its rules.
    Some(Stemmer::create(Algorithm::English).stem(base).into_owned())
}

/// A word without its apostrophe and what that brings: `Ann's` and `she'll`; none of `don't`.
fn bare(word: &str) -> Option<String> {
    let Some((stem, ending)) = word.rsplit_once('\'') else {
        return Some(word.to_owned());
    };
    match (stem, ending) {
        (_, "t") if stem.ends_with('n') => None,
        _ if ENDINGS.contains(&ending) => Some(stem.replace('\'', "")),
        // `l'amour`, `d'accord`; but not `o'clock`.
        _ if stem.len() == 1 && stem != "o" => Some(ending.to_owned()),
        _ => Some(word.replace('\'', "")),
    }
}
