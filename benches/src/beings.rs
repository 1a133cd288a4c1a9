//! A house with beings in it, in this process.
#![allow(clippy::unwrap_used, clippy::missing_panics_doc)]

use std::fs::File;
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use genii_protocols::being::{RecallMemories, Recollection, Remember};
use genii_protocols::beings::{CreateBeing, ListBeings};
use genii_protocols::{Address, Json, Message, Name, NodeName};
use genii_runtime::topology::Topology;
use genii_runtime::{House, Node, NodeOptions};
use tempfile::TempDir;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(600);

/// How often to look whether something has come to be.
const LOOK: Duration = Duration::from_millis(20);

/// How often the disk is tried, and with how many bytes.
const SYNCS: usize = 200;
const SYNC_BYTES: usize = 4_096;

/// A folder for a benchmark's data: in the one behind `--data`, or where temporary files are.
pub fn scratch() -> TempDir {
    let mut arguments = std::env::args().skip_while(|argument| argument != "--data").skip(1);
    match arguments.next() {
        Some(folder) => TempDir::new_in(folder).unwrap(),
        None => TempDir::new().unwrap(),
    }
}

/// How long the disk beneath a folder takes to keep a few bytes more: what nothing durable can beat.
pub fn syncs(folder: &Path) -> Vec<Duration> {
    let path = folder.join("syncs");
    let mut file = File::create(&path).unwrap();
    let once = |number: usize| {
        file.seek(SeekFrom::Start((number % 16 * SYNC_BYTES) as u64)).unwrap();
        file.write_all(&[number as u8; SYNC_BYTES]).unwrap();
        let began = Instant::now();
        file.sync_data().unwrap();
        began.elapsed()
    };
    let times = (0..SYNCS).map(once).collect();
    std::fs::remove_file(path).unwrap();
    times
}

/// The address of a being.
pub fn being(id: &str) -> Address {
    Address::parse(&format!("being/{id}")).unwrap()
}

/// A character of few words.
pub fn character(called: &str) -> Json {
    let description =
        format!("{called} keeps a lighthouse, likes the sea, and answers in one line.");
    Json(serde_json::json!({ "name": called, "description": description }))
}

/// A registry and a home, with a folder of their own.
pub struct BeingHouse {
    /// Its node.
    pub node: Node,
    /// The registry.
    pub registry: Address,
    house: House,
    folder: PathBuf,
}

impl BeingHouse {
    /// Starts it in a folder, with some settings of the home.
    pub async fn open(folder: &Path, settings: &str) -> Self {
        let node = Node::new(NodeOptions {
            data: Some(folder.to_owned()),
            ..NodeOptions::new(NodeName::new("bench").unwrap())
        });
        let text = format!(
            "[groups.beings]\n[groups.homes]\n\
             [agents.\"beings/registry\"]\nkind = \"beings-registry\"\nwants = \"homes/beings\"\n\
             [agents.\"homes/beings\"]\nkind = \"beings-home\"\n\
             [agents.\"homes/beings\".settings]\n{settings}\n"
        );
        let kinds = genii_actors::catalogue();
        let topology = Topology::parse(&text, &kinds).unwrap();
        let house = House::begin(node.clone(), kinds, topology).await.unwrap();
        house.up().await.unwrap();
        let registry = Address::parse("beings/registry").unwrap();
        Self { node, registry, house, folder: folder.to_owned() }
    }

    /// Ends it: all that it was asked to keep is kept.
    pub async fn close(self) {
        self.house.shutdown().await;
    }

    /// The folder of a being.
    pub fn folder(&self, id: &str) -> PathBuf {
        folder_of(&self.folder, id)
    }

    /// Asks, and insists on an answer.
    pub async fn ask<M: Message>(&self, to: &Address, message: M) -> M::Reply {
        let answer = self.node.to(to.clone()).ask_within(message, PATIENCE).await;
        answer.unwrap_or_else(|error| panic!("{to}: {error}"))
    }

    /// Makes a being.
    pub async fn create(&self, id: &str, provider: Option<Json>) {
        let id = Name::new(id).unwrap();
        let character = character("Ada");
        let create = CreateBeing { id: Some(id), character, provider, node: None, isolation: None };
        self.ask(&self.registry, create).await;
    }

    /// Has a being keep something.
    pub async fn remember(&self, id: &str, text: String) {
        self.ask(&being(id), Remember { text, speaker: None, at: None }).await;
    }

    /// What a being remembers when it is asked something.
    pub async fn recall(&self, id: &str, question: String) -> Vec<Recollection> {
        self.recall_of(id, RecallMemories { question, ..RecallMemories::default() }).await
    }

    /// What a being remembers when it is asked something among some memories only.
    pub async fn recall_of(&self, id: &str, recall: RecallMemories) -> Vec<Recollection> {
        self.ask(&being(id), recall).await.memories
    }

    /// How many beings the registry knows.
    pub async fn total(&self) -> u64 {
        let list = ListBeings { after: None, limit: Some(1), matching: None };
        self.ask(&self.registry, list).await.total
    }

    /// Waits until the registry knows so many beings.
    pub async fn knows(&self, beings: u64) {
        let until = Instant::now() + PATIENCE;
        while self.total().await < beings {
            assert!(Instant::now() < until, "the registry never knew {beings} beings");
            tokio::time::sleep(LOOK).await;
        }
    }
}

/// The folder of a being, in that of a house.
pub fn folder_of(house: &Path, id: &str) -> PathBuf {
    house.join("beings").join(id)
}
