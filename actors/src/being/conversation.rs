//! One turn of a conversation: what was said, what is remembered of it, the answer, and that both are
//! kept, with the facts that are told in it.
//!
//! What is kept, and when: an answer is told to be whole when the turn is safe on the disk. What was
//! said is kept also if nothing comes of it, with why; an answer that takes longer than
//! [`KEPT_AFTER`] finds it on the disk already, so that a crash in mid-answer does not lose it. With it
//! the prompt is counted against the budget, by estimate; the end of the answer corrects that.
//!
//! | module | what it holds |
//! |---|---|
//! | `newest` | the newest turns, as a prompt has them |
//! | `quotable` | what may be quoted by who answers without a model |
//! | `row` | who speaks to a being, in the order in which they came |
//! | `writing` | what is written of a turn |

mod newest;
mod quotable;
mod row;
mod writing;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{FutureExt, StreamExt};
use genii_protocols::Timestamp;
use genii_protocols::being::{Answered, NotAnswered, NotKept, ProviderFault, Recollection};
use genii_protocols::budget::BudgetSpent;
use genii_runtime::Grave;
use genii_storage::memories::{Memory, MemoryKind, Recall, RecallFilter, Recalled};
use genii_storage::store::StoreError;
use tokio::runtime::{Handle, RuntimeFlavor};
use tokio::task::block_in_place;
use tokio::time::Instant;

use super::listener::{self, Listener};
use super::lorebook::PreparedLorebook;
use super::mind::{Mind, RECENT_MAX, Who};
use super::prompt::{
    self, Assembled, EstimatedTokens, PromptError, PromptInput, PromptSettings, TokenCounter,
};
use super::provider::{Piece, ProviderError, Remembered, Usage};
use super::tables::{BUDGET, REMINDERS, StoredReminder, StoredTurn};
use super::{TEXT_BYTES_MAX, facts, recollection, reminding};
use newest::Newest;
use quotable::quotable;
pub(super) use row::Place;
use writing::{Charged, Writing, Written};

/// An answer that takes longer than this finds what was said on the disk.
const KEPT_AFTER: Duration = Duration::from_millis(50);

/// How many pieces of an answer that have come are handed on together at most.
const PIECES_AT_ONCE_MAX: usize = 16;

/// How long whoever listens may take for some words before they are taken for gone.
const LISTENER_PATIENCE: Duration = Duration::from_secs(60);

/// And how long for all of an answer: others wait behind them.
const LISTENING_MAX: Duration = Duration::from_secs(600);

/// So many turns more or fewer than the last time find room without the prompt being made anew: at the edge
/// of what is read, some may be told twice, or once not.
const EDGE: usize = 4;

/// How many memories a prompt is offered.
const RECALLED_MAX: usize = 24;

/// What scores less answers to nothing that was said.
const SCORE_MIN: f32 = 0.2;

/// How long an answer may be that is kept, in bytes. What a provider says beyond it is not listened to.
const ANSWER_BYTES_MAX: usize = 1 << 20;

/// What whoever talks with a being is called, if they do not say.
const USER: &str = "User";

/// Why a turn has no answer that is just being given. Read if nothing more comes to be written of it.
pub(super) const UNFINISHED: &str = "it was not answered to the end: the being or genii ended meanwhile, or \
     the answer could not be kept";

/// What is said to a being, and by whom.
pub(super) struct Saying {
    pub(super) said: String,
    pub(super) speaker: Option<String>,
}

/// Answers what is said, when its turn comes.
pub(super) async fn answer(mind: Arc<Mind>, place: Place, saying: Saying, mut listener: Listener) {
    // With its place taken, so that whoever waits for quiet waits behind it.
    mind.consolidating.a_turn_begins();
    let answered = {
        let mut turn = place.turn().await;
        if mind.is_closing() {
            drop(turn);
            // Until its life is over: then who asked learns why, and what was told is a dead letter.
            return std::future::pending().await;
        }
        let mut telling = Telling::new(&mind, saying);
        telling.grave = listener.take_grave();
        let answered = telling.answer(&mut listener).await;
        if let (Some(grave), Err(why)) = (telling.grave, &answered) {
            listener::bury(grave, why);
        }
        *turn = Some(Instant::now());
        answered
    };
    // Who does not take the end of it finds the turn in the history.
    let _taken = tokio::time::timeout(LISTENER_PATIENCE, listener.finish(answered)).await;
}

