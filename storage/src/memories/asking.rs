//! Asking the index for candidates, among all memories or some of them.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::index::{Filter, HITS_MAX, Hit, Index, IndexError};
use crate::store::StoreError;

use super::memory::RecallFilter;
use super::recalling::Asked;
use super::{Memories, MemoriesError, blocking};

/// So many times as many are asked for as should be enough, where what is not wanted of them is left out afterwards.
const SPARE: f32 = 1.5;

/// By what memories are looked for.
#[derive(Clone, Copy)]
pub(super) enum By<'a> {
    Words(&'a [&'a str]),
    Nearness(&'a [f32]),
}

impl By<'_> {
    pub(super) async fn search(
        self,
        index: &Index,
        filter: &Filter,
        limit: usize,
    ) -> Result<Vec<Hit>, IndexError> {
        match self {
            By::Words(terms) => index.words(terms, filter, limit).await,
            By::Nearness(vector) => index.nearest(vector, filter, limit).await,
        }
    }
}

impl Memories {
    /// What the index brings of what it covers, through an id: by words, and by vectors.
    pub(super) async fn ask(
        &self,
        index: &Index,
        asked: &Asked,
        through: u64,
    ) -> Result<(BTreeSet<u64>, BTreeSet<u64>), MemoriesError> {
        let (terms, limit) = (asked.question.search_terms(), self.0.settings.candidates);
        let terms: Vec<&str> = terms.split(' ').collect();
        let (filter, among) = (&asked.filter, (index, through));
        let words = self.best(among, filter, By::Words(&terms), limit);
        let near = async {
            if asked.vector.iter().all(|number| *number == 0.0) {
                return Ok(BTreeSet::new());
            }
            if index.looks_at_each_vector()
                && let Some(near) = self.nearest_at_hand(asked, through, limit / 2).await
            {
                return Ok(near);
            }
            self.best(among, filter, By::Nearness(&asked.vector), limit / 2).await
        };
        futures_util::future::try_join(words, near).await
    }

    /// What is nearest of what is settled through an id, if all of that is at hand: to look at each there takes far
    /// less than a search of LanceDB, which has to be planned.
    async fn nearest_at_hand(
        &self,
        asked: &Asked,
        through: u64,
        limit: usize,
    ) -> Option<BTreeSet<u64>> {
        if self.0.live.read().renewal.is_some() {
            return None;
        }
        let (at_hand, now) = (self.0.at_hand.clone(), (through, self.0.store.reopened()));
        let (aim, filter) = (asked.aim.clone(), without_turns(&asked.filter));
        let look = move || at_hand.nearest(&aim, now, |brief| filter.passes(brief), limit);
        blocking(look).await.ok().flatten()
    }

    /// The best of those that pass, of what an index covers through an id. It is mostly asked directly for any, and
    /// LanceDB plans what leaves some out, which takes several times as long. So where many pass, more are asked for, of
    /// any, and those that don't pass are left out here.
    async fn best(
        &self,
        (index, through): (&Index, u64),
        filter: &RecallFilter,
        by: By<'_>,
        limit: usize,
    ) -> Result<BTreeSet<u64>, MemoriesError> {
        if let Some(best) = self.best_of_any((index, through), filter, by, limit).await? {
            return Ok(best);
        }
        let found = by.search(index, &filter.for_index(through), limit).await?;
        Ok(found.iter().map(|hit| hit.id).collect())
    }

    /// The same by asking for any. None if they would have to be too many, or were too few.
    pub(super) async fn best_of_any(
        &self,
        (index, through): (&Index, u64),
        filter: &RecallFilter,
        by: By<'_>,
        limit: usize,
    ) -> Result<Option<BTreeSet<u64>>, MemoriesError> {
        let Some(more) = self.enough_of_any(filter, through, limit) else { return Ok(None) };
        let any = Filter { through: Some(through), ..Filter::default() };
        let found = by.search(index, &any, more).await?;
        // An index tells of no row that it can't name: what it leaves out, such as deleted rows, it doesn't count either.
        let are_all = found.len() < more;
        let passing = self.passing(filter, &found).await?;
        let is_enough = are_all || passing.len() >= limit;
        Ok(is_enough.then(|| passing.into_iter().take(limit).collect()))
    }

    /// How many of any should be asked for, so that enough of them pass. None if a search asks for any as it is, or if
    /// too few pass, or if how many do is not known.
    fn enough_of_any(&self, filter: &RecallFilter, through: u64, limit: usize) -> Option<usize> {
        if filter.is_of_the_asker_only() {
            return None;
        }
        let filter = without_turns(filter);
        let now = (through, self.0.store.reopened());
        let share = self.0.at_hand.share(now, |brief| filter.passes(brief))?;
        let enough = (limit as f32 / share * SPARE).ceil();
        (enough <= HITS_MAX as f32).then_some(enough as usize)
    }

    /// Those of what was found that pass, the best first.
    async fn passing(
        &self,
        filter: &RecallFilter,
        found: &[Hit],
    ) -> Result<Vec<u64>, MemoriesError> {
        let (own, filter) = (Arc::clone(&self.0), without_turns(filter));
        let mut ids: Vec<u64> = found.iter().map(|hit| hit.id).collect();
        ids.sort_unstable();
        let pass = move || {
            let gists = own.gists(&ids)?.into_iter();
            let passing = gists.filter(|(_, gist)| filter.passes(&gist.brief));
            Ok::<BTreeSet<u64>, StoreError>(passing.map(|(id, _)| id).collect())
        };
        let passing = blocking(pass).await??;
        Ok(found.iter().map(|hit| hit.id).filter(|id| passing.contains(id)).collect())
    }
}

/// As for the index, which knows no turns.
fn without_turns(filter: &RecallFilter) -> RecallFilter {
    RecallFilter { except_turns_from: None, ..filter.clone() }
}
