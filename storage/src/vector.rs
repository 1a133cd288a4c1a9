//! Vectors as they are kept, in a file and in memory: a byte for each number.

use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The largest number that a byte with a sign holds on either side.
const LARGEST: f32 = 127.0;

/// The product of so many bytes each finds room in 32 bits.
const PRODUCT_MAX: usize = 1 << 16;

/// A direction. Of a vector's numbers the largest becomes 127; how long it was is not kept. A cosine of
/// two such differs by less than a hundredth from what it was, and vectors take a quarter of the room.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Vector {
    numbers: Box<[i8]>,
    /// What makes its length one; 0 if it is all zeros.
    scale: f32,
}

// As bytes, which are read at once: one number after the other takes far longer, and is the same in the
// file.
impl Serialize for Vector {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let bytes: Vec<u8> = self.numbers.iter().map(|number| number.cast_unsigned()).collect();
        serializer.serialize_bytes(&bytes)
    }
}

impl<'de> Deserialize<'de> for Vector {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_bytes(Numbers)
    }
}

struct Numbers;

impl Visitor<'_> for Numbers {
    type Value = Vector;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a byte for each number")
    }

    fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Vector, E> {
        let numbers: Box<[i8]> = bytes.iter().map(|byte| byte.cast_signed()).collect();
        Ok(numbers.into())
    }
}

impl From<Box<[i8]>> for Vector {
    fn from(numbers: Box<[i8]>) -> Self {
        let squares = numbers.chunks(PRODUCT_MAX).map(|some| i64::from(rough_product(some, some)));
        let square: i64 = squares.sum();
        let scale = if square > 0 { (square as f32).sqrt().recip() } else { 0.0 };
        Self { numbers, scale }
    }
}

impl Vector {
    /// All zeros, which is near to nothing, of what has a number that is none.
    pub fn new(numbers: &[f32]) -> Self {
        let largest = numbers.iter().fold(0.0f32, |largest, number| largest.max(number.abs()));
        let is_finite = numbers.iter().all(|number| number.is_finite());
        let scale = if is_finite && largest > 0.0 { LARGEST / largest } else { 0.0 };
        let numbers: Box<[i8]> =
            numbers.iter().map(|number| (number * scale).round() as i8).collect();
        numbers.into()
    }

    /// Its numbers, of which the largest is 127.
    pub(crate) fn numbers(&self) -> &[i8] {
        &self.numbers
    }

    /// By what its numbers are to be taken for its length to be one; 0 if it is all zeros.
    pub(crate) fn scale(&self) -> f32 {
        self.scale
    }

    /// The cosine of the angle to a vector of length one; 0 if either is all zeros, or they are not of one
    /// embedder.
    pub fn cosine(&self, unit: &[f32]) -> f32 {
        dot(&self.numbers, unit) * self.scale
    }

    /// With length one, or all zeros.
    pub fn unit(&self) -> Vec<f32> {
        self.numbers.iter().map(|number| f32::from(*number) * self.scale).collect()
    }
}

/// The product of the numbers of two vectors of one length, of which the first [`PRODUCT_MAX`] count: several
/// times as quick as [`Vector::cosine`], and good enough to choose by.
pub(crate) fn rough_product(a: &[i8], b: &[i8]) -> i32 {
    let products = a.iter().zip(b).map(|(a, b)| i32::from(*a) * i32::from(*b));
    products.take(PRODUCT_MAX).sum()
}

/// The product of two vectors; 0 if they have not as many numbers.
fn dot(a: &[i8], b: &[f32]) -> f32 {
    /// So many sums side by side, so that the processor takes several numbers at a time.
    const LANES: usize = 16;
    if a.len() != b.len() {
        return 0.0;
    }
    let mut sums = [0.0; LANES];
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a.remainder().iter().zip(b.remainder());
    let rest: f32 = rest.map(|(a, b)| f32::from(*a) * b).sum();
    for (a, b) in a.zip(b) {
        for ((sum, a), b) in sums.iter_mut().zip(a).zip(b) {
            *sum += f32::from(*a) * b;
        }
    }
    sums.iter().sum::<f32>() + rest
}

#[cfg(test)]
mod tests {
    use genii_protocols::wire;

    use super::*;
    use crate::embed::Embedder;
    use crate::embed::hashed::Hashed;

    #[test]
    fn a_stored_vector_points_where_it_pointed() {
        let embedder = Hashed::new();
        let texts = ["the key is under the blue pot", "where is the key", "a chess tournament", ""];
        let exact = embedder.embed(&texts).unwrap();
        let stored: Vec<_> = exact.iter().map(|exact| Vector::new(exact)).collect();
        for (a, stored_a) in exact.iter().zip(&stored) {
            for (b, stored_b) in exact.iter().zip(&stored) {
                let cosine: f32 = a.iter().zip(b).map(|(a, b)| a * b).sum();
                assert!((cosine - stored_a.cosine(&stored_b.unit())).abs() < 0.01);
            }
        }
    }

    #[test]
    fn it_lies_in_the_file_as_its_numbers_would() {
        let vector = Vector::new(&[0.5, -1.0, 0.25, 0.0]);
        let bytes = wire::encode(&vector).unwrap();
        assert_eq!(bytes, wire::encode(&vector.numbers).unwrap());
        assert_eq!(wire::decode::<Vector>(&bytes).unwrap(), vector);
    }

    #[test]
    fn what_points_nowhere_is_all_zeros() {
        assert_eq!(Vector::new(&[1.0, f32::NAN]).unit(), [0.0, 0.0]);
        assert_eq!(Vector::new(&[f32::INFINITY]).unit(), [0.0]);
        assert_eq!(Vector::new(&[0.0, 0.0]).unit(), [0.0, 0.0]);
        assert_eq!(Vector::new(&[0.0, 0.0]).cosine(&[1.0, 0.0]), 0.0);
        assert_eq!(Vector::new(&[0.5, 0.0]).cosine(&[]), 0.0);
    }
}
