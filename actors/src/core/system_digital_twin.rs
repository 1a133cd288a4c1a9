//! `core/system-digital-twin`: a live model of every agent, and what would follow if some went.

use genii_protocols::twin::{
    AgentModel, Consequence, Consequences, DescribeAgent, DescribeHouse, HouseModel, HowItGoes,
    UnknownAgent, WhatIf,
};
use genii_protocols::{Address, Json, Never};
use genii_runtime::house::impact::{Effect, Goes, Impact, what_if};
use genii_runtime::topology::{AgentSpec, Link, Plan, Topology};
use genii_runtime::{Agent, Context, Handle, House, Member, Protocol, nearest};
use genii_supervision::StartError;
use serde::Deserialize;

/// The agent. It keeps nothing: the house itself is the model.
pub struct SystemDigitalTwin {
    house: House,
}

/// There is nothing to set.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TwinSettings {}

impl Agent for SystemDigitalTwin {
    type Settings = TwinSettings;

    fn protocol() -> Protocol<Self> {
        Protocol::new().on::<DescribeHouse>().on::<DescribeAgent>().on::<WhatIf>()
    }

    async fn start(_: TwinSettings, context: &mut Context) -> Result<Self, StartError> {
        let house = context.house().cloned();
        let house = house.ok_or_else(|| StartError::refused("it needs to see the house"))?;
        Ok(Self { house })
    }

    fn snapshot(&self) -> Json {
        let members = self.house.members();
        let mut states = serde_json::Map::new();
        for member in members.iter().filter(|member| member.spec.is_some()) {
            let count = states.entry(member.view.status.word()).or_insert_with(|| 0.into());
            *count = (count.as_u64().unwrap_or_default() + 1).into();
        }
        Json(serde_json::json!({ "agents_by_state": states }))
    }
}

impl Handle<DescribeHouse> for SystemDigitalTwin {
    async fn handle(&mut self, _: DescribeHouse, _: &mut Context) -> Result<HouseModel, Never> {
        let topology = self.house.topology();
        let agents = self.house.members().iter().filter_map(|m| model(m, &topology)).collect();
        let waves = Plan::of(&topology).map(|plan| plan.waves).unwrap_or_default();
        Ok(HouseModel { node: self.house.node().name().clone(), agents, waves })
    }
}

impl Handle<DescribeAgent> for SystemDigitalTwin {
    async fn handle(
        &mut self,
        DescribeAgent { address }: DescribeAgent,
        _: &mut Context,
    ) -> Result<AgentModel, UnknownAgent> {
        let topology = self.house.topology();
        let member = self.house.member(address.as_str()).ok();
        member
            .and_then(|member| model(&member, &topology))
            .ok_or_else(|| unknown(&address, &topology))
    }
}

impl Handle<WhatIf> for SystemDigitalTwin {
    async fn handle(
        &mut self,
        WhatIf { goes, how }: WhatIf,
        _: &mut Context,
    ) -> Result<Consequences, UnknownAgent> {
        let topology = self.house.topology();
        if let Some(stranger) = goes.iter().find(|address| topology.agent(address).is_none()) {
            return Err(unknown(stranger, &topology));
        }
        let how = match how {
            HowItGoes::Stops => Goes::Stops,
            HowItGoes::Crashes => Goes::Crashes,
        };
        Ok(consequences(what_if(&topology, how, &goes)))
    }
}

fn unknown(address: &Address, topology: &Topology) -> UnknownAgent {
    let known = topology.agents.iter().map(|agent| agent.address.as_str());
    let nearest = nearest(address.as_str(), known).and_then(|name| Address::parse(name).ok());
    UnknownAgent { address: address.clone(), nearest }
}

/// The model of an agent of the topology; `None` for a group, or an agent that is not in it.
fn model(member: &Member, topology: &Topology) -> Option<AgentModel> {
    let spec = member.spec.as_ref()?;
    let counters = member.counters.clone().unwrap_or_default();
    let addresses = |links: &[Link]| links.iter().map(|link| link.to.clone()).collect();
    let depends = |other: &&AgentSpec| other.before().any(|link| link.to == spec.address);
    let needed_by = topology.agents.iter().filter(depends).map(|agent| agent.address.clone());
    Some(AgentModel {
        address: spec.address.clone(),
        kind: spec.kind.clone(),
        state: member.view.status.word().to_owned(),
        detail: member.view.status.detail(),
        for_seconds: member.view.since.elapsed().as_secs_f64(),
        incarnation: member.view.incarnation,
        restarts: member.view.restarts,
        required: spec.policy.required,
        needs: addresses(&spec.needs),
        binds: addresses(&spec.binds),
        wants: addresses(&spec.wants),
        fallback: spec.fallback.as_ref().map(|link| link.to.clone()),
        needed_by: needed_by.collect(),
        depth: counters.depth as u64,
        handled: counters.handled,
        p99_ms: counters.p99.map(|p99| p99.as_secs_f64() * 1_000.0),
    })
}

fn consequences(impact: Impact) -> Consequences {
    let each = |effects: Vec<Effect>| effects.into_iter().map(consequence).collect();
    Consequences {
        stops: each(impact.stops),
        restarts: each(impact.restarts),
        degrades: each(impact.degrades),
        falls_back: each(impact.falls_back),
        untouched: impact.untouched as u64,
    }
}

fn consequence(effect: Effect) -> Consequence {
    let Effect { address, through, stand_in } = effect;
    Consequence { address, through, stand_in }
}
