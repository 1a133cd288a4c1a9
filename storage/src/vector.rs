//! Vectors as they are kept, in a file and in memory: a byte for each number.

use std::fmt;

use serde::de::Visitor;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The largest number that a byte with a sign holds on either side.
const LARGEST: f32 = 127.0;

/// The largest number of an [`Aim`], on either side.
const LARGEST_OF_AIM: f32 = 2_047.0;

/// The product of so many numbers, of a vector and an aim, finds room in 32 bits.
const PRODUCT_MAX: usize = 1 << 13;

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
        let square = product(&numbers, &numbers);
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

    /// The cosine of the angle to a question's vector; 0 if either is all zeros, or they are not of one
    /// embedder.
    pub fn cosine(&self, aim: &Aim) -> f32 {
        match self.numbers.len() == aim.numbers.len() {
            true => product(&self.numbers, &aim.numbers) as f32 * self.scale * aim.scale,
            false => 0.0,
        }
    }

    /// With length one, or all zeros.
    pub fn unit(&self) -> Vec<f32> {
        self.numbers.iter().map(|number| f32::from(*number) * self.scale).collect()
    }
}

/// The vector of a question, made ready to be compared with many: in whole numbers, of which a processor multiplies
/// more at a time. A cosine differs by less than a thousandth from that of the vector itself.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Aim {
    numbers: Vec<i16>,
    /// What makes of its numbers those of the vector; 0 if it is all zeros.
    scale: f32,
}

impl Aim {
    /// That of a vector of length one. Of one that has a number that is none, all zeros.
    pub fn new(unit: &[f32]) -> Self {
        let largest = unit.iter().fold(0.0f32, |largest, number| largest.max(number.abs()));
        let is_finite = unit.iter().all(|number| number.is_finite());
        let largest = if is_finite { largest } else { 0.0 };
        let up = if largest > 0.0 { LARGEST_OF_AIM / largest } else { 0.0 };
        let whole =
            |number: &f32| (number * up).round().clamp(-LARGEST_OF_AIM, LARGEST_OF_AIM) as i16;
        Self { numbers: unit.iter().map(whole).collect(), scale: largest / LARGEST_OF_AIM }
    }

    /// How many numbers it has.
    pub(crate) fn len(&self) -> usize {
        self.numbers.len()
    }

    /// The product with the numbers of a vector, of as many.
    pub(crate) fn product(&self, numbers: &[i8]) -> f32 {
        product(numbers, &self.numbers) as f32
    }
}

/// The product of as many numbers of each as the shorter one has.
fn product<B: Copy + Into<i32>>(a: &[i8], b: &[B]) -> i64 {
    let one = |(a, b): (&i8, &B)| i32::from(*a) * (*b).into();
    let parts = a.chunks(PRODUCT_MAX).zip(b.chunks(PRODUCT_MAX));
    parts.map(|(a, b)| i64::from(a.iter().zip(b).map(one).sum::<i32>())).sum()
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
                assert!((cosine - stored_a.cosine(&Aim::new(&stored_b.unit()))).abs() < 0.01);
            }
        }
    }

    #[test]
    fn what_is_compared_in_whole_numbers_is_as_near_as_it_is() {
        let embedder = Hashed::new();
        let texts = ["the key is under the blue pot", "where is the key", "a chess tournament", ""];
        let exact = embedder.embed(&texts).unwrap();
        for own in exact.iter().map(|own| Vector::new(own)) {
            for asked in &exact {
                let cosine: f32 = own.unit().iter().zip(asked).map(|(a, b)| a * b).sum();
                assert!((cosine - own.cosine(&Aim::new(asked))).abs() < 0.001);
            }
        }
        // As large as they may be, and more of them than one sum can hold.
        let (own, asked) =
            (Vector::new(&[1.0; 20_000]), Aim::new(&[20_000_f32.sqrt().recip(); 20_000]));
        assert!((own.cosine(&asked) - 1.0).abs() < 0.001);
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
        let cosine = |own: &[f32], other: &[f32]| Vector::new(own).cosine(&Aim::new(other));
        assert_eq!(cosine(&[0.0, 0.0], &[1.0, 0.0]), 0.0);
        assert_eq!(cosine(&[0.5, 0.0], &[f32::NAN, 1.0]), 0.0);
        assert_eq!(cosine(&[0.5, 0.0], &[]), 0.0);
        assert!(cosine(&[0.5, 0.0], &[f32::MIN_POSITIVE / 4.0, 0.0]) < 0.001);
    }
}