/// Says to a being what it is to be reminded of, while nobody listens. The turn that it is kept as, with
/// which the reminder is done; none if it was taken back meanwhile.
pub(super) async fn remind(
    mind: &Mind,
    due: &StoredReminder,
) -> Result<Option<StoredTurn>, NotKept> {
    let place = Place::take(mind).await;
    mind.consolidating.a_turn_begins();
    let mut turn = place.turn().await;
    if mind.is_closing() {
        return Err(NotKept { why: "it is about to end; it heeds this when it wakes".to_owned() });
    }
    let is_there = mind.store.read(|reader| reader.contains(REMINDERS, &due.id));
    if !is_there.map_err(|error: StoreError| super::not_kept(&error))? {
        return Ok(None);
    }
    let (said, speaker) = (due.text.clone(), Some(reminding::SPEAKER.to_owned()));
    let mut telling = Telling::new(mind, Saying { said, speaker });
    telling.reminder = Some(due.id);
    let answered = telling.answer(&mut Listener::Nobody).await;
    *turn = Some(Instant::now());
    match (telling.done, answered) {
        (Some(turn), _) => Ok(Some(turn)),
        (None, Ok(_)) => Err(NotKept { why: "it was answered, and not kept".to_owned() }),
        (None, Err(why)) => Err(NotKept { why: why.to_string() }),
    }
}

/// A turn on its way.
struct Telling<'a> {
    mind: &'a Mind,
    who: Arc<Who>,
    at: Timestamp,
    saying: Saying,
    /// Its number, once it is on the disk.
    kept: Option<(u64, Memory)>,
    /// About how many tokens it is asked with; none as long as it is not.
    prompt_tokens: u64,
    /// What is counted against the budget already.
    charged: Option<Charged>,
    /// The reminder that says it, which is done when the turn is.
    reminder: Option<u64>,
    /// The turn, once it is kept to its end.
    done: Option<StoredTurn>,
    /// Where it goes if it is not kept, if nobody would know of it otherwise.
    grave: Option<Grave>,
    /// How long it may still be waited for whoever listens.
    patience: Duration,
}

/// What came of asking the provider.
#[derive(Default)]
struct Outcome {
    text: String,
    usage: Usage,
    failure: Option<Failure>,
}

/// Why an answer has no end.
enum Failure {
    Provider(ProviderError),
    CalledOff,
}

impl<'a> Telling<'a> {
    fn new(mind: &'a Mind, saying: Saying) -> Self {
        let (who, at) = (mind.who(), Timestamp::now());
        Self {
            mind,
            who,
            at,
            saying,
            kept: None,
            prompt_tokens: 0,
            charged: None,
            reminder: None,
            done: None,
            grave: None,
            patience: LISTENING_MAX,
        }
    }

