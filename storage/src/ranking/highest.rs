//! The highest of many scores.

/// The ids with the highest scores, at most `limit`, in any order; of equal ones the newest, whose ids are highest.
pub(crate) fn highest<Id: Ord>(
    mut scored: Vec<(Id, f32)>,
    limit: usize,
) -> impl Iterator<Item = Id> {
    if limit < scored.len() {
        scored.select_nth_unstable_by(limit, |(a, of_a), (b, of_b)| {
            of_b.total_cmp(of_a).then_with(|| b.cmp(a))
        });
        scored.truncate(limit);
    }
    scored.into_iter().map(|(id, _)| id)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(scored: Vec<(u64, f32)>, limit: usize) -> Vec<u64> {
        let mut ids: Vec<u64> = highest(scored, limit).collect();
        ids.sort_unstable();
        ids
    }

    #[test]
    fn the_highest_are_kept_and_of_equal_ones_the_newest() {
        let scored = vec![(1, 0.5), (2, 0.9), (3, 0.5), (4, 0.1), (5, 0.5)];
        assert_eq!(sorted(scored.clone(), 2), [2, 5]);
        assert_eq!(sorted(scored.clone(), 3), [2, 3, 5]);
        assert_eq!(sorted(scored, 0), [0; 0]);
    }

    #[test]
    fn of_no_more_than_are_wanted_all_are_kept() {
        assert_eq!(sorted(vec![(1, -0.5), (2, 0.0)], 2), [1, 2]);
        assert_eq!(sorted(vec![(1, -0.5)], usize::MAX), [1]);
        assert_eq!(sorted(Vec::new(), 3), [0; 0]);
    }
}
