//! Dates by their numbers and months: `7 May 2024`, `May 7th`, `2024-05-07`, `in May`, `2024`.

use super::tokens::Token;
use super::{Day, Days, Named};

/// Years that a bare number may be.
const YEARS: std::ops::RangeInclusive<u32> = 1_900..=2_099;

/// Words after which `may` and `march` are months.
const BEFORE_MONTHS: [&str; 16] = [
    "in", "of", "on", "by", "during", "since", "until", "till", "last", "next", "this", "early",
    "late", "mid", "before", "after",
];

/// The date that begins with a token, and how many tokens it takes.
pub(super) fn date_at(tokens: &[Token<'_>], at: usize) -> Option<(Named, usize)> {
    let rest = &tokens[at..];
    by_numbers(rest)
        .or_else(|| day_before_month(rest))
        .or_else(|| day_after_month(rest))
        .or_else(|| month(tokens, at))
        .or_else(|| year(rest).map(|year| (year, 1)))
}

/// `2024-05-07`.
fn by_numbers(tokens: &[Token<'_>]) -> Option<(Named, usize)> {
    let [year, month, day, ..] = tokens else { return None };
    let is_joined =
        year.place.end + 1 == month.place.start && month.place.end + 1 == day.place.start;
    if !is_joined || year.text.len() != 4 || month.text.len() > 2 || day.text.len() > 2 {
        return None;
    }
    let day = Day::new(year.digits()? as i32, month.digits()?, day.digits()?)?;
    Some((Named::Days(Days::one(day)), 3))
}

/// `7 May 2024`, `7th of May`.
fn day_before_month(tokens: &[Token<'_>]) -> Option<(Named, usize)> {
    let day = day_of_month(tokens.first()?)?;
    let mut at = 1 + usize::from(is_ordinal(tokens.get(1)));
    at += usize::from(tokens.get(at).is_some_and(|token| token.is(&["of"])));
    let (month, _) = tokens.get(at)?.month()?;
    dated(month, day, tokens, at + 1)
}

/// `May 7th, 2024`, `May 7`.
fn day_after_month(tokens: &[Token<'_>]) -> Option<(Named, usize)> {
    let (month, _) = tokens.first()?.month()?;
    let the = usize::from(tokens.get(1).is_some_and(|token| token.is(&["the"])));
    let day = day_of_month(tokens.get(1 + the)?)?;
    let at = 2 + the;
    let at = at + usize::from(is_ordinal(tokens.get(at)));
    dated(month, day, tokens, at)
}

/// A day of a month, of the year that follows it if one does.
fn dated(month: u32, day: u32, tokens: &[Token<'_>], at: usize) -> Option<(Named, usize)> {
    match tokens.get(at).and_then(year_number) {
        Some(year) => Some((Named::Days(Days::one(Day::new(year, month, day)?)), at + 1)),
        // A leap year, so that its every day is one.
        None => Day::new(2_024, month, day).map(|_| (Named::Yearly { month, day: Some(day) }, at)),
    }
}

/// `May 2024`, `in May`.
fn month(tokens: &[Token<'_>], at: usize) -> Option<(Named, usize)> {
    let (month, in_full) = tokens[at].month()?;
    let of = usize::from(tokens.get(at + 1).is_some_and(|token| token.is(&["of"])));
    if let Some(year) = tokens.get(at + 1 + of).and_then(year_number) {
        return Some((Named::Days(Days::month(year, month)?), 2 + of));
    }
    let before = at.checked_sub(1).map(|before| &tokens[before]);
    let after_such = before.is_some_and(|token| token.is(&BEFORE_MONTHS));
    let is_verb_too = tokens[at].is(&["may", "march"]);
    let is_one = in_full && (after_such || !is_verb_too);
    is_one.then_some((Named::Yearly { month, day: None }, 1))
}

fn year(tokens: &[Token<'_>]) -> Option<Named> {
    Days::year(year_number(tokens.first()?)?).map(Named::Days)
}

fn year_number(token: &Token<'_>) -> Option<i32> {
    let year = token.digits().filter(|year| token.text.len() == 4 && YEARS.contains(year))?;
    Some(year as i32)
}

fn day_of_month(token: &Token<'_>) -> Option<u32> {
    token.digits().filter(|day| token.text.len() <= 2 && (1..=31).contains(day))
}

fn is_ordinal(token: Option<&Token<'_>>) -> bool {
    token.is_some_and(|token| token.is(&["st", "nd", "rd", "th"]))
}
