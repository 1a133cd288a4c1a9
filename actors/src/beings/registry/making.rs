//! Beings come and go.

use std::path::PathBuf;
use std::time::Duration;

use genii_protocols::being::Exported;
use genii_protocols::beings::{
    BeingEntry, CheckBeing, Checked, CreateBeing, DeleteBeing, ExportBeing, ImportBeing,
    ImportedBeing, ImportedProvider, IsolateBeing, NoBeing,
};
use genii_protocols::{Json, Name, NodeName, Timestamp};

use super::super::errands::{
    Adopt, CheckHere, IsolateHere, LookInto, MakeHere, Offered, Pack, Receive, RemoveHere, TakeBack,
};
use super::super::parcels::{Claim, fetch, lies_with_a_being};
use super::book::{Entry, Stage};
use super::homes::{self, in_the_way};
use super::lost::homeless;
use super::moving::{ARRIVAL_PATIENCE, PACK_PATIENCE, RECEIVE_PATIENCE};
use super::{BEINGS_MAX, STATES_PATIENCE, Shared, TAKE_PATIENCE, Taken, failed, senseless};
use crate::being::character::Character;
use crate::being::provider::{self, ProviderSettings, ProviderShare};

/// How long all that a being is may take to be written out, or taken in: as long as to another machine.
const FILE_PATIENCE: Duration = RECEIVE_PATIENCE;

/// How long the longest may take of what the registry is asked: to take a being in, and back if it cannot live.
/// Whoever waits for less gives up before the registry does, and is not told what went wrong.
pub const ERRAND_PATIENCE_MAX: Duration = FILE_PATIENCE
    .saturating_add(TAKE_PATIENCE)
    .saturating_add(RECEIVE_PATIENCE)
    .saturating_add(homes::PATIENCE)
    .saturating_add(ARRIVAL_PATIENCE)
    .saturating_add(homes::PATIENCE)
    .saturating_add(STATES_PATIENCE);

/// How long a move may take: it is packed, comes, and lives there and leaves, or stays where it was and is
/// thrown away there.
const MOVE_PATIENCE_MAX: Duration = TAKE_PATIENCE
    .saturating_add(PACK_PATIENCE)
    .saturating_add(RECEIVE_PATIENCE)
    .saturating_add(homes::PATIENCE)
    .saturating_add(ARRIVAL_PATIENCE)
    .saturating_add(homes::PATIENCE)
    .saturating_add(STATES_PATIENCE);

const _: () = assert!(MOVE_PATIENCE_MAX.as_secs() <= ERRAND_PATIENCE_MAX.as_secs());

/// How long a being may take to fall asleep, to be kept apart in another way.
const ISOLATE_PATIENCE: Duration = Duration::from_secs(120);

/// What is noted of a being that was deleted.
const DELETED: &str = "was deleted, with all that it remembered";

/// How many ids are tried for a being whose name is taken.
const ID_TRIES: u32 = 1_000;

impl Shared {
    pub(super) async fn create(&self, asked: CreateBeing) -> Result<BeingEntry, NoBeing> {
        let text = asked.character.to_string();
        let read = Character::try_from(&asked.character)
            .or_else(|_| Character::read(text.as_bytes()).map(|import| import.character));
        let character = read.map_err(senseless)?;
        let provider = asked.provider.unwrap_or_default();
        check_provider(&provider)?;
        let node = self.home_for(asked.node)?;
        let (name, created) = (character.name.clone(), Timestamp::now());
        let character = character.to_json();
        let (wanted, stem) = (asked.id, kebab(&name));
        for number in 1..=ID_TRIES {
            let id = match &wanted {
                Some(id) => id.clone(),
                None if number == 1 => Name::new(&stem).map_err(senseless)?,
                None => Name::new(&format!("{stem}-{number}")).map_err(senseless)?,
            };
            let make = MakeHere {
                id: id.clone(),
                making: fastrand::u64(..),
                created,
                character: character.clone(),
                provider: provider.clone(),
                isolation: asked.isolation,
            };
            let taken = match wanted {
                Some(_) => self.unknown(self.take(&id).await?)?,
                None => match self.try_free(&id)? {
                    Some(taken) => taken,
                    None => continue,
                },
            };
            match self.make(&node, taken, name.clone(), make).await {
                // Another id may be free.
                Err(NoBeing::Taken { .. }) if wanted.is_none() => {}
                // No being has it.
                Err(NoBeing::Taken { id }) => return Err(in_the_way(&node, &id)),
                made => return made,
            }
        }
        let why = format!("{ID_TRIES} beings are called {stem} already; name an id");
        Err(NoBeing::Senseless { why })
    }

