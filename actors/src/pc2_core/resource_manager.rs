//! `pc2-core/resource-manager`: what the machine has, who uses it, and leases on parts of it.

mod leases;
mod readings;

use std::sync::Arc;
use std::time::Duration;

use genii_protocols::resources::{
    AcquireLease, Lease, LeaseRefused, Leases, ListLeases, Machine, NoSuchLease, ReleaseLease,
    RenewLease, ShowMachine, ShowUsage, TooManyWatch, UsageReport, WatchMachine,
};
use genii_protocols::{Json, Never, TimeSpan, Timestamp, message};
use genii_runtime::{Agent, Context, Down, Handle, HandleStream, House, Outlet, Protocol};
use genii_supervision::StartError;
use parking_lot::Mutex;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::{Notify, Semaphore, watch};

use leases::LeaseBook;
use readings::Readings;

/// How often expired leases are struck off.
const EXPIRY_PERIOD: Duration = Duration::from_secs(1);

/// How often the machine is looked at as long as somebody watches it, if not more often anyhow.
const WATCHED_PERIOD: Duration = Duration::from_secs(1);

/// How many may watch the machine at a time; more are refused.
const WATCHERS_MAX: u32 = 64;

/// The agent.
pub struct ResourceManager {
    readings: Arc<Mutex<Readings>>,
    /// Tells that the machine was looked at.
    looked: watch::Receiver<()>,
    watchers: Arc<Semaphore>,
    /// Tells that somebody watches from now on.
    watched: Arc<Notify>,
    leases: LeaseBook,
}

/// What may be set.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ResourceSettings {
    /// How often the machine is looked at.
    pub every: TimeSpan,
    /// The share of the machine that can be reserved, in percent.
    pub reservable_percent: u8,
    /// How long a lease may last without being renewed.
    pub lease_max: TimeSpan,
    /// How many leases may be held at a time.
    pub leases_max: usize,
}

impl Default for ResourceSettings {
    fn default() -> Self {
        Self {
            every: TimeSpan::from_secs(5),
            reservable_percent: 90,
            lease_max: TimeSpan::from_secs(24 * 3_600),
            leases_max: 10_000,
        }
    }
}

/// Strike expired leases off. From the agent to itself.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
struct ExpireLeases {}
message!(ExpireLeases = "resources.expire_leases" -> ());

impl Agent for ResourceManager {
    type Settings = ResourceSettings;

    fn protocol() -> Protocol<Self> {
        Protocol::new()
            .on::<ShowMachine>()
            .on::<ShowUsage>()
            .on::<AcquireLease>()
            .on::<RenewLease>()
            .on::<ReleaseLease>()
            .on::<ListLeases>()
            .on_stream::<WatchMachine>()
            .on::<ExpireLeases>()
    }

    async fn start(settings: ResourceSettings, context: &mut Context) -> Result<Self, StartError> {
        if settings.every.0.is_zero() {
            return Err(StartError::refused(
                "`every` is zero; readings need some time between them",
            ));
        }
        if !(1..=100).contains(&settings.reservable_percent) {
            let why = "`reservable_percent` must lie between 1 and 100";
            return Err(StartError::refused(why));
        }
        let house = context.house().cloned();
        let house = house.ok_or_else(|| StartError::refused("it needs to see the house"))?;
        let readings = Readings::new()?;
        let leases = LeaseBook::new(&readings.machine(), &settings);
        let readings = Arc::new(Mutex::new(readings));
        let (looks, looked) = watch::channel(());
        let watched = Arc::new(Notify::new());
        let pace = Pace { every: settings.every.0, watched: watched.clone() };
        context.spawn(keep_reading(house, pace, readings.clone(), looks));
        context.send_every(EXPIRY_PERIOD, || ExpireLeases {});
        let watchers = Arc::new(Semaphore::new(WATCHERS_MAX as usize));
        Ok(Self { readings, looked, watchers, watched, leases })
    }

    fn snapshot(&self) -> Json {
        Json::of(&self.leases.list())
    }

    async fn down(&mut self, down: &Down, _: &mut Context) {
        for lease in self.leases.holder_gone(&down.address) {
            tracing::info!(lease = lease.id, holder = %down.address, "is given back: its holder is gone");
        }
    }
}

impl Handle<ShowMachine> for ResourceManager {
    async fn handle(&mut self, _: ShowMachine, _: &mut Context) -> Result<Machine, Never> {
        Ok(self.readings.lock().machine())
    }
}

