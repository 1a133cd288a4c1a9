//! `being show`: who a being is, what it has, and how it is.

use genii_actors::being::character::Names;
use genii_actors::being::character::macros::expand;
use genii_protocols::being::{
    AskHealth, BeingHealth, BeingInfo, ProviderInfo, ShowBeing, ShowProvider,
};
use genii_protocols::beings::{BeingEntry, BeingState};
use genii_protocols::{Name, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

use super::{Being, WAITS_FOR_BEING, reach, words};
use crate::commands::{Command, Out, Refusal, Side};
use crate::screen::Screen;

/// How many letters of its description are shown.
const DESCRIPTION_SHOWN_LETTERS: usize = 300;

/// The settings that are told with who finds its words.
const TOLD_WITH_PROVIDER: [&str; 3] = ["kind", "base_url", "model"];

pub struct Show;

/// What is known about a being.
#[derive(Debug, Serialize, Deserialize)]
pub struct Known {
    /// As the registry knows it; if that does not answer, by its own account.
    #[serde(flatten)]
    pub being: BeingEntry,
    /// By its own account.
    pub info: Option<BeingInfo>,
    /// By which settings its words are found, where it is of a genii that says so.
    pub provider: Option<ProviderInfo>,
    /// How it is, by its own account.
    pub health: Option<BeingHealth>,
    /// Why it gives no account.
    pub silent: Option<String>,
}

impl Command for Show {
    const NAME: &'static str = "being show";
    const ABOUT: &'static str = "Show who a being is, what it has, and how it is";
    const EXAMPLES: &'static [&'static str] =
        &["being show marit", "being show marit --json | jq .info.memories"];
    const WAITS_FOR: &'static str = WAITS_FOR_BEING;
    type Args = Being;
    type Said = Known;

    async fn serve(Being { id }: Being, side: Side, out: Out<Known>) -> Result<(), Refusal> {
        let (told, info) = ask_both(&side, &id).await;
        // One that does not answer is shown all the same, and so is one of which the registry does not tell:
        // that is when somebody looks.
        let being = match (told, &info) {
            (Ok(told), _) => told?,
            (Err(away), Ok(info)) => reach::entry_of(&side, id.clone(), info, away.message),
            (Err(away), Err(_)) => return Err(away),
        };
        let known = match info {
            Ok(info) => {
                let health = reach::ask(&side, &id, AskHealth {}).await.ok();
                let provider = reach::ask(&side, &id, ShowProvider {}).await.ok();
                Known { being, info: Some(info), provider, health, silent: None }
            }
            Err(why) => {
                let (being, silent) = (since(&side, being).await, Some(why.message));
                Known { being, info: None, provider: None, health: None, silent }
            }
        };
        out.say(known).await
    }

    fn show(known: Known, screen: &mut Screen) {
        let Known { being, info, provider, health, silent } = known;
        let (name, state) = (words::harmless(&being.name), screen.state(words::state(being.state)));
        screen.line(format!("{} ({}) is {state} on {}", screen.bold(&name), being.id, being.node));
        // Why one is silent that is not awake is told with what is amiss.
        let silent = silent.filter(|_| being.state == BeingState::Awake || being.why.is_none());
        for why in being.why.iter().chain(&silent) {
            let why = screen.told(&words::harmless(why));
            screen.line(format!("  {}", screen.red(&why)));
        }
        for note in health.into_iter().flat_map(|health| health.notes) {
            screen.line(format!("  {}", screen.told(&words::harmless(&note))));
        }
        let mut rows = vec![
            ("address", being.address.to_string()),
            ("made", being.created.to_string()),
            ("lives as", words::isolation(being.isolation).to_owned()),
        ];
        rows.extend(info.as_ref().map(rows_of).into_iter().flatten());
        rows.extend(provider.as_ref().map(settings_of).into_iter().flatten());
        for (what, value) in rows {
            screen.line(format!("  {} {value}", screen.faint(&format!("{what:<9}"))));
        }
        if let Some(info) = &info {
            words::core(&info.core, screen);
        }
        if being.state == BeingState::Quarantined {
            let why = being.why.as_deref().or(silent.as_deref()).unwrap_or_default();
            screen.hint(&words::remedy(being.address.as_str(), why));
        }
    }
}

/// What the registry says of a being, and what it says itself. They are asked at once, so that nobody waits long
/// for a registry that hangs.
async fn ask_both(side: &Side, id: &Name) -> (reach::Told, Result<BeingInfo, Refusal>) {
    let told = reach::entry(side, id);
    let info = reach::ask(side, id, ShowBeing {});
    tokio::pin!(told, info);
    tokio::select! {
        told = &mut told => (told, info.await),
        info = &mut info => {
            if info.is_err() {
                return (told.await, info);
            }
            let told = timeout(reach::ASIDE_PATIENCE, told).await;
            (told.unwrap_or_else(|_| Err(reach::registry_hangs())), info)
        }
    }
}

/// What the registry says of a being that has not answered, which may have come of the question: of one that is
/// damaged it shows when it wakes. What it has said before, if it says nothing in time.
async fn since(side: &Side, before: BeingEntry) -> BeingEntry {
    let told = timeout(reach::ASIDE_PATIENCE, reach::entry(side, &before.id)).await;
    match told {
        Ok(Ok(Ok(now))) => now,
        _ => before,
    }
}

/// What a being says of itself, line by line.
fn rows_of(info: &BeingInfo) -> Vec<(&'static str, String)> {
    let now = Timestamp::now();
    let budget = info.budget.at(now);
    let limits = words::limits(&budget.limits, budget.today, budget.this_month, budget.in_all);
    let limits = if limits.is_empty() { vec!["no limit".to_owned()] } else { limits };
    let limits = limits.into_iter().chain(words::nothing_left(&budget, now));
    let description = info.character.0.get("description").and_then(serde_json::Value::as_str);
    // In the third person, as it is written: whoever reads it is called as the being calls them.
    let description = expand(description.unwrap_or_default(), &Names::new(&info.name, ""), 0);
    let mut rows = vec![
        ("words by", words::harmless(&info.provider)),
        ("turns", info.turns.to_string()),
        ("memories", info.memories.to_string()),
        ("on disk", words::bytes(info.store_bytes)),
    ];
    rows.extend(limits.map(|limit| ("budget", limit)));
    if !description.trim().is_empty() {
        rows.push(("who", words::in_short(&description, DESCRIPTION_SHOWN_LETTERS)));
    }
    rows
}

/// What is set for who finds its words, line by line.
fn settings_of(provider: &ProviderInfo) -> Vec<(&'static str, String)> {
    let set = words::settings(&provider.settings).into_iter();
    set.filter(|(name, _)| !TOLD_WITH_PROVIDER.contains(&name.as_str()))
        .map(|(name, value)| ("setting", format!("{name} = {value}")))
        .collect()
}
