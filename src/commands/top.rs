//! `top`: the busiest agents, again and again.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::time::Duration;

use genii_protocols::{TimeSpan, Timestamp};
use genii_runtime::house::Row;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, MissedTickBehavior};

use super::{Command, Out, Refusal, Side, ps};
use crate::screen::{Screen, millis, seconds};

/// The shortest time between two looks.
const EVERY_MIN: Duration = Duration::from_millis(100);

pub struct Top;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    /// How often to look
    #[arg(long, value_name = "TIME", default_value = "1s")]
    every: TimeSpan,
    /// How many times to look; until interrupted if not given
    #[arg(long, short = 'n', value_name = "TIMES")]
    count: Option<u64>,
    /// How many agents to show
    #[arg(long, value_name = "AGENTS", default_value_t = 20)]
    limit: usize,
}

/// One look.
#[derive(Debug, Serialize, Deserialize)]
pub struct Look {
    at: Timestamp,
    /// How many agents are in each state, by state.
    states: Vec<(String, usize)>,
    /// Messages handled in a second, by all.
    handled_per_second: f64,
    /// Letters that reached nobody, ever.
    dead_letters: u64,
    agents: Vec<Busy>,
}

/// An agent with how busy it is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Busy {
    #[serde(flatten)]
    row: Row,
    /// Messages handled in a second since the last look.
    handled_per_second: f64,
}

impl Command for Top {
    const NAME: &'static str = "top";
    const ABOUT: &'static str = "Show the busiest agents, live";
    const EXAMPLES: &'static [&'static str] = &["top", "top --every 5s --limit 10", "top -n 1"];
    type Args = Args;
    type Said = Look;

    async fn serve(args: Args, side: Side, out: Out<Look>) -> Result<(), Refusal> {
        let mut ticks = tokio::time::interval(args.every.0.max(EVERY_MIN));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut before = Before { at: Instant::now(), handled: handled(&ps::agents(&side.house)) };
        let mut looks = 0;
        while args.count.is_none_or(|count| looks < count) {
            ticks.tick().await;
            out.say(before.look(&side, args.limit)).await?;
            looks += 1;
        }
        Ok(())
    }

    fn show(said: Look, screen: &mut Screen) {
        screen.clear();
        let states: Vec<String> = (said.states.iter())
            .map(|(state, agents)| format!("{agents} {}", screen.state(state)))
            .collect();
        screen.line(format!(
            "{}  {}  {:.0} messages/s  {} dead letters",
            said.at,
            states.join(", "),
            said.handled_per_second,
            said.dead_letters
        ));
        let header = ["agent", "state", "for", "msg/s", "handled", "depth", "p99", "restarts"];
        let cells = |busy: &Busy| {
            let counted = busy.row.counted.unwrap_or_default();
            vec![
                busy.row.name.clone(),
                screen.state(&busy.row.state),
                busy.row.for_seconds.map(seconds).unwrap_or_default(),
                format!("{:.0}", busy.handled_per_second),
                counted.handled.to_string(),
                counted.depth.to_string(),
                counted.p99_ms.map(millis).unwrap_or_default(),
                counted.restarts.to_string(),
            ]
        };
        let rows = said.agents.iter().map(cells).collect();
        screen.table(&header, rows);
    }
}

/// What had been handled at the last look.
struct Before {
    at: Instant,
    handled: HashMap<String, u64>,
}

fn handled(rows: &[Row]) -> HashMap<String, u64> {
    let handled = |row: &Row| row.counted.unwrap_or_default().handled;
    rows.iter().map(|row| (row.name.clone(), handled(row))).collect()
}

impl Before {
    fn look(&mut self, side: &Side, limit: usize) -> Look {
        let mut rows = ps::agents(&side.house);
        // What is counted elsewhere is not known here.
        rows.retain(|row| row.counted.is_some());
        let now = Instant::now();
        let long = (now - self.at).as_secs_f64().max(0.001);
        let mut states: Vec<(String, usize)> = Vec::new();
        let mut agents = Vec::with_capacity(rows.len());
        let after = handled(&rows);
        for row in rows {
            match states.iter_mut().find(|(state, _)| *state == row.state) {
                Some((_, agents)) => *agents += 1,
                None => states.push((row.state.to_string(), 1)),
            }
            let before = self.handled.get(&row.name).copied().unwrap_or(0);
            let handled_per_second = after[&row.name].saturating_sub(before) as f64 / long;
            agents.push(Busy { row, handled_per_second });
        }
        (self.at, self.handled) = (now, after);
        let total = agents.iter().map(|busy| busy.handled_per_second).sum();
        agents.sort_by(|a, b| {
            let by_rate = b.handled_per_second.total_cmp(&a.handled_per_second);
            let rank = |busy: &Busy| Reverse(busy.row.counted.unwrap_or_default().depth);
            let by_depth = rank(a).cmp(&rank(b)).then_with(|| a.row.name.cmp(&b.row.name));
            by_rate.then(by_depth)
        });
        agents.truncate(limit);
        states.sort();
        let dead_letters = side.house.node().dead_letters().total();
        Look { at: Timestamp::now(), states, handled_per_second: total, dead_letters, agents }
    }
}
