//! A piece of an answer as servers send it.
//!
//! `async-openai` has a type for it, which insists on all that OpenAI sends. Others leave out `id` and
//! `created`, end for reasons of their own, or send thoughts beside words; here only what is used has
//! to make sense.

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

/// What one event says.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Chunk {
    /// The next words.
    pub text: String,
    /// Whether the model says anything at all, if only to itself.
    pub is_alive: bool,
    /// Why the answer ends here, if it does.
    pub finish: Option<Finish>,
    pub prompt_tokens: Option<u32>,
    pub reply_tokens: Option<u32>,
}

/// Why an answer ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finish {
    /// It is whole, or the server thinks so.
    Whole,
    /// It is as long as it may be.
    TooLong,
    /// Somebody does not like it.
    Filtered,
}

/// Why an event says nothing.
#[derive(Debug, PartialEq)]
pub(super) enum NoChunk {
    /// It is no JSON.
    NoJson,
    /// It is JSON, and not what was expected.
    NoCompletion,
    /// The server says that something went wrong.
    Error(Value),
}

impl Chunk {
    pub(super) fn read(event: &str) -> Result<Self, NoChunk> {
        // Nearly all are as they should be, and are read at once.
        if let Ok(wire) = serde_json::from_str::<WireChunk>(event)
            && wire.error.is_none()
            && (wire.choices.is_some() || wire.usage.is_some())
        {
            return Ok(wire.into());
        }
        Self::read_with_care(event)
    }

    /// What is wrong with one, if anything is.
    fn read_with_care(event: &str) -> Result<Self, NoChunk> {
        let value: Value = serde_json::from_str(event).map_err(|_| NoChunk::NoJson)?;
        if let Some(error) = value.get("error").filter(|error| !error.is_null()) {
            return Err(NoChunk::Error(error.clone()));
        }
        let is_one = value.get("choices").is_some() || value.get("usage").is_some();
        let wire: WireChunk = serde_json::from_value(value).map_err(|_| NoChunk::NoCompletion)?;
        if is_one { Ok(wire.into()) } else { Err(NoChunk::NoCompletion) }
    }
}

/// More tokens than any model takes or gives at once: who counts beyond that has not counted, and what a budget is
/// charged is estimated.
const TOKENS_MAX: u32 = 100_000_000;

