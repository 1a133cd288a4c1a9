//! The name that was probably meant.

/// How alike two names must be for one to be taken for the other, from 0 to 1.
const LIKENESS_MIN: f64 = 0.75;

/// Of the known names the one most like `name`, if any is like it at all.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .filter(|other| *other != name)
        .map(|other| (likeness(name, other), other))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .max_by(|(a, x), (b, y)| a.total_cmp(b).then_with(|| y.cmp(x)))
        .map(|(_, other)| other)
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
}
