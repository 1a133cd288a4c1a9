//! A client: it has no agents and no node, and speaks with those of a household.
//!
//! `cargo build && examples/two-machines.sh target/debug/genii cargo run --example client` starts a
//! household on two machines to speak with, and says in the environment where it is.

use std::error::Error;

use genii_protocols::api::subscribe_reply::Said;
use genii_protocols::api::{DescribeRequest, WatchRequest, watch_reply};
use genii_protocols::client::{CallError, Client, Household, Proof};
use genii_protocols::errors::ListErrors;
use genii_protocols::resources::WatchMachine;
use genii_protocols::twin::DescribeHouse;
use genii_protocols::{Address, Json, Pattern, Topic};

type Done = Result<(), Box<dyn Error>>;

#[tokio::main]
async fn main() -> Done {
    let client = connect().await?;
    look_around(&client).await?;
    ask(&client).await?;
    ask_without_types(&client).await?;
    stream(&client).await?;
    subscribe_and_publish(&client).await?;
    watch(&client).await
}

/// The household is known by its certificate, and the client by its token.
async fn connect() -> Result<Client, Box<dyn Error>> {
    let set = |name: &str| {
        let value = std::env::var(name);
        value.map_err(|_| format!("{name} is not set; run this by examples/two-machines.sh"))
    };
    let certificate = std::fs::read_to_string(set("GENII_HOUSEHOLD")?)?;
    let (household, token) =
        (Household::from_pem(&certificate)?, Proof::Token(set("GENII_TOKEN")?));
    Ok(Client::tcp(&set("GENII_AT")?, household, token).await?)
}

/// What is there, and what may be said to it.
async fn look_around(client: &Client) -> Done {
    let house = client.describe(DescribeRequest::default()).await?;
    for agent in &house.agents {
        let names: Vec<&str> = agent.messages.iter().map(|message| &*message.name).collect();
        println!("{} on {} is {}: {}", agent.address, agent.node, agent.state, names.join(", "));
    }
    Ok(())
}

/// It is the same line of code wherever an agent lives.
async fn ask(client: &Client) -> Done {
    let twin = Address::parse("core/system-digital-twin")?;
    let house = client.ask(&twin, &DescribeHouse::default()).await?;
    println!("the twin knows of {} agents", house.agents.len());
    let errors = Address::parse("pc2-core/unified-error")?;
    let errors = client.ask(&errors, &ListErrors::default()).await?;
    println!("and there are {} kinds of errors", errors.total);
    Ok(())
}

async fn ask_without_types(client: &Client) -> Done {
    let manager = Address::parse("core/resource-manager")?;
    let machine = client.ask_json(&manager, "resources.machine", &Json::default()).await?;
    println!("the machine has {} cores", machine.0["cores"]);
    match client.ask_json(&manager, "resources.machin", &Json::default()).await {
        Err(CallError::Fault(fault)) => println!("as was to be expected: {fault}"),
        other => return Err(format!("nobody should understand this: {other:?}").into()),
    }
    Ok(())
}

/// Many answers to one question, from the other machine.
async fn stream(client: &Client) -> Done {
    let manager = Address::parse("pc2-core/resource-manager")?;
    let mut looks = client.stream(&manager, &WatchMachine { looks: Some(3) }).await?;
    while let Some(machine) = looks.next().await {
        println!("{} MiB of memory are free", machine.memory_available >> 20);
    }
    println!("it was looked at {} times", looks.finish().await?);
    Ok(())
}

/// What somebody publishes on any node; here it is the client itself.
async fn subscribe_and_publish(client: &Client) -> Done {
    let mut news = client.subscribe(&[Pattern::parse("world.updates.*")?]).await?;
    let moved = serde_json::json!({ "x": 3, "y": 4 });
    client.publish(&Topic::parse("world.updates.user")?, &moved).await?;
    match news.next().await? {
        Some(Said::Publication(it)) => println!("{}: {} from {}", it.topic, it.json, it.node),
        other => return Err(format!("it should have been heard: {other:?}").into()),
    }
    Ok(())
}

/// What has happened to an agent.
async fn watch(client: &Client) -> Done {
    let name = "core/system-digital-twin".to_owned();
    let mut events = client.watch(WatchRequest { name, ..WatchRequest::default() }).await?;
    while let Some(watch_reply::Said::Event(event)) = events.next().await? {
        println!("{} {} {}", event.seq, event.name, event.text);
    }
    Ok(())
}
