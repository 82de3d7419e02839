use std::path::Path;
use std::sync::Arc;

use super::*;
use crate::diagnostics::Report;

fn read(text: &str) -> (Option<Node>, Vec<String>) {
    let mut report = Report::new();
    let node = parse(&Arc::from(Path::new("a.yaml")), text, &mut report);
    (node, report.iter().map(|one| one.message.clone()).collect())
}

fn check_refused(text: &str, expected: &str) {
    let (_, messages) = read(text);
    assert!(messages.iter().any(|one| one.contains(expected)), "{text:?} said {messages:?}");
}

#[test]
fn keys_and_values_know_their_places() {
    let (node, messages) = read("# first\na: 1\nlist:\n  - b: \"\u{fc}x\" # why\n");
    assert!(messages.is_empty(), "{messages:?}");
    let Content::Map(entries) = node.unwrap().content else { panic!("a mapping") };
    assert_eq!(entries[0].key.location.to_string(), "a.yaml:2:1");
    assert_eq!(entries[0].value.location.to_string(), "a.yaml:2:4");
    let Content::List(items) = &entries[1].value.content else { panic!("a list") };
    let Content::Map(inner) = &items[0].content else { panic!("a mapping") };
    assert_eq!(inner[0].key.location.to_string(), "a.yaml:4:5");
    assert_eq!(inner[0].value.location.to_string(), "a.yaml:4:8");
    let at = &inner[0].value.location;
    assert_eq!(at.end - at.start, "\"\u{fc}x\"".len());
}

#[test]
fn traps_are_refused() {
    check_refused("a: 1\na: 2\n", "stands twice");
    check_refused("a: &x {b: 1}\nc: {<<: *x}\n", "merge keys");
    check_refused("a: *x\n", "no anchor `&x`");
    check_refused("a: &x [*x]\n", "inside its own anchor");
    check_refused("a: 1\n---\nb: 1\n", "one document");
    check_refused("a: !!str 1\n", "tags");
    check_refused("[a]: 1\n", "a key is a text");
    check_refused("", "holds no configuration");
    check_refused("a: [\n", "not valid YAML");
    check_refused("a:\n\tb: 1\n", "not valid YAML");
    check_refused("%YAML 1.1\n---\na: 1\n", "not valid YAML");
}

#[test]
fn an_unusable_key_or_value_leaves_its_neighbours_in_step() {
    let (node, _) = read("a: *x\nb: 1\n*y : 2\nc: 3\n");
    let Content::Map(entries) = node.unwrap().content else { panic!("a mapping") };
    let keys: Vec<_> = entries.iter().map(|entry| entry.key.value.as_str()).collect();
    assert_eq!(keys, ["b", "c"]);
}

#[test]
fn alias_bombs_and_towers_stop() {
    let mut bomb = "a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]\n".to_owned();
    for level in 1..9 {
        let below = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", [below.as_str(); 10].join(", ")));
    }
    check_refused(&bomb, "at most 100000 values");
    let mut tower = "a0: &a0 [1]\n".to_owned();
    for level in 1..60 {
        tower.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    check_refused(&tower, "levels deep");
    check_refused(&format!("a: {}", "[".repeat(10_000)), "not valid YAML");
    check_refused(&"#".repeat(FILE_BYTES + 1), "at most 4 MiB");
}
