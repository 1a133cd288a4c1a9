//! `homes/beings`: the beings of one machine, which sleep and wake here.
//!
//! | module | what it holds |
//! |---|---|
//! | `due` | which of them are to be woken, and when |
//! | `folders` | where they lie on the disk |
//! | `lodge` | who lives here, is awake, comes or leaves |
//! | `tenancies` | how each is kept apart from the others |
//! | `turns` | who does something with the folders of one, one after the other |
//!
//! Each machine has a home, at this address. Its beings can be spoken to as long as it is up, whatever
//! becomes of the registry, which decides who lives where.

mod due;
pub(crate) mod folders;
mod lodge;
mod tenancies;
mod turns;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use genii_protocols::being::BeingReminded;
use genii_protocols::beings::{BeingDue, Isolation, NoBeing};
use genii_protocols::{Json, Message, Name, TimeSpan};
use genii_runtime::{Agent, Context, HandleLater, Promise, Protocol};
use genii_supervision::StartError;
use serde::Deserialize;
use tokio::sync::Semaphore;

use super::errands::{
    Adopt, Amiss, AskLodging, AskStates, CheckHere, Discard, DropParcel, HOMES, IsolateHere, Leave,
    ListLodgers, LookAt, LookInto, MakeHere, MissHere, Pack, PutAside, ReadParcel, Receive,
    RemoveHere, Stay, TakeBack,
};
use crate::being::embedding::{self, EmbedderSettings};
use crate::being::process::ProcessLimits;
use lodge::Lodge;

/// How much is done at a time that takes a while. One more is refused.
const ERRANDS_MAX: usize = 512;

/// The longest `finish_within`: the registry does not wait for longer until a being sleeps.
const FINISH_WITHIN_MAX: Duration = Duration::from_secs(60);

/// The agent.
pub struct Home {
    lodge: Arc<Lodge>,
    /// Places for what takes a while.
    errands: Arc<Semaphore>,
}

/// What may be set.
#[derive(Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct HomeSettings {
    /// The folder in which the beings of this machine live; `beings` in genii's own if not set.
    pub folder: Option<PathBuf>,
    /// How many beings may be awake at a time.
    pub awake_max: usize,
    /// How long a being rests before it sleeps.
    pub idle_after: TimeSpan,
    /// How long one that is to move, or to be deleted, may go on with what it was asked before; a minute at most.
    pub finish_within: TimeSpan,
    /// How a being is kept apart from the others, unless it is said of it alone.
    pub isolation: Isolation,
    /// What one may take that has a process of its own.
    pub limits: ProcessLimits,
    /// By which embedder the beings of this machine find what was said.
    pub embedder: EmbedderSettings,
}

impl Default for HomeSettings {
    fn default() -> Self {
        Self {
            folder: None,
            awake_max: genii_runtime::nursery::AWAKE_MAX,
            idle_after: genii_runtime::nursery::IDLE_AFTER.into(),
            finish_within: genii_runtime::nursery::FINISH_WITHIN.into(),
            isolation: Isolation::default(),
            limits: ProcessLimits::default(),
            embedder: EmbedderSettings::default(),
        }
    }
}

impl Agent for Home {
    type Settings = HomeSettings;

    fn protocol() -> Protocol<Self> {
        Protocol::new()
            .on_later::<ListLodgers>()
            .on_later::<AskLodging>()
            .on_later::<AskStates>()
            .on_later::<MakeHere>()
            .on_later::<IsolateHere>()
            .on_later::<CheckHere>()
            .on_later::<RemoveHere>()
            .on_later::<TakeBack>()
            .on_later::<MissHere>()
            .on_later::<PutAside>()
            .on_later::<LookAt>()
            .on_later::<LookInto>()
            .on_later::<Pack>()
            .on_later::<ReadParcel>()
            .on_later::<DropParcel>()
            .on_later::<Receive>()
            .on_later::<Adopt>()
            .on_later::<Discard>()
            .on_later::<Stay>()
            .on_later::<Leave>()
            .on_later::<BeingDue>()
            .on_later::<BeingReminded>()
    }

