//! Groups and topics: speaking with agents whose addresses one does not know.
//!
//! `cargo run --example groups_and_topics`
//!
//! Lamps listen to what is published about their room, and are in the group of all lamps. Here they
//! live in one house; on two machines nothing below would be another line.

use genii_protocols::{Json, Name, Never, NodeName, Pattern, Topic, message};
use genii_runtime::topology::Topology;
use genii_runtime::{
    Agent, Context, GroupEvent, Handle, Heard, House, Node, NodeOptions, Protocol,
};
use genii_supervision::StartError;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Somebody has moved in a room. It is published; who hears it may handle it as a message.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct MotionSeen {
    /// Who was seen.
    who: String,
}
message!(MotionSeen = "lamp.motion_seen" -> ());

/// Ask whether a lamp is lit, and for whom.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
struct IsLit {}
message!(IsLit = "lamp.is_lit" -> Option<String>);

struct Lamp {
    lit_for: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LampSettings {
    /// The topics that it listens to.
    listens_to: Pattern,
}

impl Agent for Lamp {
    type Settings = LampSettings;

    fn protocol() -> Protocol<Self> {
        Protocol::new().on::<MotionSeen>().on::<IsLit>()
    }

    async fn start(settings: LampSettings, context: &mut Context) -> Result<Self, StartError> {
        let failed = |error: &dyn std::fmt::Display| StartError::refused(error.to_string());
        context.subscribe::<MotionSeen>(&[settings.listens_to]).map_err(|error| failed(&error))?;
        let lamps = Name::new("lamps").map_err(|error| failed(&error))?;
        context.join_group(&lamps).map_err(|error| failed(&error))?;
        Ok(Self { lit_for: None })
    }
}

impl Handle<MotionSeen> for Lamp {
    async fn handle(&mut self, seen: MotionSeen, context: &mut Context) -> Result<(), Never> {
        let topic = context.arrival().map(|arrival| arrival.topic().to_string());
        self.lit_for = Some(format!("{} ({})", seen.who, topic.unwrap_or_default()));
        Ok(())
    }
}

impl Handle<IsLit> for Lamp {
    async fn handle(&mut self, _: IsLit, _: &mut Context) -> Result<Option<String>, Never> {
        Ok(self.lit_for.clone())
    }
}

const TOPOLOGY: &str = r#"
[groups.house]

[agents."house/hall"]
kind = "lamp"
settings.listens_to = "motion.*"

[agents."house/kitchen"]
kind = "lamp"
settings.listens_to = "motion.kitchen"
"#;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let catalogue = genii_actors::catalogue().with::<Lamp>("lamp");
    let topology = Topology::parse(TOPOLOGY, &catalogue)?;
    let node = Node::new(NodeOptions::new(NodeName::new("example")?));
    let house = House::begin(node.clone(), catalogue, topology).await?;

    // Code that is no agent watches a group, and reads from a subscription.
    let lamps = Name::new("lamps")?;
    let mut watch = node.monitor_group(&lamps)?;
    let mut motion = node.subscribe(&[Pattern::parse("motion.**")?])?;
    house.up().await?;
    // Who is in the group when the watch begins comes with it, and who joins later is an event: the
    // lamps have begun to start by now.
    let mut members = watch.members().to_vec();
    while members.len() < 2 {
        if let Some(GroupEvent::Joined(lamp)) = watch.next().await {
            members.push(lamp);
        }
    }
    for lamp in &members {
        println!("{} is a lamp", lamp.destination());
    }

    // Two ways to publish the same: as the message, and as JSON.
    let garden = Topic::parse("motion.garden")?;
    let reached = node.publish(&garden, &MotionSeen { who: "a cat".to_owned() }).await?;
    println!("{} subscribers were handed that of the garden", reached.here);
    let alice = Json(serde_json::json!({ "who": "alice" }));
    let reached = node.publish(&Topic::parse("motion.kitchen")?, &alice).await?;
    println!("{} subscribers were handed that of the kitchen", reached.here);

    for _ in 0..2 {
        match motion.next().await {
            Some(Heard::Published(publication)) => {
                println!("heard on {}: {}", publication.topic(), publication.text());
            }
            Some(Heard::Lost(count)) => println!("{count} went by"),
            None => break,
        }
    }
    for lamp in node.group_members(&lamps) {
        let lit_for = node.to(lamp.destination()).ask(IsLit {}).await?;
        println!("{} is lit for {}", lamp.address, lit_for.as_deref().unwrap_or("nobody"));
    }
    house.shutdown().await;
    Ok(())
}
