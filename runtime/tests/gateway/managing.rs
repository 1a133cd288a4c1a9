//! What is only for who may manage a being, and not for all who may talk with it.

use genii_protocols::being::{
    Answered, BeingInfo, Export, Exported, NotAnswered, NotChanged, NotKept, Query, SetProvider,
};
use genii_protocols::client::CallError;
use genii_protocols::{Destination, Fault, Json, Never, Rejection, message};
use genii_runtime::trust::scope::Verb;
use genii_runtime::{Agent, Catalogue, Context, Handle, Protocol};
use genii_supervision::StartError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::place::*;

const HOME: &str = r#"
[groups.being]

[agents."being/marit"]
kind = "puppet"
"#;

/// What its owner may say to a being.
const MANAGING: [&str; 7] = [
    "being.export",
    "being.forget",
    "being.set_budget",
    "being.set_core",
    "being.set_provider",
    "being.show_provider",
    "being.update_character",
];

/// Say how often it was managed.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct CountManaged {}
message!(CountManaged = "puppet.count_managed" -> u64);

/// Answers where a being would, and counts what only its owner may say.
#[derive(Default)]
struct Puppet {
    managed: u64,
}

impl Agent for Puppet {
    type Settings = ();

    fn protocol() -> Protocol<Self> {
        Protocol::new().on::<Query>().on::<SetProvider>().on::<Export>().on::<CountManaged>()
    }

    async fn start((): (), _: &mut Context) -> Result<Self, StartError> {
        Ok(Self::default())
    }
}

impl Handle<Query> for Puppet {
    async fn handle(&mut self, query: Query, _: &mut Context) -> Result<Answered, NotAnswered> {
        Ok(Answered {
            turn: 1,
            text: query.said,
            recalled: Vec::new(),
            provider: "offline".to_owned(),
            prompt_tokens: 0,
            reply_tokens: 0,
            is_cut_off: false,
        })
    }
}

impl Handle<SetProvider> for Puppet {
    async fn handle(&mut self, _: SetProvider, _: &mut Context) -> Result<BeingInfo, NotChanged> {
        self.managed += 1;
        Err(unchanged())
    }
}

impl Handle<Export> for Puppet {
    async fn handle(&mut self, export: Export, _: &mut Context) -> Result<Exported, NotKept> {
        self.managed += 1;
        Ok(exported(export.file))
    }
}

impl Handle<CountManaged> for Puppet {
    async fn handle(&mut self, _: CountManaged, _: &mut Context) -> Result<u64, Never> {
        Ok(self.managed)
    }
}

fn unchanged() -> NotChanged {
    NotChanged { why: "it is a puppet".to_owned() }
}

fn exported(file: String) -> Exported {
    Exported { file, bytes: 0, sha256: String::new() }
}

fn query() -> Query {
    Query { said: "hello".to_owned(), speaker: None, path: Vec::new() }
}

fn set_provider() -> SetProvider {
    SetProvider { settings: Json(json!({ "kind": "openai", "key_env": "KEY_OF_THE_HOUSE" })) }
}

fn export() -> Export {
    Export { file: "/marit.being".to_owned() }
}

async fn home() -> Place {
    Place::with(Catalogue::new().with::<Puppet>("puppet"), HOME).await
}

async fn managed(place: &Place) -> u64 {
    place.house.node().to(address("being/marit")).ask(CountManaged {}).await.unwrap()
}

/// The verb for want of which a caller was not let do something.
fn missing<T: std::fmt::Debug, R: std::fmt::Debug>(answer: Result<T, CallError<R>>) -> String {
    match answer.unwrap_err() {
        CallError::Denied(refused) => refused.verb,
        other => panic!("it should have been denied: {other:?}"),
    }
}

