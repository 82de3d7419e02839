use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::*;
use crate::diagnostics::Report;
use crate::load::parse_str;
use crate::tree::{self, Content, Node};

/// A step from a value to one inside it.
#[derive(Debug, Clone)]
enum Step {
    Key(String),
    Item,
}

/// Every object of the schema, with the way to it and its keys.
fn objects(root: &Value) -> Vec<(Vec<Step>, BTreeSet<String>)> {
    let mut found = Vec::new();
    visit(root, root, Vec::new(), &mut found);
    found
}

fn visit(
    root: &Value,
    schema: &Value,
    way: Vec<Step>,
    found: &mut Vec<(Vec<Step>, BTreeSet<String>)>,
) {
    let schema = resolved(root, schema);
    if let Some(items) = schema.get("items") {
        let mut way = way.clone();
        way.push(Step::Item);
        visit(root, items, way, found);
    }
    if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
        found.push((way.clone(), properties.keys().cloned().collect()));
        for (key, value) in properties {
            let mut way = way.clone();
            way.push(Step::Key(key.clone()));
            visit(root, value, way, found);
        }
    }
}

fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
        None => schema,
    }
}

/// A document that holds one key at the end of a way.
fn document(way: &[Step], key: &str) -> Value {
    let inner = json!({key: "x"});
    way.iter().rev().fold(inner, |inner, step| match step {
        Step::Key(key) => json!({key: inner}),
        Step::Item => json!([inner]),
    })
}

#[test]
fn reader_and_schema_know_the_same_keys() {
    let root = schema();
    let objects = objects(&root);
    let every: BTreeSet<_> = objects.iter().flat_map(|(_, keys)| keys.clone()).collect();
    assert!(objects.len() > 40 && every.len() > 80, "{} {}", objects.len(), every.len());
    for (way, keys) in &objects {
        for key in every.iter().map(String::as_str).chain(["zzz"]) {
            // JSON is YAML.
            let text = document(way, key).to_string();
            let failed = parse_str("a.yaml", &text).unwrap_err();
            let refusal = format!("has no key `{key}`");
            let refused = failed.report.iter().any(|one| one.message.ends_with(&refusal));
            assert_eq!(refused, !keys.contains(key), "{text}");
        }
    }
}

#[test]
fn every_object_and_key_is_described() {
    let root = schema();
    let described = |value: &Value| value["description"].as_str().is_some_and(|one| one.len() > 3);
    for (name, definition) in root["$defs"].as_object().unwrap() {
        assert!(described(definition), "{name}");
        let properties = definition["properties"].as_object();
        for (key, value) in properties.into_iter().flatten() {
            assert!(described(value), "{name}.{key}");
        }
    }
}

#[test]
fn every_key_is_in_the_manual() {
    let manual = include_str!("../../../docs/configuration.md");
    let root = schema();
    for key in objects(&root).into_iter().flat_map(|(_, keys)| keys) {
        assert!(manual.contains(&key), "{key}");
    }
}

#[test]
fn every_example_is_valid_by_the_schema() {
    let root = schema();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for entry in std::fs::read_dir(directory).unwrap() {
        let file = entry.unwrap().path();
        let text = std::fs::read_to_string(&file).unwrap();
        let value = json_of(&text);
        validate(&root, &root, &value).unwrap_or_else(|why| panic!("{}: {why}", file.display()));
    }
}

