//! Tests of the default embedder.

use proptest::prelude::*;

use super::*;

fn embed(text: &str) -> Vec<f32> {
    Hashed::new().embed(&[text]).unwrap().remove(0)
}

fn cosine(a: &str, b: &str) -> f32 {
    embed(a).iter().zip(embed(b)).map(|(a, b)| a * b).sum()
}

/// A change here makes every index anew: then the name changes too.
#[test]
fn vectors_are_what_they_were() {
    assert_eq!(Hashed::new().name(), "hashed-256-v1-text-v1");
    let vector = embed("The spare key is under the blue pot");
    let told: Vec<(usize, i32)> = vector
        .iter()
        .enumerate()
        .filter(|(_, number)| number.abs() > 0.2)
        .map(|(at, number)| (at, (number * 10_000.0).round() as i32))
        .collect();
    let expected = [
        (5, -3915),
        (18, -2260),
        (42, -2260),
        (62, -4218),
        (66, 2260),
        (153, 3708),
        (181, 2260),
        (238, -2260),
    ];
    assert_eq!(told, expected);
    assert_eq!(hash(&[u32::from('a')]), 0x02c0_bdbf_4814_20f8);
}

#[test]
fn a_misspelt_word_lies_near() {
    assert!(cosine("tournament", "tournamant") > 0.4);
    assert!(cosine("tournament", "torunament") > 0.3);
    assert!(cosine("tournament", "breakfast").abs() < 0.25);
}

#[test]
fn other_forms_and_orders_are_the_same() {
    assert!(cosine("we were sailing", "they sailed") > 0.5);
    assert_eq!(embed("blue pot"), embed("pot, blue!"));
}

#[test]
fn nothing_to_go_by_is_all_zeros() {
    for text in ["", "🎉", " \n"] {
        assert!(embed(text).iter().all(|number| *number == 0.0));
    }
}

#[test]
fn texts_come_back_in_their_order() {
    let vectors = Hashed::new().embed(&["one boat", "two pots"]).unwrap();
    assert_eq!(vectors, [embed("one boat"), embed("two pots")]);
    assert_eq!(Hashed::new().embed(&[]).unwrap(), Vec::<Vec<f32>>::new());
}

proptest! {
    #[test]
    fn a_vector_has_length_one_or_none(text in "(?s).{0,200}") {
        let vector = embed(&text);
        prop_assert_eq!(vector.len(), Hashed::new().dimensions());
        let length: f32 = vector.iter().map(|number| number * number).sum::<f32>().sqrt();
        prop_assert!(length == 0.0 || (length - 1.0).abs() < 1e-5, "{length}");
    }
}
