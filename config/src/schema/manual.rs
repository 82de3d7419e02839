//! The manual's tables of keys against the schema, key by key, in both directions.
//!
//! They stand in the page of the configuration and, for the keys of a policy, in the page of that.
//! A heading of the fourth level names the objects that its table is about, as
//! `listeners[].timeouts`. What a key means is the manual's own text; its type and its default
//! are held against the schema and against what a configuration that says nothing comes to.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::tests::{Step, objects, resolved};
use crate::effective::effective;
use crate::load::parse_str;
use crate::policy::LEAST;
use crate::units::format_size;

/// The page of the configuration.
const MANUAL: &str = include_str!("../../../docs/configuration.md");

/// The folder of a page for each policy.
const POLICIES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/policies");

/// The heading of the keys that stand in no object.
const TOP: &str = "#### The top level";

/// The first row of a table of keys.
const COLUMNS: &str = "| key | type | default | meaning |";

/// Every object once, and nothing in it that has a default; each `*` stands for all policies.
const BARE: &str = r#"
version: v1
listeners:
  - name: a
    address: "127.0.0.1:1"
    tls: {certificates: [{selfSigned: true}]}
    *
  - {name: b, address: "[::1]:2"}
upstreams:
  - {name: u, endpoints: [{address: "127.0.0.1:3"}], tls: {}}
routes:
  - name: f
    match: {hosts: [a.test]}
    backends: [{upstream: u}]
    sticky: {cookie: c}
    *
  - {name: d, match: {hosts: [b.test]}, redirect: {host: c.test}}
  - {name: r, match: {hosts: [d.test]}, reply: {body: x}}
admin: {address: "127.0.0.1:4"}
"#;

/// Defaults that are no value of the key: words instead.
const WORDS: &[(&str, &str)] = &[
    ("listeners[].tls.selfSigned", "`false`"),
    ("listeners[].tls.certificates[].selfSigned", "`false`"),
    ("listeners[].tls.certificates[].names", "`[localhost]`"),
    ("routes[].listeners", "all `http` listeners"),
    ("routes[].match.hosts", "none"),
    ("routes[].match.path.prefix", "none"),
    ("routes[].redirect.host", "none"),
    ("routes[].requestLimits.body", "the listener's"),
    ("routes[].reply.body", "none"),
    ("upstreams[].tls.caFile", "the system's"),
    ("upstreams[].endpoints[].address", "none"),
];

/// A key as the manual shows it.
#[derive(Debug, PartialEq, Eq)]
struct Row {
    kind: String,
    default: String,
}

/// The rows of each object, by the ways to it.
type Tables = BTreeMap<String, BTreeMap<String, Row>>;

#[test]
fn the_manual_has_every_key_with_its_type_and_default_and_nothing_more() {
    let (written, expected) = (written(), expected());
    let mut wrong = String::new();
    for (object, keys) in &expected {
        let Some(rows) = written.get(object) else {
            writeln!(wrong, "no table is about `{object}`: {keys:#?}").unwrap();
            continue;
        };
        for (key, row) in keys {
            match rows.get(key) {
                None => writeln!(wrong, "`{object}` lacks `{key}`: {row:?}").unwrap(),
                Some(found) if found != row => {
                    writeln!(wrong, "`{object}.{key}` is {row:?}, the manual says {found:?}")
                        .unwrap();
                }
                Some(_) => {}
            }
        }
        for key in rows.keys().filter(|key| !keys.contains_key(*key)) {
            writeln!(wrong, "`{object}` has no key `{key}`").unwrap();
        }
    }
    for object in written.keys().filter(|object| !expected.contains_key(*object)) {
        writeln!(wrong, "there is no object `{object}`").unwrap();
    }
    assert!(wrong.is_empty(), "docs/configuration.md:\n{wrong}");
}

fn written() -> Tables {
    let mut tables = Tables::new();
    read(MANUAL, &mut tables);
    // There is no folder as long as there is no policy.
    let mut pages: Vec<_> = std::fs::read_dir(POLICIES)
        .into_iter()
        .flatten()
        .map(|page| page.unwrap().path())
        .collect();
    pages.sort();
    for page in pages {
        read(&std::fs::read_to_string(page).unwrap(), &mut tables);
    }
    tables
}

