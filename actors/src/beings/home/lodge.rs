//! Who lives in a home, is awake, comes or leaves.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use genii_protocols::being::{AskHealth, Export, Heeded};
use genii_protocols::beings::{
    BeingDue, BeingState, Checked, CheckedTable, ImportedProvider, NoBeing, Soundness,
};
use genii_protocols::{Address, Destination, Json, Name, NodeName, Timestamp};
use genii_runtime::nursery::{Kept, Mood, Tenancy};
use genii_runtime::{House, Nursery, NurserySettings};
use genii_storage::store::{self, Finding, OpenError, Repair, TableReport};
use genii_supervision::{Backoff, ChildPolicy, GiveUp, Restart, Shutdown, StartError, Status};
use parking_lot::{Mutex, RwLock};

use super::HomeSettings;
use super::due::{Due, by_mail};
use super::folders::Folders;
use super::tenancies::{self, Tenancies};
use super::turns::Turns;
use crate::being::birth::Birth;
use crate::being::imported::{Imported, NotImported, next_reminder, settle_provider};
use crate::being::process::annex;
use crate::beings::errands::{
    Adopt, Amiss, AskLodging, AskStates, CheckHere, Discard, DropParcel, Found, IsolateHere, Leave,
    ListLodgers, Lodgers, Lodging, LookAt, LookInto, MakeHere, MissHere, Offered, Pack, Packed,
    Parcel, Piece, PutAside, ReadParcel, Receive, RemoveHere, Standing, States, Stay, TakeBack,
};
use crate::beings::parcels::{OfferedFile, Parcels, Scratch, blocking, drop_aside, fetch};

/// The kind of beings in the catalogue.
const KIND: &str = "being";

/// The kind of those who send what comes for a being after it.
const RELAY: &str = "being-relay";

/// The group of their addresses.
const GROUP: &str = "being";

/// How many messages wait for a being.
const MAILBOX_CAPACITY: usize = 200;

/// How long a being may take to wake.
const START_TIMEOUT: Duration = Duration::from_secs(30);

/// How long a being may take to end what it does, and to let go of its folder.
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// How large a store may be, in bytes, for its reminders to be looked at while its being sleeps.
const LOOKED_AT_MAX: u64 = 4 << 20;

/// How many beings are listed at a time.
const LIST_MAX: usize = 20_000;

/// How long what comes for one that has left is sent after it: as long as others may not know yet
/// where it lives, which is told at once.
const SENT_AFTER: Duration = Duration::from_secs(2);

/// How long a being that has left may take to be known where it lives.
const KNOWN_PATIENCE: Duration = Duration::from_secs(30);

/// How often one looks whether it is.
const KNOWN_LOOK: Duration = Duration::from_millis(20);

/// How often it is tried to end that at a moment at which nothing comes.
const DISMISS_TRIES: usize = 50;

/// How large a file may be that is taken in, in bytes.
const IMPORT_BYTES_MAX: u64 = 64 << 30;

/// How long an export may take.
const EXPORT_PATIENCE: Duration = Duration::from_secs(600);

pub(super) struct Lodge {
    folders: Folders,
    house: House,
    nursery: Nursery,
    tenancies: Arc<Tenancies>,
    due: Due,
    parcels: Arc<Parcels>,
    movings: Arc<Movings>,
    /// The registry may give up waiting for what goes on here, and ask for something else.
    turns: Turns,
}

/// Those that are about to leave or have left. It outlives the home when that crashes, so that none of
/// them wakes meanwhile.
#[derive(Default)]
struct Movings {
    /// How those are kept apart that live here. None as long as no home has begun.
    tenancies: RwLock<Option<Arc<Tenancies>>>,
    /// Held asleep as long as it is open where they live.
    held: Mutex<HashMap<Name, Kept>>,
    /// Those that live elsewhere by now, and where.
    left: Mutex<HashMap<Name, NodeName>>,
    /// Those that are being packed.
    packing: Mutex<HashSet<Name>>,
}