    /// Makes a being. Refused as taken if something lies where it would live.
    async fn make(
        &self,
        node: &NodeName,
        _taken: Taken<'_>,
        name: String,
        make: MakeHere,
    ) -> Result<BeingEntry, NoBeing> {
        let making = make.making;
        let entry = self.begun(&make.id, name, node, make.created, making).await?;
        let made = self.homes.ask_to_make(node, make).await;
        self.finish(entry, making, made, "was made").await
    }

    pub(super) async fn import(&self, asked: ImportBeing) -> Result<ImportedBeing, NoBeing> {
        let ImportBeing { file, id, node, isolation, with_provider } = asked;
        let node = self.home_for(node)?;
        // Said before the whole file is read, if it is known.
        if let Some(id) = &id {
            self.refuse_taken(id)?;
        }
        // Read where the registry is, wherever it is to live.
        let here = self.homes.on(self.node.name())?;
        let look = LookInto { file, with_provider };
        let offered = self.homes.ask_within(self.node.name(), look, FILE_PATIENCE).await?;
        let Offered { found, provider, parcel } = offered;
        let _until_it_has_come = Claim::on(&parcel, self.node.to(here.clone()));
        let id = id.unwrap_or(found.id);
        let _taken = self.unknown(self.take(&id).await?)?;
        let making = fastrand::u64(..);
        let entry = self.begun(&id, found.name, &node, found.created, making).await?;
        let of = Some(making);
        let receive = Receive { id: id.clone(), from: here, parcel, isolation, making: of };
        let received = self.homes.ask_within(&node, receive, FILE_PATIENCE).await;
        let made = match received {
            Ok(()) => self.homes.ask(&node, Adopt { id }).await,
            Err(why) => Err(why),
        };
        let being = self.finish(entry, making, made, "was imported").await?;
        let notes = provider.iter().map(|provider| note_of(provider, &being.id)).collect();
        Ok(ImportedBeing { being, provider, notes })
    }

    /// Where a new being is to live.
    fn home_for(&self, asked: Option<NodeName>) -> Result<NodeName, NoBeing> {
        if let Some(node) = asked.or_else(|| self.home.clone()) {
            self.homes.on(&node)?;
            return Ok(node);
        }
        let own = self.node.name();
        // Of those with as few, this one.
        let load = |node: &NodeName| (self.book.count_on(node), node != own, node.clone());
        let fewest = self.homes.nodes().into_iter().min_by_key(load);
        // With none it is said what is missing.
        fewest.map_or_else(|| self.homes.on(own).map(|_| own.clone()), Ok)
    }

