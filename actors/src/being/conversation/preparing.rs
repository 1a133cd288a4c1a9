//! What a prompt is made of for what is said, and the prompt.

use std::sync::atomic::Ordering;

use genii_protocols::Timestamp;
use genii_protocols::being::NotAnswered;
use genii_storage::memories::{Memory, MemoryKind, Recall, RecallFilter, Recalled};
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;

use super::newest::Newest;
use super::quotable::quotable;
use super::{Telling, not_kept};
use crate::being::asked::{AskedDays, asks, is_about_asker};
use crate::being::character::macros::USER_DEFAULT;
use crate::being::lorebook::PreparedLorebook;
use crate::being::mind::with_causes;
use crate::being::prompt::{
    self, Assembled, EstimatedTokens, PromptError, PromptInput, PromptSettings,
};
use crate::being::provider::Remembered;

/// So many turns more or fewer than the last time find room without the prompt being made anew: at the edge
/// of what is read, some may be told twice, or once not.
const EDGE: usize = 4;

/// How many memories a prompt is offered.
const RECALLED_MAX: usize = 24;

/// Among how many these are looked for by who answers without a model: most may be questions like this one.
const LOOKED_AT_OFFLINE_MAX: usize = 100;

/// What scores less answers to nothing that was said.
const SCORE_MIN: f32 = 0.2;

impl Telling<'_> {
    /// Reads what a prompt is made of, and makes it.
    pub(super) async fn prepare(
        &self,
    ) -> Result<(Vec<Recalled>, Result<Assembled, PromptError>), NotAnswered> {
        let newest = Newest::of(self.mind, &self.who.character, self.user());
        self.prompt(&newest.map_err(|error| not_kept(&error))?).await
    }

    /// The prompt, and what is remembered of what was said and does not stand in it as a turn. A model reads
    /// the newest turns anyhow, as many as find room: mostly as many as the last time. Who answers without
    /// a model reads none.
    async fn prompt(
        &self,
        newest: &Newest,
    ) -> Result<(Vec<Recalled>, Result<Assembled, PromptError>), NotAnswered> {
        if self.who.is_offline() {
            let recalled = self.recall(RecallFilter::default()).await?;
            let assembled = self.assemble(newest, &recalled);
            return Ok((recalled, assembled));
        }
        let (fit, all) = (&self.mind.turns_that_fit, newest.ids().len());
        let expected = fit.load(Ordering::Relaxed).min(all);
        // Of a turn that is cut, what was told in it is told as a memory.
        let seen_in_part = newest.long(&self.prompt_settings());
        let except = |count: usize| RecallFilter {
            except_turns_from: newest.last(count),
            seen_in_part: seen_in_part.clone(),
            ..RecallFilter::default()
        };
        let recalled = self.recall(except(expected)).await?;
        let assembled = self.assemble(newest, &recalled);
        let Ok(made) = &assembled else { return Ok((recalled, assembled)) };
        let found = newest.whole_in(&made.account);
        // Where all find room, one more may as well.
        fit.store(if found == all { usize::MAX } else { found }, Ordering::Relaxed);
        if found.abs_diff(expected) <= EDGE {
            return Ok((recalled, assembled));
        }
        // Many are told twice, or are no turns of the prompt and were not looked for as memories either.
        let recalled = self.recall(except(found)).await?;
        let assembled = self.assemble(newest, &recalled);
        Ok((recalled, assembled))
    }

    /// What is remembered of what was said, among some memories.
    async fn recall(&self, filter: RecallFilter) -> Result<Vec<Recalled>, NotAnswered> {
        let is_offline = self.who.is_offline();
        let mut recalled = self
            .recall_any(filter, if is_offline { LOOKED_AT_OFFLINE_MAX } else { RECALLED_MAX })
            .await?;
        recalled.retain(|it| it.score >= SCORE_MIN);
        if is_offline {
            recalled = quotable(&AskedDays::of(&self.saying.said, self.at), recalled);
            if recalled.is_empty() && is_about_asker(&self.saying.said) {
                recalled = self.known_of_asker().await?;
            }
            recalled.truncate(RECALLED_MAX);
        }
        Ok(recalled)
    }

    /// What whoever asks has told: facts, or else whatever it is that is no question.
    async fn known_of_asker(&self) -> Result<Vec<Recalled>, NotAnswered> {
        let speaker = self.saying.speaker.clone();
        for kind in [MemoryKind::Fact, MemoryKind::Turn] {
            let (kinds, speaker) = (vec![kind], speaker.clone());
            let filter = RecallFilter { kinds, speaker, ..RecallFilter::default() };
            let mut told = self.recall_any(filter, LOOKED_AT_OFFLINE_MAX).await?;
            told.retain(|it| it.memory.speaker == self.saying.speaker && !asks(&it.memory.text));
            if !told.is_empty() {
                return Ok(told);
            }
        }
        Ok(Vec::new())
    }

    /// What comes nearest to what was said, whether or not it is near.
    async fn recall_any(
        &self,
        filter: RecallFilter,
        limit: usize,
    ) -> Result<Vec<Recalled>, NotAnswered> {
        let recall = Recall {
            question: self.saying.said.clone(),
            at: self.at,
            asked_by: self.saying.speaker.clone(),
            limit,
            filter,
        };
        let recalled = self.mind.memories.recall(recall).await;
        let mut recalled =
            recalled.map_err(|error| NotAnswered::Store { why: with_causes(&error) })?;
        tell_until(&mut recalled);
        Ok(recalled)
    }

    fn assemble(&self, newest: &Newest, recalled: &[Recalled]) -> Result<Assembled, PromptError> {
        let memories: Vec<prompt::Recalled> = recalled.iter().map(for_prompt).collect();
        let settings = self.prompt_settings();
        let input = PromptInput {
            character: &self.who.character,
            lorebook: self.who.lorebook.as_ref(),
            // Who answers without a model reads none.
            core: &if self.who.is_offline() { Vec::new() } else { self.core() },
            memories: &memories,
            turns: &newest.turns,
            said: &self.saying.said,
            user: self.user(),
            now: self.at,
            answers: newest.answers,
            greeting: newest.greeting,
            seed: u64::from(newest.answers),
            wants_grounds: self.who.is_offline(),
        };
        let assemble = || prompt::assemble(&input, &settings, &EstimatedTokens);
        match self.who.lorebook.as_ref().is_some_and(PreparedLorebook::takes_a_while) {
            true => beside_others(assemble),
            false => assemble(),
        }
    }

    fn prompt_settings(&self) -> PromptSettings {
        let settings = &self.who.provider_settings;
        PromptSettings {
            tokens_max: settings.prompt_tokens_max,
            reply_tokens_max: settings.reply_tokens_max,
            temperature: settings.temperature,
            ..PromptSettings::default()
        }
    }

    fn core(&self) -> Vec<prompt::CoreBlock> {
        let blocks = self.who.core.iter();
        blocks
            .map(|block| prompt::CoreBlock { title: block.title.clone(), text: block.text.clone() })
            .collect()
    }
}

