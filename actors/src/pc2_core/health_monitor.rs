//! `pc2-core/health-monitor`: rounds of checks, their history, and what each agent is held to.

mod records;

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use genii_protocols::health::{
    BadObjective, CheckHealth, HealthCheck, HealthHistory, HealthReport, HealthRound, HealthState,
    Objective, SetObjective, ShowHealth, ShowHealthHistory,
};
use genii_protocols::twin::UnknownAgent;
use genii_protocols::{Address, Json, Never, TimeSpan, Timestamp};
use genii_runtime::topology::AgentSpec;
use genii_runtime::{
    Agent, Context, Handle, HandleLater, Health, House, Promise, Protocol, Unheard, nearest,
};
use genii_supervision::{StartError, Status};
use parking_lot::Mutex;
use serde::Deserialize;
use tokio::time::Instant;

use records::Records;

/// How many agents are checked at a time: half as many as another machine takes in commands.
const AT_A_TIME: usize = 32;

/// How many checks are shown unless somebody asks for more.
const HISTORY_SHOWN: usize = 20;

/// The agent.
pub struct HealthMonitor {
    house: House,
    patience: Duration,
    records: Arc<Mutex<Records>>,
}

/// What may be set.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HealthSettings {
    /// How often all agents are checked.
    pub every: TimeSpan,
    /// How long an agent may take to look up from its work.
    pub patience: TimeSpan,
    /// How many checks are kept of each agent.
    pub history: usize,
    /// What agents are held to that have no objective of their own.
    pub objective: Objective,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self {
            every: TimeSpan::from_secs(10),
            patience: TimeSpan::from_secs(1),
            history: 360,
            objective: Objective { target: 0.99, window: TimeSpan::from_secs(3_600) },
        }
    }
}

impl Agent for HealthMonitor {
    type Settings = HealthSettings;

    fn protocol() -> Protocol<Self> {
        Protocol::new()
            .on_later::<CheckHealth>()
            .on::<ShowHealth>()
            .on::<ShowHealthHistory>()
            .on::<SetObjective>()
    }

    async fn start(settings: HealthSettings, context: &mut Context) -> Result<Self, StartError> {
        if settings.every.0.is_zero() {
            return Err(StartError::refused("`every` is zero; rounds need some time between them"));
        }
        if let Some(why) = fault_in(&settings.objective) {
            return Err(StartError::refused(why));
        }
        let house = context.house().cloned();
        let house = house.ok_or_else(|| StartError::refused("it needs to see the house"))?;
        let records = Records::new(settings.history.max(1), settings.objective);
        let records = Arc::new(Mutex::new(records));
        let patience = settings.patience.0;
        let rounds = go_round(house.clone(), settings.every.0, patience, records.clone());
        context.spawn(rounds);
        Ok(Self { house, patience, records })
    }

    fn snapshot(&self) -> Json {
        let records = self.records.lock();
        Json(serde_json::json!({ "rounds": records.rounds(), "agents": records.len() }))
    }
}

impl HandleLater<CheckHealth> for HealthMonitor {
    async fn handle_later(
        &mut self,
        CheckHealth { address }: CheckHealth,
        promise: Promise<CheckHealth>,
        context: &mut Context,
    ) {
        let topology = self.house.topology();
        let asked: Vec<AgentSpec> = match &address {
            None => topology.agents.clone(),
            Some(address) => match topology.agent(address) {
                Some(agent) => vec![agent.clone()],
                None => return promise.refuse(unknown(&self.house, address)),
            },
        };
        let (house, patience, records) = (self.house.clone(), self.patience, self.records.clone());
        context.spawn(async move {
            let round = check_all(&house, asked, patience).await;
            records.lock().take(&round, false);
            promise.answer(round);
        });
    }
}

impl Handle<ShowHealth> for HealthMonitor {
    async fn handle(&mut self, _: ShowHealth, _: &mut Context) -> Result<HealthReport, Never> {
        Ok(self.records.lock().report(Timestamp::now()))
    }
}