fn read(page: &str, tables: &mut Tables) {
    let mut about: Vec<String> = Vec::new();
    let mut in_table = false;
    for line in page.lines() {
        assert!(line != COLUMNS || !about.is_empty(), "a table about nothing");
        // Other tables below a heading are about something else.
        in_table = line == COLUMNS || (in_table && line.starts_with('|'));
        if line.starts_with('#') {
            about = match line.strip_prefix("#### ") {
                _ if line == TOP => vec![String::new()],
                Some(heading) => heading.split('`').skip(1).step_by(2).map(str::to_owned).collect(),
                None => Vec::new(),
            };
            for object in &about {
                tables.entry(object.clone()).or_default();
            }
        }
        let Some(cells) = line.strip_prefix("| `").filter(|_| in_table) else { continue };
        let cells: Vec<_> = cells.split(" | ").collect();
        let [key, kind, default, meaning] = cells[..] else {
            panic!("four columns: {line}");
        };
        assert!(meaning.len() > 5, "what does it mean? {line}");
        let key = key.trim_end_matches('`').to_owned();
        let row = Row { kind: kind.to_owned(), default: default.to_owned() };
        for object in &about {
            let table = tables.get_mut(object).unwrap();
            assert!(table.insert(key.clone(), row.copied()).is_none(), "twice: {line}");
        }
    }
}

impl Row {
    fn copied(&self) -> Self {
        Self { kind: self.kind.clone(), default: self.default.clone() }
    }
}

fn expected() -> Tables {
    let root = super::schema();
    let bare = bare();
    let loaded = parse_str("bare.yaml", &bare)
        .unwrap_or_else(|failed| panic!("{}", failed.report.render(&failed.sources, false)));
    let shown = effective(&loaded.config);
    let mut used = Vec::new();
    let mut tables = Tables::new();
    for (way, _) in objects(&root) {
        let schema = at(&root, &way);
        let required = schema["required"].as_array();
        let is_required = |key: &String| required.is_some_and(|all| all.contains(&json!(key)));
        let object = written_way(&way);
        let needed = needed(&way);
        let keys = schema["properties"].as_object().unwrap();
        let rows = keys.iter().map(|(key, value)| {
            let kind = kind(&root, value);
            let whole = format!("{object}.{key}");
            let words = WORDS.iter().find(|(of, _)| *of == whole);
            used.extend(words.map(|(of, _)| *of));
            let default = match words {
                _ if is_required(key) => "required".to_owned(),
                Some((_, words)) => (*words).to_owned(),
                None if kind.starts_with("object") || kind.ends_with("objects") => {
                    "none".to_owned()
                }
                None if needed.get(key).is_some() => "none".to_owned(),
                None => default(&shown, &way, key),
            };
            let text = value["description"].as_str().unwrap();
            let tells = default.starts_with('`') && text.contains("efault: ");
            let shown = default.trim_matches('`');
            assert!(!tells || text.contains(shown), "`{whole}`, of which {shown} holds: {text}");
            (key.clone(), Row { kind, default })
        });
        let rows = rows.collect();
        tables.insert(object, rows);
    }
    assert_eq!(used.len(), WORDS.len(), "{used:?}");
    tables
}

fn bare() -> String {
    let policies = LEAST.iter().map(|(key, least)| format!("\n    {key}: {least}"));
    BARE.replace("    *", policies.collect::<String>().trim_start_matches('\n'))
}

/// What is written of a policy in [`BARE`] because it would be nothing otherwise.
fn needed(way: &[Step]) -> Value {
    let Some(Step::Key(last)) = way.last() else { return Value::Null };
    let least = LEAST.iter().find(|(key, _)| key == last);
    least.map_or(Value::Null, |(_, least)| serde_json::from_str(least).unwrap())
}

fn at<'a>(root: &'a Value, way: &[Step]) -> &'a Value {
    way.iter().fold(root, |schema, step| {
        let schema = resolved(root, schema);
        let inner = match step {
            Step::Key(key) => &schema["properties"][key],
            Step::Item => &schema["items"],
        };
        resolved(root, inner)
    })
}

fn written_way(way: &[Step]) -> String {
    let mut written = String::new();
    for step in way {
        match step {
            Step::Key(key) if written.is_empty() => written.push_str(key),
            Step::Key(key) => write!(written, ".{key}").unwrap(),
            Step::Item => written.push_str("[]"),
        }
    }
    written
}

