//! Days and months by UTC's calendar, of which a [`Timestamp`] knows nothing.
//!
//! The arithmetic is Howard Hinnant's ("chrono-compatible low-level date algorithms"): a year that
//! begins in March has its leap day at the end.

use std::fmt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Timestamp;

/// Microseconds of a day.
const DAY_MICROS: u64 = 86_400_000_000;

/// Days of 400 years.
const ERA_DAYS: u64 = 146_097;

/// From the first of March of the year 0 to 1970.
const EPOCH_DAYS: u64 = 719_468;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// A day, in the order of time. `3 May 2026` when it is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Day {
    /// The year.
    pub year: u64,
    /// From 1.
    pub month: u64,
    /// From 1.
    pub day: u64,
}

impl Day {
    /// The day of a moment.
    pub fn of(at: Timestamp) -> Self {
        let days = at.micros() / DAY_MICROS + EPOCH_DAYS;
        let (era, of_era) = (days / ERA_DAYS, days % ERA_DAYS);
        let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
        let of_year = of_era - (365 * year + year / 4 - year / 100);
        let month = (5 * of_year + 2) / 153;
        let day = of_year - (153 * month + 2) / 5 + 1;
        let is_after_december = month >= 10;
        let month = if is_after_december { month - 9 } else { month + 3 };
        Self { year: era * 400 + year + u64::from(is_after_december), month, day }
    }

    /// Whether both lie in one month.
    pub fn month_of_year(self) -> (u64, u64) {
        (self.year, self.month)
    }

    /// When it begins.
    fn begins(self) -> Timestamp {
        let is_before_march = self.month <= 2;
        let year = self.year - u64::from(is_before_march);
        let month = if is_before_march { self.month + 9 } else { self.month - 3 };
        let of_year = (153 * month + 2) / 5 + self.day - 1;
        let (era, of_era) = (year / 400, year % 400);
        let days = era * ERA_DAYS + of_era * 365 + of_era / 4 - of_era / 100 + of_year;
        at_micros((days - EPOCH_DAYS).saturating_mul(DAY_MICROS))
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.day, MONTHS[(self.month - 1) as usize], self.year)
    }
}

/// When the day after begins.
pub fn next_day(now: Timestamp) -> Timestamp {
    at_micros((now.micros() / DAY_MICROS + 1).saturating_mul(DAY_MICROS))
}

/// When the month after begins.
pub fn next_month(now: Timestamp) -> Timestamp {
    let Day { year, month, .. } = Day::of(now);
    let next = Day { year: year + month / 12, month: month % 12 + 1, day: 1 };
    next.begins()
}

fn at_micros(micros: u64) -> Timestamp {
    let then: Option<SystemTime> = UNIX_EPOCH.checked_add(Duration::from_micros(micros));
    then.unwrap_or(UNIX_EPOCH).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        serde_json::from_value(text.into()).unwrap()
    }

    fn check(now: &str, day: &str, month_ends: &str) {
        let now = at(now);
        assert_eq!(Day::of(now).to_string(), day);
        assert_eq!(next_month(now), at(month_ends));
        assert_eq!(Day::of(Day::of(now).begins()), Day::of(now));
    }

    #[test]
    fn days_and_months_are_those_of_the_calendar() {
        check("1970-01-01T00:00:00Z", "1 January 1970", "1970-02-01T00:00:00Z");
        check("2000-02-29T12:00:00Z", "29 February 2000", "2000-03-01T00:00:00Z");
        check("2026-05-03T23:59:59Z", "3 May 2026", "2026-06-01T00:00:00Z");
        check("2026-12-31T23:59:59Z", "31 December 2026", "2027-01-01T00:00:00Z");
        check("2100-02-28T00:00:00Z", "28 February 2100", "2100-03-01T00:00:00Z");
        assert_eq!(next_day(at("2024-02-28T07:00:00Z")), at("2024-02-29T00:00:00Z"));
    }

    #[test]
    fn it_agrees_with_rfc_3339_on_every_day_for_centuries() {
        for day in 0..200_000 {
            let now = at_micros(day * DAY_MICROS + 7);
            let Day { year, month, day } = Day::of(now);
            assert_eq!(now.to_string()[..10], format!("{year:04}-{month:02}-{day:02}"));
            assert_eq!(Day::of(now).begins().micros() + 7, now.micros());
        }
    }

    #[test]
    fn the_end_of_time_panics_not() {
        let far: Timestamp = crate::wire::decode(&crate::wire::encode(&u64::MAX).unwrap()).unwrap();
        next_month(far);
        next_day(far);
    }
}
