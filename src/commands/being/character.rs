//! `being character`: who a being is, and changes to that.

use genii_protocols::Json;
use genii_protocols::being::{ShowBeing, UpdateCharacter};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Being, WAITS_FOR_BEING, reach};
use crate::commands::{Command, Out, Refusal, Side};
use crate::fault::Fault;
use crate::screen::Screen;

pub struct Character;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    being: Being,
    /// A field of the character, such as `nickname` [default: show all of it]
    #[arg(value_name = "FIELD")]
    field: Option<String>,
    /// What it is to say: text, or a list or object in JSON
    #[arg(value_name = "VALUE", group = "change")]
    value: Option<String>,
    /// Empty the field
    #[arg(long, group = "change", requires = "field")]
    empty: bool,
}

impl Args {
    /// What changes, if anything does.
    fn changes(&self) -> Option<Json> {
        let field = self.field.clone()?;
        let value = self.value.as_deref().filter(|_| !self.empty).map_or(Value::Null, value);
        Some(Json(Value::Object(Map::from_iter([(field, value)]))))
    }
}

/// What somebody wrote: lists and objects in JSON, anything else as text.
fn value(text: &str) -> Value {
    let is_value = |value: &Value| value.is_array() || value.is_object();
    serde_json::from_str(text).ok().filter(is_value).unwrap_or_else(|| text.into())
}

impl Command for Character {
    const NAME: &'static str = "being character";
    const ABOUT: &'static str = "Show who a being is, or change a field of its character";
    const EXAMPLES: &'static [&'static str] = &[
        "being character marit",
        "being character marit nickname Mari",
        "being character marit tags '[\"calm\", \"sea\"]'",
        "being character marit scenario --empty",
    ];
    const SHOWS_JSON: bool = true;
    const WAITS_FOR: &'static str = WAITS_FOR_BEING;
    type Args = Args;
    type Said = Json;

    fn prepare(args: &mut Args) -> Result<(), Fault> {
        let Args { being: Being { id }, field, value, empty } = args;
        if field.is_none() || value.is_some() || *empty {
            return Ok(());
        }
        // A usage line of clap's would have the value before the field.
        Err(Fault::usage("it is not said what the field is to say").help(format!(
            "`being character {id} FIELD VALUE` sets it, `being character {id} FIELD --empty` \
             empties it"
        )))
    }

    async fn serve(args: Args, side: Side, out: Out<Json>) -> Result<(), Refusal> {
        let id = &args.being.id;
        let info = match args.changes() {
            Some(changes) => reach::ask(&side, id, UpdateCharacter { changes }).await?,
            None => reach::ask(&side, id, ShowBeing {}).await?,
        };
        out.say(info.character).await
    }

    fn show(character: Json, screen: &mut Screen) {
        screen.json(&character.0);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_value_is_text_unless_it_is_a_list_or_an_object() {
        for (text, expected) in [
            ("Mari", json!("Mari")),
            ("7", json!("7")),
            ("[\"a\"]", json!(["a"])),
            ("{\"en\": \"x\"}", json!({ "en": "x" })),
            ("[sighs]", json!("[sighs]")),
        ] {
            assert_eq!(value(text), expected);
        }
    }
}
