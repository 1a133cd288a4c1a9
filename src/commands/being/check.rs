//! `being check`: looks over what a being has on the disk, and mends it.

use genii_protocols::Name;
use genii_protocols::beings::{CheckBeing, Checked, CheckedTable, Soundness};
use serde::{Deserialize, Serialize};

use super::{Being, WAITS_FOR_ANSWER, reach, words};
use crate::commands::{Command, Out, Refusal, Side};
use crate::screen::{Screen, many};

pub struct Check;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    being: Being,
    /// Mend what can be mended without loss
    #[arg(long)]
    repair: bool,
    /// Save what can be read where nothing mends it, and give up the rest
    #[arg(long)]
    give_up: bool,
}

impl Command for Check {
    const NAME: &'static str = "being check";
    const ABOUT: &'static str = "Look over what a being has on the disk, while it sleeps";
    const WAITS_FOR: &'static str = WAITS_FOR_ANSWER;
    const EXAMPLES: &'static [&'static str] =
        &["being check marit", "being check marit --repair", "being check marit --give-up"];
    type Args = Args;
    type Said = Checked;

    async fn serve(args: Args, side: Side, out: Out<Checked>) -> Result<(), Refusal> {
        let id = args.being.id;
        let (repair, give_up) = (args.repair, args.give_up);
        let check = CheckBeing { id: id.clone(), repair, give_up };
        let checked: Checked =
            reach::registry_ask_within(&side, check, reach::REGISTRY_PATIENCE).await?;
        let finding = checked.finding;
        let remedy = damage_remedy(&id, &checked);
        out.say(checked).await?;
        // For a script that looks at how it ended.
        match finding {
            Soundness::Whole => Ok(()),
            Soundness::Repairable => Err(Refusal::new(format!("{id} is not whole"))
                .help(format!("`being check {id} --repair` mends it"))),
            Soundness::Damaged => Err(Refusal::new(format!("{id} is damaged")).help(remedy)),
        }
    }

    fn show(checked: Checked, screen: &mut Screen) {
        let Checked { words: found, is_repaired, bytes, tables, notes, .. } = checked;
        let mended = if is_repaired { "it was mended: " } else { "" };
        screen.line(format!("{mended}{} ({})", screen.told(&found), words::bytes(bytes)));
        for table in tables {
            screen.line(format!("  {}", in_words(&table)));
        }
        for note in notes {
            screen.line(screen.told(&note));
        }
    }
}

/// What helps one whose store nothing mends.
fn damage_remedy(id: &Name, checked: &Checked) -> String {
    if is_nothing_lost(checked) {
        return format!(
            "`being check {id} --give-up` makes its store anew of what can be read, which is all that it \
             had: nothing is lost"
        );
    }
    // Its id is taken as long as it is there.
    let import = format!(
        "`being delete {id}`, then `being import FILE` takes in a file of `being export` from before"
    );
    match checked.can_be_saved {
        true => format!(
            "`being check {id} --give-up` saves what can be read, and gives up the rest; or {import}"
        ),
        false => import,
    }
}

/// Whether all can be saved of a store that nothing mends. If that is not certain, there is something to be noted.
fn is_nothing_lost(checked: &Checked) -> bool {
    let is_whole = |table: &CheckedTable| table.lost == 0 && table.gaps.is_empty();
    checked.can_be_saved && checked.notes.is_empty() && checked.tables.iter().all(is_whole)
}

/// What is found of a table, and what of it is lost.
fn in_words(table: &CheckedTable) -> String {
    let CheckedTable { name, entries, bytes, lost, gaps } = table;
    let (entries, bytes) = (many(*entries, "entry", "entries"), words::bytes(*bytes));
    let lost = match (*lost, gaps.is_empty()) {
        (0, true) => String::new(),
        (0, false) => format!("; damaged {}", gaps.join(", ")),
        (lost, true) => format!("; {lost} lost"),
        (lost, false) => format!("; {lost} lost {}", gaps.join(", ")),
    };
    format!("{name}: {entries}, {bytes}{lost}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_nothing_is_lost_is_said_where_it_is_certain() {
        let table = |lost, gaps: &[&str]| CheckedTable {
            name: "memories".to_owned(),
            entries: 7,
            bytes: 700,
            lost,
            gaps: gaps.iter().map(|gap| (*gap).to_owned()).collect(),
        };
        let remedy = |can_be_saved, table, notes: &[&str]| {
            let checked = Checked {
                finding: Soundness::Damaged,
                words: "it is damaged and cannot be repaired".to_owned(),
                is_repaired: false,
                can_be_saved,
                bytes: 4_096,
                tables: vec![table],
                notes: notes.iter().map(|note| (*note).to_owned()).collect(),
            };
            damage_remedy(&Name::new("marit").unwrap(), &checked)
        };
        let all = remedy(true, table(0, &[]), &[]);
        assert!(all.contains("--give-up") && all.ends_with("nothing is lost"), "{all}");
        for remedy in [
            remedy(true, table(1, &[]), &[]),
            remedy(true, table(0, &["behind 1"]), &[]),
            remedy(true, table(0, &[]), &["the list of its tables is damaged"]),
        ] {
            assert!(remedy.contains("gives up the rest; or `being delete marit`"), "{remedy}");
        }
        let nothing = remedy(false, table(0, &[]), &[]);
        assert!(nothing.starts_with("`being delete marit`"), "{nothing}");
    }
}