#[derive(Deserialize)]
struct WireChunk {
    choices: Option<Vec<Choice>>,
    usage: Option<Value>,
    error: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Choice {
    delta: Option<Delta>,
    finish_reason: Option<String>,
}

#[derive(Default, Deserialize)]
struct Delta {
    content: Option<Content>,
    /// Why the model will not answer, in its own words.
    refusal: Option<String>,
    /// What the model thinks; not for others.
    reasoning: Option<IgnoredAny>,
    /// The same by its other name. Some servers send both, so neither may stand in for the other.
    reasoning_content: Option<IgnoredAny>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Content {
    Text(String),
    /// Thoughts and other parts that are no words.
    Parts(IgnoredAny),
}

impl From<WireChunk> for Chunk {
    fn from(wire: WireChunk) -> Self {
        let count = |name| {
            let told = wire.usage.as_ref()?.get(name)?.as_u64()?;
            u32::try_from(told).ok().filter(|count| *count <= TOKENS_MAX)
        };
        let (prompt_tokens, reply_tokens) = (count("prompt_tokens"), count("completion_tokens"));
        // Only one answer was asked for.
        let choice = wire.choices.and_then(|choices| choices.into_iter().next());
        let Some(choice) = choice else {
            return Self { prompt_tokens, reply_tokens, ..Self::default() };
        };
        let delta = choice.delta.unwrap_or_default();
        let (words, has_parts) = match delta.content {
            Some(Content::Text(text)) => (text, false),
            Some(Content::Parts(_)) => (String::new(), true),
            None => (String::new(), false),
        };
        let text = words + &delta.refusal.unwrap_or_default();
        let thinks = delta.reasoning.is_some() || delta.reasoning_content.is_some();
        let is_alive = !text.is_empty() || has_parts || thinks;
        let finish = choice.finish_reason.as_deref().and_then(finish);
        Self { text, is_alive, finish, prompt_tokens, reply_tokens }
    }
}

/// What a reason means. Servers have many; what is not known to be worse is taken for the end.
fn finish(reason: &str) -> Option<Finish> {
    match reason {
        "" => None,
        "length" => Some(Finish::TooLong),
        "content_filter" => Some(Finish::Filtered),
        _ => Some(Finish::Whole),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(event: Value, expected: Chunk) {
        assert_eq!(Chunk::read(&event.to_string()), Ok(expected), "{event}");
    }

    fn text(text: &str) -> Chunk {
        Chunk { text: text.to_owned(), is_alive: true, ..Chunk::default() }
    }

    fn end(finish: Finish) -> Chunk {
        Chunk { finish: Some(finish), ..Chunk::default() }
    }

    #[test]
    fn words_are_read_from_many_servers() {
        let full = json!({
            "id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1_700_000_000, "model": "m",
            "system_fingerprint": "fp", "usage": null,
            "choices": [{ "index": 0, "delta": { "role": "assistant", "content": "Hi" },
                "logprobs": null, "finish_reason": null }],
        });
        check(full, text("Hi"));
        check(json!({ "choices": [{ "delta": { "content": "Hi" } }] }), text("Hi"));
        let well = json!({ "choices": [{ "delta": { "content": "Hi" } }], "error": null });
        check(well, text("Hi"));
        check(json!({ "choices": [{ "delta": { "refusal": "No." } }] }), text("No."));
        check(
            json!({ "choices": [{ "delta": { "content": "" }, "finish_reason": "" }] }),
            Chunk::default(),
        );
        check(json!({ "choices": [{ "delta": null }] }), Chunk::default());
        let thought = Chunk { is_alive: true, ..Chunk::default() };
        check(json!({ "choices": [{ "delta": { "reasoning_content": "hm" } }] }), thought);
        let parts = Chunk { is_alive: true, ..Chunk::default() };
        check(json!({ "choices": [{ "delta": { "content": [{ "type": "thinking" }] } }] }), parts);
    }

    #[test]
    fn thoughts_may_have_either_name_or_both() {
        let thought = || Chunk { is_alive: true, ..Chunk::default() };
        for (delta, expected) in [
            (json!({ "reasoning": "hm" }), thought()),
            (json!({ "reasoning": "hm", "reasoning_content": "hm" }), thought()),
            (json!({ "reasoning": null, "reasoning_content": "hm" }), thought()),
            (json!({ "reasoning": "hm", "reasoning_content": null }), thought()),
            (json!({ "reasoning": null, "reasoning_content": null }), Chunk::default()),
            (json!({ "content": "Hi", "reasoning": null, "reasoning_content": null }), text("Hi")),
        ] {
            check(json!({ "choices": [{ "delta": delta }] }), expected);
        }
    }

    #[test]
    fn ends_are_known() {
        for (reason, finish) in [
            ("stop", Finish::Whole),
            ("eos", Finish::Whole),
            ("length", Finish::TooLong),
            ("content_filter", Finish::Filtered),
        ] {
            check(json!({ "choices": [{ "delta": {}, "finish_reason": reason }] }), end(finish));
        }
    }

    #[test]
    fn tokens_are_counted_if_the_server_does() {
        let counted = Chunk { prompt_tokens: Some(7), reply_tokens: Some(3), ..Chunk::default() };
        let usage = json!({ "prompt_tokens": 7, "completion_tokens": 3, "total_tokens": 10 });
        check(json!({ "choices": [], "usage": usage }), counted);
        check(
            json!({ "usage": { "prompt_tokens": -1, "completion_tokens": "x" } }),
            Chunk::default(),
        );
    }

    #[test]
    fn nonsense_is_told_apart() {
        assert_eq!(Chunk::read("<html>"), Err(NoChunk::NoJson));
        assert_eq!(Chunk::read("{\"choices\""), Err(NoChunk::NoJson));
        for event in ["{}", "[]", "7", "null", "{\"choices\": 7}", "{\"id\": \"x\"}"] {
            assert_eq!(Chunk::read(event), Err(NoChunk::NoCompletion), "{event}");
        }
        for event in ["{\"error\": \"full\"}", "{\"choices\": [], \"error\": \"full\"}"] {
            assert_eq!(Chunk::read(event), Err(NoChunk::Error("full".into())), "{event}");
        }
    }
}
