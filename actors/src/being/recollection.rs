//! What was remembered, as it is told: with the reasons in words.

use genii_protocols::being::{self, FoundWord, Likeness, NamedSpeaker, Recollection};
use genii_storage::memories::{Memory, MemoryKind, Recalled};
use genii_storage::ranking::reasons::{Reasons, Similarity, Speaker, Word};

/// How many words are told of those for which something was found.
const WORDS_TOLD_MAX: usize = 4;

/// As it is told.
pub(super) fn of(recalled: &Recalled) -> Recollection {
    Recollection {
        memory: memory(&recalled.memory),
        score: recalled.score,
        why: in_words(&recalled.reasons),
        reasons: reasons(&recalled.reasons),
    }
}

/// As it is told.
pub(super) fn memory(memory: &Memory) -> being::Memory {
    let Memory { id, kind, text, speaker, at, until, .. } = memory.clone();
    let kind = kind_told(kind);
    being::Memory { id, kind, text, speaker, at, until }
}

/// As storage knows it.
pub(super) fn kind(kind: being::MemoryKind) -> MemoryKind {
    match kind {
        being::MemoryKind::Turn => MemoryKind::Turn,
        being::MemoryKind::Note => MemoryKind::Note,
        being::MemoryKind::Fact => MemoryKind::Fact,
        being::MemoryKind::Summary => MemoryKind::Summary,
    }
}

fn kind_told(kind: MemoryKind) -> being::MemoryKind {
    match kind {
        MemoryKind::Turn => being::MemoryKind::Turn,
        MemoryKind::Note => being::MemoryKind::Note,
        MemoryKind::Fact => being::MemoryKind::Fact,
        MemoryKind::Summary => being::MemoryKind::Summary,
    }
}

fn reasons(reasons: &Reasons) -> being::Reasons {
    let word = |it: &Word| {
        let Word { word, spelt, beside, share } = it.clone();
        FoundWord { word, spelt, beside, share }
    };
    let likeness = |it: &Similarity| {
        let Similarity { cosine, beside, share } = *it;
        Likeness { cosine, beside, share }
    };
    let speaker = |it: &Speaker| NamedSpeaker { name: it.name.clone(), share: it.share };
    being::Reasons {
        words: reasons.words.iter().map(word).collect(),
        similarity: reasons.similarity.as_ref().map(likeness),
        speaker: reasons.speaker.as_ref().map(speaker),
        date: reasons.date,
        kind: reasons.kind,
    }
}

fn in_words(reasons: &Reasons) -> String {
    let mut parts = Vec::new();
    let own = reasons.words.iter().filter(|word| word.beside.is_none());
    let own: Vec<String> = own.map(told).take(WORDS_TOLD_MAX).collect();
    let beside = reasons.words.iter().filter(|word| word.beside.is_some());
    let beside: Vec<String> = beside.map(told).take(WORDS_TOLD_MAX).collect();
    if !own.is_empty() {
        parts.push(format!("it has {}", own.join(", ")));
    }
    if !beside.is_empty() {
        parts.push(format!("said beside {}", beside.join(", ")));
    }
    if let Some(speaker) = &reasons.speaker {
        parts.push(format!("said by {}", speaker.name));
    }
    if reasons.date > 0.0 {
        parts.push("of that time".to_owned());
    }
    if parts.is_empty() && reasons.similarity.is_some() {
        parts.push("it is like what was asked".to_owned());
    }
    parts.join("; ")
}

/// A word for which something was found, and whether only one that is spelt nearly so is there.
fn told(word: &Word) -> String {
    match word.spelt {
        Some(_) => format!("a word like {}", word.word),
        None => word.word.clone(),
    }
}
