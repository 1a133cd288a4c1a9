//! `being ask`: says one thing to a being, and shows its answer as it comes.

use genii_protocols::being::{Answered, Converse, Memory, MemoryKind, Recollection};
use serde::{Deserialize, Serialize};

use super::{Being, reach, words};
use crate::commands::{Command, Out, Refusal, Side};
use crate::screen::Screen;
use crate::screen::flow::Flow;

pub struct Ask;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    being: Being,
    /// What is said
    #[arg(value_name = "TEXT")]
    text: String,
    /// Who says it, by name; it is remembered
    #[arg(long = "as", value_name = "NAME")]
    speaker: Option<String>,
}

/// What comes of it.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Said {
    /// The next words.
    Words(String),
    /// The whole answer, with what was remembered for it.
    Answered(Answered),
}

impl Command for Ask {
    const NAME: &'static str = "being ask";
    const ABOUT: &'static str = "Say one thing to a being, and show its answer as it comes";
    const EXAMPLES: &'static [&'static str] =
        &["being ask marit 'what do you know about fog?'", "being ask marit 'I am back' --as Ann"];
    type Args = Args;
    type Said = Said;

    async fn serve(args: Args, side: Side, out: Out<Said>) -> Result<(), Refusal> {
        let Args { being: Being { id }, text, speaker } = args;
        let said = Converse { said: text, speaker, path: Vec::new() };
        let hand_on = |words| out.say(Said::Words(words));
        let answered = reach::converse(&side, &id, &said, hand_on).await?;
        out.say(Said::Answered(answered)).await
    }

    fn show(said: Said, screen: &mut Screen) {
        match said {
            Said::Words(text) => screen.add(words::harmless(&text)),
            Said::Answered(answered) => {
                screen.line("");
                if let Some(remark) = remark(&answered) {
                    let remark = Flow::new(screen.columns(), "", "").whole(&remark);
                    screen.line(screen.faint(&remark));
                }
            }
        }
    }
}

/// What there is to say about an answer besides its words.
pub fn remark(answered: &Answered) -> Option<String> {
    let mut remarks = Vec::new();
    if answered.is_cut_off {
        remarks.push("cut off, since it was longer than it may be".to_owned());
    }
    remarks.extend(used(&answered.recalled));
    (!remarks.is_empty()).then(|| format!("({})", remarks.join("; ")))
}

/// How many memories were used, and how many of them are facts that stand in others of them; nothing if none was.
fn used(recalled: &[Recollection]) -> Option<String> {
    let used = match recalled.len() {
        0 => return None,
        1 => "one memory was used".to_owned(),
        many => format!("{many} memories were used"),
    };
    let is_in_another = |it: &&Recollection| is_told_in_any(&it.memory, recalled);
    Some(match recalled.iter().filter(is_in_another).count() {
        0 => used,
        1 => format!("{used}, one of them a fact that another tells"),
        facts => format!("{used}, {facts} of them facts that others tell"),
    })
}

/// Whether it is a fact that was told in something that is remembered as it was said, too: it has its time and its
/// speaker of that.
fn is_told_in_any(fact: &Memory, used: &[Recollection]) -> bool {
    let tells_it = |it: &Recollection| {
        let Memory { kind, at, speaker, .. } = &it.memory;
        *kind == MemoryKind::Turn && *at == fact.at && *speaker == fact.speaker
    };
    fact.kind == MemoryKind::Fact && used.iter().any(tells_it)
}

#[cfg(test)]
mod tests {
    use super::super::stand_ins::{at, recollection};
    use super::*;

    #[test]
    fn a_fact_is_told_to_be_one_with_what_was_said() {
        let memory = |kind, speaker: &str, time: &str| {
            let mut recalled = recollection(1, "I live in Porto.");
            let Memory { kind: of, speaker: by, at: when, .. } = &mut recalled.memory;
            (*of, *by, *when) = (kind, Some(speaker.to_owned()), at(time));
            recalled
        };
        let turn = |day| memory(MemoryKind::Turn, "Ann", day);
        let fact = |speaker, day| memory(MemoryKind::Fact, speaker, day);
        let [may, june] = ["2026-05-03T10:00:00Z", "2026-06-03T10:00:00Z"];
        for (recalled, told) in [
            (vec![], None),
            (vec![fact("Ann", may)], Some("one memory was used")),
            (vec![turn(may), turn(june)], Some("2 memories were used")),
            (vec![turn(may), fact("Ann", june)], Some("2 memories were used")),
            (vec![turn(may), fact("Bo", may)], Some("2 memories were used")),
            (
                vec![fact("Ann", may), turn(may), turn(june)],
                Some("3 memories were used, one of them a fact that another tells"),
            ),
            (
                vec![fact("Ann", may), fact("Ann", may), turn(may)],
                Some("3 memories were used, 2 of them facts that others tell"),
            ),
        ] {
            assert_eq!(used(&recalled).as_deref(), told);
        }
    }
}
