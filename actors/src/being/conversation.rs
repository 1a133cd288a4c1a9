//! One turn of a conversation: what was said, what is remembered of it, the answer, and that both are
//! kept, with the facts that are told in it.
//!
//! What is kept, and when: an answer is told to be whole when the turn is safe on the disk. What was
//! said is kept also if nothing comes of it, with why; an answer that takes longer than
//! [`KEPT_AFTER`] finds it on the disk already, so that a crash in mid-answer does not lose it. With it
//! the prompt is counted against the budget, by estimate; the end of the answer corrects that. An answer that is
//! not whole when the being ends is interrupted, and kept as one that its provider broke off.
//!
//! | module | what it holds |
//! |---|---|
//! | `listening` | the answer, handed on as it comes to whoever listens |
//! | `newest` | the newest turns, as a prompt has them |
//! | `preparing` | what a prompt is made of, and the prompt |
//! | `quotable` | what may be quoted by who answers without a model |
//! | `row` | who speaks to a being, in the order in which they came |
//! | `writing` | what is written of a turn |

mod listening;
mod newest;
mod preparing;
mod quotable;
mod row;
mod writing;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join;
use genii_protocols::Timestamp;
use genii_protocols::being::{Answered, NotAnswered, NotKept, Recollection};
use genii_protocols::budget::BudgetSpent;
use genii_runtime::{AtWork, Grave};
use genii_storage::memories::{Foreseen, Memory, NewMemory};
use genii_storage::store::StoreError;
use tokio::task::yield_now;
use tokio::time::Instant;

use super::character::macros::USER_DEFAULT;
use super::listener::{self, Listener};
use super::mind::{Mind, RECENT_MAX, Who, without_words};
use super::prompt::{Assembled, EstimatedTokens, PromptError, TokenCounter};
use super::tables::{BUDGET, REMINDERS, StoredReminder, StoredTurn};
use super::{TEXT_BYTES_MAX, facts, recollection, reminding};
use listening::{Failure, Outcome};
pub(super) use row::Place;
pub(super) use writing::remembered;
use writing::{Charged, Writing, Written};

/// An answer that takes longer than this finds what was said on the disk.
const KEPT_AFTER: Duration = Duration::from_millis(50);

/// How long whoever listens may take for some words before they are taken for gone.
const LISTENER_PATIENCE: Duration = Duration::from_secs(60);

/// And how long for all of an answer: others wait behind them.
const LISTENING_MAX: Duration = Duration::from_secs(600);

/// Why a turn has no answer that is just being given. Read if nothing more comes to be written of it, and
/// shown only then.
pub(super) const UNFINISHED: &str = "it was not answered to the end: the being or genii ended meanwhile, or \
     the answer could not be kept";

/// What is said to a being, and by whom.
pub(super) struct Saying {
    pub(super) said: String,
    pub(super) speaker: Option<String>,
}

