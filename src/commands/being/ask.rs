//! `being ask`: says one thing to a being, and shows its answer as it comes.

use genii_protocols::being::{Answered, Converse};
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
    match answered.recalled.len() {
        0 => {}
        1 => remarks.push("one memory was used".to_owned()),
        many => remarks.push(format!("{many} memories were used")),
    }
    (!remarks.is_empty()).then(|| format!("({})", remarks.join("; ")))
}
