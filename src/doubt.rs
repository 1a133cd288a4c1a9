//! What a person is asked before something is done that cannot be undone.

use reedline::{DefaultPrompt, DefaultPromptSegment, Reedline, Signal};
use serde_json::Value;

use crate::admin::client::Client;
use crate::commands::{Call, find};
use crate::fault::Fault;
use crate::reader::Reader;
use crate::screen::{Screen, complain, has_editor};

/// A question whose answer decides.
pub struct Doubt {
    /// What is asked.
    pub question: String,
    /// The command, and its arguments, that shows what is at stake.
    pub at_stake: Option<(&'static str, Value)>,
    /// Whether what it says is that nothing is. Then nobody is asked, and the command is carried out all the
    /// same: something of the last time may be left to do.
    pub is_nothing: fn(&Value) -> bool,
    /// What is asked then.
    pub if_nothing: String,
}

/// Shows what is at stake, and asks.
///
/// # Errors
/// When the answer is no, there is nobody to answer, or what is at stake cannot be shown.
pub async fn settle(
    client: &mut Client,
    call: &Call,
    doubt: Doubt,
    reader: &Reader,
) -> Result<(), Fault> {
    let Doubt { mut question, at_stake, is_nothing, if_nothing } = doubt;
    if !has_editor() {
        let message = format!("{question} Nobody is here to answer");
        return Err(Fault::usage(message).help("--yes says that it is to be done"));
    }
    let screen = Screen::stdout().for_reader(reader);
    if let Some((name, arguments)) = at_stake
        && show(screen, client, call, name, &arguments, is_nothing).await?
    {
        question = if_nothing;
    }
    match is_yes(&question)? {
        true => Ok(()),
        false => Err(Fault::new("nothing was done")),
    }
}

/// Shows what is at stake, where it is not taken for what the command itself says; whether that is nothing.
async fn show(
    mut screen: Screen,
    client: &mut Client,
    call: &Call,
    name: &str,
    arguments: &Value,
    is_nothing: fn(&Value) -> bool,
) -> Result<bool, Fault> {
    let Some(entry) = find(name) else { return Ok(false) };
    let mut nothing = false;
    let node = call.node.as_ref();
    let (mut next, mut replies) = client.run_patiently(node, name, arguments, true).await?;
    while let Some(said) = next {
        nothing = is_nothing(&said);
        entry.show(said, &mut screen)?;
        next = replies.next().await?;
    }
    complain(screen.into_text().trim_end());
    Ok(nothing)
}

/// Asks who sits at the terminal. Ctrl-C is a no.
fn is_yes(question: &str) -> Result<bool, Fault> {
    let question = DefaultPromptSegment::Basic(format!("{question} [y/N] "));
    let prompt = DefaultPrompt::new(question, DefaultPromptSegment::Empty);
    match Reedline::create().read_line(&prompt) {
        Ok(Signal::Success(answer)) => Ok(is_a_yes(&answer)),
        Ok(_) => Ok(false),
        Err(error) => Err(Fault::new(format!("the terminal is gone: {error}"))),
    }
}

fn is_a_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_yes_is_a_yes() {
        assert!(is_a_yes(" Yes ") && is_a_yes("y"));
        for answer in ["", "n", "no", "yeah", "yes please"] {
            assert!(!is_a_yes(answer), "{answer:?}");
        }
    }
}
