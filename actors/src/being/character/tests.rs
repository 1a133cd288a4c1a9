//! What comes in, what goes out, and that nothing is lost on the way.

mod hostile;
mod round_trips;

use proptest::prelude::ProptestConfig;
use serde_json::json;

use super::*;

const MARIT: &[u8] = include_bytes!("../../../../examples/characters/marit.toml");
const TOBIN: &[u8] = include_bytes!("../../../../examples/characters/tobin.json");
const VESPER: &[u8] = include_bytes!("../../../../examples/characters/vesper.png");

/// The same cases each time.
fn seeded(cases: u32) -> ProptestConfig {
    let rng_seed = proptest::test_runner::RngSeed::Fixed(7);
    ProptestConfig { cases, rng_seed, failure_persistence: None, ..ProptestConfig::default() }
}

fn read(bytes: impl AsRef<[u8]>) -> Character {
    Character::read(bytes.as_ref()).unwrap().character
}

fn refusal(bytes: impl AsRef<[u8]>) -> String {
    Character::read(bytes.as_ref()).unwrap_err().to_string()
}

/// A PNG of these chunks, between its first and its last.
fn image(chunks: &[(&[u8; 4], &[u8])]) -> Vec<u8> {
    let mut out = png::SIGNATURE.to_vec();
    let ihdr = [0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0];
    put_chunk(&mut out, b"IHDR", &ihdr);
    for (kind, data) in chunks {
        put_chunk(&mut out, kind, data);
    }
    put_chunk(&mut out, b"IEND", &[]);
    out
}

fn put_chunk(out: &mut Vec<u8>, kind: &[u8; 4], data: &[u8]) {
    out.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
    let start = out.len();
    out.extend(kind);
    out.extend(data);
    let checksum = crc32fast::hash(&out[start..]);
    out.extend(checksum.to_be_bytes());
}

fn card_chunk(keyword: &str, json: &str) -> Vec<u8> {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(json);
    format!("{keyword}\0{text}").into_bytes()
}

fn v1() -> String {
    json!({
        "name": "Ada", "description": "An engine.", "personality": "exact", "scenario": "",
        "first_mes": "Hello.", "mes_example": "", "avatar": "none", "create_date": 5,
    })
    .to_string()
}

