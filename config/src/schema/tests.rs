use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::*;
use crate::diagnostics::Report;
use crate::load::parse_str;
use crate::suggest;
use crate::suggest::foreign::{self, Cure};
use crate::suggest::short;
use crate::tree::{self, Content, Node};

/// A step from a value to one inside it.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Key(String),
    Item,
}

/// Every object of the schema, with the way to it and its keys.
pub(super) fn objects(root: &Value) -> Vec<(Vec<Step>, BTreeSet<String>)> {
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

pub(super) fn resolved<'a>(root: &'a Value, schema: &'a Value) -> &'a Value {
    match schema.get("$ref").and_then(Value::as_str) {
        Some(reference) => root.pointer(reference.trim_start_matches('#')).unwrap(),
        // Of a policy, which may be the word `disabled` instead.
        None => match &schema["anyOf"][0] {
            object if object.get("$ref").is_some() => resolved(root, object),
            _ => schema,
        },
    }
}

/// A document that holds these keys at the end of a way.
fn document(way: &[Step], keys: &[&str]) -> Value {
    let inner = keys.iter().map(|key| ((*key).to_owned(), json!("x"))).collect();
    way.iter().rev().fold(Value::Object(inner), |inner, step| match step {
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
    let every: Vec<_> = every.iter().map(String::as_str).chain(["zzz"]).collect();
    for (way, keys) in &objects {
        // As many as a report holds, whatever else is wrong with them.
        for some in every.chunks(50) {
            // JSON is YAML.
            let text = document(way, some).to_string();
            let failed = parse_str("a.yaml", &text).unwrap_err();
            for key in some {
                let refusal = format!("has no key `{key}`");
                let refused = failed.report.iter().any(|one| one.message.ends_with(&refusal));
                assert_eq!(refused, !keys.contains(*key), "{key}: {text}");
            }
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

/// The name that messages give to each object, with its ways and its keys.
fn named_objects(root: &Value) -> BTreeMap<String, (Vec<String>, BTreeSet<String>)> {
    let mut named = BTreeMap::new();
    for (way, keys) in objects(root) {
        let failed = parse_str("a.yaml", &document(&way, &["zzz"]).to_string()).unwrap_err();
        let message =
            failed.report.iter().find_map(|one| one.message.strip_suffix(" has no key `zzz`"));
        let shown = way.iter().filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Item => None,
        });
        let shown = shown.collect::<Vec<_>>().join(".");
        let entry: &mut (Vec<String>, BTreeSet<String>) =
            named.entry(message.unwrap().to_owned()).or_default();
        entry.0.push(shown);
        // Those of one name have the same keys.
        assert!(entry.1.is_empty() || entry.1 == keys, "{message:?}");
        entry.1 = keys;
    }
    named
}

/// Every key by its way, as `routes.match.path`.
fn every_way(root: &Value) -> BTreeSet<String> {
    let named = named_objects(root);
    let ways = named.values().flat_map(|(ways, keys)| {
        ways.iter().flat_map(move |way| {
            keys.iter()
                .map(move |key| if way.is_empty() { key.clone() } else { format!("{way}.{key}") })
        })
    });
    ways.collect()
}

#[test]
fn every_cure_names_a_key_that_there_is_and_what_is_planned_is_not_there() {
    let root = schema();
    let (objects, ways) = (named_objects(&root), every_way(&root));
    let mut seen = BTreeSet::new();
    let mut wrong = Vec::new();
    for (object, words, cure) in foreign::entries() {
        let Some((_, keys)) = objects.get(*object) else {
            wrong.push(format!("there is no object {object}"));
            continue;
        };
        let keys: BTreeSet<_> = keys.iter().map(|key| suggest::folded(key)).collect();
        for word in *words {
            if keys.contains(&suggest::folded(word)) {
                wrong.push(format!("{object} has a key `{word}`"));
            }
            if !seen.insert((object, suggest::folded(word))) {
                wrong.push(format!("{object}: `{word}` stands twice"));
            }
        }
        match cure {
            Cure::Key(way, help) => {
                let last = way.rsplit('.').next().unwrap();
                if !ways.contains(*way) {
                    wrong.push(format!("there is no `{way}`"));
                }
                if !help.contains(&format!("{last}:")) && !help.contains(&format!("`{last}`")) {
                    wrong.push(format!("{object}: {help:?} does not name `{last}`"));
                }
            }
            // That the object has no such key is looked at above.
            Cure::Later => {}
            Cure::Elsewhere(help) => assert!(!help.is_empty()),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(seen.len() > 300, "{}", seen.len());
}

#[test]
fn every_short_form_is_of_an_object_and_its_keys() {
    let objects = named_objects(&schema());
    for (object, form) in short::entries() {
        let (_, keys) = &objects[object];
        let inner = form.trim_matches(['{', '}']);
        for pair in inner.split(", ").filter(|pair| !pair.is_empty() && !inner.contains("[{")) {
            let key = pair.split_once(':').unwrap().0;
            assert!(keys.contains(key), "{object}: {key}");
        }
    }
}

#[test]
fn every_word_that_means_another_leads_to_one_that_there_is() {
    let text = schema().to_string();
    for (target, word) in foreign::words() {
        assert!(text.contains(&format!("\"{target}\"")), "{target}");
        assert_ne!(target, word);
    }
}

#[test]
fn every_example_is_valid_by_the_schema() {
    let root = schema();
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    for entry in std::fs::read_dir(directory).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|end| end != "yaml") {
            continue;
        }
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
