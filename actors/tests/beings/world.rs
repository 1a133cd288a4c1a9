//! A house with beings, on a disk and on the real clock.

use std::fmt::Debug;
use std::path::{Path, PathBuf};
use std::time::Duration;

use genii_protocols::being::{Answered, Query, RecallMemories, Recollection, Remember};
use genii_protocols::beings::{BeingEntry, CreateBeing, ImportBeing};
use genii_protocols::{Address, AskError, Json, Message, Name, NodeName};
use genii_runtime::topology::Topology;
use genii_runtime::{House, Node, NodeOptions};
use tempfile::TempDir;

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(60);

pub struct World {
    pub node: Node,
    pub house: House,
    pub registry: Address,
    data: TempDir,
    settings: String,
}

impl World {
    pub async fn new() -> Self {
        Self::with("").await
    }

    /// With some settings of the home.
    pub async fn with(settings: &str) -> Self {
        Self::on(tempfile::tempdir().unwrap(), settings.to_owned()).await
    }

    /// In a folder of its own.
    pub async fn on(data: TempDir, settings: String) -> Self {
        let node = Node::new(NodeOptions {
            data: Some(data.path().to_owned()),
            ..NodeOptions::new(NodeName::new("main").unwrap())
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
        Self { node, house, registry, data, settings }
    }

    /// Genii ends, and is started again.
    pub async fn again(self) -> Self {
        self.house.shutdown().await;
        Self::on(self.data, self.settings).await
    }

    /// Genii ends, and is started again with other settings of the home.
    pub async fn again_with(self, settings: &str) -> Self {
        self.house.shutdown().await;
        Self::on(self.data, settings.to_owned()).await
    }

    pub fn folder(&self, id: &str) -> PathBuf {
        self.data.path().join("beings").join(id)
    }

    pub async fn create(&self, called: &str) -> BeingEntry {
        self.ask(&self.registry, create(None, called)).await
    }

    pub async fn create_as(&self, id: &str, called: &str) -> BeingEntry {
        self.ask(&self.registry, create(Some(name(id)), called)).await
    }

    pub async fn remember(&self, id: &str, text: &str) -> u64 {
        let remember = Remember { text: text.to_owned(), speaker: None, at: None };
        self.ask(&being(id), remember).await.id
    }

    pub async fn recall(&self, id: &str, question: &str) -> Vec<Recollection> {
        let question = question.to_owned();
        let recall = RecallMemories { question, ..RecallMemories::default() };
        self.ask(&being(id), recall).await.memories
    }

    pub async fn query(&self, id: &str, said: &str) -> Answered {
        let query = Query { said: said.to_owned(), speaker: None, path: Vec::new() };
        self.ask(&being(id), query).await
    }

    pub async fn ask<M: Message>(&self, to: &Address, message: M) -> M::Reply {
        let answer = self.node.to(to.clone()).ask_within(message, PATIENCE).await;
        answer.unwrap_or_else(|error| panic!("{to}: {error}"))
    }

    pub async fn refused<M: Message>(&self, to: &Address, message: M) -> M::Refusal
    where
        M::Reply: Debug,
    {
        match self.node.to(to.clone()).ask_within(message, PATIENCE).await {
            Err(AskError::Refused(refusal)) => refusal,
            other => panic!("{to} did not refuse: {other:?}"),
        }
    }

    /// Waits until something holds.
    pub async fn until(&self, holds: impl AsyncFn(&Self) -> bool) {
        let looking = async {
            while !holds(self).await {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(PATIENCE, looking).await.expect("it comes to hold");
    }

    /// All bytes of all files of a being.
    pub fn bytes_of(&self, id: &str) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut folders = vec![self.folder(id)];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                match path.is_dir() {
                    true => folders.push(path),
                    false => bytes.extend(std::fs::read(path).unwrap()),
                }
            }
        }
        bytes
    }
}

pub fn name(id: &str) -> Name {
    Name::new(id).unwrap()
}

pub fn being(id: &str) -> Address {
    Address::parse(&format!("being/{id}")).unwrap()
}

fn create(id: Option<Name>, called: &str) -> CreateBeing {
    CreateBeing { id, character: character(called), provider: None, node: None, isolation: None }
}

/// Takes a being in under an id, and nothing more is said of it.
pub fn import(file: &str, id: &str) -> ImportBeing {
    let (file, id) = (file.to_owned(), Some(name(id)));
    ImportBeing { file, id, node: None, isolation: None, with_provider: false }
}

pub fn character(called: &str) -> Json {
    let description = format!("{called} keeps a lighthouse and likes the sea.");
    Json(serde_json::json!({ "name": called, "description": description }))
}

pub fn refusal<R: std::fmt::Display>(error: AskError<R>) -> String {
    error.to_string()
}

pub fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window.eq_ignore_ascii_case(text.as_bytes()))
}

/// Whether any file in a folder holds a text. Files may go meanwhile.
pub fn holds(folder: &Path, text: &str) -> bool {
    let Ok(entries) = std::fs::read_dir(folder) else { return false };
    entries.flatten().any(|entry| match entry.path() {
        path if path.is_dir() => holds(&path, text),
        path => std::fs::read(path).is_ok_and(|bytes| contains(&bytes, text)),
    })
}
