//! Macros: `{{char}}` and the like in the texts of a character.
//!
//! Names of macros are read without regard to case. One pass puts names in, a second makes choices;
//! what either puts in is not read again by itself, and names lose their braces first, so nothing here
//! ever goes in circles, and a person who is called `{{random:a,b}}` stays who they are.
//!
//! | macro | becomes |
//! |---|---|
//! | `{{char}}`, `<BOT>`, `<CHAR>` | what the being is called: its nickname, else its name |
//! | `{{user}}`, `<USER>` | what whoever talks with it is called |
//! | `{{// text}}`, `{{comment: text}}`, `{{hidden_key:text}}` | nothing |
//! | `{{random:A,B}}` | one of them, by the seed; `\,` is a comma |
//! | `{{pick:A,B}}` | one of them, the same whatever the seed |
//! | `{{roll:N}}`, `{{roll:dN}}` | a number from 1 to N, by the seed |
//! | `{{reverse:text}}` | the text backwards |
//! | anything else | itself |
//!
//! A name may be eighty times as long as the macro that it is put in for. So a text may only grow by so
//! much, and names beyond that are not put in: their macros stay as they are.

use std::borrow::Cow;

use super::limits::NAME_CHARS_MAX;

/// By how much a text may grow when names are put in, in bytes (256 KiB): no text that is meant well
/// comes near it.
pub const GROWTH_BYTES_MAX: usize = 256 << 10;

/// Who talks with whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Names {
    being: String,
    user: String,
}

/// What whoever talks is called when they have not said; V1 demands that there is such a name.
pub const USER_DEFAULT: &str = "User";

impl Names {
    /// Of a being and of whoever talks with it. What names may not have is taken out: line breaks,
    /// control characters, braces, angle brackets, and what is more than [`NAME_CHARS_MAX`] characters.
    pub fn new(being: &str, user: &str) -> Self {
        let user = clean(user);
        let user = if user.is_empty() { USER_DEFAULT.to_owned() } else { user };
        Self { being: clean(being), user }
    }

    /// What the being is called.
    pub fn being(&self) -> &str {
        &self.being
    }

    /// What whoever talks with it is called.
    pub fn user(&self) -> &str {
        &self.user
    }
}

fn clean(name: &str) -> String {
    let is_fine = |c: &char| !c.is_control() && !"{}<>\u{2028}\u{2029}".contains(*c);
    let kept: String = name.chars().filter(is_fine).take(NAME_CHARS_MAX).collect();
    kept.trim().to_owned()
}

/// The text with its macros filled in, at most [`GROWTH_BYTES_MAX`] longer than it was. The same seed makes
/// the same choices.
pub fn expand(text: &str, names: &Names, seed: u64) -> String {
    let mut growth = GROWTH_BYTES_MAX;
    expand_within(text, names, seed, &mut growth)
}

/// The same for one of several texts that may grow by so many bytes together: what this one grows by is
/// taken off.
pub(in crate::being) fn expand_within(
    text: &str,
    names: &Names,
    seed: u64,
    growth: &mut usize,
) -> String {
    if !text.contains(['{', '<']) {
        return text.to_owned();
    }
    let named = with_names(text, names, growth);
    let mut choices = Choices { seed, made: 0 };
    each_braced(&named, |inner| choices.of(inner))
}

fn with_names(text: &str, names: &Names, growth: &mut usize) -> String {
    let braced = each_braced(text, |inner| {
        let name = match inner.trim().to_ascii_lowercase().as_str() {
            "char" => &names.being,
            "user" => &names.user,
            _ => return None,
        };
        may_grow(growth, "{{}}".len() + inner.len(), name.len()).then(|| name.clone())
    });
    let tags = [("<bot>", &names.being), ("<char>", &names.being), ("<user>", &names.user)];
    let mut out = String::with_capacity(braced.len());
    let mut rest = braced.as_str();
    while let Some(at) = rest.find('<') {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let begins = |tag: &str| {
            rest.as_bytes()
                .get(..tag.len())
                .is_some_and(|it| it.eq_ignore_ascii_case(tag.as_bytes()))
        };
        let found = tags.iter().find(|(tag, _)| begins(tag));
        match found.filter(|(tag, name)| may_grow(growth, tag.len(), name.len())) {
            Some((tag, name)) => {
                out.push_str(name);
                rest = &rest[tag.len()..];
            }
            None => {
                out.push('<');
                rest = &rest[1..];
            }
        }
    }
    out + rest
}

/// Whether a text may have so many bytes in place of others; what it grows by is then taken off.
fn may_grow(growth: &mut usize, before: usize, after: usize) -> bool {
    let left = growth.checked_sub(after.saturating_sub(before));
    *growth = left.unwrap_or(*growth);
    left.is_some()
}

/// The text with each innermost `{{...}}` replaced, where there is something to replace it with.
fn each_braced(text: &str, mut replace: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(end) = rest.find("}}") {
        // In `{{{a}}` it is the last two that open.
        let found = rest[..end]
            .rfind("{{")
            .and_then(|start| replace(&rest[start + 2..end]).map(|with| (start, with)));
        match found {
            Some((start, with)) => {
                out.push_str(&rest[..start]);
                out.push_str(&with);
            }
            None => out.push_str(&rest[..end + 2]),
        }
        rest = &rest[end + 2..];
    }
    out + rest
}

/// What is left to chance, by a seed.
struct Choices {
    seed: u64,
    made: u64,
}

