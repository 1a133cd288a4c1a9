//! Input that means harm, or was damaged: each gets its own error, soon and in little memory.

use proptest::prelude::*;

use super::*;

fn check(bytes: impl AsRef<[u8]>, expected: &str) {
    let said = refusal(bytes);
    assert!(said.starts_with(expected), "{said:?} should begin with {expected:?}");
    assert!(said.len() < 400, "an error is short, whatever caused it");
}

fn with_card(json: &str) -> Vec<u8> {
    image(&[(b"tEXt", &card_chunk("chara", json))])
}

#[test]
fn other_files_are_named_and_helped() {
    check("", "the file is empty");
    check(" \n\t", "the file is empty");
    check(
        b"PK\x03\x04....",
        "this is a ZIP archive (perhaps CHARX), and no character; take `card.json`",
    );
    check(b"\xff\xd8\xff\xe0", "this is a JPEG");
    check(b"GIF89a", "this is a GIF");
    check(b"RIFF\0\0\0\0WEBPVP8 ", "this is a WebP");
    check(b"\xff\xfe{\0", "this is text in UTF-16");
    check("just some words", "the file is neither JSON, nor a PNG, nor TOML; as TOML, line 1: ");
    check(
        "name = 'Ada'\n\nx = = 1",
        "the file is neither JSON, nor a PNG, nor TOML; as TOML, line 3: ",
    );
    check(b"name = '\xff'", "the file is not UTF-8 at byte 8");
    check("{\"spec\":\"lorebook_v3\"}", "this is a lorebook alone");
    check("{\"spec\":\"chara_card_v9\"}", "`spec` is \"chara_card_v9\"");
}

#[test]
fn damaged_images_are_told_by_their_damage() {
    let whole = with_card(&v1());
    check(&whole[..whole.len() - 12], "the PNG ends at byte");
    check(&whole[..whole.len() - 9], "the PNG ends at byte");
    check(&whole[..50], "the PNG chunk tEXt at byte 33 says that it has");
    check(png::SIGNATURE, "the PNG ends at byte 8 within the chunks: IEND is missing");
    let mut wrong = whole.clone();
    wrong[60] ^= 1;
    check(&wrong, "the PNG chunk tEXt at byte 33 has a wrong checksum");
    let mut headless = png::SIGNATURE.to_vec();
    put_chunk(&mut headless, b"IEND", &[]);
    check(&headless, "the PNG does not begin with an IHDR chunk");
    check(image(&[]), "the PNG holds no character");
}

#[test]
fn a_chunk_that_claims_to_be_huge_takes_no_memory() {
    for declared in [u32::MAX, i32::MAX as u32, 1 << 20] {
        let mut bomb = image(&[]);
        bomb.truncate(bomb.len() - 12);
        bomb.extend(declared.to_be_bytes());
        bomb.extend(b"tEXtchara\0AAAA");
        check(&bomb, "the PNG chunk tEXt at byte 33 says that it has");
    }
}

#[test]
fn thousands_of_chunks_are_too_many() {
    let empty: Vec<(&[u8; 4], &[u8])> = vec![(b"tEXt", b"x\0y"); limits::CHUNKS_MAX];
    check(image(&empty), "the PNG has more than 10000 chunks");
}

#[test]
fn packed_chunks_are_never_unpacked() {
    // A deflate stream that would grow a thousandfold lies in them; nobody looks.
    let packed = [b"chara\0\0".as_slice(), &[0x78, 0xda, 0xed, 0xc1, 0x01, 0x01]].concat();
    check(
        image(&[(b"zTXt", &packed)]),
        "the `chara` chunk is of the type zTXt, and only tEXt is read",
    );
    check(image(&[(b"iTXt", b"ccv3\0\x01\0\0\0xxx")]), "the `ccv3` chunk is of the type iTXt");
    let other = image(&[(b"zTXt", b"Comment\0\0garbage"), (b"tEXt", &card_chunk("chara", &v1()))]);
    assert_eq!(read(&other).name, "Ada", "what is no card is none of our business");
}

