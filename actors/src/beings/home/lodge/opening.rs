//! Those who live in the folder can be spoken to from now on.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use genii_protocols::{Address, Name};
use genii_runtime::{House, Nursery, NurserySettings};
use genii_supervision::{Backoff, ChildPolicy, GiveUp, Restart, Shutdown, StartError};

use super::super::HomeSettings;
use super::super::due::Due;
use super::super::folders::Folders;
use super::super::tenancies::Tenancies;
use super::super::turns::Turns;
use super::movings::Movings;
use super::{KIND, Lodge, START_TIMEOUT};
use crate::being::process::annex;
use crate::beings::errands::Lodging;
use crate::beings::parcels::blocking;

/// The group of their addresses.
const GROUP: &str = "being";

/// How many messages wait for a being.
const MAILBOX_CAPACITY: usize = 200;

/// How long a being may take to end what it does, and to let go of its folder.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

impl Lodge {
    /// Makes the folder if need be, and lets those be spoken to who live in it.
    pub(in super::super) async fn open(
        house: &House,
        settings: &HomeSettings,
    ) -> Result<Self, StartError> {
        let default = house.node().data().map(|data| data.join("beings"));
        let folder = settings.folder.clone().or(default).ok_or_else(|| {
            StartError::refused("there is no folder for beings; set `folder`, an absolute path")
        })?;
        if !folder.is_absolute() {
            let why =
                format!("`folder` is to be an absolute path, and {} is none", folder.display());
            return Err(StartError::refused(why));
        }
        let movings = house.node().shared(Movings::default);
        let tenancies = Tenancies::new(folder.clone(), settings.isolation, settings.limits.clone());
        let tenancies = Arc::new(tenancies);
        let (shown, recalling) = (folder.display().to_string(), tenancies.clone());
        let opened = blocking(move || {
            let folders = Folders::open(folder)?;
            let (all, _) = folders.behind(None, usize::MAX)?;
            all.iter().for_each(|(id, _)| recalling.recall(id));
            Ok((folders, all))
        });
        let (folders, all) = opened.await.map_err(|error| {
            StartError::failed(format!("its folder {shown} cannot be made or read: {error}"))
        })?;
        let node = house.node().clone();
        if let Err(error) = blocking(move || annex::clear(&node)).await {
            tracing::warn!("what is left of annexes is not looked at: {error}");
        }
        // Only now: whoever wakes meanwhile, as after a crash of this agent, is kept apart as before.
        *movings.tenancies.write() = Some(tenancies.clone());
        let nursery = open_nursery(house, settings, movings.clone()).await?;
        let due = Due::open(folders.path().to_owned()).await?;
        // Only with that lock: until then, another genii may be at work in the folder.
        let clearing = folders.clone();
        blocking(move || clearing.clear()).await.map_err(|error| {
            let folder = folders.path().display();
            StartError::failed(format!("what was left to be removed in {folder} is not: {error}"))
        })?;
        // Whether the others live here, the registry knows.
        let living = all.into_iter().filter(|(_, lodging)| *lodging == Lodging::Here);
        let living: HashSet<Name> = living.map(|(id, _)| id).collect();
        due.settle(&living).await.map_err(|error| StartError::of(&error))?;
        for id in &living {
            nursery.admit(id);
        }
        let house = house.clone();
        let parcels = Arc::default();
        let turns = Turns::default();
        Ok(Self { folders, house, nursery, tenancies, due, parcels, movings, turns })
    }
}

async fn open_nursery(
    house: &House,
    settings: &HomeSettings,
    movings: Arc<Movings>,
) -> Result<Nursery, StartError> {
    let nursery = house.nursery(NurserySettings {
        group: Name::new(GROUP).map_err(|error| StartError::refused(error.to_string()))?,
        kind: KIND.to_owned(),
        tenancy: Arc::new(move |address: &Address| movings.tenancy(address)),
        awake_max: settings.awake_max,
        idle_after: settings.idle_after.0,
        finish_within: settings.finish_within.0,
        mailbox_capacity: MAILBOX_CAPACITY,
        policy: Arc::new(ChildPolicy {
            restart: Restart::Transient,
            shutdown: Shutdown::Within(STOP_TIMEOUT),
            start_timeout: Some(START_TIMEOUT),
            required: false,
            backoff: Some(Backoff::default()),
            give_up: GiveUp::Quarantine,
            ..ChildPolicy::default()
        }),
    });
    nursery.await.map_err(|error| StartError::failed(error.to_string()))
}
