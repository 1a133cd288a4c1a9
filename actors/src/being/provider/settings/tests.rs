use genii_protocols::{Json, wire};
use serde_json::json;

use super::*;
use crate::being::prompt::PromptSettings;

fn read(value: serde_json::Value) -> ProviderSettings {
    serde_json::from_value(value).unwrap()
}

fn faults(value: serde_json::Value) -> Vec<String> {
    read(value).check().map_or_else(|error| error.faults, |()| Vec::new())
}

/// One fault, which says this.
fn check(value: serde_json::Value, says: &str) {
    let faults = faults(value.clone());
    assert_eq!(faults.len(), 1, "{value}: {faults:?}");
    assert!(faults[0].contains(says), "{value}: {faults:?}");
}

fn server(more: serde_json::Value) -> serde_json::Value {
    let mut all = json!({ "kind": "openai", "base_url": "http://localhost:1/v1", "model": "m" });
    for (key, value) in more.as_object().unwrap() {
        all[key] = value.clone();
    }
    all
}

#[test]
fn nothing_need_be_set() {
    let settings = read(json!({}));
    assert_eq!(settings, ProviderSettings::default());
    assert_eq!(settings.kind, ProviderKind::Offline);
    settings.check().unwrap();
}

#[test]
fn a_prompt_is_as_large_as_anywhere_else_if_nobody_says_so() {
    let settings = ProviderSettings::default();
    assert_eq!(settings.prompt_tokens_max, PromptSettings::default().tokens_max);
}

#[test]
fn a_server_needs_a_place_and_a_model() {
    assert_eq!(faults(server(json!({}))), [""; 0]);
    let missing = faults(json!({ "kind": "openai" }));
    assert_eq!(missing.len(), 2, "{missing:?}");
    assert!(missing[0].contains("`base_url` is missing"), "{missing:?}");
    assert!(missing[1].contains("`model` is missing"), "{missing:?}");
    check(json!({ "model": "llama3.2" }), "set `kind = \"openai\"` too");
}

#[test]
fn places_that_make_no_sense_are_refused() {
    let place = |url: &str| server(json!({ "base_url": url }));
    check(place("localhost:11434"), "must begin with http:// or https://");
    check(place("nonsense"), "is no URL");
    check(place("ftp://example.org"), "must begin with http:// or https://");
    check(place("http://a.example/v1?version=2"), "before any ? or #");
    check(place("http://a.example/v1/chat/completions"), "before /chat/completions");
    check(place(&format!("http://a.example/{}", "x".repeat(2_000))), "longer than 1024 bytes");
    check(place("http://joe:hunter2@a.example/v1"), "holds a password");
    assert!(!format!("{:?}", faults(place("http://joe:hunter2@a.example/"))).contains("hunter2"));
}

#[test]
fn bounds_are_kept() {
    check(server(json!({ "token_timeout": "0s" })), "`token_timeout` must be more than zero");
    check(server(json!({ "total_timeout": "2days" })), "`total_timeout` must be");
    check(server(json!({ "backoff_base": "30s" })), "longer than `backoff_cap`");
    check(server(json!({ "retries_max": 11 })), "between 0 and 10");
    check(server(json!({ "concurrent_max": 0 })), "between 1 and 256");
    for tokens in [0, 255, (1 << 20) + 1] {
        let text = "`prompt_tokens_max` must lie between 256 and 1048576";
        check(server(json!({ "prompt_tokens_max": tokens })), text);
    }
    for tokens in [256, 1 << 20] {
        assert_eq!(faults(server(json!({ "prompt_tokens_max": tokens }))), [""; 0]);
    }
    check(server(json!({ "reply_tokens_max": 0 })), "`reply_tokens_max` must lie");
    check(server(json!({ "temperature": 2.5 })), "between 0 and 2");
    check(server(json!({ "requests_per_minute": 0 })), "leave it out");
    check(server(json!({ "tokens_per_minute": 0 })), "leave it out");
    check(server(json!({ "model": "a\nb" })), "one line");
    let mut not_a_number = read(server(json!({})));
    not_a_number.temperature = Some(f32::NAN);
    assert!(not_a_number.check().is_err());
}

#[test]
fn a_key_in_the_settings_is_refused_and_never_repeated() {
    let secret = "sk-verysecret123";
    for name in ["api_key", "api-key", "apikey", "key", "token", "secret", "password"] {
        check(server(json!({ name: secret })), "a key stands in the settings");
    }
    check(server(json!({ "key_env": secret })), "not a key itself");
    check(server(json!({ "key_file": secret })), "not a key itself");
    check(server(json!({ "key_env": "A", "key_file": "/a" })), "both set");
    for name in ["api_key", "key_env", "key_file"] {
        let settings = read(server(json!({ name: secret })));
        assert!(!settings.check().unwrap_err().to_string().contains(secret));
    }
    let found = read(server(json!({ "api_key": secret })));
    assert!(!format!("{found:?}").contains(secret));
    assert!(!serde_json::to_string(&found).unwrap().contains("api_key"));
}

