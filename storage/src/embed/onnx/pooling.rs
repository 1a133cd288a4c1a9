//! From the vectors of tokens to the vector of a text.

/// How the vectors of a text's tokens become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pooling {
    /// Their mean.
    Mean,
    /// The first of them.
    First,
}

impl Pooling {
    /// Pools the vectors of one text, which stand one after another. Those after the first `tokens` are
    /// padding.
    pub(super) fn pool(self, vectors: &[f32], dimensions: usize, tokens: usize) -> Vec<f32> {
        match self {
            Self::First => vectors[..dimensions].to_vec(),
            Self::Mean => {
                let mut sum = vec![0.0; dimensions];
                for vector in vectors.chunks_exact(dimensions).take(tokens) {
                    sum.iter_mut().zip(vector).for_each(|(sum, number)| *sum += number);
                }
                // Not divided by their number: a vector's length is made one anyway.
                sum
            }
        }
    }
}

/// A vector of length one in the same direction; of zeros, itself. Nothing where a number is none.
pub(super) fn normalised(mut vector: Vec<f32>) -> Option<Vec<f32>> {
    // In f64, in which no square of an f32 overflows or vanishes.
    let square: f64 = vector.iter().map(|&number| f64::from(number).powi(2)).sum();
    if !square.is_finite() {
        return None;
    }
    if square > 0.0 {
        let length = square.sqrt();
        vector.iter_mut().for_each(|number| *number = (f64::from(*number) / length) as f32);
    }
    Some(vector)
}

/// One less the cosine of two vectors of length one.
pub(super) fn distance(one: &[f32], other: &[f32]) -> f32 {
    if one.len() != other.len() {
        return f32::INFINITY;
    }
    1.0 - one.iter().zip(other).map(|(one, other)| one * other).sum::<f32>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mean_leaves_out_the_padding() {
        let pooled = Pooling::Mean.pool(&[1.0, 0.0, 2.0, 4.0, 90.0, 90.0], 2, 2);
        assert_eq!(normalised(pooled).unwrap(), [0.6, 0.8]);
    }

    #[test]
    fn the_first_token_stands_for_the_text() {
        assert_eq!(Pooling::First.pool(&[0.0, 2.0, 5.0, 5.0], 2, 2), [0.0, 2.0]);
    }

    #[test]
    fn lengths_become_one_however_large_or_small() {
        for scale in [1e-30, 1.0, 1e30] {
            let vector = normalised(vec![3.0 * scale, 4.0 * scale]).unwrap();
            assert!(distance(&vector, &[0.6, 0.8]).abs() < 1e-6, "{scale}: {vector:?}");
        }
        assert_eq!(normalised(vec![0.0, 0.0]).unwrap(), [0.0, 0.0]);
    }

    #[test]
    fn what_is_no_number_makes_no_vector() {
        assert_eq!(normalised(vec![f32::NAN, 1.0]), None);
        assert_eq!(normalised(vec![f32::INFINITY, 1.0]), None);
    }

    #[test]
    fn vectors_of_other_lengths_are_far_apart() {
        assert!(distance(&[1.0, 0.0], &[1.0]) > 1.0);
        assert!(distance(&[0.6, 0.8], &[0.6, 0.8]).abs() < 1e-6);
    }
}