/// Does what takes a while, so that others need not wait for this thread.
fn beside_others<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => block_in_place(work),
        // There is no other thread, and nobody else to wait but in tests.
        _ => work(),
    }
}

fn for_prompt(recalled: &Recalled) -> prompt::Recalled {
    let Memory { text, speaker, at, kind, until, .. } = recalled.memory.clone();
    // What was said in a conversation by nobody in particular was said by whoever asks now.
    let is_said = matches!(kind, MemoryKind::Turn | MemoryKind::Fact);
    let speaker = speaker.or_else(|| is_said.then(|| USER_DEFAULT.to_owned()));
    prompt::Recalled { memory: Remembered { text, speaker, at, until }, score: recalled.score }
}

/// Tells of turns until when they held. A turn that tells nothing but a fact is remembered twice, or more often if
/// it was said again, and holds no longer than the fact.
fn tell_until(recalled: &mut [Recalled]) {
    let ended = |it: &Recalled| {
        let Memory { kind, ref text, at, until, .. } = it.memory;
        (kind == MemoryKind::Fact).then_some((text.clone(), at, until?))
    };
    let ended: Vec<(String, Timestamp, Timestamp)> = recalled.iter().filter_map(ended).collect();
    for Recalled { memory, .. } in recalled {
        let tells = |(text, from, until): &&(String, Timestamp, Timestamp)| {
            memory.text.trim() == text && (*from..*until).contains(&memory.at)
        };
        if memory.kind == MemoryKind::Turn {
            memory.until = ended.iter().find(tells).map(|(.., until)| *until);
        }
    }
}