#[test]
fn two_cards_in_one_image_are_one_too_many() {
    let (one, two) = (card_chunk("chara", &v1()), card_chunk("chara", &v2()));
    check(image(&[(b"tEXt", &one), (b"tEXt", &two)]), "the PNG holds two different `chara` chunks");
    assert_eq!(read(image(&[(b"tEXt", &one), (b"tEXt", &one)])).name, "Ada");
}

#[test]
fn what_is_in_the_chunk_is_checked_like_a_file() {
    check(image(&[(b"tEXt", b"chara\0!!!!")]), "the `chara` chunk is no base64");
    check(image(&[(b"tEXt", b"chara")]), "the PNG holds no character");
    check(with_card("{\"name\":"), "the card in the image is no JSON");
    check(with_card("[1]"), "`the whole` is a list");
    check(with_card("{}"), "`name` is missing or empty");
    let wrong = [b"chara\0".as_slice(), b"/////w=="].concat();
    check(image(&[(b"tEXt", &wrong)]), "the card in the image is not UTF-8 at byte 0");
    let bare = String::from_utf8(card_chunk("chara", &v1())).unwrap();
    assert_eq!(read(image(&[(b"tEXt", bare.trim_end_matches('=').as_bytes())])).name, "Ada");
}

#[test]
fn what_is_too_large_is_not_looked_at() {
    let large = vec![b'A'; 100 << 20];
    check(&large, "the character has 104857600 bytes, more than the limit of 16777216");
    let text = format!("name = 'Ada'\ndescription = '{}'", "x".repeat(limits::TOML_BYTES_MAX));
    check(&text, "the text has ");
    let picture = image(&[(b"IDAT", &vec![0; limits::CARD_BYTES_MAX - 100])]);
    let said = read(TOBIN).to_image(&picture).unwrap_err().to_string();
    assert!(said.contains("more than the limit of 16777216"), "{said}");
}

#[test]
fn nesting_is_bounded() {
    for open in ["[", "{\"a\":"] {
        let deep = format!("{{\"name\":\"Ada\",\"first_mes\":\"\",\"x\":{}", open.repeat(100_000));
        check(&deep, "the file is nested deeper than 64 at byte");
        check(with_card(&deep), "the card in the image is nested deeper than 64 at byte");
    }
    check(format!("name = {}", "[".repeat(100_000)), "the file is neither JSON");
    check(format!("{}x = 1", "a.".repeat(100_000)), "the file is neither JSON");
}

#[test]
fn values_are_counted_before_they_take_memory() {
    let many = format!("{{\"name\":\"Ada\",\"x\":[{}0]}}", "0,".repeat(limits::JSON_VALUES_MAX));
    check(&many, "the file has more than 200000 values");
    let quoted = format!("{{\"name\":\"Ada\",\"description\":\"{}\"}}", ",[{\\\"".repeat(40_000));
    assert_eq!(read(&quoted).name, "Ada", "what is in a text is no value");
}