    async fn answer(&mut self, listener: &mut Listener) -> Result<Answered, NotAnswered> {
        let prepared = self.prepare().await;
        if let Err(NotAnswered::Store { why }) = &prepared
            && self.saying.said.len() <= TEXT_BYTES_MAX
            && self.reminder.is_none()
        {
            // What cannot be read may still be written. A reminder is told again.
            let _kept_if_it_can_be = self.keep(None, Some(why.clone()), 0).await;
        }
        let (recalled, assembled) = prepared?;
        let Assembled { request, account } = match assembled {
            Ok(assembled) => assembled,
            Err(PromptError::Empty) => return Err(NotAnswered::Nothing),
            Err(PromptError::TooLong { tokens, tokens_max: max }) => {
                let why = PromptError::TooLong { tokens, tokens_max: max }.to_string();
                let turn = match self.saying.said.len() <= TEXT_BYTES_MAX {
                    true => Some(self.keep(None, Some(why), 0).await?),
                    false => None,
                };
                return Err(NotAnswered::TooLong { tokens, max, turn });
            }
        };
        self.who.core_not_whole.store(account.core_not_whole(), Ordering::Relaxed);
        let expected = account.tokens.saturating_add(request.reply_tokens_max.min(256));
        if let Err(spent) = self.may_spend(expected.into())? {
            let failure = spent.to_string();
            let turn = self.keep(None, Some(failure), 0).await?;
            return Err(NotAnswered::Spent { spent, turn });
        }
        let taken: Vec<Recollection> = (account.memories.taken.iter())
            .filter_map(|place| recalled.get(*place as usize))
            .map(recollection::of)
            .collect();
        let under_way = request.under_way.clone();
        self.prompt_tokens = account.tokens.into();
        let outcome = self.listen(self.who.provider.answer(request), listener).await?;
        let Outcome { text, usage, failure } = outcome;
        // What nothing came of may be counted all the same: thinking without a word.
        let counted = under_way.usage();
        let prompt_tokens = usage.prompt_tokens.or(counted.prompt_tokens).unwrap_or(account.tokens);
        let reply_tokens = usage.reply_tokens.unwrap_or_else(|| {
            EstimatedTokens.count(&text).max(counted.reply_tokens.unwrap_or_default())
        });
        let why = failure.as_ref().map(Failure::in_words);
        let answer = (!text.is_empty()).then(|| text.clone());
        // Who hangs up before the first word may have asked all the same.
        let took = answer.is_some()
            || usage.prompt_tokens.is_some()
            || failure.is_none()
            || under_way.is_set();
        let spent = if took { u64::from(prompt_tokens) + u64::from(reply_tokens) } else { 0 };
        let turn = self.keep(answer, why.clone(), spent).await?;
        if let Some(failure) = failure {
            let why = failure.in_words();
            return Err(NotAnswered::Provider { kind: failure.kind(), why, turn });
        }
        let (provider, is_cut_off) = (self.who.provider.label(), usage.is_cut_off);
        let recalled = taken;
        Ok(Answered { turn, text, recalled, provider, prompt_tokens, reply_tokens, is_cut_off })
    }

