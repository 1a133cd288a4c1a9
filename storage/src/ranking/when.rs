//! How well a memory fits the days that are asked about.

use crate::text::Analysis;
use crate::text::dates::{Day, Days, Named};

/// People tell of something for some days after it: after so many, 0.37 of the fit is left.
const TOLD_AFTER_DAYS: f32 = 15.0;

/// What is told before the day is a plan at best: half the fit, and after so many days 0.37 of it.
const TOLD_BEFORE_DAYS: f32 = 7.0;
const PLAN: f32 = 0.5;

/// From 0 for not at all to 1 for of those days: the best of the dates asked about, of the day on which
/// the memory was told and of the days that it names.
pub(super) fn fit(asked: &[Named], memory: &Analysis) -> f32 {
    asked.iter().map(|date| fit_one(*date, memory)).fold(0.0, f32::max)
}

fn fit_one(asked: Named, memory: &Analysis) -> f32 {
    let told = around(asked, memory.day).map(|days| told_fit(days, memory.day)).fold(0.0, f32::max);
    let named = memory.dates.iter().map(|named| named_fit(asked, *named)).fold(0.0, f32::max);
    told.max(named)
}

/// The days that are asked about, in the years around a day if the question does not say of which.
fn around(asked: Named, day: Day) -> impl Iterator<Item = Days> {
    let year = day.date().0;
    let last = if asked.days().is_some() { year } else { year.saturating_add(1) };
    let first = if asked.days().is_some() { year } else { year.saturating_sub(1) };
    (first..=last).filter_map(move |year| asked.days_in(year))
}

fn told_fit(asked: Days, told: Day) -> f32 {
    if told > asked.last {
        return (-(told.0.abs_diff(asked.last.0) as f32) / TOLD_AFTER_DAYS).exp();
    }
    if told < asked.first {
        return PLAN * (-(asked.first.0.abs_diff(told.0) as f32) / TOLD_BEFORE_DAYS).exp();
    }
    1.0
}

/// The share of the days named that are among those asked about.
fn named_fit(asked: Named, named: Days) -> f32 {
    let share = |days: Days| days.shared(named) as f32 / named.count() as f32;
    around(asked, named.first).map(share).fold(0.0, f32::max)
}