    async fn start(settings: HomeSettings, context: &mut Context) -> Result<Self, StartError> {
        let house = context.house().cloned();
        let house = house.ok_or_else(|| StartError::refused("it needs to see the house"))?;
        if settings.finish_within.0 > FINISH_WITHIN_MAX {
            let max = TimeSpan(FINISH_WITHIN_MAX);
            return Err(StartError::refused(format!("`finish_within` is longer than {max}")));
        }
        embedding::choose(context.node(), &settings.embedder).await?;
        let lodge = Lodge::open(&house, &settings).await?;
        let homes = Name::new(HOMES).map_err(|error| StartError::refused(error.to_string()))?;
        context.join_group(&homes).map_err(|error| StartError::failed(error.to_string()))?;
        context.spawn(lodge.heed());
        context.spawn(lodge.tend_parcels());
        let errands = Arc::new(Semaphore::new(ERRANDS_MAX));
        Ok(Self { lodge: Arc::new(lodge), errands })
    }

    fn snapshot(&self) -> Json {
        Json(serde_json::json!({
            "beings": self.lodge.nursery().len(),
            "awake": self.lodge.nursery().awake(),
            "folder": self.lodge.folder(),
        }))
    }

    async fn stop(&mut self, _: &mut Context) {
        self.lodge.close().await;
    }
}

impl HandleLater<BeingDue> for Home {
    async fn handle_later(
        &mut self,
        asked: BeingDue,
        promise: Promise<BeingDue>,
        context: &mut Context,
    ) {
        let busy = |why: Amiss| NoBeing::Failed { why: why.to_string() };
        self.begin(promise, context, busy, |lodge| async move { lodge.is_due(asked).await });
    }
}

impl HandleLater<BeingReminded> for Home {
    async fn handle_later(
        &mut self,
        told: BeingReminded,
        promise: Promise<BeingReminded>,
        context: &mut Context,
    ) {
        let lodge = self.lodge.clone();
        let Ok(place) = self.errands.clone().try_acquire_owned() else {
            let being = told.being.as_str();
            return tracing::warn!(being, "nobody hears of its reminder: too much is being done");
        };
        // Whoever it is for may be on another machine.
        context.spawn(async move {
            promise.settle(Ok(()));
            lodge.publish(told).await;
            drop(place);
        });
    }
}

impl Home {
    /// Begins something that takes a while, if not too much is being done already.
    fn begin<M, F>(
        &self,
        promise: Promise<M>,
        context: &mut Context,
        busy: impl FnOnce(Amiss) -> M::Refusal,
        work: impl FnOnce(Arc<Lodge>) -> F,
    ) where
        M: Message,
        F: Future<Output = Result<M::Reply, M::Refusal>> + Send + 'static,
    {
        let Ok(place) = self.errands.clone().try_acquire_owned() else {
            let why = format!("{ERRANDS_MAX} things are being done already; try again");
            return promise.refuse(busy(Amiss::Failed { why }));
        };
        let working = work(self.lodge.clone());
        // Done also if nobody waits for it any more: it is not to end half-way.
        context.spawn(async move {
            promise.settle(working.await);
            drop(place);
        });
    }
}

/// A message that the lodge answers by itself.
macro_rules! answered_by_lodge {
    ($($message:ty => $method:ident;)*) => {$(
        impl HandleLater<$message> for Home {
            async fn handle_later(
                &mut self,
                asked: $message,
                promise: Promise<$message>,
                context: &mut Context,
            ) {
                let work = |lodge: Arc<Lodge>| async move { lodge.$method(asked).await };
                self.begin(promise, context, |busy| busy, work);
            }
        }
    )*};
}

answered_by_lodge! {
    ListLodgers => list;
    AskLodging => lodging;
    AskStates => states;
    MakeHere => make;
    IsolateHere => isolate;
    CheckHere => look_over;
    RemoveHere => remove;
    TakeBack => take_back;
    MissHere => miss;
    PutAside => put_aside;
    LookAt => look_at;
    LookInto => look_into;
    Pack => pack;
    ReadParcel => read_parcel;
    DropParcel => drop_parcel;
    Receive => receive;
    Adopt => adopt;
    Discard => discard;
    Stay => stay;
    Leave => leave;
}
