//! Any card, any character: what goes in comes out.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<i32>().prop_map(|number| (f64::from(number) / 4.0).into()),
        ".{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec(("[a-z_]{1,8}", inner), 0..4)
                .prop_map(|pairs| Value::Object(pairs.into_iter().collect())),
        ]
    })
}

prop_compose! {
    fn any_entry()(
        keys in vec("[^\\p{C}]{0,8}", 0..3), content in ".{0,40}", flags in any::<[bool; 5]>(),
        order in -100_i64..100, priority in proptest::option::of(0..100_u32), extra in any_json(),
    ) -> Value {
        let [enabled, constant, selective, case_sensitive, use_regex] = flags;
        json!({
            "keys": keys, "content": content, "enabled": enabled, "insertion_order": order,
            "priority": priority, "constant": constant, "selective": selective,
            "case_sensitive": case_sensitive, "use_regex": use_regex,
            "position": "after_char", "x_extra": extra, "extensions": { "x": 1 },
        })
    }
}

prop_compose! {
    fn any_card()(
        name in "[a-zA-Zé猫]{1,10}", texts in vec(".{0,60}", 6), tags in vec(".{0,6}", 0..3),
        entries in vec(any_entry(), 0..3), extra in any_json(), top in any_json(), is_v3 in any::<bool>(),
    ) -> Value {
        let version = if is_v3 { 3 } else { 2 };
        json!({
            "spec": format!("chara_card_v{version}"), "spec_version": format!("{version}.0"), "x_top": top,
            "data": {
                "name": name, "description": texts[0], "personality": texts[1], "scenario": texts[2],
                "first_mes": texts[3], "mes_example": texts[4], "system_prompt": texts[5],
                "tags": tags, "x_extra": extra, "extensions": { "x/y": [1] },
                "character_book": { "entries": entries, "extensions": {}, "scan_depth": 3 },
            }
        })
    }
}

proptest! {
    #![proptest_config(seeded(128))]

    #[test]
    fn a_card_goes_through_every_form_unchanged(card in any_card()) {
        let text = card.to_string();
        let character = read(&text);
        prop_assert_eq!(character.to_card().unwrap(), text.clone());
        let picture = character.to_image(VESPER).unwrap();
        prop_assert_eq!(read(&picture).to_card().unwrap(), text);
        prop_assert_eq!(&Character::try_from(&character.to_json()).unwrap(), &character);
        prop_assert_eq!(read(character.to_json().to_string()), character);
    }

    #[test]
    fn a_change_touches_nothing_else(card in any_card(), description in ".{0,40}") {
        let character = read(card.to_string());
        let changed = character.with(&Json(json!({ "description": description.clone() }))).unwrap();
        let mut expected = card;
        expected["data"]["description"] = description.into();
        prop_assert_eq!(value(&changed.to_card().unwrap()), expected);
        prop_assert_eq!(&Character::try_from(&changed.to_json()).unwrap(), &changed);
        prop_assert_eq!(read(changed.to_card().unwrap()).description, changed.description);
    }

    #[test]
    fn a_character_of_our_own_survives_being_a_card(card in any_card()) {
        let mut own = read(card.to_string());
        own.card = None;
        let mut again = read(own.to_card().unwrap());
        again.card = None;
        prop_assert_eq!(again, own);
    }
}
