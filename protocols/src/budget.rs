//! What a being may spend, and what it has spent: questions and tokens, by day, by month and in all.
//!
//! A plain value without a clock: it is told the time, and is stored and sent as it is. Days and
//! months are those of UTC.
//!
//! | case | what follows |
//! |---|---|
//! | no limit is set | all is admitted |
//! | a limit would be passed | refused, with the limit and the time when it is free again |
//! | a question alone is larger than a limit | refused, and no time will help |
//! | several limits would be passed | refused by the one that is free again last |
//! | a question took more or less than was counted | the rest is counted, or what was too much taken back |
//! | a day or a month is over meanwhile | what was counted in it stays; only what is more is counted in the next |
//! | a day or a month is over | its count begins again; the count in all goes on |
//! | the clock goes back | nothing is forgotten: counts go on until the time has come back |

use std::fmt;

use crate::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::calendar::{Day, next_day, next_month};

/// What may be spent; what is not set is not limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct BudgetLimits {
    /// Questions in a day.
    pub requests_per_day: Option<u64>,
    /// Questions in a month.
    pub requests_per_month: Option<u64>,
    /// Questions, ever.
    pub requests_in_all: Option<u64>,
    /// Tokens of prompts and answers in a day.
    pub tokens_per_day: Option<u64>,
    /// Tokens of prompts and answers in a month.
    pub tokens_per_month: Option<u64>,
    /// Tokens of prompts and answers, ever.
    pub tokens_in_all: Option<u64>,
}

/// How much was spent in some time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Spent {
    /// Questions.
    pub requests: u64,
    /// Tokens.
    pub tokens: u64,
}

impl Spent {
    fn add(&mut self, tokens: u64) {
        self.requests = self.requests.saturating_add(1);
        self.tokens = self.tokens.saturating_add(tokens);
    }

    /// Counts what a question took beyond what was counted of it, or takes back what was too much, if that
    /// was counted here.
    fn correct(&mut self, counted: u64, took: u64, is_counted_here: bool) {
        self.tokens = self.tokens.saturating_add(took.saturating_sub(counted));
        if is_counted_here {
            self.tokens = self.tokens.saturating_sub(counted.saturating_sub(took));
            self.requests = self.requests.saturating_sub(u64::from(took == 0));
        }
    }
}

/// What may be spent, and what was.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Budget {
    /// What may be spent.
    pub limits: BudgetLimits,
    /// What was spent on the day of `counted_at`.
    pub today: Spent,
    /// What was spent in the month of `counted_at`.
    pub this_month: Spent,
    /// What was spent, ever.
    pub in_all: Spent,
    /// When something was counted last, if ever.
    pub counted_at: Option<Timestamp>,
}

/// What a limit counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BudgetOf {
    /// Questions.
    Requests,
    /// Tokens.
    Tokens,
}

impl BudgetOf {
    /// What it counts, as it stands behind so many.
    fn after(self, count: u64) -> &'static str {
        match (self, count) {
            (Self::Requests, 1) => "question",
            (Self::Requests, _) => "questions",
            (Self::Tokens, 1) => "token",
            (Self::Tokens, _) => "tokens",
        }
    }
}

/// For what time a limit holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BudgetFor {
    /// A day.
    Day,
    /// A month.
    Month,
    /// For good.
    Ever,
}

impl fmt::Display for BudgetFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Day => "a day",
            Self::Month => "a month",
            Self::Ever => "in all",
        })
    }
}

/// Why nothing more may be spent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error(
    "the budget is {limit} {} {per}, {spent} {} spent, and this takes {wanted} more; {}",
    self.what(),
    self.is_or_are(),
    self.advice()
)]
pub struct BudgetSpent {
    /// What the limit counts.
    pub of: BudgetOf,
    /// For what time it holds.
    pub per: BudgetFor,
    /// How much it is.
    pub limit: u64,
    /// How much of it is spent.
    pub spent: u64,
    /// How much was wanted.
    pub wanted: u64,
    /// When that much is free again, if time helps.
    pub free_at: Option<Timestamp>,
}

impl BudgetSpent {
    fn what(&self) -> &'static str {
        self.of.after(self.limit)
    }

    fn is_or_are(&self) -> &'static str {
        if self.spent == 1 { "is" } else { "are" }
    }

    fn advice(&self) -> String {
        self.free_at.map_or_else(
            || "only a larger budget helps".to_owned(),
            |at| format!("it is free again at {at}"),
        )
    }
}

impl Budget {
    /// A budget of which nothing is spent.
    pub fn new(limits: BudgetLimits) -> Self {
        Self { limits, ..Self::default() }
    }

    /// Whether one more question may be asked that takes so many tokens. Counts nothing.
    ///
    /// # Errors
    /// When a limit would be passed.
    pub fn admit(&self, now: Timestamp, tokens: u64) -> Result<(), BudgetSpent> {
        let current = self.at(now);
        let refusals = current.periods(now).into_iter().flat_map(|period| period.refusals(tokens));
        // Without a time it is never free again, which is later than any time.
        let last = refusals.max_by_key(|refusal| (refusal.free_at.is_none(), refusal.free_at));
        last.map_or(Ok(()), Err)
    }