impl Movings {
    /// Who takes the messages of an address.
    fn tenancy(&self, address: &Address) -> Tenancy {
        let left = Name::new(address.name()).ok().and_then(|id| self.left.lock().get(&id).cloned());
        if let Some(node) = left {
            let to = Destination { address: address.clone(), node: Some(node) };
            let settings = Json(serde_json::json!({ "to": to.to_string() }));
            return Tenancy { kind: RELAY.to_owned(), settings };
        }
        match &*self.tenancies.read() {
            Some(tenancies) => tenancies.tenancy(address),
            None => Tenancy { kind: KIND.to_owned(), settings: Json::default() },
        }
    }
}

impl Movings {
    /// Whether a being is held asleep here to leave, or about to be.
    fn is_leaving(&self, id: &Name) -> bool {
        self.packing.lock().contains(id) || self.held.lock().contains_key(id)
    }
}

impl Lodge {
    /// Makes the folder if need be, and lets those be spoken to who live in it.
    pub(super) async fn open(house: &House, settings: &HomeSettings) -> Result<Self, StartError> {
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

    /// Wakes those whose time has come, for ever.
    pub(super) fn heed(&self) -> impl Future<Output = ()> + Send + use<> {
        let by_mail = by_mail(self.house.node().clone(), self.nursery.group().clone());
        let (nursery, folders) = (self.nursery.clone(), self.folders.clone());
        let heed = move |id: Name| {
            let (nursery, folders, mail) = (nursery.clone(), folders.clone(), by_mail(id.clone()));
            async move {
                match sleeps_on(&nursery, &folders, &id).await {
                    Some(next) => Ok(Heeded { reminder: None, next }),
                    None => mail.await,
                }
            }
        };
        self.due.clone().watch(heed)
    }

    /// Lets go of files that nobody fetches any more, for ever.
    pub(super) fn tend_parcels(&self) -> impl Future<Output = ()> + Send + use<> {
        self.parcels.clone().tend()
    }

    pub(super) async fn close(&self) {
        self.due.close().await;
    }

    pub(super) async fn is_due(&self, BeingDue { id, next }: BeingDue) -> Result<(), NoBeing> {
        if !self.nursery.has(&self.address(&id)) {
            return Err(NoBeing::NotFound { id, nearest: None });
        }
        let kept = self.due.set(&id, next).await;
        kept.map_err(|error| NoBeing::Failed { why: error.to_string() })
    }

    pub(super) fn nursery(&self) -> &Nursery {
        &self.nursery
    }

    pub(super) fn folder(&self) -> &Path {
        self.folders.path()
    }

    fn address(&self, id: &Name) -> Address {
        Address::new(self.nursery.group(), id)
    }

    /// Does something with the folders, aside.
    async fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(Folders) -> std::io::Result<T> + Send + 'static,
    ) -> Result<T, Amiss> {
        let folders = self.folders.clone();
        blocking(move || work(folders)).await
    }

    /// For a file that is needed for a while.
    async fn scratch(&self, why: &str) -> Result<Scratch, Amiss> {
        let name = format!("{why}-{:016x}", fastrand::u64(..));
        self.aside(move |folders| Scratch::make(folders.scratch(&name)?)).await
    }

    // Who is here.

    pub(super) async fn list(&self, asked: ListLodgers) -> Result<Lodgers, Amiss> {
        let after = asked.after;
        let behind = self.aside(move |folders| folders.behind(after.as_ref(), LIST_MAX));
        let (lodgers, has_more) = behind.await?;
        let more = lodgers.last().map(|(id, _)| id.clone()).filter(|_| has_more);
        Ok(Lodgers { lodgers, more })
    }

    pub(super) async fn lodging(&self, asked: AskLodging) -> Result<Option<Lodging>, Amiss> {
        // Also before it is marked, and after its folder is gone.
        let is_leaving = self.movings.is_leaving(&asked.id);
        let lodging = self.aside(move |folders| folders.lodging(&asked.id)).await?;
        Ok(if is_leaving { Some(Lodging::Leaving) } else { lodging })
    }

