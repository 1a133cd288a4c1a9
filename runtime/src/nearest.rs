//! The name that was probably meant.

/// How alike two names must be for one to be taken for the other, from 0 to 1.
const LIKENESS_MIN: f64 = 0.75;

/// How many times as long as the other one of two names may be. Beyond that nobody has made a slip,
/// and they are not compared: that takes as long as the product of their lengths.
const LONGER_MAX: usize = 4;

/// Of the known names the one most like `name`, if any is like it at all.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .filter(|other| *other != name && are_about_as_long(name, other))
        .map(|other| (likeness(name, other), other))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(a, x), (b, y)| a.total_cmp(b).then_with(|| y.cmp(x)))
        .map(|(_, other)| other)
}

fn are_about_as_long(a: &str, b: &str) -> bool {
    let (short, long) = (a.len().min(b.len()), a.len().max(b.len()));
    long <= LONGER_MAX * short
}

fn likeness(a: &str, b: &str) -> f64 {
    strsim::jaro_winkler(a, b).max(strsim::normalized_damerau_levenshtein(a, b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_recognised_and_a_stranger_is_not() {
        let known = ["memory/session-memory", "memory/memory-client", "core/coordinator"];
        assert_eq!(nearest("memory/sesion-memory", known), Some("memory/session-memory"));
        assert_eq!(nearest("core/cordinator", known), Some("core/coordinator"));
        assert_eq!(nearest("zzz/qqq", known), None);
        assert_eq!(nearest("core/coordinator", ["core/coordinator"]), None);
    }

    #[test]
    fn what_is_far_too_long_is_not_even_compared() {
        let began = std::time::Instant::now();
        assert_eq!(nearest(&"core/coordinator".repeat(1 << 17), ["core/coordinator"; 8]), None);
        assert!(began.elapsed() < std::time::Duration::from_secs(1), "{:?}", began.elapsed());
    }
}