    /// An id that is taken hold of, if no being has it. Looked at then: before that another may have been
    /// made of it.
    fn unknown<'a>(&self, taken: Taken<'a>) -> Result<Taken<'a>, NoBeing> {
        self.refuse_taken(&taken.id).map(|()| taken)
    }

    fn refuse_taken(&self, id: &Name) -> Result<(), NoBeing> {
        match self.book.get(id).map_err(failed)? {
            None => Ok(()),
            Some(entry) if entry.is_there() => Err(NoBeing::Taken { id: id.clone() }),
            Some(entry) => Err(self.half_there(&entry)),
        }
    }

    /// Takes hold of an id if the book has it at no stage, and no other of the same name is being made of it
    /// just now.
    fn try_free(&self, id: &Name) -> Result<Option<Taken<'_>>, NoBeing> {
        let Ok(taken) = self.try_take(id) else { return Ok(None) };
        let is_free = self.book.get(id).map_err(failed)?.is_none();
        Ok(is_free.then_some(taken))
    }

    /// Notes that a being is about to be, and by what its making is told from any other.
    async fn begun(
        &self,
        id: &Name,
        name: String,
        node: &NodeName,
        created: Timestamp,
        making: u64,
    ) -> Result<Entry, NoBeing> {
        if self.book.len().map_err(failed)? >= BEINGS_MAX {
            let why = format!("there are {BEINGS_MAX} beings already, and no more can be");
            return Err(NoBeing::Failed { why });
        }
        let (id, node) = (id.clone(), node.clone());
        let entry = Entry { id, name, node, created, stage: Stage::Coming };
        self.book.begin(entry.clone(), making).await.map_err(failed)?;
        Ok(entry)
    }

    /// Waits until a new being is well, and notes how it came to be, or takes it back.
    async fn finish(
        &self,
        entry: Entry,
        making: u64,
        made: Result<(), NoBeing>,
        how: &str,
    ) -> Result<BeingEntry, NoBeing> {
        let lives = match made {
            Ok(()) => self.is_well(&entry.id, &entry.node).await,
            Err(why) => Err(why),
        };
        if let Err(why) = lives {
            self.undo(&entry, making).await;
            return Err(why);
        }
        let entry = Entry { stage: Stage::Living, ..entry };
        let done = format!("{how} on {}", entry.node);
        if let Err(error) = self.book.put(entry.clone(), Some(&done)).await {
            let why = failed(error);
            self.not_settled(&entry.node, &entry.id, &why);
            return Err(why);
        }
        self.note_coming(&entry.id, &done);
        Ok(self.shown(entry).await)
    }

    async fn undo(&self, entry: &Entry, making: u64) {
        let back = TakeBack { id: entry.id.clone(), making };
        let struck = match self.homes.ask(&entry.node, back).await {
            Ok(()) => self.book.strike(&entry.id, None).await.map_err(failed),
            Err(why) => Err(why),
        };
        match struck {
            // What lies there all the same lay there before, and is taken in.
            Ok(()) => self.unsettled.add(&entry.id),
            Err(why) => self.not_settled(&entry.node, &entry.id, &why),
        }
    }

    pub(super) async fn export(&self, asked: ExportBeing) -> Result<Exported, NoBeing> {
        let ExportBeing { id, file } = asked;
        let path = PathBuf::from(&file);
        if !path.is_absolute() {
            return Err(NoBeing::Senseless { why: format!("{file} is no absolute path") });
        }
        if path.exists() {
            let why = format!("{file} is there already; name another file");
            return Err(NoBeing::Failed { why });
        }
        let folder = path.parent().unwrap_or(&path);
        if !folder.is_dir() {
            let folder = folder.display();
            let why = format!("there is no folder {folder}; make it, or name another file");
            return Err(NoBeing::Failed { why });
        }
        if lies_with_a_being(&path) {
            let why = format!("{file} would lie in a being's own folder; name another file");
            return Err(NoBeing::Senseless { why });
        }
        let entry = self.find(&id).await?;
        let home = self.homes.on(&entry.node)?;
        let pack = Pack { id, to_leave: false };
        let parcel = self.homes.ask_within(&entry.node, pack, FILE_PATIENCE).await?.parcel;
        fetch(&self.node.to(home), &parcel, path).await.map_err(failed)?;
        Ok(Exported { file, bytes: parcel.bytes, sha256: parcel.sha256 })
    }

    pub(super) async fn isolate(&self, asked: IsolateBeing) -> Result<BeingEntry, NoBeing> {
        let IsolateBeing { id, isolation } = asked;
        self.find(&id).await?;
        let _taken = self.take(&id).await?;
        let entry = self.find(&id).await?;
        let isolate = IsolateHere { id, isolation };
        self.homes.ask_within(&entry.node, isolate, ISOLATE_PATIENCE).await?;
        Ok(self.shown(entry).await)
    }

    pub(super) async fn check(&self, asked: CheckBeing) -> Result<Checked, NoBeing> {
        let CheckBeing { id, repair, give_up } = asked;
        self.find(&id).await?;
        let _taken = self.take(&id).await?;
        let entry = self.find(&id).await?;
        let check = CheckHere { id: id.clone(), repair, give_up };
        let checked = self.homes.ask_within(&entry.node, check, FILE_PATIENCE).await?;
        if let Some(done) = mended(&checked) {
            // It is done, and is not undone because nobody will read of it later.
            if let Err(error) = self.book.note(&id, &done).await {
                tracing::warn!(being = id.as_str(), "what was done with it was not kept: {error}");
            }
            self.note(&id, &done);
        }
        Ok(checked)
    }

    pub(super) async fn delete(
        &self,
        DeleteBeing { id, lost }: DeleteBeing,
    ) -> Result<BeingEntry, NoBeing> {
        if lost {
            return self.give_up(id).await;
        }
        // Also one whose making or deletion did not come to its end.
        self.find_at_any_stage(&id).await?;
        let _taken = self.take(&id).await?;
        let entry = self.find_at_any_stage(&id).await?;
        // Said before anything is written, if its machine is away.
        if let Err(why) = self.homes.on(&entry.node) {
            let why = match self.homes.is_away(&entry.node) {
                true => format!(
                    "{why}; if that machine is lost for good, `being delete {id} --lost` gives the being \
                     up with it"
                ),
                false => homeless(&entry.node),
            };
            return Err(NoBeing::Failed { why });
        }
        let shown = self.shown(entry.clone()).await;
        let node = entry.node.clone();
        if let Err(why) = self.remove(entry).await {
            // Where the book could not say so, nothing was begun, and nobody would go on with it.
            let lives_on = |entry: Entry| !matches!(entry.stage, Stage::Coming | Stage::Going);
            if self.book.get(&id).map_err(failed)?.is_some_and(lives_on) {
                let why = format!("it is not deleted, and lives on: {why}");
                return Err(NoBeing::Failed { why });
            }
            self.not_settled(&node, &id, &why);
            let why = format!("it is being deleted, and not all of it is gone yet: {why}");
            return Err(NoBeing::Failed { why });
        }
        Ok(shown)
    }

    async fn remove(&self, entry: Entry) -> Result<(), NoBeing> {
        if entry.stage == Stage::Coming {
            // What lay there before it was made is none of its own.
            return self.settle_unmade(&entry).await;
        }
        let going = Entry { stage: Stage::Going, ..entry };
        self.book.put(going.clone(), None).await.map_err(failed)?;
        self.homes.ask(&going.node, RemoveHere { id: going.id.clone() }).await?;
        self.strike_deleted(&going.id).await
    }

    /// Nothing of a being that is deleted lies any more where it lived.
    pub(super) async fn strike_deleted(&self, id: &Name) -> Result<(), NoBeing> {
        self.book.strike(id, Some(DELETED)).await.map_err(failed)?;
        self.unsettled.forget(id);
        self.note(id, DELETED);
        if self.book.has_remains(id).map_err(failed)? {
            // What it has left elsewhere is to go as well.
            self.unsettled.add(id);
        }
        Ok(())
    }
}

