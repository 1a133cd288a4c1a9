//! `being provider`: who finds the words of a being.

use std::path::PathBuf;

use genii_actors::being::provider::ProviderSettings;
use genii_protocols::Json;
use genii_protocols::being::{ProviderInfo, SetProvider, ShowProvider};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{Being, WAITS_FOR_BEING, reach, words};
use crate::commands::ask::json;
use crate::commands::{Command, Out, Refusal, Side};
use crate::fault::Fault;
use crate::screen::Screen;

pub struct Provider;

#[derive(Debug, clap::Args, Serialize, Deserialize)]
pub struct Args {
    #[command(flatten)]
    #[serde(flatten)]
    being: Being,
    #[command(flatten)]
    provider: ProviderArgs,
}

/// Who is to find the words.
#[derive(Debug, Default, clap::Args, Serialize, Deserialize)]
pub struct ProviderArgs {
    /// Who finds its words [default: openai where a server or a model is named, and else offline]
    #[arg(long, value_name = "KIND", value_parser = ["offline", "openai"])]
    provider: Option<String>,
    /// Where the server is, as http://localhost:11434/v1
    #[arg(long, value_name = "URL")]
    base_url: Option<String>,
    /// The model, as the server calls it
    #[arg(long, value_name = "MODEL")]
    model: Option<String>,
    /// The environment variable of genii that holds the key
    #[arg(long, value_name = "VAR", conflicts_with = "key_file")]
    key_env: Option<String>,
    /// The file that holds the key, and nothing else
    #[arg(long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    key_file: Option<PathBuf>,
    /// Further settings of the provider, as a JSON object
    #[arg(long, value_name = "JSON", value_parser = json)]
    provider_json: Option<Json>,
    /// All of them.
    #[arg(skip)]
    pub settings: Option<Json>,
}

impl ProviderArgs {
    /// Puts the settings together, and sees that they make sense. A key in them goes nowhere.
    ///
    /// # Errors
    /// With what is wrong with them.
    pub fn prepare(&mut self) -> Result<(), Fault> {
        self.settings = self.together()?;
        // They may hold a key, which is refused: it is not sent on.
        self.provider_json = None;
        Ok(())
    }

    fn together(&self) -> Result<Option<Json>, Fault> {
        let mut all = match &self.provider_json {
            None => Map::new(),
            Some(Json(Value::Object(settings))) => settings.clone(),
            Some(_) => return Err(Fault::usage("--provider-json takes a JSON object")),
        };
        let key_file = self.key_file.as_ref().map(|file| {
            std::path::absolute(file).unwrap_or_else(|_| file.clone()).display().to_string()
        });
        let names_server = self.base_url.is_some() || self.model.is_some();
        let openai = || (names_server && !all.contains_key("kind")).then(|| "openai".to_owned());
        for (name, value) in [
            ("kind", self.provider.clone().or_else(openai)),
            ("base_url", self.base_url.clone()),
            ("model", self.model.clone()),
            ("key_env", self.key_env.clone()),
            ("key_file", key_file),
        ] {
            if let Some(value) = value {
                all.insert(name.to_owned(), value.into());
            }
        }
        if all.is_empty() {
            return Ok(None);
        }
        let all = Json(Value::Object(all));
        ProviderSettings::read(&all)
            .and_then(|settings| settings.check())
            .map_err(|error| Fault::usage(error.to_string()))?;
        if all.0.get("kind").is_none() {
            let message =
                "it is not said who is to find the words, and what is set is set as a whole";
            return Err(Fault::usage(message).help(
                "name the server and the model again, with --base-url and --model, or --provider offline",
            ));
        }
        Ok(Some(all))
    }
}

impl Command for Provider {
    const NAME: &'static str = "being provider";
    const ABOUT: &'static str =
        "Show or set who finds the words of a being; what is not named is as it is by default";
    const EXAMPLES: &'static [&'static str] = &[
        "being provider marit",
        "being provider marit --base-url http://localhost:11434/v1 --model llama3.2",
        "being provider marit --base-url https://api.openai.com/v1 --model gpt-5-mini --key-env OPENAI_API_KEY",
        "being provider marit --provider offline",
        "being provider marit --json | jq .settings",
    ];
    const WAITS_FOR: &'static str = WAITS_FOR_BEING;
    type Args = Args;
    type Said = ProviderInfo;

    fn prepare(args: &mut Args) -> Result<(), Fault> {
        args.provider.prepare()
    }

    async fn serve(args: Args, side: Side, out: Out<ProviderInfo>) -> Result<(), Refusal> {
        let id = args.being.id;
        let told = match args.provider.settings {
            Some(written) => {
                let (settings, defaults) = ProviderSettings::told(&written);
                let set = SetProvider { settings: written };
                let provider = reach::ask(&side, &id, set).await?.provider;
                ProviderInfo { provider, settings, defaults }
            }
            None => reach::ask(&side, &id, ShowProvider {}).await?,
        };
        out.say(told).await
    }

    fn show(told: ProviderInfo, screen: &mut Screen) {
        let ProviderInfo { provider, settings, defaults } = told;
        screen.line(words::harmless(&provider));
        let rows = [(settings, "set"), (defaults, "by default")].into_iter().flat_map(
            |(settings, from)| {
                let each = words::settings(&settings).into_iter();
                each.map(move |(name, value)| vec![name, value, from.to_owned()])
            },
        );
        screen.table(&["setting", "value", "from"], rows.collect());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_server_that_is_named_is_asked_as_openai() {
        let mut args = ProviderArgs {
            base_url: Some("http://localhost:1/v1".to_owned()),
            model: Some("m".to_owned()),
            provider_json: Some(Json(json!({ "temperature": 0.5 }))),
            ..ProviderArgs::default()
        };
        args.prepare().unwrap();
        let expected = json!({
            "kind": "openai", "base_url": "http://localhost:1/v1", "model": "m", "temperature": 0.5,
        });
        assert_eq!(args.settings.unwrap().0, expected);
        let mut nothing = ProviderArgs::default();
        nothing.prepare().unwrap();
        assert_eq!(nothing.settings, None);
    }

    #[test]
    fn settings_that_make_no_sense_or_hold_a_key_go_nowhere() {
        let refused = |settings| {
            let mut args =
                ProviderArgs { provider_json: Some(Json(settings)), ..ProviderArgs::default() };
            args.prepare().unwrap_err().message
        };
        let key = refused(json!({ "kind": "openai", "api_key": "sk-123" }));
        assert!(key.contains("key_env") && !key.contains("sk-123"), "{key}");
        let misspelt = refused(json!({ "kind": "openai", "timout": "5s", "key": "sk-123" }));
        assert!(misspelt.contains("`timout` is no setting of a provider; did you mean"));
        assert!(misspelt.contains("`token_timeout`") && !misspelt.contains("sk-123"), "{misspelt}");
        let unlike = refused(json!({ "zzz": 1 }));
        assert!(unlike.contains("key_file") && !unlike.contains("api_key"), "{unlike}");
        assert!(refused(json!([1])).contains("object"));
        let nobody = refused(json!({ "prompt_tokens_max": 2_800 }));
        assert!(nobody.contains("set as a whole"), "{nobody}");
    }
}