    /// Reads what a prompt is made of, and makes it.
    async fn prepare(
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
        let recall = Recall {
            question: self.saying.said.clone(),
            at: self.at,
            asked_by: self.saying.speaker.clone(),
            limit: RECALLED_MAX,
            filter,
        };
        let mut recalled = self
            .mind
            .memories
            .recall(recall)
            .await
            .map_err(|error| NotAnswered::Store { why: super::mind::with_causes(&error) })?;
        tell_until(&mut recalled);
        recalled.retain(|it| it.score >= SCORE_MIN);
        Ok(if self.who.is_offline() { quotable(recalled) } else { recalled })
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

    /// What whoever speaks is called.
    fn user(&self) -> &str {
        self.saying.speaker.as_deref().unwrap_or(USER)
    }

    fn core(&self) -> Vec<prompt::CoreBlock> {
        let blocks = self.who.core.iter();
        blocks
            .map(|block| prompt::CoreBlock { title: block.title.clone(), text: block.text.clone() })
            .collect()
    }

    fn may_spend(&self, tokens: u64) -> Result<Result<(), BudgetSpent>, NotAnswered> {
        let budget = self.mind.store.read(|reader| reader.get(BUDGET, &()));
        let budget = budget.map_err(|error: StoreError| not_kept(&error))?;
        Ok(budget.unwrap_or_default().admit(self.at, tokens))
    }

    /// Hands the answer on as it comes, until its end, or until nobody listens any more. What comes at once
    /// is handed on together.
    async fn listen(
        &mut self,
        pieces: futures_util::stream::BoxStream<'static, Result<Piece, ProviderError>>,
        listener: &mut Listener,
    ) -> Result<Outcome, NotAnswered> {
        let mut outcome = Outcome::default();
        // Whoever has gone while others were answered is not to pay for what nobody hears. Nothing is asked
        // before the first piece is wanted.
        if listener.gone().now_or_never().is_some() {
            outcome.failure = Some(Failure::CalledOff);
            return Ok(outcome);
        }
        let mut pieces = pieces.ready_chunks(PIECES_AT_ONCE_MAX);
        let early = tokio::time::sleep_until(Instant::now() + KEPT_AFTER);
        tokio::pin!(early);
        loop {
            let come = tokio::select! {
                biased;
                come = pieces.next() => come,
                () = listener.gone() => {
                    outcome.failure = Some(Failure::CalledOff);
                    return Ok(outcome);
                }
                () = &mut early, if self.kept.is_none() => {
                    self.keep_unfinished().await?;
                    continue;
                }
            };
            let (words, end) = joined(come.unwrap_or_else(|| vec![Err(self.without_an_end())]));
            outcome.text.push_str(&words);
            if outcome.text.len() > ANSWER_BYTES_MAX {
                outcome.text.truncate(outcome.text.floor_char_boundary(ANSWER_BYTES_MAX));
                outcome.usage.is_cut_off = true;
                return Ok(outcome);
            }
            if !words.is_empty() && !self.hand_on(words, listener, early.as_mut()).await? {
                outcome.failure = Some(Failure::CalledOff);
                return Ok(outcome);
            }
            match end {
                None => {}
                Some(Ok(usage)) => {
                    outcome.usage = usage;
                    if outcome.text.trim().is_empty() {
                        let place = self.who.provider.label();
                        let cause = "the answer is empty".to_owned();
                        let empty = ProviderError::Garbage { place, cause };
                        outcome.failure = Some(Failure::Provider(empty));
                    }
                    return Ok(outcome);
                }
                Some(Err(error)) => {
                    outcome.failure = Some(Failure::Provider(error));
                    return Ok(outcome);
                }
            }
        }
    }

    fn without_an_end(&self) -> ProviderError {
        let cause = "it ended without an end".to_owned();
        ProviderError::BrokenOff { place: self.who.provider.label(), cause }
    }

    /// Hands some words on; whether somebody still listens. Who takes nothing for too long does not:
    /// others wait behind them.
    async fn hand_on(
        &mut self,
        text: String,
        listener: &mut Listener,
        mut early: std::pin::Pin<&mut tokio::time::Sleep>,
    ) -> Result<bool, NotAnswered> {
        let began = Instant::now();
        let patience = LISTENER_PATIENCE.min(self.patience);
        let handing = tokio::time::timeout(patience, listener.piece(text));
        tokio::pin!(handing);
        loop {
            tokio::select! {
                biased;
                handed = &mut handing => {
                    self.patience = self.patience.saturating_sub(began.elapsed());
                    return Ok(matches!(handed, Ok(Ok(()))));
                }
                () = early.as_mut(), if self.kept.is_none() => self.keep_unfinished().await?,
            }
        }
    }

    /// Keeps what was said, while it is being answered, and counts what that takes at least: if the life
    /// ends meanwhile, nobody else does.
    async fn keep_unfinished(&mut self) -> Result<(), NotAnswered> {
        let failure = Some(UNFINISHED.to_owned());
        self.write(None, failure, self.prompt_tokens, None).await.map(drop)
    }

    /// Keeps the turn as it ended, and returns its number when that is safe on the disk.
    async fn keep(
        &mut self,
        answer: Option<String>,
        failure: Option<String>,
        spent: u64,
    ) -> Result<u64, NotAnswered> {
        let turn = self.write(answer, failure, spent, self.reminder).await?;
        let id = turn.id;
        self.done = Some(turn);
        Ok(id)
    }

    async fn write(
        &mut self,
        answer: Option<String>,
        failure: Option<String>,
        spent: u64,
        reminder: Option<u64>,
    ) -> Result<StoredTurn, NotAnswered> {
        // What a being reminds itself of tells nothing of whoever it talks with.
        let is_told = self.kept.is_none() && self.reminder.is_none();
        let facts = || facts::of(&self.saying.said, self.saying.speaker.as_deref(), self.at);
        let writing = Writing {
            facts: is_told.then(facts).unwrap_or_default(),
            reminder,
            kept: self.kept.clone(),
            at: self.at,
            said: self.saying.said.clone(),
            speaker: self.saying.speaker.clone(),
            // Who answers without a model says nothing new: it quotes.
            is_answer_remembered: answer.is_some() && !self.who.is_offline(),
            name: self.who.character.called().to_owned(),
            answer,
            failure,
            spent,
            charged: self.charged,
        };
        let written = self.mind.store.write(move |writer| writing.write(writer)).await;
        let Written { turn, said, answered, facts, charged } =
            written.map_err(|error| not_kept(&error))?;
        if let Some(grave) = self.grave.take() {
            grave.close();
        }
        self.charged = charged;
        let is_new = self.kept.is_none();
        self.kept = Some((turn.id, said.clone()));
        let new: Vec<Memory> = is_new.then_some(said).into_iter().chain(answered).collect();
        self.mind.memories.take_in(new).await;
        facts.take_in(self.mind).await;
        let id = turn.id;
        let mut recent = self.mind.recent.lock();
        if recent.back().is_some_and(|last| last.id == id) {
            recent.pop_back();
        }
        recent.push_back(turn.clone());
        while recent.len() > RECENT_MAX {
            recent.pop_front();
        }
        Ok(turn)
    }
}

/// The words of some pieces, and how they end, if they do.
fn joined(
    pieces: Vec<Result<Piece, ProviderError>>,
) -> (String, Option<Result<Usage, ProviderError>>) {
    let mut words = String::new();
    for piece in pieces {
        match piece {
            Ok(Piece::Text(text)) => words.push_str(&text),
            Ok(Piece::End(usage)) => return (words, Some(Ok(usage))),
            Err(error) => return (words, Some(Err(error))),
        }
    }
    (words, None)
}

/// Does what takes a while, so that others need not wait for this thread.
fn beside_others<T>(work: impl FnOnce() -> T) -> T {
    match Handle::current().runtime_flavor() {
        RuntimeFlavor::MultiThread => block_in_place(work),
        // There is no other thread, and nobody else to wait but in tests.
        _ => work(),
    }
}

impl Failure {
    fn in_words(&self) -> String {
        match self {
            Self::Provider(error) => error.to_string(),
            Self::CalledOff => "whoever asked stopped listening".to_owned(),
        }
    }