impl Handle<ShowUsage> for ResourceManager {
    async fn handle(&mut self, _: ShowUsage, _: &mut Context) -> Result<UsageReport, Never> {
        Ok(self.readings.lock().usage())
    }
}

impl Handle<AcquireLease> for ResourceManager {
    async fn handle(
        &mut self,
        mut asked: AcquireLease,
        context: &mut Context,
    ) -> Result<Lease, LeaseRefused> {
        let sender = || context.sender().map(|sender| sender.address.clone());
        asked.holder = asked.holder.or_else(sender);
        let lease = self.leases.acquire(asked, Timestamp::now())?;
        if let Some(holder) = lease.holder.as_ref().filter(|holder| self.leases.is_first_of(holder))
        {
            context.monitor(holder);
        }
        Ok(lease)
    }
}

impl Handle<RenewLease> for ResourceManager {
    async fn handle(
        &mut self,
        RenewLease { id, lasts }: RenewLease,
        _: &mut Context,
    ) -> Result<Lease, NoSuchLease> {
        self.leases.renew(id, lasts, Timestamp::now()).ok_or(NoSuchLease { id })
    }
}

impl Handle<ReleaseLease> for ResourceManager {
    async fn handle(
        &mut self,
        ReleaseLease { id }: ReleaseLease,
        _: &mut Context,
    ) -> Result<Lease, NoSuchLease> {
        self.leases.release(id).ok_or(NoSuchLease { id })
    }
}

impl Handle<ListLeases> for ResourceManager {
    async fn handle(&mut self, _: ListLeases, _: &mut Context) -> Result<Leases, Never> {
        Ok(self.leases.list())
    }
}

impl HandleStream<WatchMachine> for ResourceManager {
    async fn handle_stream(
        &mut self,
        asked: WatchMachine,
        outlet: Outlet<WatchMachine>,
        context: &mut Context,
    ) {
        let Ok(place) = self.watchers.clone().try_acquire_owned() else {
            return outlet.finish(Err(TooManyWatch { max: WATCHERS_MAX })).await;
        };
        let (readings, looked) = (self.readings.clone(), self.looked.clone());
        self.watched.notify_one();
        context.spawn(async move {
            tell_readings(asked.looks.unwrap_or(u32::MAX), readings, looked, outlet).await;
            drop(place);
        });
    }
}

impl Handle<ExpireLeases> for ResourceManager {
    async fn handle(&mut self, _: ExpireLeases, _: &mut Context) -> Result<(), Never> {
        self.leases.expire(Timestamp::now());
        Ok(())
    }
}

/// Tells somebody who watches of so many looks. Who takes them slowly gets fewer, and always the
/// last.
async fn tell_readings(
    looks: u32,
    readings: Arc<Mutex<Readings>>,
    mut looked: watch::Receiver<()>,
    mut outlet: Outlet<WatchMachine>,
) {
    for told in 0..looks {
        if told > 0 {
            let looked_again = tokio::select! {
                changed = looked.changed() => changed.is_ok(),
                () = outlet.asker_gone() => false,
            };
            if !looked_again {
                return;
            }
        }
        looked.mark_unchanged();
        let machine = readings.lock().machine();
        if outlet.send(machine).await.is_err() {
            return;
        }
    }
    outlet.finish(Ok(looks)).await;
}

/// How often the machine is looked at.
struct Pace {
    every: Duration,
    watched: Arc<Notify>,
}

impl Pace {
    /// Waits until it is time for the next look.
    async fn next(&self, looks: &watch::Sender<()>) {
        let watched_period = self.every.min(WATCHED_PERIOD);
        // The agent itself has one too.
        if looks.receiver_count() > 1 {
            return tokio::time::sleep(watched_period).await;
        }
        tokio::select! {
            () = tokio::time::sleep(self.every) => {}
            () = self.watched.notified() => tokio::time::sleep(watched_period).await,
        }
    }
}

async fn keep_reading(
    house: House,
    pace: Pace,
    readings: Arc<Mutex<Readings>>,
    looks: watch::Sender<()>,
) {
    loop {
        pace.next(&looks).await;
        let processes = readings::processes_of(&house);
        let readings = readings.clone();
        // Looking through all processes of a machine can take a while.
        let looked = tokio::task::spawn_blocking(move || readings.lock().look(&processes)).await;
        if let Err(error) = looked {
            tracing::warn!("the machine could not be looked at: {error}");
        }
        looks.send_replace(());
    }
}