#[test]
fn long_texts_and_lists_are_refused_by_name() {
    let long = json!({ "name": "Ada", "description": "x".repeat(2 << 20) });
    check(long.to_string(), "`description` has 2097152 bytes, more than the limit of 262144");
    let many = json!({ "name": "Ada", "tags": vec!["x"; 1_001] });
    check(many.to_string(), "`tags` has 1001 entries, more than the limit of 1000");
    let keys = json!({ "name": "Ada", "lorebook": { "entries": [{ "keys": vec!["x"; 257] }] } });
    check(
        keys.to_string(),
        "`lorebook.entries[0].keys` has 257 entries, more than the limit of 256",
    );
    let key =
        json!({ "name": "Ada", "lorebook": { "entries": [{ "keys": ["x".repeat(1_025)] }] } });
    check(key.to_string(), "`lorebook.entries[0].keys[0]` has 1025 bytes");
    let listed = |content: String| {
        json!({ "name": "Ada", "lorebook": { "entries": [{ "content": content }] } }).to_string()
    };
    let place = "`lorebook.entries[0].keys of decorators`";
    let too_many = format!("{place} has 257 entries, more than the limit of 256");
    check(listed(format!("@@exclude_keys {}\nText", vec!["x"; 257].join(","))), &too_many);
    check(listed("@@additional_keys x\n".repeat(257) + "Text"), &too_many);
    let too_long = format!("{place} has 1025 bytes, more than the limit of 1024");
    check(listed(format!("@@additional_keys a,{}\nText", "x".repeat(1_025))), &too_long);
    let content = format!("@@exclude_keys {}\nText", vec!["x"; 256].join(","));
    let many = vec![json!({ "content": content }); 79];
    check(
        json!({ "name": "Ada", "lorebook": { "entries": many } }).to_string(),
        "`lorebook.keys of all entries` has 20224 entries, more than the limit of 20000",
    );
    let entries = json!({ "name": "Ada", "lorebook": { "entries": vec![json!({}); 5_001] } });
    check(entries.to_string(), "`lorebook.entries` has 5001 entries");
    let unknown = json!({ "name": "Ada", "x".repeat(1 << 20): 1 });
    check(unknown.to_string(), "`xxxx");
}

#[test]
fn wrong_types_are_told_by_place() {
    let card = |field: &str, wrong: Value| {
        let mut card = value(&v2());
        card["data"][field] = wrong;
        card.to_string()
    };
    check(card("name", json!(7)), "`data.name` is a number, and should be text in quotes");
    check(card("description", json!({})), "`data.description` is a table, and should be text");
    check(card("tags", json!("a")), "`data.tags` is text, and should be a list");
    check(card("tags", json!(["a", 1])), "`data.tags[1]` is a number, and should be text");
    check(card("character_book", json!([])), "`data.character_book` is a list");
    let entry = |entry: Value| card("character_book", json!({ "entries": [entry] }));
    let place = "`data.character_book.entries[0]";
    check(entry(json!(1)), &format!("{place}` is a number"));
    check(
        entry(json!({ "enabled": "yes" })),
        &format!("{place}.enabled` is text, and should be true"),
    );
    check(entry(json!({ "insertion_order": "1" })), &format!("{place}.insertion_order` is text"));
    check(entry(json!({ "keys": "x" })), &format!("{place}.keys` is text, and should be a list"));
    check("{\"spec\":3}", "`spec` is a number");
    check("{\"spec\":\"chara_card_v2\"}", "`data` is missing or empty");
    check("{\"name\":\"Ada\",\"card\":5}", "`card` is no text");
    check("{\"name\":\"Ada\",\"card\":\"{}\"}", "`name` is missing");
}

proptest! {
    #![proptest_config(seeded(512))]

    /// Whatever happens to the bytes of a card, reading it ends, without a panic; and what is read all
    /// the same can be written.
    #[test]
    fn damaged_cards_never_panic(
        which in 0_usize..4,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
        cut in proptest::option::of(any::<prop::sample::Index>()),
    ) {
        let small = with_card(&v2());
        let mut bytes = [MARIT, TOBIN, VESPER, &small][which].to_vec();
        for (place, byte) in damage {
            let at = place.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        if let Ok(import) = Character::read(&bytes) {
            import.character.to_card().unwrap();
        }
    }

    /// The same for what lies within chunks whose checksums are right.
    #[test]
    fn any_chunks_never_panic(
        chunks in proptest::collection::vec((
            prop_oneof![Just(*b"tEXt"), Just(*b"zTXt"), Just(*b"iTXt"), any::<[u8; 4]>()],
            prop_oneof![
                proptest::collection::vec(any::<u8>(), 0..40),
                "(chara|ccv3)(\0[A-Za-z0-9+/=]{0,40})?".prop_map(String::into_bytes),
            ],
        ), 0..6),
    ) {
        let chunks: Vec<(&[u8; 4], &[u8])> = chunks.iter().map(|(kind, data)| (kind, &data[..])).collect();
        prop_assert!(Character::read(&image(&chunks)).is_err());
    }

    #[test]
    fn any_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = Character::read(&bytes);
    }
}