    fn kind(&self) -> ProviderFault {
        match self {
            Self::Provider(ProviderError::Unreachable { .. }) => ProviderFault::Unreachable,
            Self::Provider(ProviderError::Unauthorized { .. }) => ProviderFault::Unauthorized,
            Self::Provider(ProviderError::Limited { .. }) => ProviderFault::Limited,
            Self::Provider(ProviderError::Refused { .. }) => ProviderFault::Refused,
            Self::Provider(ProviderError::Failed { .. }) => ProviderFault::Failed,
            Self::Provider(ProviderError::Silent { .. }) => ProviderFault::Silent,
            Self::Provider(ProviderError::Garbage { .. }) => ProviderFault::Garbage,
            Self::Provider(ProviderError::BrokenOff { .. }) | Self::CalledOff => {
                ProviderFault::BrokenOff
            }
        }
    }
}

fn for_prompt(recalled: &Recalled) -> prompt::Recalled {
    let Memory { text, speaker, at, kind, until, .. } = recalled.memory.clone();
    // What was said in a conversation by nobody in particular was said by whoever asks now.
    let is_said = matches!(kind, MemoryKind::Turn | MemoryKind::Fact);
    let speaker = speaker.or_else(|| is_said.then(|| USER.to_owned()));
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

fn not_kept(error: &StoreError) -> NotAnswered {
    NotAnswered::Store { why: super::mind::with_causes(error) }
}
