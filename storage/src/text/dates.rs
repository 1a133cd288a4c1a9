//! Days and spans of days, and how people name them.
//!
//! Days are counted in the world's time (UTC), by the calendar of today in all years.

use genii_protocols::Timestamp;
use serde::{Deserialize, Serialize};

mod named;
mod relative;
mod tokens;

pub(super) use self::tokens::{Token, is_stampish, tokens};

const MICROS_PER_DAY: u64 = 24 * 3_600 * 1_000_000;

/// A day, counted from 1 January 1970.
#[derive(
    Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
pub struct Day(pub i32);

/// Some days on end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Days {
    /// The first of them.
    pub first: Day,
    /// The last of them, not before the first.
    pub last: Day,
}

/// What a text calls a date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Named {
    /// Certain days: `7 May 2024`, `May 2024`, `last week`.
    Days(Days),
    /// Days of any year: `7 May`, `in May`.
    Yearly {
        /// From 1.
        month: u32,
        /// From 1; none for the whole month.
        day: Option<u32>,
    },
}

impl Day {
    /// The day of a moment.
    pub fn of(at: Timestamp) -> Self {
        Self((at.micros() / MICROS_PER_DAY).try_into().unwrap_or(i32::MAX))
    }

    /// The day of a date, if there is such a day. (Howard Hinnant, "chrono-compatible low-level date
    /// algorithms": the year begins in March, so that the leap day is its last.)
    pub fn new(year: i32, month: u32, day: u32) -> Option<Self> {
        if !(1..=9_999).contains(&year) || !(1..=12).contains(&month) || day == 0 {
            return None;
        }
        let year = if month <= 2 { year - 1 } else { year };
        let (era, year_of_era) = (year.div_euclid(400), year.rem_euclid(400));
        let month_from_march = (month as i32 + 9) % 12;
        let day_of_year = (153 * month_from_march + 2) / 5 + day as i32 - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let found = Self(era * 146_097 + day_of_era - 719_468);
        // A day that the month does not have has come out as one of the next month.
        (found.date().1 == month).then_some(found)
    }

    /// Its year, month and day of the month.
    pub fn date(self) -> (i32, u32, u32) {
        let days = i64::from(self.0) + 719_468;
        let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        (year as i32, month as u32, day as u32)
    }

    /// So many days later.
    pub fn plus(self, days: i32) -> Self {
        Self(self.0.saturating_add(days))
    }

    /// What a full-text index holds of it: `#2024-05-07`, `#2024-05`, `#2024`, `#05-07`, `#05`.
    pub fn marks(self) -> [String; 5] {
        let (year, month, day) = self.date();
        [
            format!("#{year:04}-{month:02}-{day:02}"),
            format!("#{year:04}-{month:02}"),
            format!("#{year:04}"),
            format!("#{month:02}-{day:02}"),
            format!("#{month:02}"),
        ]
    }
}

impl Days {
    /// One day.
    pub fn one(day: Day) -> Self {
        Self { first: day, last: day }
    }

    /// A month, if there is such a month.
    pub fn month(year: i32, month: u32) -> Option<Self> {
        let first = Day::new(year, month, 1)?;
        let (next_year, next_month) = if month == 12 { (year + 1, 1) } else { (year, month + 1) };
        let next = Day::new(next_year, next_month, 1).unwrap_or(first.plus(31));
        Some(Self { first, last: next.plus(-1) })
    }

    /// A year, if it is one that can be written with four digits.
    pub fn year(year: i32) -> Option<Self> {
        Some(Self { first: Day::new(year, 1, 1)?, last: Day::new(year, 12, 31)? })
    }

    /// How many days they are.
    pub fn count(self) -> u32 {
        self.last.0.abs_diff(self.first.0).saturating_add(1)
    }

    /// How many of them are also among others.
    pub fn shared(self, others: Self) -> u32 {
        let (first, last) = (self.first.max(others.first), self.last.min(others.last));
        if first > last { 0 } else { Self { first, last }.count() }
    }
}

impl Named {
    /// Which days these are, if that is certain.
    pub fn days(self) -> Option<Days> {
        match self {
            Self::Days(days) => Some(days),
            Self::Yearly { .. } => None,
        }
    }

    /// Which days these are in a year.
    pub fn days_in(self, year: i32) -> Option<Days> {
        match self {
            Self::Days(days) => Some(days),
            Self::Yearly { month, day: None } => Days::month(year, month),
            Self::Yearly { month, day: Some(day) } => Day::new(year, month, day).map(Days::one),
        }
    }
}

/// The dates that a text names, in their order. `today` is what `yesterday` and `last week` go by;
/// without it they name nothing.
pub fn named(text: &str, today: Option<Day>) -> Vec<Named> {
    let tokens = tokens(text);
    let mut dates = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let found = named::date_at(&tokens, at)
            .or_else(|| today.and_then(|today| relative::date_at(&tokens, at, today)));
        at += match found {
            Some((date, length)) => {
                dates.push(date);
                length
            }
            None => 1,
        };
    }
    dates
}

/// Whether a text speaks of when something is, be it only `recently` or `for two weeks`.
pub fn is_about_time(text: &str) -> bool {
    let tokens = tokens(text);
    (0..tokens.len()).any(|at| {
        named::date_at(&tokens, at).is_some()
            || relative::is_time_word(&tokens[at])
            || relative::is_span(&tokens[at..])
    })
}

/// The day that tokens name in full, wherever among them.
pub(super) fn full_day(tokens: &[Token<'_>]) -> Option<Day> {
    let date = (0..tokens.len()).find_map(|at| named::date_at(tokens, at)?.0.days())?;
    (date.count() == 1).then_some(date.first)
}

#[cfg(test)]
mod tests;