    pub(super) async fn states(&self, asked: AskStates) -> Result<States, Amiss> {
        Ok(States(asked.ids.iter().map(|id| self.standing(id)).collect()))
    }

    /// How a being stands, and what is amiss.
    fn standing(&self, id: &Name) -> Standing {
        let (state, why) = self.state(id);
        Standing { state, why, isolation: Some(self.tenancies.of(id)) }
    }

    fn state(&self, id: &Name) -> (BeingState, Option<String>) {
        let address = self.address(id);
        let status = self.house.member(address.as_str()).ok().map(|member| member.view.status);
        let is_moving = self.movings.held.lock().contains_key(id);
        match (status, self.nursery.mood(&address)) {
            _ if is_moving => (BeingState::Asleep, Some("it is about to move away".to_owned())),
            (Some(Status::Quarantined(failure)), _) => {
                (BeingState::Quarantined, Some(failure.to_string()))
            }
            (Some(Status::Down(failure)), _) => (BeingState::Down, Some(failure.to_string())),
            (_, Some(Mood::Awake)) => (BeingState::Awake, None),
            (_, Some(Mood::Waking)) => (BeingState::Waking, None),
            (_, Some(Mood::Asleep | Mood::Dozing)) => (BeingState::Asleep, None),
            (_, None) => (BeingState::Down, Some("it is not where it lives yet".to_owned())),
        }
    }

    pub(super) async fn look_at(&self, LookAt { id }: LookAt) -> Result<Found, Amiss> {
        // Whoever is awake has its store to itself.
        let address = self.address(&id);
        let asleep = match self.nursery.has(&address) {
            true => self.nursery.keep_asleep(&address).await.map(Some),
            false => Some(None),
        };
        let asleep = asleep.ok_or_else(|| Amiss::failed("something else is done with it"))?;
        let folder = self.folders.of(&id);
        let looked = tokio::task::spawn_blocking(move || Imported::lying_in(&folder, &id)).await;
        drop(asleep);
        let senseless = |error: NotImported| Amiss::Senseless { why: error.to_string() };
        let Imported { id, name, created } = looked.map_err(Amiss::failed)?.map_err(senseless)?;
        Ok(Found { id, name, created })
    }

    /// Who is in a file that was exported, and by whom its words are found. A copy of it is looked at, and
    /// settled, so that it stays as it is.
    async fn look(
        &self,
        file: PathBuf,
        with_provider: bool,
    ) -> Result<(Found, Option<ImportedProvider>, Scratch), Amiss> {
        let copy = self.scratch("look").await?;
        let looked = tokio::task::spawn_blocking(move || {
            let found = take_copy(&file, copy.path(), with_provider);
            let senseless = |error: NotImported| Amiss::Senseless { why: error.to_string() };
            found.map(|(found, provider)| (found, provider, copy)).map_err(senseless)
        });
        looked.await.map_err(Amiss::failed)?
    }

    // Making and removing.

    pub(super) async fn make(&self, asked: MakeHere) -> Result<(), Amiss> {
        let MakeHere { id, making, created, character, provider, isolation } = asked;
        let birth = Birth { created, character, provider };
        let _turn = self.turns.take(&id).await;
        if self.folders.is_taken(&id) {
            return Err(Amiss::Taken { id });
        }
        let of = id.clone();
        let tenancies = self.tenancies.clone();
        self.aside(move |folders| {
            folders.make(&of, making, |folder| {
                if let Some(isolation) = isolation {
                    tenancies::write(folder, isolation)?;
                }
                birth.write(folder)
            })?;
            tenancies.recall(&of);
            Ok(())
        })
        .await?;
        self.nursery.admit(&id);
        Ok(())
    }