#[test]
fn what_is_not_known_is_refused() {
    let error = serde_json::from_value::<ProviderSettings>(json!({ "modle": "x" })).unwrap_err();
    assert!(error.to_string().contains("modle"), "{error}");
}

#[test]
fn a_name_that_is_none_is_told_with_those_that_were_meant() {
    let timeouts = "did you mean `connect_timeout` or `first_token_timeout` or `token_timeout` \
                    or `total_timeout`?";
    for (name, meant) in [
        ("modle", "did you mean `model`?"),
        ("promt_tokens_max", "did you mean `prompt_tokens_max`?"),
        ("base-url", "did you mean `base_url`?"),
        ("url", "did you mean `base_url`?"),
        ("backoff", "did you mean `backoff_base` or `backoff_cap`?"),
        ("timeout", timeouts),
        ("timout", timeouts),
        ("zzz", "the settings are kind, base_url, model, key_env, key_file, connect_timeout"),
    ] {
        // What is refused for another reason is not told before the name is right.
        let written = Json(server(json!({ name: "5s", "api_key": "sk-verysecret123" })));
        let faults = ProviderSettings::read(&written).unwrap_err().faults;
        assert_eq!(faults.len(), 1, "{faults:?}");
        let about = format!("`{name}` is no setting of a provider; {meant}");
        assert!(faults[0].starts_with(&about), "{faults:?}");
        assert!(!faults[0].contains("api_key") && !faults[0].contains("secret"), "{faults:?}");
    }
}

#[test]
fn each_name_that_is_none_is_told_and_a_long_one_in_short() {
    let long = "x".repeat(1_000);
    let written = Json(json!({ "modl": 1, long: 2, "temperature": 0.5, "a\u{1b}b": 3 }));
    let faults = ProviderSettings::read(&written).unwrap_err().faults;
    assert_eq!(faults.len(), 3, "{faults:?}");
    assert!(faults[1].len() < 1_000 && faults[2].contains("a\\u{1b}b"), "{faults:?}");
}

#[test]
fn what_was_written_is_read_as_it_is() {
    let written = |settings| ProviderSettings::read(&Json(settings));
    assert_eq!(written(json!(null)), Ok(ProviderSettings::default()));
    assert_eq!(written(server(json!({}))), Ok(read(server(json!({})))));
    let no_object = written(json!([1])).unwrap_err().to_string();
    assert!(no_object.contains("must be a JSON object"), "{no_object}");
    let no_number = written(json!({ "retries_max": "many" })).unwrap_err().to_string();
    assert!(no_number.contains("invalid type"), "{no_number}");
    // A key is read, so that it is refused where it can be said where it belongs.
    let key = written(server(json!({ "token": "sk-verysecret123" }))).unwrap();
    assert!(key.check().unwrap_err().to_string().contains("a key stands in the settings"));
}

#[test]
fn what_is_set_is_told_as_it_was_written_and_no_key_with_it() {
    let all = Json::of(&ProviderSettings::default()).0;
    let (settings, defaults) = ProviderSettings::told(&Json::default());
    assert_eq!((settings.0, defaults.0), (json!({}), all.clone()));
    let written = json!({
        "kind": "openai", "key_env": "OPENAI_API_KEY", "total_timeout": "300s", "temperature": 0.7,
        "requests_per_minute": null, "api_key": "sk-verysecret123", "token": "sk-verysecret123",
        "sk-verysecret123": 1,
    });
    let (settings, defaults) = ProviderSettings::told(&Json(written));
    let expected = json!({
        "kind": "openai", "key_env": "OPENAI_API_KEY", "total_timeout": "300s", "temperature": 0.7,
    });
    assert_eq!(settings.0, expected);
    assert_eq!(defaults.0["requests_per_minute"], json!(null));
    assert_eq!(defaults.0["connect_timeout"], json!("5s"));
    let told = settings.0.as_object().unwrap().len() + defaults.0.as_object().unwrap().len();
    assert_eq!(told, all.as_object().unwrap().len(), "each setting is told once");
    assert!(!format!("{settings} {defaults}").contains("sk-verysecret123"));
}

#[test]
fn they_survive_the_wire() {
    let settings = read(server(json!({ "key_env": "KEY", "temperature": 0.5 })));
    let bytes = wire::encode(&settings).unwrap();
    assert_eq!(wire::decode::<ProviderSettings>(&bytes).unwrap(), settings);
    let text = serde_json::to_string(&settings).unwrap();
    assert_eq!(serde_json::from_str::<ProviderSettings>(&text).unwrap(), settings);
}

#[test]
fn the_schema_names_no_place_for_a_key() {
    let schema = serde_json::to_string(&schemars::schema_for!(ProviderSettings)).unwrap();
    assert!(schema.contains("key_env") && !schema.contains("api_key"), "{schema}");
}