    /// Counts a question that took so many tokens, whether or not there was budget for it: an answer
    /// may take more than was thought. It counts under the time that `counted_at` is then.
    pub fn charge(&mut self, now: Timestamp, tokens: u64) {
        *self = self.at(now);
        self.today.add(tokens);
        self.this_month.add(tokens);
        self.in_all.add(tokens);
        // It never goes back, so that a clock that does makes no new day.
        self.counted_at = self.counted_at.max(Some(now));
    }

    /// Corrects what was [charged](Self::charge) and counts under some time, so many tokens, now that it is
    /// known how many it took; none if the question was not asked after all.
    pub fn correct(&mut self, charged_at: Timestamp, charged: u64, took: u64) {
        let (then, counted) = (Day::of(charged_at), self.counted_at.map(Day::of));
        let is_this_day = counted == Some(then);
        let is_this_month = counted.map(Day::month_of_year) == Some(then.month_of_year());
        self.today.correct(charged, took, is_this_day);
        self.this_month.correct(charged, took, is_this_month);
        self.in_all.correct(charged, took, true);
    }

    /// The same, with the counts of what is over struck off.
    #[must_use]
    pub fn at(&self, now: Timestamp) -> Self {
        let Some(counted) = self.counted_at.map(Day::of) else { return *self };
        let day = Day::of(now);
        let mut current = *self;
        if day > counted {
            current.today = Spent::default();
        }
        if day.month_of_year() > counted.month_of_year() {
            current.this_month = Spent::default();
        }
        current
    }

    fn periods(&self, now: Timestamp) -> [Period; 3] {
        let limits = &self.limits;
        // If the clock went back, counts go on until the end of the later day.
        let now = self.counted_at.map_or(now, |counted| counted.max(now));
        let period =
            |per, spent, requests, tokens, next| Period { per, spent, requests, tokens, next };
        [
            period(
                BudgetFor::Day,
                self.today,
                limits.requests_per_day,
                limits.tokens_per_day,
                Some(next_day(now)),
            ),
            period(
                BudgetFor::Month,
                self.this_month,
                limits.requests_per_month,
                limits.tokens_per_month,
                Some(next_month(now)),
            ),
            period(
                BudgetFor::Ever,
                self.in_all,
                limits.requests_in_all,
                limits.tokens_in_all,
                None,
            ),
        ]
    }
}

/// A time for which limits hold.
struct Period {
    per: BudgetFor,
    spent: Spent,
    requests: Option<u64>,
    tokens: Option<u64>,
    /// When the next one begins.
    next: Option<Timestamp>,
}

impl Period {
    fn refusals(&self, tokens: u64) -> impl Iterator<Item = BudgetSpent> + use<> {
        let requests = self.refusal(BudgetOf::Requests, self.requests, self.spent.requests, 1);
        let tokens = self.refusal(BudgetOf::Tokens, self.tokens, self.spent.tokens, tokens);
        requests.into_iter().chain(tokens)
    }

    fn refusal(
        &self,
        of: BudgetOf,
        limit: Option<u64>,
        spent: u64,
        wanted: u64,
    ) -> Option<BudgetSpent> {
        let limit = limit.filter(|limit| spent.saturating_add(wanted) > *limit)?;
        // The next day helps only who fits into an empty one.
        let free_at = self.next.filter(|_| wanted <= limit);
        Some(BudgetSpent { of, per: self.per, limit, spent, wanted, free_at })
    }
}

#[cfg(test)]
mod tests {
    use crate::wire;

    use super::*;

    fn at(text: &str) -> Timestamp {
        serde_json::from_value(text.into()).unwrap()
    }

    const NOON: &str = "2026-05-31T12:00:00Z";

    /// A budget after so many questions of 10 tokens each.
    fn after(questions: usize, limits: BudgetLimits) -> Budget {
        let mut budget = Budget::new(limits);
        (0..questions).for_each(|_| budget.charge(at(NOON), 10));
        budget
    }

    #[test]
    fn no_limit_is_set() {
        let budget = after(1_000, BudgetLimits::default());
        budget.admit(at(NOON), u64::MAX).unwrap();
        assert_eq!(budget.in_all, Spent { requests: 1_000, tokens: 10_000 });
    }

    #[test]
    fn a_limit_would_be_passed() {
        let budget = after(2, BudgetLimits { requests_per_day: Some(2), ..Default::default() });
        let refusal = budget.admit(at(NOON), 1).unwrap_err();
        assert_eq!(
            refusal.to_string(),
            "the budget is 2 questions a day, 2 are spent, and this takes 1 more; it is free again \
             at 2026-06-01T00:00:00.000Z"
        );
        budget.admit(at("2026-06-01T00:00:00Z"), 1).unwrap();
        let budget = after(1, BudgetLimits { requests_in_all: Some(1), ..Default::default() });
        assert_eq!(
            budget.admit(at(NOON), 1).unwrap_err().to_string(),
            "the budget is 1 question in all, 1 is spent, and this takes 1 more; only a larger \
             budget helps"
        );
        let budget = after(2, BudgetLimits { tokens_per_day: Some(25), ..Default::default() });
        budget.admit(at(NOON), 5).unwrap();
        assert_eq!(budget.admit(at(NOON), 6).unwrap_err().of, BudgetOf::Tokens);
    }