#[test]
fn the_schema_refuses_what_the_reader_refuses() {
    let root = schema();
    for text in [
        "version: v2",
        "listeners: []",
        "version: v1\nzzz: 1",
        "version: v1\nlisteners: [{name: a}]",
        "version: v1\nlisteners: [{name: a b, address: \"[::]:80\"}]",
        "version: v1\nlisteners: [{name: a, address: \"[::]:80\", timeouts: {head: 5}}]",
        "version: v1\nlisteners: [{name: a, address: \"[::]:80\", kind: udp}]",
        "version: v1\nlisteners: [{name: a, address: \"[::]:80\", proxyProtocol: yes}]",
        "version: v1\nroutes: [{name: a, match: {sni: a.test}}]",
        "version: v1\nupstreams: [{name: a, endpoints: [], proxyProtocol: accept}]",
        "version: v1\nworkers: 0",
        "version: v1\nlimits: {memory: 512Mi}",
        "version: v1\nlimits: {memory: 1048576}",
        "version: v1\nroutes: {name: a}",
        "version: v1\nadmin: {address: \"127.0.0.1:1\", token: literal}",
    ] {
        assert!(validate(&root, &root, &json_of(text)).is_err(), "{text}");
        assert!(parse_str("a.yaml", text).is_err(), "{text}");
    }
}

fn json_of(text: &str) -> Value {
    let mut report = Report::new();
    let node = tree::parse(&Arc::from(Path::new("a.yaml")), text, &mut report);
    value(&node.unwrap())
}

fn value(node: &Node) -> Value {
    match &node.content {
        Content::Scalar { text, plain: true } => match text.as_str() {
            "true" => json!(true),
            "false" => json!(false),
            _ => text.parse::<i64>().map_or_else(|_| json!(text), |number| json!(number)),
        },
        Content::Scalar { text, .. } => json!(text),
        Content::List(items) => items.iter().map(value).collect(),
        Content::Map(entries) => {
            let entries = entries.iter().map(|one| (one.key.value.clone(), value(&one.value)));
            Value::Object(entries.collect::<Map<_, _>>())
        }
    }
}

/// As much of JSON Schema as the schema uses; a word it does not know is a failure.
fn validate(root: &Value, schema: &Value, value: &Value) -> Result<(), String> {
    for (word, rule) in schema.as_object().unwrap() {
        let right = match word.as_str() {
            "$ref" => {
                validate(root, resolved(root, schema), value)?;
                true
            }
            "type" => {
                let kind = match value {
                    Value::Null => "null",
                    Value::Bool(_) => "boolean",
                    Value::Number(_) => "integer",
                    Value::String(_) => "string",
                    Value::Array(_) => "array",
                    Value::Object(_) => "object",
                };
                let fits =
                    |wanted: &Value| wanted == kind || (wanted == "number" && kind == "integer");
                rule.as_array().map_or_else(|| fits(rule), |kinds| kinds.iter().any(fits))
            }
            "properties" => {
                for (key, schema) in rule.as_object().unwrap() {
                    if let Some(value) = value.get(key) {
                        validate(root, schema, value).map_err(|why| format!("{key}: {why}"))?;
                    }
                }
                true
            }
            "additionalProperties" => {
                let known = schema["properties"].as_object().unwrap();
                value.as_object().is_none_or(|one| one.keys().all(|key| known.contains_key(key)))
            }
            "required" => rule
                .as_array()
                .unwrap()
                .iter()
                .all(|key| value.get(key.as_str().unwrap()).is_some()),
            "items" => {
                for item in value.as_array().into_iter().flatten() {
                    validate(root, rule, item)?;
                }
                true
            }
            "enum" => rule.as_array().unwrap().contains(value),
            "const" => rule == value,
            "anyOf" => {
                rule.as_array().unwrap().iter().any(|one| validate(root, one, value).is_ok())
            }
            "pattern" => {
                let regex = regex::Regex::new(rule.as_str().unwrap()).unwrap();
                value.as_str().is_none_or(|text| regex.is_match(text))
            }
            "minimum" => value.as_i64().is_none_or(|number| number >= rule.as_i64().unwrap()),
            "maximum" => value.as_i64().is_none_or(|number| number <= rule.as_i64().unwrap()),
            "minLength" => value.as_str().is_none_or(|text| !text.is_empty()),
            "$schema" | "$defs" | "title" | "description" | "examples" | "format" => true,
            other => return Err(format!("the schema uses `{other}`")),
        };
        if !right {
            return Err(format!("{value} breaks {word}: {rule}"));
        }
    }
    Ok(())
}