/// What is noted of a being whose store was mended just now; nothing if it was not.
fn mended(checked: &Checked) -> Option<String> {
    if !checked.is_repaired {
        return None;
    }
    let lost: u64 = checked.tables.iter().map(|table| table.lost).sum();
    // More is to be known only where something was given up.
    let is_given_up = !checked.notes.is_empty();
    Some(match lost {
        0 if !is_given_up => "was damaged, and mended without loss".to_owned(),
        0 => "was damaged, and what could not be read of it was given up".to_owned(),
        1 => "was damaged, and 1 entry that could not be read was given up".to_owned(),
        lost => format!("was damaged, and {lost} entries that could not be read were given up"),
    })
}

/// Whether there can be such a provider.
fn check_provider(settings: &Json) -> Result<(), NoBeing> {
    let settings = ProviderSettings::read(settings).map_err(senseless)?;
    provider::make(&settings, &ProviderShare::new(), 0).map(drop).map_err(senseless)
}

/// What a person should know about the provider of a being that was taken in.
fn note_of(provider: &ImportedProvider, id: &Name) -> String {
    match provider.is_kept {
        true => format!("the provider in the file finds its words here, too: {provider}"),
        // What stands in the file is for nobody to paste into a shell.
        false => format!(
            "`being provider {id} --base-url URL --model MODEL` sets who finds its words; it answers \
             offline, and the provider in the file is left out: {provider}"
        ),
    }
}

/// A name as an id: small letters and digits, with hyphens between words.
fn kebab(name: &str) -> String {
    const WORDS_BYTES_MAX: usize = 48;
    let words = genii_storage::text::folded_words(name);
    let ascii = words.map(|word| word.replace(|c: char| !c.is_ascii_alphanumeric(), ""));
    let mut id = String::new();
    for word in ascii.filter(|word| !word.is_empty()) {
        if id.len() + word.len() > WORDS_BYTES_MAX {
            break;
        }
        if !id.is_empty() {
            id.push('-');
        }
        id.push_str(&word);
    }
    if id.is_empty() { "being".to_owned() } else { id }
}

#[cfg(test)]
mod tests {
    use genii_protocols::beings::{CheckedTable, Soundness};

    use super::*;

    #[test]
    fn what_was_mended_is_noted_with_what_was_given_up() {
        let check = |is_repaired, lost: &[u64], notes: &[&str], noted: Option<&str>| {
            let table = |lost: &u64| CheckedTable {
                name: "memories".to_owned(),
                entries: 7,
                bytes: 70,
                lost: *lost,
                gaps: Vec::new(),
            };
            let checked = Checked {
                finding: Soundness::Whole,
                words: "it is whole".to_owned(),
                is_repaired,
                can_be_saved: false,
                bytes: 70,
                tables: lost.iter().map(table).collect(),
                notes: notes.iter().map(ToString::to_string).collect(),
            };
            assert_eq!(mended(&checked).as_deref(), noted);
        };
        let kept = &["the damaged file is kept"];
        check(false, &[0], &[], None);
        check(false, &[3], kept, None);
        check(true, &[0, 0], &[], Some("was damaged, and mended without loss"));
        check(true, &[0], kept, Some("was damaged, and what could not be read of it was given up"));
        let one = "was damaged, and 1 entry that could not be read was given up";
        check(true, &[0, 1], kept, Some(one));
        let more = "was damaged, and 10 entries that could not be read were given up";
        check(true, &[4, 6], kept, Some(more));
    }

    #[test]
    fn an_id_is_made_of_any_name() {
        let check = |name: &str, id: &str| {
            assert_eq!(kebab(name), id);
            Name::new(id).unwrap();
        };
        check("Alice", "alice");
        check("Dr. Émile O'Hara", "dr-emile-ohara");
        check("  ", "being");
        check("龍", "being");
        check(&"x".repeat(500), &"x".repeat(48));
        check("../../etc/passwd", "etc-passwd");
    }
}
