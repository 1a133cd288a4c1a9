//! `being budget`: what a being may spend, and what it has spent.

use std::str::FromStr;

use genii_protocols::Timestamp;
use genii_protocols::being::{SetBudget, ShowBeing};
use genii_protocols::budget::{self, BudgetLimits};
use serde::{Deserialize, Serialize};

use super::{Being, WAITS_FOR_BEING, reach, words};
use crate::commands::{Command, Out, Refusal, Side};
use crate::screen::Screen;

pub struct Budget;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    being: Being,
    #[command(flatten)]
    limits: Limits,
}

/// The limits that change; the others stay. A number below 0 is no flag, and is told for what it is.
#[derive(Debug, Default, clap::Args, Serialize, Deserialize)]
pub struct Limits {
    /// Questions in a day; `none` for no limit
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    requests_per_day: Option<Limit>,
    /// Questions in a month; `none` for no limit
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    requests_per_month: Option<Limit>,
    /// Questions, ever; `none` for no limit
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    requests_in_all: Option<Limit>,
    /// Tokens of prompts and answers in a day; `none` for no limit
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    tokens_per_day: Option<Limit>,
    /// Tokens of prompts and answers in a month; `none` for no limit
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    tokens_per_month: Option<Limit>,
    /// Tokens of prompts and answers, ever; `none` for no limit
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    tokens_in_all: Option<Limit>,
}

/// How much it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Limit {
    /// As much as it likes.
    None,
    /// So much.
    Most(u64),
}

impl FromStr for Limit {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.eq_ignore_ascii_case("none") {
            return Ok(Self::None);
        }
        let count = text.replace('_', "").parse();
        count.map(Self::Most).map_err(|_| "it must be a number from 0, or none".to_owned())
    }
}

impl Limits {
    /// The limits with what changes; `None` if nothing does.
    fn over(&self, limits: BudgetLimits) -> Option<BudgetLimits> {
        let or = |changed: Option<Limit>, now| match changed {
            Some(Limit::Most(most)) => Some(most),
            Some(Limit::None) => None,
            None => now,
        };
        let next = BudgetLimits {
            requests_per_day: or(self.requests_per_day, limits.requests_per_day),
            requests_per_month: or(self.requests_per_month, limits.requests_per_month),
            requests_in_all: or(self.requests_in_all, limits.requests_in_all),
            tokens_per_day: or(self.tokens_per_day, limits.tokens_per_day),
            tokens_per_month: or(self.tokens_per_month, limits.tokens_per_month),
            tokens_in_all: or(self.tokens_in_all, limits.tokens_in_all),
        };
        (next != limits).then_some(next)
    }
}

impl Command for Budget {
    const NAME: &'static str = "being budget";
    const ABOUT: &'static str = "Show or set what a being may spend; what it has spent stays";
    const EXAMPLES: &'static [&'static str] = &[
        "being budget marit",
        "being budget marit --tokens-per-day 200_000 --requests-per-day 500",
        "being budget marit --tokens-per-day none",
    ];
    const WAITS_FOR: &'static str = WAITS_FOR_BEING;
    type Args = Args;
    type Said = budget::Budget;

    async fn serve(args: Args, side: Side, out: Out<budget::Budget>) -> Result<(), Refusal> {
        let id = args.being.id;
        let now = reach::ask(&side, &id, ShowBeing {}).await?.budget;
        let budget = match args.limits.over(now.limits) {
            Some(limits) => reach::ask(&side, &id, SetBudget { limits }).await?,
            None => now,
        };
        out.say(budget).await
    }

    fn show(budget: budget::Budget, screen: &mut Screen) {
        let at = Timestamp::now();
        let now = budget.at(at);
        let limits = words::limits(&now.limits, now.today, now.this_month, now.in_all);
        if limits.is_empty() {
            screen.line("it may spend as much as it likes");
        }
        for line in limits.into_iter().chain(words::nothing_left(&now, at)) {
            screen.line(line);
        }
        let rows = [("today", now.today), ("this month", now.this_month), ("in all", now.in_all)];
        let row = |(when, spent): (&str, budget::Spent)| {
            vec![when.to_owned(), spent.requests.to_string(), spent.tokens.to_string()]
        };
        screen.table(&["spent", "questions", "tokens"], rows.map(row).to_vec());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_are_not_named_stay() {
        let now = BudgetLimits {
            requests_per_day: Some(5),
            tokens_in_all: Some(9),
            ..BudgetLimits::default()
        };
        assert_eq!(Limits::default().over(now), None);
        let change = Limits {
            tokens_per_day: "20_000".parse().ok(),
            requests_per_day: "none".parse().ok(),
            ..Limits::default()
        };
        // As it comes to whoever does it.
        let change: Limits = serde_json::from_value(serde_json::to_value(change).unwrap()).unwrap();
        let next = change.over(now).unwrap();
        assert_eq!((next.tokens_per_day, next.requests_per_day), (Some(20_000), None));
        assert_eq!(next.tokens_in_all, Some(9));
        assert!("many".parse::<Limit>().unwrap_err().contains("none"));
    }
}