impl Choices {
    fn of(&mut self, inner: &str) -> Option<String> {
        if inner.trim_start().starts_with("//") {
            return Some(String::new());
        }
        let (name, argument) = inner.split_once(':')?;
        // `{{pick::a,b}}` is written too.
        let argument = argument.strip_prefix(':').unwrap_or(argument);
        match name.trim().to_ascii_lowercase().as_str() {
            "comment" | "hidden_key" => Some(String::new()),
            "random" => Some(self.one_of(argument)),
            "pick" => Some(choose(argument, hash(0, argument))),
            "roll" => self.roll(argument),
            "reverse" => Some(argument.chars().rev().collect()),
            _ => None,
        }
    }

    fn one_of(&mut self, argument: &str) -> String {
        let number = self.next(argument);
        choose(argument, number)
    }

    fn roll(&mut self, argument: &str) -> Option<String> {
        let sides = argument.trim().trim_start_matches(['d', 'D']);
        let sides: u64 = sides.parse::<u32>().ok().filter(|sides| *sides > 0)?.into();
        Some((self.next(argument) % sides + 1).to_string())
    }

    fn next(&mut self, argument: &str) -> u64 {
        self.made += 1;
        hash(self.seed.wrapping_add(self.made), argument)
    }
}

fn choose(argument: &str, number: u64) -> String {
    const COMMA: &str = "\u{0}";
    let argument: Cow<'_, str> = if argument.contains("\\,") {
        argument.replace("\\,", COMMA).into()
    } else {
        argument.into()
    };
    let count = argument.split(',').count() as u64;
    let index = usize::try_from(number % count).unwrap_or(0);
    argument.split(',').nth(index).unwrap_or_default().replace(COMMA, ",")
}

/// FNV-1a, with SplitMix64's last steps so that its low bits are good too. Not for secrets.
fn hash(seed: u64, text: &str) -> u64 {
    let step = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = text.bytes().fold(seed ^ 0xcbf2_9ce4_8422_2325, step);
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: &str) {
        assert_eq!(expand(text, &Names::new("Ada", "Bo"), 1), expected, "{text}");
    }

    #[test]
    fn names_are_put_in() {
        check("{{char}} meets {{User}}, <BOT> <user> <Char>", "Ada meets Bo, Ada Bo Ada");
        check("{{ char }}", "Ada");
        check(
            "a < b, <b>, {{unknown}}, {{, }}, {{char}",
            "a < b, <b>, {{unknown}}, {{, }}, {{char}",
        );
        check("{{{char}}}", "{Ada}");
    }

    #[test]
    fn comments_go() {
        check("a{{// {{char}} is secret}}b{{comment: c}}{{hidden_key:d}}", "ab");
    }

    #[test]
    fn choices_follow_the_seed() {
        let names = Names::new("Ada", "Bo");
        let text = "{{random:{{char}} sits,{{user}} stands}}";
        let said: std::collections::BTreeSet<String> =
            (0..64).map(|seed| expand(text, &names, seed)).collect();
        let both = ["Ada sits", "Bo stands"].map(str::to_owned);
        assert_eq!(said, std::collections::BTreeSet::from(both));
        assert_eq!(expand(text, &names, 5), expand(text, &names, 5));
        let picked: std::collections::BTreeSet<String> =
            (0..64).map(|seed| expand("{{pick::a,b,c}}", &names, seed)).collect();
        assert_eq!(picked.len(), 1, "a pick does not change with the seed");
        check("{{random:a\\,b}}", "a,b");
        check("{{reverse:Hello}}", "olleH");
    }

    #[test]
    fn dice_have_the_sides_they_should() {
        let names = Names::new("Ada", "Bo");
        for seed in 0..100 {
            let rolled: u32 = expand("{{roll:d6}}", &names, seed).parse().unwrap();
            assert!((1..=6).contains(&rolled));
        }
        check("{{roll:0}} {{roll:x}}", "{{roll:0}} {{roll:x}}");
    }

    #[test]
    fn names_cannot_be_macros_or_markup() {
        let names = Names::new("Ada", "{{random:x,y}}\n<system>");
        assert_eq!(expand("{{user}}", &names, 1), "random:x,ysystem");
        assert_eq!(Names::new("Ada", " \n ").user(), USER_DEFAULT);
        let long = Names::new("Ada", &"x".repeat(9_999));
        assert_eq!(long.user().len(), NAME_CHARS_MAX);
    }

    #[test]
    fn a_text_of_names_grows_only_by_so_much() {
        let names = Names::new(&"\u{1f408}".repeat(NAME_CHARS_MAX), "Bo");
        for tag in ["<BOT>", "{{char}}"] {
            let text = tag.repeat(20_000);
            let expanded = expand(&text, &names, 1);
            assert!(expanded.len() <= text.len() + GROWTH_BYTES_MAX, "{tag}: {}", expanded.len());
            assert!(expanded.starts_with(names.being()) && expanded.ends_with(tag), "{tag}");
        }
        // What is not meant ill has room enough.
        let text = "{{char}} and {{user}}. ".repeat(10_000);
        let names = Names::new("Ada Lovelace", "Charles Babbage");
        assert_eq!(expand(&text, &names, 1), "Ada Lovelace and Charles Babbage. ".repeat(10_000));
    }

    #[test]
    fn many_braces_take_little_time() {
        let text = "{{".repeat(100_000) + &"}}".repeat(100_000);
        assert_eq!(expand(&text, &Names::new("Ada", "Bo"), 1), text);
    }
}