/// Answers what is said, when its turn comes. What is returned keeps the being awake for what is to be done then.
pub(super) async fn answer(
    mind: Arc<Mind>,
    place: Place,
    saying: Saying,
    mut listener: Listener,
) -> Option<AtWork> {
    // With its place taken, so that whoever waits for quiet waits behind it.
    mind.consolidating.a_turn_begins();
    let answered = {
        let mut turn = place.turn().await;
        if let Some(why) = mind.closing() {
            drop(turn);
            listener.finish_unbegun(&why).await;
            return None;
        }
        let mut telling = Telling::new(&mind, saying);
        telling.grave = listener.take_grave();
        let answered = telling.answer(&mut listener).await;
        *mind.answering.lock() = None;
        if let (Some(grave), Err(why)) = (telling.grave, &answered) {
            listener::bury(grave, why);
        }
        *turn = Some(Instant::now());
        answered
    };
    let awake = mind.consolidating.at_the_end_of_a_turn();
    // Who does not take the end of it finds the turn in the history.
    let _taken = tokio::time::timeout(LISTENER_PATIENCE, listener.finish(answered)).await;
    awake
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
    if mind.closing().is_some() {
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
    *mind.answering.lock() = None;
    *turn = Some(Instant::now());
    match (telling.done, answered) {
        (Some(turn), _) => Ok(Some(turn)),
        (None, Ok(_)) => Err(NotKept { why: "it was answered, and not kept".to_owned() }),
        // This stands in the log, and what cannot be read may be named by a word that was said.
        (None, Err(NotAnswered::Store { .. })) => {
            let why = telling.unwritten.unwrap_or_else(|| "its store cannot be read".to_owned());
            Err(NotKept { why })
        }
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
    /// Why it could not be written, as others may read it.
    unwritten: Option<String>,
    /// How long it may still be waited for whoever listens.
    patience: Duration,
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
            unwritten: None,
            patience: LISTENING_MAX,
        }
    }

    async fn answer(&mut self, listener: &mut Listener) -> Result<Answered, NotAnswered> {
        let prepared = self.prepare().await;
        let (recalled, assembled) = self.kept_if_unread(prepared).await?;
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
        let may_spend = self.may_spend(expected.into());
        if let Err(spent) = self.kept_if_unread(may_spend).await? {
            let failure = spent.to_string();
            let turn = self.keep(None, Some(failure), 0).await?;
            return Err(NotAnswered::Spent { spent, turn });
        }
        let under_way = request.under_way.clone();
        self.prompt_tokens = account.tokens.into();
        if self.reminder.is_some() || self.mind.has_missed_a_turn.load(Ordering::Relaxed) {
            // What is asked again and again while nothing can be written would be counted nowhere.
            self.keep_unfinished().await?;
        }
        // While it is asked.
        let taken = async {
            yield_now().await;
            let places = account.memories.taken.iter();
            let taken = places.filter_map(|place| recalled.get(*place as usize));
            taken.map(recollection::of).collect::<Vec<Recollection>>()
        };
        let pieces = self.who.provider.answer(request);
        let (outcome, taken) = join(self.listen(pieces, listener), taken).await;
        let Outcome { text, usage, failure } = outcome?;
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
        let turn = match &failure {
            // What it is to be reminded of is said anew when it wakes.
            Some(Failure::Interrupted(_)) if self.reminder.is_some() => {
                self.write(answer, why, spent, None).await?.id
            }
            _ => self.keep(answer, why, spent).await?,
        };
        if let Some(failure) = failure {
            return Err(failure.not_answered(turn));
        }
        let (provider, is_cut_off) = (self.who.provider.label(), usage.is_cut_off);
        let recalled = taken;
        Ok(Answered { turn, text, recalled, provider, prompt_tokens, reply_tokens, is_cut_off })
    }

    /// What whoever speaks is called.
    fn user(&self) -> &str {
        self.saying.speaker.as_deref().unwrap_or(USER_DEFAULT)
    }

    /// What was read; what was said is kept if that could not be. A reminder is told again.
    async fn kept_if_unread<T>(&mut self, read: Result<T, NotAnswered>) -> Result<T, NotAnswered> {
        if let Err(NotAnswered::Store { why }) = &read
            && self.saying.said.len() <= TEXT_BYTES_MAX
            && self.reminder.is_none()
        {
            // What cannot be read may still be written.
            let _kept_if_it_can_be = self.keep(None, Some(why.clone()), 0).await;
        }
        read
    }

    fn may_spend(&self, tokens: u64) -> Result<Result<(), BudgetSpent>, NotAnswered> {
        let budget = self.mind.store.read(|reader| reader.get(BUDGET, &()));
        let budget = budget.map_err(|error: StoreError| not_kept(&error))?;
        Ok(budget.unwrap_or_default().admit(self.at, tokens))
    }

    /// Keeps what was said, while it is being answered, and counts what that takes at least: if the life
    /// ends meanwhile, nobody else does.
    async fn keep_unfinished(&mut self) -> Result<(), NotAnswered> {
        // Before it can be read.
        *self.mind.answering.lock() = Some(self.at);
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
        let (mind, memories) = (self.mind, writing.memories().collect::<Vec<NewMemory>>());
        // While it is written.
        let foreseen = async { memories.iter().map(|new| mind.memories.foresee(new)).collect() };
        let written = mind.store.write(move |writer| writing.write(writer));
        let (written, foreseen): (_, Vec<Foreseen>) = join(written, foreseen).await;
        mind.has_missed_a_turn.store(written.is_err(), Ordering::Relaxed);
        self.unwritten = written.as_ref().err().map(without_words);
        let Written { turn, said, answered, facts, charged } =
            written.map_err(|error| not_kept(&error))?;
        if let Some(grave) = self.grave.take() {
            grave.close();
        }
        self.charged = charged;
        let is_new = self.kept.is_none();
        self.kept = Some((turn.id, said.clone()));
        let new = is_new.then_some(said).into_iter().chain(answered);
        self.mind.memories.take_in_foreseen(new.zip(foreseen).collect()).await;
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

fn not_kept(error: &StoreError) -> NotAnswered {
    NotAnswered::Store { why: super::mind::with_causes(error) }
}

#[cfg(test)]
mod tests;
