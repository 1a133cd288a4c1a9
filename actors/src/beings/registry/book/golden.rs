//! Books as each version of genii wrote them.

use super::*;
use crate::golden_stores::{pack, unpack};

const KIND: &str = "registry";

/// By what the making of one of them is told from any other.
const MAKING: u64 = 7_000_000_007;

/// Those of which something remains on the other machine, since the second version.
const REMAINING: [&str; 3] = ["greta", "otto", "paul"];

/// What was done with beings that are no more, since the third version.
const NOTED: [(&str, &str); 3] = [
    ("otto", "was made on pc2"),
    ("otto", "was given up, with pc2, where it lived"),
    ("paul", "was deleted, with all that it remembered"),
];

fn name(id: &str) -> Name {
    Name::new(id).unwrap()
}

fn node(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

fn entry(id: &str, called: &str, on: &str, stage: Stage) -> Entry {
    let created = serde_json::from_value("2024-05-06T12:53:20Z".into()).unwrap();
    Entry { id: name(id), name: called.to_owned(), node: node(on), created, stage }
}

/// All that a book of any version holds, at every stage.
fn beings() -> [Entry; 7] {
    [
        entry("carla", "Carla", "main", Stage::Arriving { from: node("pc2") }),
        entry("dora", "Dora", "main", Stage::Coming),
        entry("emil", "Emil", "main", Stage::Going),
        entry("greta", "Greta", "main", Stage::Living),
        entry("hugo", "Hugo", "main", Stage::Moving { to: node("pc2") }),
        entry("mira", "Mira", "main", Stage::Living),
        entry("nils", "Nils \u{2014} of the mill", "pc2", Stage::Living),
    ]
}

/// What became of those of which something remains.
fn fates(book: &Book) -> [Option<Fate>; 3] {
    let remains = |id| book.remains(&name(id), &node("pc2")).unwrap();
    REMAINING.map(|id| remains(id).map(|remains| remains.fate))
}

/// What was done, and with whom.
fn noted(book: &Book) -> Vec<(String, String)> {
    let notes = book.notes().unwrap().into_iter();
    notes.map(|(note, _)| (note.id.as_str().to_owned(), note.text)).collect()
}

#[tokio::test]
async fn a_book_of_each_version_says_which_beings_there_are() {
    for version in 1..=SCHEMA.version() {
        let folder = tempfile::tempdir().unwrap();
        unpack(KIND, version, &folder.path().join(FILE));
        let book = Book::open(folder.path()).unwrap();
        assert_eq!(book.all().unwrap(), beings(), "version {version}");
        assert_eq!((book.count_on(&node("main")), book.count_on(&node("pc2"))), (6, 1));
        let (listed, more) = book.page(None, 10, None).await.unwrap();
        let ids: Vec<&str> = listed.iter().map(|entry| entry.id.as_str()).collect();
        assert_eq!((ids, more), (vec!["carla", "greta", "hugo", "mira", "nils"], None));
        let (making, fates) = (book.making(&name("dora")).unwrap(), fates(&book));
        match version {
            1 => assert_eq!((making, fates), (None, [None; 3])),
            _ => {
                let kept = [Fate::Moved, Fate::GivenUp, Fate::Deleted].map(Some);
                assert_eq!((making, fates), (Some(MAKING), kept));
            }
        }
        let mut kept = NOTED.map(|(id, text)| (id.to_owned(), text.to_owned())).to_vec();
        if version < 3 {
            kept.clear();
        }
        assert_eq!(noted(&book), kept, "version {version}");
        let nils = entry("nils", "Nils", "pc2", Stage::Living);
        book.give_up(&nils, "was given up").await.unwrap();
        kept.push(("nils".to_owned(), "was given up".to_owned()));
        assert_eq!(noted(&book), kept, "version {version}");
        let remains = book.remains(&name("nils"), &node("pc2")).unwrap();
        assert_eq!(remains.map(|remains| remains.fate), Some(Fate::GivenUp));
        book.close().await;
    }
}

#[tokio::test]
#[ignore = "writes the golden file of a new version; those that are there stay"]
async fn writes_the_golden_book() {
    let folder = tempfile::tempdir().unwrap();
    let book = Book::open(folder.path()).unwrap();
    let moving = || Stage::Moving { to: node("pc2") };
    book.put(entry("greta", "Greta", "main", moving()), None).await.unwrap();
    for being in beings() {
        match being.stage {
            Stage::Coming => book.begin(being, MAKING).await.unwrap(),
            _ => book.put(being, None).await.unwrap(),
        }
    }
    let otto = entry("otto", "Otto", "pc2", Stage::Living);
    let [(_, made), (_, given_up), (_, deleted)] = NOTED;
    book.put(otto.clone(), Some(made)).await.unwrap();
    book.give_up(&otto, given_up).await.unwrap();
    for stage in [moving(), Stage::Living] {
        book.put(entry("paul", "Paul", "main", stage), None).await.unwrap();
    }
    book.strike(&name("paul"), Some(deleted)).await.unwrap();
    book.close().await;
    pack(KIND, SCHEMA.version(), &folder.path().join(FILE));
}

/// A being as version 1 had it, to the last of that version (bdeffb9), which kept nothing else.
#[derive(Serialize)]
struct EntryV1 {
    id: Name,
    name: String,
    node: NodeName,
    created: Timestamp,
    stage: StageV1,
}

#[derive(Serialize)]
enum StageV1 {
    Coming,
    Living,
    Going,
    Moving { to: NodeName },
    Arriving { from: NodeName },
}

impl From<Entry> for EntryV1 {
    fn from(Entry { id, name, node, created, stage }: Entry) -> Self {
        let stage = match stage {
            Stage::Coming => StageV1::Coming,
            Stage::Living => StageV1::Living,
            Stage::Going => StageV1::Going,
            Stage::Moving { to } => StageV1::Moving { to },
            Stage::Arriving { from } => StageV1::Arriving { from },
        };
        Self { id, name, node, created, stage }
    }
}

/// There were no golden files yet in version 1: the types are its own, and the file is of today's redb.
#[test]
#[ignore = "wrote the golden file of version 1, which stays"]
fn writes_the_golden_book_of_version_1() {
    const V1: Schema = Schema::new("beings", 1, &[]);
    const BEINGS_V1: Table<String, EntryV1> = Table::new("beings");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join(FILE);
    let store = Store::open(&file, &V1, &StoreOptions::default()).unwrap();
    let written = store.write_blocking(|writer| {
        for being in beings() {
            let id = being.id.as_str().to_owned();
            writer.insert(BEINGS_V1, &id, &EntryV1::from(being))?;
        }
        Ok::<_, StoreError>(())
    });
    written.unwrap();
    store.close_blocking().unwrap();
    pack(KIND, 1, &file);
}