impl Handle<ShowHealthHistory> for HealthMonitor {
    async fn handle(
        &mut self,
        ShowHealthHistory { address, limit }: ShowHealthHistory,
        _: &mut Context,
    ) -> Result<HealthHistory, UnknownAgent> {
        let limit = limit.map_or(HISTORY_SHOWN, |limit| limit as usize);
        let checks = self.records.lock().history(&address, limit);
        let checks = checks.ok_or_else(|| unknown(&self.house, &address))?;
        Ok(HealthHistory { checks })
    }
}

impl Handle<SetObjective> for HealthMonitor {
    async fn handle(&mut self, set: SetObjective, _: &mut Context) -> Result<(), BadObjective> {
        if let Some(why) = fault_in(&set.objective) {
            return Err(BadObjective { why });
        }
        self.records.lock().set_objective(set.address, set.objective);
        Ok(())
    }
}

fn fault_in(objective: &Objective) -> Option<String> {
    let target = objective.target;
    if !(target > 0.0 && target < 1.0) {
        return Some(format!("a target must lie above 0 and below 1, and {target} does not"));
    }
    objective.window.0.is_zero().then(|| "the window of an objective is zero".to_owned())
}

fn unknown(house: &House, address: &Address) -> UnknownAgent {
    let topology = house.topology();
    let known = topology.agents.iter().map(|agent| agent.address.as_str());
    let nearest = nearest(address.as_str(), known).and_then(|name| Address::parse(name).ok());
    UnknownAgent { address: address.clone(), nearest }
}

async fn go_round(house: House, every: Duration, patience: Duration, records: Arc<Mutex<Records>>) {
    loop {
        tokio::time::sleep(every).await;
        let round = check_all(&house, house.topology().agents.clone(), patience).await;
        let fallen = records.lock().take(&round, true);
        for (address, objective) in fallen {
            tracing::warn!(%address, "falls short of its objective of {}", objective.target);
        }
    }
}

async fn check_all(house: &House, agents: Vec<AgentSpec>, patience: Duration) -> HealthRound {
    let (at, began) = (Timestamp::now(), Instant::now());
    let checks = agents.into_iter().map(|agent| check(house, agent.address, patience));
    let mut checks: Vec<HealthCheck> =
        futures_util::stream::iter(checks).buffer_unordered(AT_A_TIME).collect().await;
    checks.sort_by(|a, b| a.address.cmp(&b.address));
    HealthRound { at, took: began.elapsed().into(), checks }
}

async fn check(house: &House, address: Address, patience: Duration) -> HealthCheck {
    let (at, began) = (Timestamp::now(), Instant::now());
    let status = house.member(address.as_str()).ok().map(|member| member.view.status);
    let (health, detail, answered) = match status {
        None => (HealthState::Off, Some("it is not in the house".to_owned()), false),
        Some(Status::Completed | Status::Stopped(_) | Status::Stopping) => {
            (HealthState::Off, status.and_then(|status| status.detail()), false)
        }
        Some(status) if !status.is_up() => {
            let detail = status.detail().unwrap_or_else(|| status.word().to_owned());
            (HealthState::Down, Some(detail), false)
        }
        Some(status) => match house.node().health(&address, patience).await {
            Ok(health) => by_its_own_account(health, &status),
            Err(error @ Unheard::Busy { .. }) => {
                (HealthState::Unresponsive, Some(error.to_string()), false)
            }
            Err(error) => (HealthState::Down, Some(error.to_string()), false),
        },
    };
    let answered_in_ms = answered.then(|| began.elapsed().as_secs_f64() * 1_000.0);
    HealthCheck { address, at, health, detail, answered_in_ms }
}

fn by_its_own_account(health: Health, status: &Status) -> (HealthState, Option<String>, bool) {
    match (health, status) {
        (Health::Ill(why), _) => (HealthState::Ill, Some(why), true),
        (Health::Degraded(why), _) => (HealthState::Degraded, Some(why), true),
        (Health::Well, Status::Degraded(why)) => {
            (HealthState::Degraded, Some(why.to_string()), true)
        }
        (Health::Well, _) => (HealthState::Well, None, true),
    }
}
