//! Vectors for memories and questions.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use tokio::task::spawn_blocking;

use crate::embed::{EmbedError, EmbedFor};
use crate::store::StoreError;
use crate::vector::Vector;

use super::tables::{self, MEMORIES};
use super::{Inner, MemoriesError, whole};

/// How many texts a quick embedder is given in passing.
const TEXTS_IN_PASSING_MAX: usize = 32;

/// How many texts are embedded in one step.
pub(super) const TEXTS_AT_ONCE: usize = 32;

/// What any model can embed that is not broken itself.
const TRIAL: &str = "a trial";

impl Inner {
    /// The vectors of texts, made where that keeps nobody else waiting.
    pub(super) async fn embed(
        &self,
        texts: Vec<String>,
        of: EmbedFor,
    ) -> Result<Vec<Vec<f32>>, EmbedError> {
        let (own, asked) = (Arc::clone(&self.embedder), Instant::now());
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
            let vectors = own.embed_for(&borrowed, of, asked)?;
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
            // What a panic says may have a text in it.
            Err(_) => Err(failed(self.embedder.name(), "its thread panicked or was stopped")),
        }
    }

    /// The vector of a memory as it is stored, if its embedder is quick and takes the text.
    pub(super) fn vector_in_passing(&self, text: &str) -> Option<Vector> {
        let embedder = Some(&self.embedder).filter(|embedder| embedder.is_quick())?;
        let vectors = embedder.embed(&[text]).ok()?;
        let of_it = vectors.first().filter(|vector| vector.len() == embedder.dimensions());
        of_it.map(|vector| Vector::new(vector))
    }

    /// The vectors of memories as they are stored. One whose text the model can't take gets all
    /// zeros, which is near to nothing: it is found by its words only, and keeps no other waiting.
    pub(super) async fn vectors(
        &self,
        texts: Vec<(u64, String)>,
    ) -> Result<BTreeMap<u64, Vector>, EmbedError> {
        if texts.is_empty() {
            // No place is waited for.
            return Ok(BTreeMap::new());
        }
        let (ids, texts): (Vec<u64>, Vec<String>) = texts.into_iter().unzip();
        let vectors = match self.embed(texts.clone(), EmbedFor::Memories).await {
            Ok(vectors) => vectors,
            Err(error) => self.embed_apart(&ids, texts, error).await?,
        };
        Ok(ids.into_iter().zip(vectors.iter().map(|vector| Vector::new(vector))).collect())
    }

    /// The vectors of texts that were not embedded together, each embedded by itself. As long as the
    /// model takes not even a trial, it is the model that fails, and no text is blamed.
    async fn embed_apart(
        &self,
        ids: &[u64],
        texts: Vec<String>,
        error: EmbedError,
    ) -> Result<Vec<Vec<f32>>, EmbedError> {
        self.blame_no_text(error).await?;
        let mut vectors = Vec::with_capacity(ids.len());
        for (id, text) in ids.iter().zip(texts) {
            let vector = match self.embed(vec![text], EmbedFor::Memories).await {
                Ok(alone) => alone.into_iter().next().unwrap_or_default(),
                Err(error) => {
                    self.blame_no_text(error).await?;
                    // What the model said may have the text in it.
                    tracing::warn!(memory = id, "a memory can't be embedded; its words find it");
                    vec![0.0; self.embedder.dimensions()]
                }
            };
            vectors.push(vector);
        }
        Ok(vectors)
    }

    /// Fails with an error that is not of a text, but of the model: that takes nothing at present.
    async fn blame_no_text(&self, error: EmbedError) -> Result<(), EmbedError> {
        if matches!(error, EmbedError::Busy { .. }) {
            return Err(error);
        }
        let trial = self.embed(vec![TRIAL.to_owned()], EmbedFor::Memories).await;
        trial.map(drop).map_err(|_| error)
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
        if ids.is_empty() {
            return Ok(false);
        }
        let texts = self.store.read(|reader| {
            let text = |id: &u64| match reader.get(MEMORIES, id) {
                // Passed over, as wherever it is met.
                Err(StoreError::Damaged { .. }) => Ok((*id, None)),
                memory => Ok((*id, memory?)),
            };
            ids.iter().map(text).collect::<Result<Vec<_>, MemoriesError>>()
        })?;
        let mut there = Vec::new();
        for (id, memory) in texts {
            match memory {
                Some(memory) => there.push((id, memory.text)),
                // Removed and not purged yet, or not to be read.
                None => self.live.write().let_go(id),
            }
        }
        self.embed_tail(there).await?;
        Ok(true)
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

    /// Keeps vectors in the store. Goes on to its end also if nobody waits for it.
    pub(super) async fn save(&self, vectors: BTreeMap<u64, Vector>) -> Result<(), MemoriesError> {
        let ids: Vec<u64> = vectors.keys().copied().collect();
        let written = self.store.write(move |writer| tables::save(writer, &vectors));
        let at_hand = self.at_hand.clone();
        whole(async move {
            written.await?;
            at_hand.changed(&ids);
            Ok(())
        })
        .await
    }

    /// Keeps the vectors that the store does not have.
    pub(super) async fn save_vectors(&self) -> Result<(), MemoriesError> {
        let vectors = self.live.read().unsaved.clone();
        if !vectors.is_empty() {
            self.save(vectors.clone()).await?;
            self.live.write().unsaved.retain(|id, _| !vectors.contains_key(id));
        }
        Ok(())
    }
}

fn failed(model: &str, cause: &str) -> EmbedError {
    EmbedError::Model { model: model.to_owned(), cause: cause.to_owned() }
}