    /// It sleeps when this returns.
    pub(super) async fn isolate(&self, asked: IsolateHere) -> Result<(), Amiss> {
        let IsolateHere { id, isolation } = asked;
        let asleep = self.nursery.keep_asleep(&self.address(&id)).await;
        let asleep = asleep.ok_or_else(|| Amiss::failed("something else is done with it"))?;
        let tenancies = self.tenancies.clone();
        let set = blocking(move || tenancies.set(&id, isolation)).await;
        drop(asleep);
        set
    }

    /// Looks over what a being has on the disk, while it sleeps.
    pub(super) async fn check(&self, asked: CheckHere) -> Result<Checked, Amiss> {
        let CheckHere { id, repair } = asked;
        let asleep = self.nursery.keep_asleep(&self.address(&id)).await;
        let asleep = asleep.ok_or_else(|| Amiss::failed("something else is done with it"))?;
        let file = self.folders.store_of(&id);
        let checked = tokio::task::spawn_blocking(move || check_file(&file, repair)).await;
        drop(asleep);
        checked.map_err(Amiss::failed)?.map_err(Amiss::failed)
    }

    pub(super) async fn miss(&self, MissHere { id }: MissHere) -> Result<(), Amiss> {
        self.nursery.admit(&id);
        Ok(())
    }

    /// Removes a being: its address, and its folder with all that is in it.
    pub(super) async fn remove(&self, RemoveHere { id }: RemoveHere) -> Result<(), Amiss> {
        let _turn = self.turns.take(&id).await;
        self.dismiss(&id).await?;
        self.parcels.forget_of(&id).await;
        self.aside(move |folders| {
            folders.discard(&id)?;
            folders.take_out(&id)
        })
        .await
    }

    /// Removes what one making of a being has made, and leaves all else as it is. If that goes on it is
    /// waited for: nothing is made of it later.
    pub(super) async fn take_back(&self, asked: TakeBack) -> Result<(), Amiss> {
        let TakeBack { id, making } = asked;
        let _turn = self.turns.take(&id).await;
        let of = id.clone();
        if self.aside(move |folders| folders.is_made_by(&of, making)).await? {
            self.dismiss(&id).await?;
        }
        self.aside(move |folders| folders.take_back(&id, making)).await
    }

    pub(super) async fn put_aside(&self, PutAside { id }: PutAside) -> Result<Vec<String>, Amiss> {
        let _turn = self.turns.take(&id).await;
        self.dismiss(&id).await?;
        let of = id.clone();
        let aside = self.aside(move |folders| folders.put_aside(&of)).await?;
        let aside: Vec<String> = aside.iter().map(|path| path.display().to_string()).collect();
        for aside in &aside {
            tracing::warn!(being = id.as_str(), aside, "is not to live here, and is put aside");
        }
        Ok(aside)
    }

    /// It cannot be spoken to here any more.
    async fn dismiss(&self, id: &Name) -> Result<(), Amiss> {
        let address = self.address(id);
        let held = self.movings.held.lock().remove(id);
        let kept = match held {
            Some(kept) => Some(kept),
            None => self.nursery.keep_asleep(&address).await,
        };
        match kept {
            Some(kept) => kept.dismiss(),
            None if self.nursery.has(&address) => {
                return Err(Amiss::failed("something else is done with it just now; try again"));
            }
            None => {}
        }
        self.due.forget(id).await;
        self.tenancies.forget(id);
        let (node, id) = (self.house.node().clone(), id.clone());
        blocking(move || {
            annex::forget(&node, &id);
            Ok(())
        })
        .await
    }

    // Giving away.

    pub(super) async fn look_into(&self, asked: LookInto) -> Result<Offered, Amiss> {
        let file = PathBuf::from(&asked.file);
        if !file.is_absolute() {
            return Err(Amiss::Senseless { why: format!("{} is no absolute path", asked.file) });
        }
        let (found, provider, copy) = self.look(file, asked.with_provider).await?;
        let parcel = self.parcels.offer(OfferedFile::Made(copy), None).await?;
        Ok(Offered { found, provider, parcel })
    }

