//! JSON schemas in short, for hints: what a message takes, on one line.

use serde_json::Value;

/// How deep a schema is looked into.
const DEPTH_MAX: usize = 3;

/// What a schema describes, as `{ addresses: [text], goes?: "stops" | "crashes" }`.
pub fn signature(schema: &Value) -> String {
    shape(schema, schema, 0)
}

/// JSON that fits a schema, for a person to fill in.
pub fn skeleton(schema: &Value) -> String {
    example(schema, schema, 0).to_string()
}

/// What a schema says about a value that fits it, as part of a sentence: what is said about the one of
/// its choices that the value is, or else about all of it. `None` where it says nothing.
pub fn about(schema: &Value, value: &Value) -> Option<String> {
    let choices = ["oneOf", "anyOf"].into_iter().filter_map(|key| schema.get(key)?.as_array());
    let chosen = choices.flatten().find(|choice| is_choice(choice, schema, value));
    let description = |schema: &Value| Some(schema.get("description")?.as_str()?.to_owned());
    let said = chosen.and_then(description).or_else(|| description(schema))?;
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    let said = said.strip_suffix('.').unwrap_or(&said);
    let (first, rest) = (said.chars().next()?, said.chars().skip(1));
    // An abbreviation stays as it is.
    match rest.clone().next().is_some_and(char::is_uppercase) {
        true => Some(said.to_owned()),
        false => Some(first.to_lowercase().chain(rest).collect()),
    }
}

/// Whether a value is this choice of an enum: its name alone, or what stands behind its name.
fn is_choice(choice: &Value, root: &Value, value: &Value) -> bool {
    let choice = resolve(choice, root);
    let names = choice.get("enum").and_then(Value::as_array);
    let is_name =
        choice.get("const") == Some(value) || names.is_some_and(|names| names.contains(value));
    let Some(required) = choice.get("required").and_then(Value::as_array) else { return is_name };
    is_name || required.iter().all(|name| value.get(name.as_str().unwrap_or_default()).is_some())
}

fn shape(schema: &Value, root: &Value, depth: usize) -> String {
    let schema = resolve(schema, root);
    if depth > DEPTH_MAX {
        return "...".to_owned();
    }
    if let Some(value) = schema.get("const") {
        return value.to_string();
    }
    let list = |values: &Value| values.as_array().cloned().unwrap_or_default();
    if let Some(values) = schema.get("enum") {
        return list(values).iter().map(Value::to_string).collect::<Vec<_>>().join(" | ");
    }
    for key in ["oneOf", "anyOf"] {
        if let Some(choices) = schema.get(key) {
            let choices: Vec<String> =
                list(choices).iter().map(|choice| shape(choice, root, depth + 1)).collect();
            let choices: Vec<&str> =
                choices.iter().map(String::as_str).filter(|choice| *choice != "null").collect();
            return choices.join(" | ");
        }
    }
    match type_of(schema) {
        "object" => object(schema, root, depth),
        "array" => match schema.get("items") {
            Some(items) => format!("[{}]", shape(items, root, depth + 1)),
            None => "[...]".to_owned(),
        },
        "string" => "text".to_owned(),
        "integer" | "number" => "number".to_owned(),
        "boolean" => "true | false".to_owned(),
        "null" => "null".to_owned(),
        _ => "any".to_owned(),
    }
}

fn object(schema: &Value, root: &Value, depth: usize) -> String {
    let Some(properties) = schema.get("properties").and_then(Value::as_object) else {
        return "{}".to_owned();
    };
    let fields: Vec<String> = properties
        .iter()
        .map(|(name, property)| {
            let mark = if is_required(name, schema) { "" } else { "?" };
            format!("{name}{mark}: {}", shape(property, root, depth + 1))
        })
        .collect();
    if fields.is_empty() { "{}".to_owned() } else { format!("{{ {} }}", fields.join(", ")) }
}

