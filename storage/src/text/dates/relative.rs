//! Dates by their distance from today: `yesterday`, `last week`, `two months ago`, `on Monday`.

use super::tokens::Token;
use super::{Day, Days, Named};

/// Units of time that people count in.
#[derive(Clone, Copy, PartialEq)]
enum Unit {
    Day,
    Week,
    Weekend,
    Month,
    Year,
}

/// The furthest that is counted: more units than this from today name nothing.
const COUNT_MAX: u32 = 1_000;

const WEEKDAYS: [&str; 7] =
    ["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"];

const TIME_WORDS: [&str; 13] = [
    "today",
    "tonight",
    "yesterday",
    "tomorrow",
    "ago",
    "recently",
    "lately",
    "since",
    "weekend",
    "weekends",
    "nowadays",
    "midnight",
    "noon",
];

/// What makes a span of time with the word that follows.
const BEFORE_SPANS: [&str; 13] = [
    "a",
    "an",
    "few",
    "couple",
    "several",
    "many",
    "last",
    "next",
    "this",
    "past",
    "every",
    "each",
    "following",
];

const SPANS: [&str; 24] = [
    "day", "days", "week", "weeks", "weekend", "weekends", "month", "months", "year", "years",
    "night", "nights", "morning", "evening", "hour", "hours", "minutes", "summer", "winter",
    "spring", "autumn", "fall", "decade", "century",
];

/// The date that begins with a token, and how many tokens it takes.
pub(super) fn date_at(tokens: &[Token<'_>], at: usize, today: Day) -> Option<(Named, usize)> {
    let rest = &tokens[at..];
    let (days, length) =
        by_name(rest, today).or_else(|| beside(rest, today)).or_else(|| ago(rest, today))?;
    Some((Named::Days(days), length))
}

/// Whether a word alone is about time.
pub(super) fn is_time_word(token: &Token<'_>) -> bool {
    token.is(&TIME_WORDS) || is_weekday(token)
}

/// Whether tokens begin with a span of time: `two weeks`, `last night`, `couple of days`.
pub(super) fn is_span(tokens: &[Token<'_>]) -> bool {
    let [first, rest @ ..] = tokens else { return false };
    if first.number().is_none() && !first.is(&BEFORE_SPANS) {
        return false;
    }
    let rest = after_of(rest);
    rest.first().is_some_and(|unit| unit.is(&SPANS))
}

pub(in crate::text) fn is_weekday(token: &Token<'_>) -> bool {
    token.is(&WEEKDAYS)
}

/// `yesterday`.
fn by_name(tokens: &[Token<'_>], today: Day) -> Option<(Days, usize)> {
    let distance = match &*tokens.first()?.lower {
        "today" | "tonight" => 0,
        "yesterday" => -1,
        "tomorrow" => 1,
        _ => return None,
    };
    Some((Days::one(today.plus(distance)), 1))
}

/// `last week`, `this month`, `next Friday`, `on Monday`.
fn beside(tokens: &[Token<'_>], today: Day) -> Option<(Days, usize)> {
    let [which, what, ..] = tokens else { return None };
    let count = match &*which.lower {
        "last" | "past" | "previous" | "on" => -1,
        "this" => 0,
        "next" | "coming" => 1,
        _ => return None,
    };
    if let Some(weekday) = WEEKDAYS.iter().position(|name| *name == what.lower) {
        let day = if count > 0 { next(weekday, today) } else { previous(weekday, today) };
        return Some((Days::one(day), 2));
    }
    let unit = unit(what).filter(|_| !which.is(&["on"]))?;
    Some((shifted(unit, count, today)?, 2))
}

/// `two weeks ago`, `a couple of days ago`.
fn ago(tokens: &[Token<'_>], today: Day) -> Option<(Days, usize)> {
    let skipped =
        usize::from(matches!(tokens, [a, few, ..] if a.is(&["a"]) && few.is(&["few", "couple"])));
    let (count, rest) = tokens[skipped..].split_first()?;
    let count = match &*count.lower {
        "a" | "an" => 1,
        "couple" => 2,
        "few" => 3,
        _ => count.number().filter(|count| *count <= COUNT_MAX)?,
    };
    let of = rest.len();
    let rest = after_of(rest);
    let [what, ago, ..] = rest else { return None };
    if !ago.is(&["ago"]) {
        return None;
    }
    let days = shifted(unit(what)?, -(count as i32), today)?;
    Some((days, skipped + 1 + (of - rest.len()) + 2))
}

fn unit(token: &Token<'_>) -> Option<Unit> {
    Some(match &*token.lower {
        "day" | "days" | "night" | "nights" | "morning" | "evening" | "afternoon" => Unit::Day,
        "week" | "weeks" => Unit::Week,
        "weekend" | "weekends" => Unit::Weekend,
        "month" | "months" => Unit::Month,
        "year" | "years" => Unit::Year,
        _ => return None,
    })
}

/// The unit so many before or after that of today.
fn shifted(unit: Unit, count: i32, today: Day) -> Option<Days> {
    let monday = today.plus(-weekday(today) + 7 * count);
    let (year, month, _) = today.date();
    Some(match unit {
        Unit::Day => Days::one(today.plus(count)),
        Unit::Week => Days { first: monday, last: monday.plus(6) },
        Unit::Weekend => Days { first: monday.plus(5), last: monday.plus(6) },
        Unit::Month => {
            let months = year * 12 + month as i32 - 1 + count;
            Days::month(months.div_euclid(12), months.rem_euclid(12) as u32 + 1)?
        }
        Unit::Year => Days::year(year + count)?,
    })
}

/// From Monday, 0.
fn weekday(day: Day) -> i32 {
    // 1 January 1970 was a Thursday.
    (day.0.rem_euclid(7) + 3) % 7
}

/// The last such weekday before today.
fn previous(wanted: usize, today: Day) -> Day {
    let back = (weekday(today) - wanted as i32).rem_euclid(7);
    today.plus(-if back == 0 { 7 } else { back })
}

/// The first such weekday after today.
fn next(wanted: usize, today: Day) -> Day {
    let ahead = (wanted as i32 - weekday(today)).rem_euclid(7);
    today.plus(if ahead == 0 { 7 } else { ahead })
}

/// Leaves out an `of` in front.
fn after_of<'a, 't>(tokens: &'a [Token<'t>]) -> &'a [Token<'t>] {
    match tokens {
        [of, rest @ ..] if of.is(&["of"]) => rest,
        _ => tokens,
    }
}
