//! Vectors for memories and questions.

use std::collections::BTreeMap;

use tokio::task::spawn_blocking;

use crate::embed::{EmbedError, EmbedFor};

use super::tables::{self, MEMORIES};
use super::vector::Vector;
use super::{Inner, MemoriesError};

/// How many texts a quick embedder is given in passing.
const TEXTS_IN_PASSING_MAX: usize = 32;

/// How many texts are embedded in one step.
const TEXTS_AT_ONCE: usize = 32;

impl Inner {
    /// The vectors of texts, made where that keeps nobody else waiting.
    pub(super) async fn embed(
        &self,
        texts: Vec<String>,
        of: EmbedFor,
    ) -> Result<Vec<Vec<f32>>, EmbedError> {
        let own = std::sync::Arc::clone(&self.embedder);
        let in_passing = own.is_quick() && texts.len() <= TEXTS_IN_PASSING_MAX;
        let place = match own.places() {
            None => None,
            Some(places) => match places.take(of).await {
                Some(place) => Some(place),
                None => {
                    let (model, waited) = (own.name().to_owned(), places.question_wait());
                    return Err(EmbedError::Busy { model, waited });
                }
            },
        };
        let work = move || {
            // Held also if nobody waits any more: the thread is in use for as long.
            let _place = place;
            let borrowed: Vec<&str> = texts.iter().map(String::as_str).collect();
            let vectors = own.embed(&borrowed)?;
            let is_whole = vectors.iter().all(|vector| vector.len() == own.dimensions());
            match vectors.len() == texts.len() && is_whole {
                true => Ok(vectors),
                false => Err(failed(own.name(), "it made other vectors than were asked for")),
            }
        };
        if in_passing {
            return work();
        }
        match spawn_blocking(work).await {
            Ok(vectors) => vectors,
            Err(stopped) => Err(failed(self.embedder.name(), &stopped.to_string())),
        }
    }

    /// The vectors of memories as they are stored.
    pub(super) async fn vectors(
        &self,
        texts: Vec<(u64, String)>,
    ) -> Result<BTreeMap<u64, Vector>, EmbedError> {
        let (ids, texts): (Vec<u64>, Vec<String>) = texts.into_iter().unzip();
        let vectors = self.embed(texts, EmbedFor::Memories).await?;
        Ok(ids.into_iter().zip(vectors.iter().map(|vector| Vector::new(vector))).collect())
    }

    /// Gives memories in the tail their vectors.
    pub(super) async fn embed_tail(&self, texts: Vec<(u64, String)>) -> Result<(), EmbedError> {
        let vectors = self.vectors(texts).await?;
        self.live.write().embed(vectors);
        Ok(())
    }

    /// Gives some of the memories that have no vector theirs; whether there were any.
    pub(super) async fn embed_some(&self) -> Result<bool, MemoriesError> {
        let ids: Vec<u64> =
            self.live.read().unembedded.iter().copied().take(TEXTS_AT_ONCE).collect();
        let texts = self.store.read(|reader| {
            let texts = ids.iter().map(|id| Ok((*id, reader.get(MEMORIES, id)?)));
            texts.collect::<Result<Vec<_>, MemoriesError>>()
        })?;
        let mut there = Vec::new();
        for (id, memory) in texts {
            match memory {
                Some(memory) => there.push((id, memory.text)),
                // Removed, and not purged yet.
                None => self.live.write().let_go(id),
            }
        }
        self.embed_tail(there).await?;
        Ok(!ids.is_empty())
    }

    /// Gives all memories in the tail vectors.
    pub(super) async fn embed_all(&self) -> Result<(), MemoriesError> {
        while self.embed_some().await? {}
        Ok(())
    }

    /// Makes the vectors that are missing, and keeps those that the store does not have.
    pub(super) async fn flush(&self) -> Result<(), MemoriesError> {
        let embedded = self.embed_all().await;
        self.save_vectors().await?;
        embedded
    }

    /// Keeps the vectors that the store does not have.
    pub(super) async fn save_vectors(&self) -> Result<(), MemoriesError> {
        let vectors = self.live.read().unsaved.clone();
        if !vectors.is_empty() {
            let saved = vectors.clone();
            self.store.write(move |writer| tables::save(writer, &saved)).await?;
            self.live.write().unsaved.retain(|id, _| !vectors.contains_key(id));
        }
        Ok(())
    }
}

fn failed(model: &str, cause: &str) -> EmbedError {
    EmbedError::Model { model: model.to_owned(), cause: cause.to_owned() }
}
