//! Adding an agent to the household: its messages, one file, one line.
//!
//! `cargo run --example adding_an_agent`
//!
//! In the household itself the three parts lie in three places: the messages in `protocols/src/`,
//! the agent in `actors/src/`, the line in `actors/src/catalogue.rs`. Here they stand one below the
//! other, and a house is brought up around them.

use genii_protocols::{Address, Json, NodeName, message};
use genii_runtime::topology::Topology;
use genii_runtime::{Agent, Context, Handle, House, Node, NodeOptions, Protocol};
use genii_supervision::StartError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

// The messages: what may be said. Each has a wire name, a reply and, here, a refusal.

/// Put something on the list.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct AddItem {
    /// What to buy.
    what: String,
}
message!(AddItem = "shopping.add_item" -> usize, refused by ListFull);

/// Read the list.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct ReadList {}
message!(ReadList = "shopping.read_list" -> Vec<String>, refused by ListFull);

/// The list takes no more.
#[derive(Debug, Serialize, Deserialize, JsonSchema, thiserror::Error)]
#[error("the list takes {items_max} items and no more")]
struct ListFull {
    /// How many it takes.
    items_max: usize,
}

// The agent: what it is set to, what it answers, and how.

struct ShoppingList {
    settings: ShoppingListSettings,
    items: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ShoppingListSettings {
    items_max: usize,
}

impl Agent for ShoppingList {
    type Settings = ShoppingListSettings;

    fn protocol() -> Protocol<Self> {
        Protocol::new().on::<AddItem>().on::<ReadList>()
    }

    async fn start(settings: Self::Settings, _: &mut Context) -> Result<Self, StartError> {
        Ok(Self { settings, items: Vec::new() })
    }

    fn snapshot(&self) -> Json {
        Json(serde_json::json!({ "items": self.items.len() }))
    }
}

impl Handle<AddItem> for ShoppingList {
    async fn handle(&mut self, add: AddItem, _: &mut Context) -> Result<usize, ListFull> {
        // What is to be expected is refused. What is not is a panic, and the supervisor decides.
        assert!(add.what != "the moon", "nobody can carry that");
        if self.items.len() == self.settings.items_max {
            return Err(ListFull { items_max: self.settings.items_max });
        }
        self.items.push(add.what);
        Ok(self.items.len())
    }
}

impl Handle<ReadList> for ShoppingList {
    async fn handle(&mut self, _: ReadList, _: &mut Context) -> Result<Vec<String>, ListFull> {
        Ok(self.items.clone())
    }
}

/// The topology says who lives where, and what they are set to.
const TOPOLOGY: &str = r#"
[groups.kitchen]

[agents."kitchen/shopping-list"]
kind = "shopping-list"
settings.items_max = 2
backoff = { first = "1ms", cap = "10ms" }
"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // The line: the kind of agent, under the name that topologies use.
    let catalogue = genii_actors::catalogue().with::<ShoppingList>("shopping-list");

    let topology = Topology::parse(TOPOLOGY, &catalogue)?;
    let node = Node::new(NodeOptions::new(NodeName::new("example")?));
    let house = House::begin(node.clone(), catalogue, topology).await?;
    house.up().await?;

    let list = Address::parse("kitchen/shopping-list")?;
    let mail = node.to(&list);
    let add = |what: &str| mail.ask(AddItem { what: what.to_owned() });
    println!("bread is item {}", add("bread").await?);
    println!("salt is item {}", add("salt").await?);
    if let Err(refusal) = add("pepper").await {
        println!("pepper: {refusal}");
    }
    if let Err(crash) = add("the moon").await {
        println!("the moon: {crash}");
    }

    // It was restarted, with an empty list: what an agent holds in memory ends with its life.
    while add("bread").await.is_err() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    println!("after its restart the list is {:?}", mail.ask(ReadList {}).await?);

    // Nobody declared it anywhere else, and yet a person can ask it too, in JSON.
    let by_hand = Json(serde_json::json!({ "what": "tea" }));
    let timeout = std::time::Duration::from_secs(1);
    let item = mail.ask_json("shopping.add_item", &by_hand, timeout).await;
    println!("tea is item {}", item.map_err(|error| error.to_string())?);
    house.shutdown().await;
    Ok(())
}