    pub(super) async fn pack(&self, Pack { id, to_leave }: Pack) -> Result<Packed, Amiss> {
        let isolation = self.tenancies.said(&id);
        let parcel = match to_leave {
            true => self.pack_to_leave(id).await?,
            false => self.pack_copy(id).await?,
        };
        Ok(Packed { parcel, isolation })
    }

    /// A copy of one that lives on.
    async fn pack_copy(&self, id: Name) -> Result<Parcel, Amiss> {
        let copy = self.scratch("export").await?;
        let export = Export { file: copy.path().display().to_string() };
        let address = self.address(&id);
        let being = self.house.node().to(address.clone());
        if let Err(error) = being.ask_within(export, EXPORT_PATIENCE).await {
            drop_aside(copy).await;
            return Err(Amiss::failed(error));
        }
        let parcel = self.parcels.offer(OfferedFile::Made(copy), Some(id)).await?;
        // Looked at only now: whoever removes it after that lets go of what is given away of it.
        if !self.nursery.has(&address) {
            self.parcels.forget(parcel.ticket).await;
            return Err(Amiss::failed("it was removed while it was written out"));
        }
        Ok(parcel)
    }

    async fn pack_to_leave(&self, id: Name) -> Result<Parcel, Amiss> {
        let Some(_packing) = Packing::begin(&self.movings, &id) else {
            return Err(Amiss::failed("it is being packed already"));
        };
        let address = self.address(&id);
        if !self.movings.held.lock().contains_key(&id) {
            // One that has never been awake has not taken over yet who it is to be.
            let being = self.house.node().to(address.clone());
            let well = being.ask_within(AskHealth {}, START_TIMEOUT).await;
            well.map_err(|error| Amiss::failed(format!("it cannot move as it is: {error}")))?;
            let kept = self.nursery.keep_asleep(&address).await;
            let kept = kept.ok_or_else(|| Amiss::failed("something else is done with it"))?;
            let of = id.clone();
            // If this fails it is not held any more, and wakes.
            self.aside(move |folders| folders.mark_leaving(&of)).await?;
            self.movings.held.lock().insert(id.clone(), kept);
        }
        let store = OfferedFile::Kept(self.folders.store_of(&id));
        self.parcels.offer(store, Some(id.clone())).await
    }

    pub(super) async fn read_parcel(&self, asked: ReadParcel) -> Result<Piece, Amiss> {
        self.parcels.read(asked).await
    }

    pub(super) async fn drop_parcel(&self, asked: DropParcel) -> Result<(), Amiss> {
        self.parcels.forget(asked.ticket).await;
        Ok(())
    }

    // Coming and leaving.

    pub(super) async fn receive(&self, asked: Receive) -> Result<(), Amiss> {
        let Receive { id, from, parcel, isolation, making } = asked;
        // Also over what is cleared away in the end: nobody has begun anew there meanwhile.
        let _turn = self.turns.take(&id).await;
        if self.movings.left.lock().contains_key(&id) {
            let why = "it has just left, and what came for it meanwhile is still sent after it; try \
                       again in some seconds";
            return Err(Amiss::failed(why));
        }
        if self.folders.is_taken(&id) {
            return Err(Amiss::Taken { id });
        }
        let (of, bytes) = (id.clone(), parcel.bytes);
        let file = self.aside(move |folders| {
            store::find_room(folders.path(), bytes).map_err(std::io::Error::other)?;
            folders.receive(&of, making)
        });
        let file = file.await?;
        let of = id.clone();
        let received = match self.fetch_and_check(&from, &parcel, file).await {
            Ok(()) => {
                self.aside(move |folders| {
                    if let Some(isolation) = isolation {
                        tenancies::write(&folders.coming(&of), isolation)?;
                    }
                    folders.received(&of)
                })
                .await
            }
            Err(why) => Err(why),
        };
        if received.is_err() {
            self.aside(move |folders| folders.discard(&id)).await?;
        }
        received
    }