#[tokio::test]
async fn who_may_talk_with_a_being_may_not_manage_it() {
    let place = home().await;
    let (_, line) = place.token(&["being/marit"], &[Verb::Ask, Verb::Stream]);
    let client = place.holder(&line).await.unwrap();
    let marit = address("being/marit");
    assert_eq!(client.ask(&marit, &query()).await.unwrap().text, "hello");
    let in_json = client.ask_json(&marit, "being.query", &Json::of(&query())).await;
    assert_eq!(in_json.unwrap().0["text"], "hello");

    assert_eq!(missing(client.ask(&marit, &set_provider()).await), "manage");
    assert_eq!(missing(client.ask(&marit, &export()).await), "manage");
    for message in MANAGING {
        let in_json = client.ask_json(&marit, message, &Json::default()).await;
        assert_eq!(missing(in_json), "manage", "{message}");
    }
    let said = client.ask(&marit, &export()).await.unwrap_err().to_string();
    assert!(said.contains("does not allow to manage being/marit"), "{said}");
    assert!(said.contains("`manage` among its --verbs"), "{said}");
    assert_eq!(managed(&place).await, 0);
}

#[tokio::test]
async fn no_other_verb_place_or_spelling_manages_a_being() {
    let place = home().await;
    // All that there was before there was a verb for this, for everything.
    let (_, line) = place.token(&["*"], &Verb::USUAL);
    let client = place.holder(&line).await.unwrap();
    let content = Json::of(&export());
    for to in ["being/marit", "being/marit@main", "being/nobody"] {
        let to = Destination::parse(to).unwrap();
        assert_eq!(missing(client.tell(to.clone(), &export()).await), "manage", "{to}");
        for message in MANAGING {
            let asked = client.ask_json(to.clone(), message, &content).await;
            assert_eq!(missing(asked), "manage", "{to} {message}");
            let told = client.tell_json(to.clone(), message, &content).await;
            assert_eq!(missing(told), "manage", "{to} {message}");
            let streamed = client.stream_json(to.clone(), message, &content).await.map(drop);
            assert_eq!(missing(streamed), "manage", "{to} {message}");
        }
    }
    let marit = address("being/marit");
    for written in ["being.export ", "being.Export", "being.export\0", "being.of_tomorrow"] {
        let asked = client.ask_json(&marit, written, &content).await;
        assert_eq!(missing(asked), "manage", "{written:?}");
    }
    for written in ["Being.export", " being.export", "being_export", "BEING.EXPORT"] {
        let asked = client.ask_json(&marit, written, &content).await;
        let CallError::Fault(fault) = asked.unwrap_err() else { panic!("{written:?}") };
        let is_unknown =
            matches!(*fault, Fault::Rejected { reason: Rejection::UnknownMessage { .. }, .. });
        assert!(is_unknown, "{written:?}: {fault}");
    }
    assert_eq!(managed(&place).await, 0);
}

#[tokio::test]
async fn who_was_given_the_verb_manages_what_the_token_reaches_and_the_owner_everything() {
    let place = home().await;
    let marit = address("being/marit");
    let (_, line) = place.token(&["being/marit"], &[Verb::Ask, Verb::Manage]);
    for client in [place.holder(&line).await.unwrap(), place.owner().await] {
        let answer = client.ask(&marit, &set_provider()).await;
        assert_eq!(answer, Err(CallError::Refused(unchanged())));
        assert_eq!(client.ask(&marit, &export()).await, Ok(exported(export().file)));
        let in_json = client.ask_json(&marit, "being.export", &Json::of(&export())).await;
        assert_eq!(in_json.unwrap().0["file"], export().file);
    }
    assert_eq!(managed(&place).await, 6);

    // It opens nothing by itself, and nothing beyond what the token is for.
    for (allow, verbs) in [
        ("being/marit", vec![Verb::Manage]),
        ("being/marit", vec![Verb::Tell, Verb::Manage]),
        ("being/guest-*", vec![Verb::Ask, Verb::Manage]),
    ] {
        let (_, line) = place.token(&[allow], &verbs);
        let client = place.holder(&line).await.unwrap();
        assert_eq!(missing(client.ask(&marit, &export()).await), "ask", "{allow} {verbs:?}");
    }
    assert_eq!(managed(&place).await, 6);
}
