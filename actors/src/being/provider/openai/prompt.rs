//! What a server is asked.

use async_openai::types::chat::{
    ChatCompletionRequestAssistantMessage, ChatCompletionRequestMessage,
    ChatCompletionRequestSystemMessage, ChatCompletionRequestUserMessage,
    ChatCompletionStreamOptions, CreateChatCompletionRequest,
};

use super::super::limits::tokens_in;
use super::super::settings::{ProviderSettings, ReplyTokensField};
use super::super::{PromptMessage, Request, Role};

/// About how many tokens a message takes beside its text.
const MESSAGE_TOKENS: u32 = 4;

/// How many tokens an answer may have: as many as settings and request both allow.
pub(super) fn reply_tokens_max(settings: &ProviderSettings, request: &Request) -> u32 {
    match request.reply_tokens_max {
        0 => settings.reply_tokens_max,
        max => max.min(settings.reply_tokens_max),
    }
}

/// About how many tokens a prompt has.
pub(super) fn prompt_tokens(request: &Request) -> u32 {
    let tokens = request.messages.iter().map(|message| tokens_in(&message.text));
    tokens.fold(0, |sum, tokens| sum.saturating_add(tokens).saturating_add(MESSAGE_TOKENS))
}

/// The question, as it is sent.
#[expect(deprecated, reason = "most servers know no other name for it than `max_tokens`")]
pub(super) fn body(settings: &ProviderSettings, model: &str, request: &Request) -> Vec<u8> {
    let max = Some(reply_tokens_max(settings, request));
    let (max_tokens, max_completion_tokens) = match settings.reply_tokens_field {
        ReplyTokensField::MaxTokens => (max, None),
        ReplyTokensField::MaxCompletionTokens => (None, max),
    };
    let counted =
        ChatCompletionStreamOptions { include_usage: Some(true), include_obfuscation: None };
    let question = CreateChatCompletionRequest {
        model: model.to_owned(),
        messages: request.messages.iter().map(message).collect(),
        stream: Some(true),
        stream_options: settings.ask_usage.then_some(counted),
        temperature: request
            .temperature
            .or(settings.temperature)
            .filter(|warmth| warmth.is_finite()),
        max_tokens,
        max_completion_tokens,
        ..CreateChatCompletionRequest::default()
    };
    serde_json::to_vec(&question).expect("texts and numbers always have a JSON form")
}

fn message(message: &PromptMessage) -> ChatCompletionRequestMessage {
    let text = &*message.text;
    match message.role {
        Role::System => ChatCompletionRequestSystemMessage::from(text).into(),
        Role::User => ChatCompletionRequestUserMessage::from(text).into(),
        Role::Assistant => ChatCompletionRequestAssistantMessage::from(text).into(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn asked(settings: ProviderSettings, request: &Request) -> Value {
        serde_json::from_slice(&body(&settings, "m", request)).unwrap()
    }

    fn request() -> Request {
        let message = |role, text: &str| PromptMessage { role, text: text.to_owned() };
        let messages = vec![
            message(Role::System, "Be kind."),
            message(Role::User, "Hi"),
            message(Role::Assistant, "Hello!"),
            message(Role::User, "Who are you?"),
        ];
        Request { messages, ..Request::default() }
    }

    #[test]
    fn a_question_is_written_as_servers_read_it() {
        assert_eq!(
            asked(ProviderSettings { temperature: Some(0.7), ..Default::default() }, &request()),
            json!({
                "model": "m",
                "messages": [
                    { "role": "system", "content": "Be kind." },
                    { "role": "user", "content": "Hi" },
                    { "role": "assistant", "content": "Hello!" },
                    { "role": "user", "content": "Who are you?" },
                ],
                "stream": true,
                "stream_options": { "include_usage": true },
                "temperature": 0.7,
                "max_tokens": 1024,
            })
        );
    }

    #[test]
    fn settings_and_request_choose_together() {
        let settings = ProviderSettings {
            temperature: Some(0.5),
            ask_usage: false,
            reply_tokens_field: ReplyTokensField::MaxCompletionTokens,
            reply_tokens_max: 100,
            ..Default::default()
        };
        let request = Request { reply_tokens_max: 50, temperature: Some(1.0), ..request() };
        let asked = asked(settings.clone(), &request);
        assert_eq!(asked["max_completion_tokens"], 50);
        assert_eq!(asked["temperature"], 1.0);
        assert!(asked.get("max_tokens").is_none() && asked.get("stream_options").is_none());
        let greedy = Request { reply_tokens_max: 1_000, ..request };
        assert_eq!(reply_tokens_max(&settings, &greedy), 100);
        assert_eq!(reply_tokens_max(&settings, &Request::default()), 100);
    }

    #[test]
    fn a_temperature_that_is_no_number_is_left_out() {
        let request = Request { temperature: Some(f32::NAN), ..request() };
        assert!(asked(ProviderSettings::default(), &request).get("temperature").is_none());
    }

    #[test]
    fn tokens_of_a_prompt_are_guessed() {
        assert_eq!(prompt_tokens(&Request::default()), 0);
        assert_eq!(prompt_tokens(&request()), 4 * MESSAGE_TOKENS + 2 + 1 + 2 + 3);
    }
}
