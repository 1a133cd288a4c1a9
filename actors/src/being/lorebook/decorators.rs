//! Decorators: lines such as `@@depth 4` before the content of an entry (V3).
//!
//! Of a name that stands twice the first counts, but for `@@additional_keys`. A line with three `@`
//! stands in for the one above it if that is not known or makes no sense.

use super::LorePosition;

/// What the decorators of an entry say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Decorators {
    pub(super) activate: bool,
    pub(super) dont_activate: bool,
    pub(super) only_after: Option<u32>,
    pub(super) only_every: Option<u32>,
    pub(super) greeting: Option<u32>,
    pub(super) scan_depth: Option<u32>,
    pub(super) depth: Option<u32>,
    pub(super) position: Option<LorePosition>,
    pub(super) first_to_go: bool,
    /// One of each is wanted.
    pub(super) additional_keys: Vec<Vec<String>>,
    /// None of these is wanted.
    pub(super) exclude_keys: Vec<String>,
}

impl Decorators {
    /// Where the entry stands, if they say; `@@position` goes before `@@depth`.
    pub(super) fn place(&self) -> Option<LorePosition> {
        self.position.or(self.depth.map(LorePosition::Depth))
    }

    /// The keys that they list.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let listed = self.additional_keys.iter().flatten().chain(&self.exclude_keys);
        listed.map(String::as_str)
    }

    /// Takes one in. Whether it is known, makes sense, and says something that has not been said.
    fn take(&mut self, name: &str, value: &str) -> bool {
        let number = value.parse::<u32>().ok();
        match name {
            "activate" => first_flag(&mut self.activate),
            "dont_activate" => first_flag(&mut self.dont_activate),
            "ignore_on_max_context" => first_flag(&mut self.first_to_go),
            "activate_only_after" => first(&mut self.only_after, number),
            "activate_only_every" => first(&mut self.only_every, number.filter(|n| *n > 0)),
            "is_greeting" => first(&mut self.greeting, number),
            "scan_depth" => first(&mut self.scan_depth, number),
            "depth" => first(&mut self.depth, number),
            "position" => first(&mut self.position, position(value)),
            "additional_keys" => {
                let keys = listed(value);
                let is_some = !keys.is_empty();
                self.additional_keys.extend(is_some.then_some(keys));
                is_some
            }
            "exclude_keys" if self.exclude_keys.is_empty() => {
                self.exclude_keys = listed(value);
                !self.exclude_keys.is_empty()
            }
            _ => false,
        }
    }
}

/// The decorators of a content, and the text without them.
pub(super) fn split(content: &str) -> (Decorators, &str) {
    let mut found = Decorators::default();
    let mut is_settled = false;
    let mut rest = content;
    while let Some((line, after)) = decorator_line(rest) {
        rest = after;
        let (fallback, line) = match line.strip_prefix("@@@") {
            Some(line) => (true, line),
            None => (false, &line[2..]),
        };
        let (name, value) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        if !(fallback && is_settled) {
            is_settled = found.take(name, value.trim());
        }
    }
    let text =
        if rest.len() == content.len() { content } else { rest.trim_start_matches(['\r', '\n']) };
    (found, text)
}

/// The first line if it is a decorator, and what follows it.
fn decorator_line(text: &str) -> Option<(&str, &str)> {
    let text = text.trim_start();
    if !text.starts_with("@@") {
        return None;
    }
    let (line, after) = text.split_once('\n').unwrap_or((text, ""));
    Some((line.trim_end(), after))
}

fn first_flag(flag: &mut bool) -> bool {
    *flag = true;
    true
}

/// Sets what is not set yet. A repetition is ignored and counts as understood.
fn first<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    let is_known = value.is_some();
    if slot.is_none() {
        *slot = value;
    }
    is_known
}

fn position(value: &str) -> Option<LorePosition> {
    match value {
        "before_desc" => Some(LorePosition::BeforeChar),
        "after_desc" => Some(LorePosition::AfterChar),
        _ => None,
    }
}

fn listed(value: &str) -> Vec<String> {
    let keys = value.split(',').map(str::trim).filter(|key| !key.is_empty());
    keys.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(content: &str, change: impl FnOnce(&mut Decorators), text: &str) {
        let mut expected = Decorators::default();
        change(&mut expected);
        assert_eq!(split(content), (expected, text), "{content:?}");
    }

    #[test]
    fn a_text_without_any_stays_as_it_is() {
        check("\nplain @@depth 4", |_| {}, "\nplain @@depth 4");
        check("", |_| {}, "");
    }

    #[test]
    fn known_ones_are_read_and_unknown_ones_ignored() {
        let content = "@@depth 4\r\n@@x_mood sad\n\n@@scan_depth 2\n\nText\n@@depth 9";
        let expected = |it: &mut Decorators| (it.depth, it.scan_depth) = (Some(4), Some(2));
        check(content, expected, "Text\n@@depth 9");
        check("@@depth four\nText", |_| {}, "Text");
        check("@@activate_only_every 0\nText", |_| {}, "Text");
        check("@@activate", |it| it.activate = true, "");
        check("@@position personality\nText", |_| {}, "Text");
    }

    #[test]
    fn the_first_of_a_name_counts() {
        check("@@depth 4\n@@depth 5\nText", |it| it.depth = Some(4), "Text");
        let both = |it: &mut Decorators| {
            it.additional_keys = vec![vec!["a".into(), "b".into()], vec!["c".into()]];
        };
        check("@@additional_keys a, b\n@@additional_keys c\nText", both, "Text");
    }

    #[test]
    fn fallbacks_stand_in_for_what_is_not_known() {
        check(
            "@@x_new 1\n@@@y_new 2\n@@@depth 3\n@@@depth 4\nText",
            |it| it.depth = Some(3),
            "Text",
        );
        let two = |it: &mut Decorators| it.scan_depth = Some(2);
        check("@@scan_depth 2\n@@@depth 3\nText", two, "Text");
    }

    #[test]
    fn a_position_goes_before_a_depth() {
        let (found, _) = split("@@depth 4\n@@position after_desc\nText");
        assert_eq!(found.place(), Some(LorePosition::AfterChar));
    }
}