fn example(schema: &Value, root: &Value, depth: usize) -> Value {
    let schema = resolve(schema, root);
    if depth > DEPTH_MAX {
        return Value::Null;
    }
    if let Some(value) = schema.get("const").or_else(|| schema.get("default")) {
        return value.clone();
    }
    for key in ["enum", "oneOf", "anyOf"] {
        if let Some(first) = schema.get(key).and_then(|choices| choices.get(0)) {
            return if key == "enum" { first.clone() } else { example(first, root, depth + 1) };
        }
    }
    match type_of(schema) {
        "object" => {
            let properties = schema.get("properties").and_then(Value::as_object);
            let required =
                properties.into_iter().flatten().filter(|(name, _)| is_required(name, schema));
            let field = |(name, property): (&String, &Value)| {
                (name.clone(), example(property, root, depth + 1))
            };
            Value::Object(required.map(field).collect())
        }
        "array" => Value::Array(Vec::new()),
        "string" => "".into(),
        "integer" | "number" => 0.into(),
        "boolean" => false.into(),
        _ => Value::Null,
    }
}

fn resolve<'a>(schema: &'a Value, root: &'a Value) -> &'a Value {
    let Some(reference) = schema.get("$ref").and_then(Value::as_str) else { return schema };
    reference.strip_prefix('#').and_then(|path| root.pointer(path)).unwrap_or(schema)
}

/// The type; of several the first that is not null.
fn type_of(schema: &Value) -> &str {
    match schema.get("type") {
        Some(Value::String(name)) => name,
        Some(Value::Array(names)) => {
            let mut names = names.iter().filter_map(Value::as_str);
            names.find(|name| *name != "null").unwrap_or("null")
        }
        _ => "",
    }
}

fn is_required(name: &str, schema: &Value) -> bool {
    let required = schema.get("required").and_then(Value::as_array);
    required.is_some_and(|required| required.iter().any(|other| other == name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use schemars::JsonSchema;

    #[derive(JsonSchema)]
    #[serde(rename_all = "snake_case")]
    #[expect(dead_code, reason = "only its schema is looked at")]
    enum How {
        Fast,
        Slow,
    }

    #[derive(JsonSchema)]
    #[expect(dead_code, reason = "only its schema is looked at")]
    struct Go {
        names: Vec<String>,
        how: How,
        times: Option<u32>,
        inner: Option<Box<Go>>,
    }

    /// Why not.
    #[derive(JsonSchema, serde::Serialize)]
    #[serde(rename_all = "snake_case")]
    #[schemars(description = "Why not.")]
    enum No {
        /// It is too late,
        /// and dark.
        Late,
        /// CPU is short.
        Short { by: u32 },
        #[expect(dead_code, reason = "only its schema is looked at")]
        #[schemars(description = "Not now.")]
        Busy,
    }

    #[test]
    fn what_is_said_about_the_choice_that_a_value_is_is_found() {
        let schema = schemars::schema_for!(No).to_value();
        let about = |no: &No| about(&schema, &serde_json::to_value(no).unwrap()).unwrap();
        assert_eq!(about(&No::Late), "it is too late, and dark");
        assert_eq!(about(&No::Short { by: 2 }), "CPU is short");
        let other = serde_json::json!({ "other": 1 });
        assert_eq!(super::about(&schema, &other).as_deref(), Some("why not"));
        assert_eq!(super::about(&serde_json::json!(true), &other), None);
    }

    #[test]
    fn a_schema_is_said_in_a_line_and_filled_in() {
        let schema = schemars::schema_for!(Go).to_value();
        let said = signature(&schema);
        assert!(
            said.starts_with(
                "{ names: [text], how: \"fast\" | \"slow\", times?: number, inner?: {"
            ),
            "{said}"
        );
        assert_eq!(skeleton(&schema), "{\"names\":[],\"how\":\"fast\"}");
        assert_eq!(signature(&serde_json::json!(true)), "any");
    }
}