    async fn fetch_and_check(
        &self,
        from: &Destination,
        parcel: &Parcel,
        file: PathBuf,
    ) -> Result<(), Amiss> {
        let from = self.house.node().to(from.clone());
        fetch(&from, parcel, file.clone()).await?;
        let checked = tokio::task::spawn_blocking(move || Imported::of(&file)).await;
        let senseless = |error: NotImported| Amiss::Senseless { why: error.to_string() };
        checked.map_err(Amiss::failed)?.map(drop).map_err(senseless)
    }

    pub(super) async fn adopt(&self, Adopt { id }: Adopt) -> Result<(), Amiss> {
        let _turn = self.turns.take(&id).await;
        let (of, tenancies) = (id.clone(), self.tenancies.clone());
        self.aside(move |folders| {
            match folders.lodging(&of)? {
                Some(Lodging::Coming) => folders.adopt(&of)?,
                Some(Lodging::Here) => {}
                Some(Lodging::Leaving) => folders.mark_staying(&of)?,
                None => return Err(std::io::Error::other("nothing of it has come")),
            }
            tenancies.recall(&of);
            Ok(())
        })
        .await?;
        self.nursery.admit(&id);
        self.due.ask(&id).await.map_err(Amiss::failed)
    }

    pub(super) async fn discard(&self, Discard { id }: Discard) -> Result<(), Amiss> {
        let _turn = self.turns.take(&id).await;
        self.aside(move |folders| folders.discard(&id)).await
    }

    pub(super) async fn stay(&self, Stay { id }: Stay) -> Result<(), Amiss> {
        if self.movings.packing.lock().contains(&id) {
            return Err(Amiss::failed("it is being packed just now; try again"));
        }
        let (of, tenancies) = (id.clone(), self.tenancies.clone());
        self.aside(move |folders| {
            folders.mark_staying(&of)?;
            tenancies.recall(&of);
            Ok(())
        })
        .await?;
        let address = self.address(&id);
        // What has waited for it is handled now.
        drop(self.movings.held.lock().remove(&id));
        let status = self.house.member(address.as_str()).ok().map(|member| member.view.status);
        if matches!(status, Some(Status::Quarantined(_))) {
            // It was held back because of what is mended now: it sleeps, and may wake.
            drop(self.nursery.keep_asleep(&address).await);
        }
        self.nursery.admit(&id);
        // One that was brought by hand may have something to be woken for.
        self.due.ask(&id).await.map_err(Amiss::failed)
    }

    pub(super) async fn leave(&self, Leave { id, to }: Leave) -> Result<(), Amiss> {
        let of = id.clone();
        let address = self.address(&id);
        if self.movings.packing.lock().contains(&id) {
            return Err(Amiss::failed("it is being packed just now; try again"));
        }
        if self.nursery.has(&address) && !self.movings.held.lock().contains_key(&id) {
            return Err(Amiss::failed("it was not held, and is not where it would be removed"));
        }
        self.aside(move |folders| folders.leave(&of)).await?;
        self.due.forget(&id).await;
        self.tenancies.forget(&id);
        self.movings.left.lock().insert(id.clone(), to.clone());
        let kept = self.movings.held.lock().remove(&id);
        let Some(kept) = kept else {
            self.movings.left.lock().remove(&id);
            return Ok(());
        };
        // Whoever wakes now sends what has waited after it.
        drop(kept);
        let (nursery, movings) = (self.nursery.clone(), self.movings.clone());
        let node = self.house.node().clone();
        // Not a task of the home: it is to go on when that crashes.
        tokio::spawn(async move {
            let known = tokio::time::timeout(KNOWN_PATIENCE, async {
                while node.cluster().is_some_and(|cluster| cluster.lacks(&to, &address)) {
                    tokio::time::sleep(KNOWN_LOOK).await;
                }
            });
            let _else_who_asks_is_told = known.await;
            nursery.hide(&address);
            tokio::time::sleep(SENT_AFTER).await;
            dismiss_when_quiet(&nursery, &address).await;
            movings.left.lock().remove(&id);
        });
        Ok(())
    }
}