fn v2() -> String {
    json!({
        "spec": "chara_card_v2", "spec_version": "2.0", "x_top": [1],
        "data": {
            "name": "Ada", "description": "An engine.", "creator_notes": "n", "tags": ["a", "b"],
            "x_unknown": { "deep": [1, 2.5, "three"] },
            "extensions": { "x/voice": "low" },
            "character_book": { "entries": [{
                "keys": ["k"], "content": "c", "enabled": true, "insertion_order": 1,
                "x_entry": 7, "extensions": { "position": 4, "depth": 2 },
            }], "extensions": {} },
        }
    })
    .to_string()
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_examples_are_characters() {
    let marit = Character::read(MARIT).unwrap();
    assert_eq!((marit.character.name.as_str(), marit.form), ("Marit Holm", Form::Toml));
    assert_eq!(marit.character.lorebook.unwrap().entries.len(), 3);
    let tobin = Character::read(TOBIN).unwrap();
    assert_eq!(
        (tobin.character.called(), tobin.form),
        ("Tobin Quill", Form::Card(CardVersion::V2))
    );
    let vesper = Character::read(VESPER).unwrap();
    assert_eq!((vesper.character.called(), vesper.form), ("Vesper", Form::Image(CardVersion::V3)));
    assert_eq!(vesper.character.assets()[0].uri, "ccdefault:");
    assert_eq!(vesper.character.notes_by_language.len(), 2);
    for example in [MARIT, TOBIN, VESPER] {
        let book = read(example).lorebook.unwrap();
        assert_eq!(crate::being::lorebook::PreparedLorebook::new(&book).problems(), []);
    }
    assert_eq!(vesper.character.created.unwrap().to_string(), "2026-03-01T00:00:00.000Z");
}

#[test]
fn a_name_is_enough() {
    for text in
        ["name = \"Ada\"", "{\"name\": \"Ada\"}", "\u{feff}\n {\"name\":\"Ada\", \"tags\": null}"]
    {
        let expected = Character { name: "Ada".to_owned(), ..Character::default() };
        assert_eq!(read(text), expected, "{text}");
    }
}

#[test]
fn forms_are_told_apart_by_what_is_in_them() {
    for (text, form) in [
        (v1(), Form::Card(CardVersion::V1)),
        (v2(), Form::Card(CardVersion::V2)),
        (v2().replace("chara_card_v2", "chara_card_v3"), Form::Card(CardVersion::V3)),
        (json!({ "data": { "name": "Ada" } }).to_string(), Form::Card(CardVersion::V2)),
        (json!({ "name": "Ada", "description": "x" }).to_string(), Form::Json),
        ("name='Ada'".to_owned(), Form::Toml),
    ] {
        assert_eq!(Character::read(text.as_bytes()).unwrap().form, form, "{text}");
    }
}

#[test]
fn slips_of_the_pen_are_found() {
    let said = refusal("name = 'Ada'\ndescripton = 'x'");
    assert_eq!(said, "`descripton` is no field of a character; did you mean `description`?");
    let said = refusal("name = 'Ada'\n[lorebook]\n[[lorebook.entries]]\nkey = ['x']");
    assert_eq!(said, "`lorebook.entries[0].key` is no field of a character; did you mean `keys`?");
    assert!(!refusal("name = 'Ada'\nzzzzzz = 1").contains("did you mean"));
    let said = refusal("name = 'Ada'\n[[lorebook.entries]]\nposition = 'top'");
    assert!(said.starts_with("`lorebook.entries[0].position` is something else"), "{said}");
}

#[test]
fn both_chunks_in_an_image_mean_the_newer() {
    let v3 = v2().replace("chara_card_v2", "chara_card_v3").replace("An engine.", "Newer.");
    let both = image(&[
        (b"tEXt", &card_chunk("chara", &v2())),
        (b"IDAT", b"x"),
        (b"tEXt", &card_chunk("ccv3", &v3)),
    ]);
    let character = read(&both);
    assert_eq!(character.description, "Newer.");
    assert_eq!(
        character.to_image(&both).unwrap(),
        both,
        "unchanged, also the copy for older programs"
    );
}

#[test]
fn what_comes_unchanged_goes_unchanged() {
    for text in [v1(), v2(), String::from_utf8(TOBIN.to_vec()).unwrap()] {
        assert_eq!(read(&text).to_card().unwrap(), text);
    }
    assert_eq!(read(VESPER).to_image(VESPER).unwrap(), VESPER);
    let odd =
        "{\"name\":\"Ada\",\"first_mes\":\"\",\"n\":12345678901234567890123, \"name\":\"Bo\"}";
    assert_eq!(
        read(odd).to_card().unwrap(),
        odd,
        "to the letter, also what JSON readers would lose"
    );
}

#[test]
fn a_byte_order_mark_stays_with_the_card() {
    for card in [v1(), v2(), v2().replace("chara_card_v2", "chara_card_v3")] {
        let marked = format!("\u{feff}{card}");
        let character = read(&marked);
        assert_eq!(character.description, "An engine.");
        assert_eq!(character.to_card().unwrap(), marked);
        let kept = Character::try_from(&character.to_json()).unwrap();
        assert_eq!(kept, character);
        let picture = image(&[(b"tEXt", &card_chunk("chara", &marked)), (b"IDAT", b"x")]);
        assert_eq!(read(&picture), character);
        assert_eq!(kept.to_image(&picture).unwrap(), picture);
    }
}

#[test]
fn a_card_goes_from_file_to_image_and_back() {
    let card = read(TOBIN);
    let picture = card.to_image(VESPER).unwrap();
    let again = Character::read(&picture).unwrap();
    assert_eq!((&again.character, again.form), (&card, Form::Image(CardVersion::V2)));
    assert_eq!(again.character.to_card().unwrap().as_bytes(), TOBIN);
    assert!(
        !String::from_utf8_lossy(&picture).contains("ccv3"),
        "no other character is left in it"
    );
    let vesper = read(VESPER);
    assert_eq!(read(vesper.to_card().unwrap()), vesper);
}

#[test]
fn a_plain_character_becomes_a_card_of_v3() {
    let marit = read(MARIT);
    let import = Character::read(marit.to_card().unwrap().as_bytes()).unwrap();
    assert_eq!(import.form, Form::Card(CardVersion::V3));
    assert_eq!(import.character.description, marit.description);
    assert_eq!(import.character.lorebook.as_ref().unwrap().entries.len(), 3);
    let card = value(&marit.to_card().unwrap());
    for key in ["creator_notes", "group_only_greetings", "extensions", "mes_example"] {
        assert!(card["data"].get(key).is_some(), "V3 demands {key}");
    }
    assert_eq!(read(marit.to_image(VESPER).unwrap()).description, marit.description);
}

#[test]
fn a_change_is_written_into_the_card_and_the_rest_stays() {
    let changed = read(v2()).with(&Json(json!({ "description": "New.", "tags": null }))).unwrap();
    let mut expected = value(&v2());
    expected["data"]["description"] = "New.".into();
    expected["data"]["tags"] = json!([]);
    let card = changed.to_card().unwrap();
    assert_eq!(value(&card), expected);
    let order =
        |text: &str| value(text)["data"].as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    assert_eq!(order(&card), order(&v2()), "the order of the fields stays");
}

#[test]
fn a_changed_lorebook_keeps_what_is_not_known_of_it() {
    let mut changed = read(v2());
    changed.lorebook.as_mut().unwrap().entries[0].content = "new".to_owned();
    let card = value(&changed.to_card().unwrap());
    let entry = &card["data"]["character_book"]["entries"][0];
    assert_eq!((&entry["content"], &entry["x_entry"]), (&json!("new"), &json!(7)));
    assert_eq!(entry["extensions"], json!({ "position": 4, "depth": 2 }));
}

#[test]
fn a_card_rises_to_the_version_that_holds_its_changes() {
    let with_tags = read(v1()).with(&Json(json!({ "tags": ["x"] }))).unwrap().to_card().unwrap();
    let card = value(&with_tags);
    assert_eq!((&card["spec"], &card["data"]["avatar"]), (&json!("chara_card_v2"), &json!("none")));
    let with_nickname = read(v2()).with(&Json(json!({ "nickname": "A" }))).unwrap();
    let card = value(&with_nickname.to_card().unwrap());
    assert_eq!((&card["spec"], &card["x_top"]), (&json!("chara_card_v3"), &json!([1])));
    let picture = with_nickname.to_image(VESPER).unwrap();
    assert_eq!(Character::read(&picture).unwrap().form, Form::Image(CardVersion::V3));
    let renamed = read(v1()).with(&Json(json!({ "name": "Bo" }))).unwrap().to_card().unwrap();
    assert_eq!((&value(&renamed)["name"], value(&renamed).get("spec")), (&json!("Bo"), None));
}

#[test]
fn texts_that_a_card_repeats_at_its_top_change_there_too() {
    let mut card = value(&v2());
    card["name"] = "Ada".into();
    let changed = read(card.to_string()).with(&Json(json!({ "name": "Bo" }))).unwrap();
    let card = value(&changed.to_card().unwrap());
    assert_eq!((&card["name"], &card["data"]["name"]), (&json!("Bo"), &json!("Bo")));
}

#[test]
fn texts_that_a_card_repeats_under_older_names_change_there_too() {
    let mut card = value(&v2());
    card["creatorcomment"] = "n".into();
    card["data"]["char_persona"] = "An engine.".into();
    let changes = json!({ "creator_notes": "m", "description": "New." });
    let changed = read(card.to_string()).with(&Json(changes)).unwrap();
    let card = value(&changed.to_card().unwrap());
    assert_eq!((&card["creatorcomment"], card.get("creator_notes")), (&json!("m"), None));
    assert_eq!(card["data"]["char_persona"], "New.");
    assert_eq!(card["data"].get("char_name"), None, "what a card does not repeat stays so");
}

#[test]
fn what_is_changed_away_is_forgotten() {
    for card in [v2(), v2().replace("chara_card_v2", "chara_card_v3")] {
        let mut repeated = value(&card);
        repeated["description"] = "An engine.".into();
        for card in [card, repeated.to_string()] {
            let before = read(&card);
            assert!(before.to_json().to_string().contains("An engine."));
            let changed = before.with(&Json(json!({ "description": "New." }))).unwrap();
            let stored = changed.to_json();
            assert!(!stored.to_string().contains("An engine."), "{stored}");
            let exported = value(&Character::try_from(&stored).unwrap().to_card().unwrap());
            assert_eq!(exported["spec"], value(&card)["spec"]);
            assert_eq!(exported["data"]["description"], "New.");
            assert_eq!(exported["data"]["extensions"], json!({ "x/voice": "low" }));
            assert_eq!(exported["x_top"], json!([1]));
        }
    }
}

#[test]
fn a_change_to_what_is_so_already_leaves_the_card_to_the_letter() {
    let same = read(TOBIN).with(&Json(json!({ "name": "Tobin Quill" }))).unwrap();
    assert_eq!(same.to_card().unwrap().as_bytes(), TOBIN);
}

#[test]
fn a_change_that_the_card_cannot_hold_is_refused() {
    let mut card = value(&v1());
    let lists = limits::JSON_DEPTH_MAX - 1;
    card["x_deep"] = value(&format!("{}{}", "[".repeat(lists), "]".repeat(lists)));
    let ada = read(card.to_string());
    let refused = ada.with(&Json(json!({ "tags": ["x"] }))).unwrap_err().to_string();
    assert!(refused.starts_with("`card` is nested deeper than 64"), "{refused}");
    assert!(ada.with(&Json(json!({ "name": "Bo" }))).is_ok(), "it stays a card of V1");
}

#[test]
fn what_cannot_be_changed_is_said() {
    let ada = read(v2());
    let refused = |changes: Value| ada.with(&Json(changes)).unwrap_err().to_string();
    assert!(refused(json!({ "card": "{}" })).starts_with("`card` is no field of a character"));
    assert_eq!(
        refused(json!({ "nick": 1 })),
        "`nick` is no field of a character; did you mean `nickname`?"
    );
    assert_eq!(
        refused(json!({ "name": null })),
        "`name` is missing or empty; a character needs it"
    );
    assert_eq!(refused(json!({ "tags": "a" })), "`tags` is text, and should be a list");
    assert_eq!(refused(json!([1])), "`the whole` is a list, and should be a table of fields");
}

#[test]
fn names_are_one_short_line() {
    assert!(refusal("name = \"a\\nb\"").starts_with("the name has line breaks"));
    assert!(refusal(format!("name = '{}'", "x".repeat(101))).starts_with("the name is too long"));
    assert_eq!(refusal("name = ' '"), "`name` is missing or empty; a character needs it");
    let mut ada = read("name = 'Ada'");
    ada.name.clear();
    assert!(ada.to_card().is_err() && ada.to_image(VESPER).is_err());
}

#[test]
fn newer_cards_are_read_with_a_note() {
    let newer = v2().replace("\"2.0\"", "\"3.7\"").replace("chara_card_v2", "chara_card_v3");
    let notes = Character::read(newer.as_bytes()).unwrap().notes;
    assert!(notes[0].starts_with("The card is of version 3.7"), "{notes:?}");
}

#[test]
fn keys_that_never_match_are_told_of_cards_and_of_our_own_form() {
    let entry = json!({ "keys": ["fine", "(?<=a)\nb"], "use_regex": true, "content": "c" });
    let mut card = value(&v2());
    card["data"]["character_book"]["entries"][0] = entry.clone();
    let card = card.to_string();
    let own = json!({ "name": "Ada", "lorebook": { "entries": [entry] } }).to_string();
    let toml = "name = 'Ada'\n[[lorebook.entries]]\n\
        keys = ['fine', \"(?<=a)\\nb\"]\nuse_regex = true\ncontent = 'c'";
    let picture = image(&[(b"tEXt", &card_chunk("chara", &card))]);
    for bytes in [card.as_bytes(), own.as_bytes(), toml.as_bytes(), &picture[..]] {
        let notes = Character::read(bytes).unwrap().notes;
        let expected = "The key `(?<=a) b` of `entries[0]` of the lorebook never matches: \
            look-around, including look-ahead and look-behind, is not supported.";
        assert_eq!(notes, [expected]);
    }
    assert!(Character::read(TOBIN).unwrap().notes.is_empty());
}

#[test]
fn of_many_keys_that_never_match_some_are_told_and_how_many_there_are() {
    let keys = vec!["(".repeat(limits::LORE_KEY_BYTES_MAX); limits::LORE_KEYS_MAX];
    let entry = json!({ "keys": keys, "use_regex": true, "content": "c" });
    let many = json!({ "name": "Ada", "lorebook": { "entries": [entry] } });
    let notes = Character::read(many.to_string().as_bytes()).unwrap().notes;
    assert_eq!(notes.len(), LORE_NOTES_MAX + 1);
    assert!(notes.iter().all(|note| note.len() < 300), "{notes:?}");
    assert_eq!(notes[LORE_NOTES_MAX], "The lorebook has 256 such keys in all.");
}

#[test]
fn greetings_are_counted_from_the_first_message() {
    let vesper = read(VESPER);
    assert!(vesper.greeting(0).unwrap().starts_with("You are through"));
    assert!(vesper.greeting(1).unwrap().starts_with("Hello again"));
    assert_eq!(vesper.greeting(2), None);
    assert_eq!(read("name = 'Ada'").greeting(0), None);
}

#[test]
fn dates_in_milliseconds_and_without_sense_are_borne() {
    let dated = |date: Value| {
        let mut card = value(&v2());
        card["data"]["creation_date"] = date;
        read(card.to_string()).created.map(|at| at.to_string())
    };
    let march = Some("2026-03-01T00:00:00.000Z".to_owned());
    assert_eq!(dated(json!(1_772_323_200)), march);
    assert_eq!(dated(json!(1_772_323_200_000_u64)), march);
    for senseless in [json!(0), json!(-5), json!(1e300), json!(null)] {
        assert_eq!(dated(senseless.clone()), None, "{senseless}");
    }
    assert!(refusal("name = 'Ada'\ncreated = 'soon'").contains("`created` is no time"));
}
