//! Whether two nodes mean the same by the name of a message: a digest of its form.

use serde_json::Value;

use crate::MessageInfo;

/// FNV-1a, 64 bits: short, the same everywhere, and nobody gains by a collision.
const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// What a schema says for people, and what is of no weight on the wire.
const SAID_FOR_PEOPLE: [&str; 5] = ["description", "title", "$schema", "examples", "default"];

/// What has names of its own, which may be any.
const NAMED: [&str; 2] = ["properties", "$defs"];

impl MessageInfo {
    /// A digest of how it looks on the wire: the schemas of the message and of what comes back, with
    /// the order of their fields, and without words for people. If it is the same on two nodes, each
    /// reads what the other writes.
    pub fn digest(&self) -> u64 {
        let style = serde_json::to_value(self.style).unwrap_or_default();
        let mut hash = of_value(OFFSET, &style, false);
        hash = of_value(hash, &self.request.0, false);
        hash = of_value(hash, &self.reply.0, false);
        for schema in [&self.item, &self.refusal] {
            hash = of_bytes(hash, &[u8::from(schema.is_some())]);
            hash = schema.as_ref().map_or(hash, |schema| of_value(hash, &schema.0, false));
        }
        hash
    }
}

fn of_bytes(hash: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(hash, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME))
}

/// A text with its end, so that two are not taken for one.
fn of_text(hash: u64, text: &str) -> u64 {
    of_bytes(of_bytes(hash, text.as_bytes()), &[0xff])
}

fn of_value(hash: u64, value: &Value, is_named: bool) -> u64 {
    match value {
        Value::Object(fields) => {
            let counts = |key: &str| is_named || !SAID_FOR_PEOPLE.contains(&key);
            let counting = fields.iter().filter(|(key, _)| counts(key));
            let each = |hash, (key, value): (&String, &Value)| {
                let is_named = !is_named && NAMED.contains(&key.as_str());
                of_value(of_text(hash, key), value, is_named)
            };
            of_bytes(counting.fold(of_bytes(hash, b"{"), each), b"}")
        }
        Value::Array(items) => {
            let each = |hash, item: &Value| of_value(hash, item, false);
            of_bytes(items.iter().fold(of_bytes(hash, b"["), each), b"]")
        }
        Value::String(text) => of_text(of_bytes(hash, b"\""), text),
        other => of_text(hash, &other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use schemars::{JsonSchema, schema_for};

    use super::*;

    fn digest<T: JsonSchema>() -> u64 {
        of_value(OFFSET, &schema_for!(T).to_value(), false)
    }

    macro_rules! form {
        ($(#[$about:meta])* { $($body:tt)* }) => {{
            $(#[$about])*
            #[derive(JsonSchema)]
            #[allow(dead_code)]
            struct Form { $($body)* }
            digest::<Form>()
        }};
    }

    #[test]
    fn what_is_read_otherwise_has_another_digest_and_other_words_have_not() {
        let form = form!({ number: u32, title: String });
        assert_eq!(
            form,
            form!(#[doc = "A form."] { #[doc = "Of it."] number: u32, title: String })
        );
        let others = [
            form!({ number: u64, title: String }),
            form!({ title: String, number: u32 }),
            form!({ number: u32, title: Option<String> }),
            form!({ number: u32, description: String }),
            form!({ number: u32, title: String, more: Vec<u8> }),
            form!({ number: u32 }),
        ];
        for (index, other) in others.iter().enumerate() {
            assert_ne!(form, *other, "{index}");
            assert!(!others[..index].contains(other), "{index}");
        }
    }
}