/// Lets go of an address at a moment at which nothing waits there.
async fn dismiss_when_quiet(nursery: &Nursery, address: &Address) {
    for _ in 0..DISMISS_TRIES {
        let Some(kept) = nursery.keep_asleep(address).await else { return };
        match kept.dismiss_if_unwanted() {
            Ok(()) => return,
            // Sent after it by one more life.
            Err(kept) => drop(kept),
        }
    }
    if let Some(kept) = nursery.keep_asleep(address).await {
        kept.dismiss();
    }
}

/// One that is being packed.
struct Packing<'a>(&'a Movings, &'a Name);

impl<'a> Packing<'a> {
    fn begin(movings: &'a Movings, id: &'a Name) -> Option<Self> {
        movings.packing.lock().insert(id.clone()).then(|| Self(movings, id))
    }
}

impl Drop for Packing<'_> {
    fn drop(&mut self) {
        self.0.packing.lock().remove(self.1);
    }
}

/// Copies a file that was exported, if it can be one and has room, and settles by whom the words of the being
/// in it are found. Blocking.
fn take_copy(
    file: &Path,
    copy: &Path,
    with_provider: bool,
) -> Result<(Found, Option<ImportedProvider>), NotImported> {
    let bytes = store::admit(file, IMPORT_BYTES_MAX)?;
    store::find_room(copy.parent().unwrap_or(copy), bytes)?;
    let restored = store::restore(file, copy);
    restored.map_err(|error| NotImported::Failed { why: error.to_string() })?;
    // It was checked whole when it was restored.
    let Imported { id, name, created } = Imported::in_store(copy)?;
    let provider = settle_provider(copy, with_provider)?;
    Ok((Found { id, name, created }, provider))
}

/// When one that sleeps is due, if it need not be woken yet. A large store takes as long to be looked at as
/// its being to wake.
async fn sleeps_on(nursery: &Nursery, folders: &Folders, id: &Name) -> Option<Option<Timestamp>> {
    let address = Address::new(nursery.group(), id);
    if nursery.mood(&address) != Some(Mood::Asleep) {
        return None;
    }
    let asleep = nursery.keep_asleep(&address).await?;
    let store = folders.store_of(id);
    let looked = tokio::task::spawn_blocking(move || {
        let bytes = store.metadata().map_or(0, |about| about.len());
        (bytes <= LOOKED_AT_MAX).then(|| next_reminder(&store))
    });
    // What is wrong with it is told by whoever wakes it.
    let next = looked.await.ok()??.ok()?;
    drop(asleep);
    next.is_none_or(|next| next > Timestamp::now()).then_some(next)
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

/// Looks a store over, and mends it if that is wanted. Blocking.
fn check_file(file: &Path, repair: bool) -> Result<Checked, OpenError> {
    let (report, is_repaired) = match repair {
        true => {
            let Repair { before, after } = store::repair(file)?;
            let is_repaired = !before.is_whole() && after.is_whole();
            (after, is_repaired)
        }
        false => (store::check(file)?, false),
    };
    let finding = match report.finding {
        Finding::Whole | Finding::NotClosed => Soundness::Whole,
        Finding::Repairable { .. } => Soundness::Repairable,
        Finding::Damaged { .. } => Soundness::Damaged,
    };
    let table = |table: TableReport| {
        let TableReport { name, entries, bytes } = table;
        CheckedTable { name, entries, bytes }
    };
    let tables = report.tables.into_iter().map(table).collect();
    let (words, bytes) = (report.finding.to_string(), report.bytes);
    Ok(Checked { finding, words, is_repaired, bytes, tables })
}