    #[test]
    fn a_question_alone_is_larger_than_a_limit() {
        let budget = after(0, BudgetLimits { tokens_per_day: Some(25), ..Default::default() });
        let refusal = budget.admit(at(NOON), 26).unwrap_err();
        assert_eq!(refusal.free_at, None);
        assert!(refusal.to_string().ends_with("only a larger budget helps"), "{refusal}");
    }

    #[test]
    fn several_limits_would_be_passed() {
        let day_and_month = BudgetLimits {
            requests_per_day: Some(1),
            tokens_per_month: Some(10),
            ..Default::default()
        };
        let early = at("2026-05-03T12:00:00Z");
        let mut budget = Budget::new(day_and_month);
        budget.charge(early, 10);
        let refusal = budget.admit(early, 1).unwrap_err();
        assert_eq!((refusal.per, refusal.of), (BudgetFor::Month, BudgetOf::Tokens));
        budget.limits.requests_in_all = Some(1);
        let refusal = budget.admit(early, 1).unwrap_err();
        assert_eq!((refusal.per, refusal.free_at), (BudgetFor::Ever, None));
    }

    #[test]
    fn a_day_or_a_month_is_over() {
        let mut budget = after(3, BudgetLimits::default());
        budget.charge(at("2026-06-01T00:00:00Z"), 5);
        assert_eq!(budget.today, Spent { requests: 1, tokens: 5 });
        assert_eq!(budget.this_month, budget.today);
        budget.charge(at("2026-06-02T00:00:00Z"), 5);
        assert_eq!(budget.today, Spent { requests: 1, tokens: 5 });
        assert_eq!(budget.this_month, Spent { requests: 2, tokens: 10 });
        assert_eq!(budget.in_all, Spent { requests: 5, tokens: 40 });
    }

    #[test]
    fn a_question_took_more_or_less_than_was_counted() {
        for (took, expected) in [
            (10, Spent { requests: 2, tokens: 20 }),
            (15, Spent { requests: 2, tokens: 25 }),
            (4, Spent { requests: 2, tokens: 14 }),
            // It was not asked after all.
            (0, Spent { requests: 1, tokens: 10 }),
        ] {
            let mut budget = after(2, BudgetLimits::default());
            budget.correct(at(NOON), 10, took);
            assert_eq!([budget.today, budget.this_month, budget.in_all], [expected; 3], "{took}");
        }
    }

    #[test]
    fn a_day_or_a_month_is_over_meanwhile() {
        for (took, next, in_all) in [(4, 5, 9), (15, 10, 20), (0, 5, 5)] {
            let mut budget = after(1, BudgetLimits::default());
            budget.charge(at("2026-06-01T00:00:00Z"), 5);
            budget.correct(at(NOON), 10, took);
            let all = [budget.today.tokens, budget.this_month.tokens, budget.in_all.tokens];
            assert_eq!(all, [next, next, in_all], "{took}");
            assert_eq!(budget.today.requests, 1, "{took}");
        }
    }

    #[test]
    fn the_clock_goes_back() {
        let mut budget = after(2, BudgetLimits { requests_per_day: Some(2), ..Default::default() });
        let before = at("2026-04-01T00:00:00Z");
        let refusal = budget.admit(before, 0).unwrap_err();
        assert_eq!(refusal.free_at, Some(at("2026-06-01T00:00:00Z")));
        budget.charge(before, 10);
        assert_eq!((budget.today.requests, budget.counted_at), (3, Some(at(NOON))));
        budget.correct(budget.counted_at.unwrap(), 10, 0);
        assert_eq!(budget.today, Spent { requests: 2, tokens: 20 });
    }

    #[test]
    fn counts_never_overflow() {
        let mut budget = after(1, BudgetLimits { tokens_in_all: Some(5), ..Default::default() });
        budget.charge(at(NOON), u64::MAX);
        budget.charge(at(NOON), u64::MAX);
        assert_eq!(budget.in_all.tokens, u64::MAX);
        assert!(budget.admit(at(NOON), 0).is_err());
    }

    #[test]
    fn it_survives_the_wire() {
        let budget = after(3, BudgetLimits { tokens_per_day: Some(5), ..Default::default() });
        let bytes = wire::encode(&budget).unwrap();
        assert_eq!(wire::decode::<Budget>(&bytes).unwrap(), budget);
        let text = serde_json::to_string(&budget).unwrap();
        assert_eq!(serde_json::from_str::<Budget>(&text).unwrap(), budget);
    }
}