/// What an effective configuration shows for a key that is not written.
fn default(shown: &Value, way: &[Step], key: &str) -> String {
    // `defaults` has what it is the default of.
    let (way, mut places) = match way {
        [Step::Key(first), rest @ ..] if first == "defaults" => {
            let lists = ["routes", "upstreams", "listeners"];
            (rest, lists.iter().map(|list| &shown[*list]).collect())
        }
        way => (way, vec![shown]),
    };
    for step in way {
        places = match step {
            Step::Key(key) => within(places, key),
            Step::Item => places,
        };
    }
    let values = within(places, key).into_iter();
    let value =
        values.filter(|value| !value.is_null()).map(|value| value.get("value").unwrap_or(value));
    match value.into_iter().next() {
        None => "none".to_owned(),
        Some(Value::Array(items)) if items.is_empty() => "none".to_owned(),
        Some(Value::Array(items)) => {
            let items: Vec<_> = items.iter().map(|item| item.as_str().unwrap()).collect();
            format!("`[{}]`", items.join(", "))
        }
        Some(Value::String(text)) => format!("`{text}`"),
        Some(other) => format!("`{other}`"),
    }
}

/// The values of a key in objects, in lists of them, and in those that name their level.
fn within<'a>(places: Vec<&'a Value>, key: &str) -> Vec<&'a Value> {
    let objects = places.into_iter().flat_map(|place| match place {
        Value::Array(items) => items.iter().collect(),
        one => vec![one],
    });
    let inherited = |one: &'a Value| one.get("value").filter(|value| value.is_object());
    objects.map(|one| &inherited(one).unwrap_or(one)[key]).collect()
}

fn kind(root: &Value, schema: &Value) -> String {
    // A policy.
    if let Some(object) = schema["anyOf"].get(0).filter(|first| first.get("$ref").is_some()) {
        return format!("{} or `disabled`", kind(root, object));
    }
    if let Some(items) = schema.get("items") {
        return format!("list of {}", plural(&kind(root, items)));
    }
    let name = schema["$ref"].as_str().and_then(|one| one.rsplit('/').next()).unwrap_or_default();
    let schema = resolved(root, schema);
    if schema.get("items").is_some() {
        return kind(root, schema);
    }
    if schema.get("properties").is_some() {
        return "object".to_owned();
    }
    if let Some(words) = schema["enum"].as_array() {
        let words: Vec<_> =
            words.iter().map(|one| format!("`{}`", one.as_str().unwrap())).collect();
        return words.join(", ");
    }
    let bounds = || Some((schema["minimum"].as_u64()?, schema["maximum"].as_u64()?));
    match (name, bounds()) {
        ("HeaderBytes" | "TargetBytes", Some((least, most))) => {
            format!("size from {} to {}", format_size(least), format_size(most))
        }
        (_, Some((least, most))) => format!("number from {least} to {most}"),
        _ if schema["title"].is_string() => schema["title"].as_str().unwrap().to_owned(),
        _ => {
            let known = KINDS.iter().find(|(one, _)| *one == name);
            known.unwrap_or_else(|| panic!("what is a {name}? {schema}")).1.to_owned()
        }
    }
}

/// What the manual calls each scalar, unless its schema has a title.
const KINDS: &[(&str, &str)] = &[
    ("CookieName", "cookie name"),
    ("DnsName", "host name"),
    ("DurationText", "duration"),
    ("EditedHeader", "header name"),
    ("EndpointAddressText", "address"),
    ("FilePath", "path of a file"),
    ("Flag", "`true`, `false`"),
    ("HeaderNameText", "header name"),
    ("HeaderValue", "text"),
    ("HostHandlingText", "`preserve`, `upstream` or a host"),
    ("HostPatternText", "host pattern"),
    ("HostText", "host"),
    ("ListenAddressText", "address"),
    ("LogPath", "`stdout`, `stderr`, `disabled` or a path"),
    ("MediaType", "media type"),
    ("MemoryText", "`auto`, `disabled` or a size"),
    ("Method", "method"),
    ("Name", "name"),
    ("NetworkText", "network"),
    ("PartRegex", "expression"),
    ("PathText", "path"),
    ("RecordedHeader", "header name"),
    ("Replacement", "text"),
    ("ShareText", "share"),
    ("SizeText", "size"),
    ("TemplateText", "text"),
    ("Text", "text"),
    ("Token", "reference"),
    ("WholeRegex", "expression"),
    ("WorkersText", "`auto` or a number"),
];

fn plural(kind: &str) -> String {
    if kind.starts_with('`') { kind.to_owned() } else { format!("{kind}s") }
}
