use genii_protocols::wire;
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
