//! What a value of the format looks like: one declaration for reader and schema.

use std::borrow::Cow;
use std::path::Path;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value};

use crate::diagnostics::{Diagnostic, Report};
use crate::location::{Located, Location};
use crate::secrets::{SecretSource, mentions_reference};
use crate::suggest;
use crate::tree::{Content, Node, old_boolean};
use crate::values::ValueError;

pub(crate) use super::declare::{choice, object, scalar};

/// Reads a value of the tree, and says what it accepts as JSON Schema.
pub(crate) trait Shape: JsonSchema {
    type Value;

    /// The keys of an object; a scalar has none.
    fn keys() -> &'static [Key] {
        &[]
    }

    /// `None` when the report says what is wrong.
    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self::Value>;
}

/// A key that may be absent.
pub(crate) type Field<S> = Option<Located<<S as Shape>::Value>>;

/// What reading needs beside the tree.
pub(crate) struct Reader<'a> {
    pub(crate) report: &'a mut Report,
    pub(super) secrets: &'a dyn SecretSource,
    pub(super) base: &'a Path,
}

impl Reader<'_> {
    pub(crate) fn error(&mut self, at: &Location, message: impl Into<String>) {
        self.report.push(Diagnostic::error(at.clone(), message));
    }

    /// A scalar that is neither nothing nor something that other tools read as a boolean.
    pub(crate) fn scalar<'n>(&mut self, node: &'n Node, wanted: &str) -> Option<&'n str> {
        match &node.content {
            Content::Scalar { .. } if node.is_null() => {
                self.mismatch(node, wanted);
                None
            }
            Content::Scalar { text, plain: true } if old_boolean(text).is_some() => {
                self.report.push(
                    Diagnostic::error(
                        node.location.clone(),
                        format!("`{text}` is a boolean to tools that read YAML 1.1"),
                    )
                    .help(format!("expected {wanted}; put `\"{text}\"` in quotes if it is meant")),
                );
                None
            }
            Content::Scalar { text, .. } => Some(text),
            Content::List(_) | Content::Map(_) => {
                self.mismatch(node, wanted);
                None
            }
        }
    }

    /// A scalar in which references are not resolved.
    pub(crate) fn text<'n>(&mut self, node: &'n Node, wanted: &str) -> Option<&'n str> {
        let text = self.scalar(node, wanted)?;
        if mentions_reference(text) {
            self.report.push(
                Diagnostic::error(node.location.clone(), "a reference cannot stand here").help(
                    "`${env:NAME}` and `${file:path}` are for addresses, header values, reply \
                     bodies and the admin token",
                ),
            );
            return None;
        }
        Some(text)
    }

    pub(crate) fn mismatch(&mut self, node: &Node, wanted: &str) {
        let found = node.describe();
        self.error(&node.location, format!("expected {wanted}, found {found}"));
    }

    pub(crate) fn accept<T>(&mut self, node: &Node, parsed: Result<T, ValueError>) -> Option<T> {
        parsed.map_err(|error| self.error(&node.location, error.0)).ok()
    }

    /// The members of a mapping, unknown and missing keys reported.
    pub(crate) fn members<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        keys: &'static [Key],
    ) -> Option<Members<'n>> {
        let Content::Map(entries) = &node.content else {
            let found = node.describe();
            let names: Vec<_> = keys.iter().map(|key| format!("`{}`", key.name)).collect();
            self.report.push(
                Diagnostic::error(
                    node.location.clone(),
                    format!("{what} is a mapping, found {found}"),
                )
                .help(
                    match &node.content {
                        Content::Scalar { text, .. } => suggest::short::form(what, text),
                        Content::List(_) | Content::Map(_) => None,
                    }
                    .unwrap_or_else(|| format!("its keys: {}", names.join(", "))),
                ),
            );
            return None;
        };
        let known: Vec<&'static str> = keys.iter().map(|key| key.name).collect();
        let mut spoiled = Vec::new();
        for entry in entries {
            let name = entry.key.value.as_str();
            if !known.contains(&name) {
                let at = entry.key.location.clone();
                let mut unknown = Diagnostic::error(at, format!("{what} has no key `{name}`"));
                let foreign = suggest::foreign::cure(what, name);
                unknown.help = match foreign {
                    Some(cure) => Some(cure.help(name)),
                    None => suggest::help(name, &known),
                };
                self.report.push(unknown);
                let meant = match foreign {
                    Some(cure) => known.iter().find(|key| Some(**key) == cure.meant()).copied(),
                    None => suggest::nearest(name, known.iter().copied()),
                };
                spoiled.extend(meant);
            }
        }
        for key in keys.iter().filter(|key| key.required) {
            let meant = spoiled.contains(&key.name);
            if !meant && !entries.iter().any(|entry| entry.key.value == key.name) {
                let at = entries.first().map_or(&node.location, |entry| &entry.key.location);
                let message = format!("{what} lacks its key `{}`", key.name);
                let mut missing = Diagnostic::error(at.clone(), message);
                if key.name == "version" {
                    missing = missing.help("a configuration begins with `version: v1`");
                }
                self.report.push(missing);
            }
        }
        Some(Members { entries, spoiled })
    }
}

/// A key of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) required: bool,
}

/// Several lists of keys as one; `N` is how many they are together.
pub(crate) const fn joined<const N: usize>(lists: &[&[Key]]) -> [Key; N] {
    let mut all = [Key { name: "", required: false }; N];
    let (mut list, mut at) = (0, 0);
    while list < lists.len() {
        let mut index = 0;
        while index < lists[list].len() {
            all[at] = lists[list][index];
            (index, at) = (index + 1, at + 1);
        }
        list += 1;
    }
    all
}

/// What stands in a mapping.
pub(crate) struct Members<'n> {
    entries: &'n [crate::tree::Entry],
    pub(crate) spoiled: Vec<&'static str>,
}

impl Members<'_> {
    pub(crate) fn read<S: Shape>(
        &mut self,
        key: &'static str,
        reader: &mut Reader<'_>,
    ) -> Field<S> {
        let entry = self.entries.iter().find(|entry| entry.key.value == key)?;
        if entry.value.is_null() {
            reader.report.push(
                Diagnostic::error(entry.key.location.clone(), format!("`{key}` has no value"))
                    .help("give it one, or remove the key"),
            );
            self.spoiled.push(key);
            return None;
        }
        let Some(value) = S::read(&entry.value, reader) else {
            self.spoiled.push(key);
            return None;
        };
        // A collection is shown by its key: its first line says nothing of what it is.
        let location = match entry.value.content {
            Content::Scalar { .. } => &entry.value.location,
            Content::List(_) | Content::Map(_) => &entry.key.location,
        };
        Some(Located { value, location: location.clone() })
    }
}

/// A list of one shape.
pub(crate) struct List<S>(std::marker::PhantomData<S>);

impl<S: Shape> Shape for List<S> {
    type Value = Vec<Located<S::Value>>;

    fn read(node: &Node, reader: &mut Reader<'_>) -> Option<Self::Value> {
        let Content::List(items) = &node.content else {
            let found = node.describe();
            reader.report.push(
                Diagnostic::error(node.location.clone(), format!("expected a list, found {found}"))
                    .help(as_list(node, S::keys())),
            );
            return None;
        };
        let read = items.iter().filter_map(|item| {
            let location = match &item.content {
                Content::Map(entries) => entries.first().map(|entry| &entry.key.location),
                _ => None,
            };
            let location = location.unwrap_or(&item.location).clone();
            S::read(item, reader).map(|value| Located { value, location })
        });
        let read: Vec<_> = read.collect();
        // A list of which nothing can be read is not an empty one.
        (!read.is_empty() || items.is_empty()).then_some(read)
    }
}

impl<S: JsonSchema> JsonSchema for List<S> {
    fn schema_name() -> Cow<'static, str> {
        format!("ListOf{}", S::schema_name()).into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "array", "items": generator.subschema_for::<S>()})
    }
}

/// How what stands in place of a list is written as one.
fn as_list(node: &Node, keys: &[Key]) -> String {
    let has = |name: &str| keys.iter().any(|key| key.name == name);
    match &node.content {
        Content::Map(entries) => match entries.first().map(|entry| entry.key.value.as_str()) {
            Some(first) if has(first) => {
                "each item is a mapping in the list: start it with `- `, or write `[{...}]`"
                    .to_owned()
            }
            Some(first) if has("name") => {
                format!(
                    "each item has its `name`: `- name: {first}`, or `[{{name: {first}, ...}}]`"
                )
            }
            _ => "start each item with `- `, or write `[one, two]`".to_owned(),
        },
        Content::Scalar { text, .. } if keys.is_empty() && !text.is_empty() && text.len() < 60 => {
            // A star at the beginning would refer to an anchor.
            let quote = if text.starts_with('*') { "\"" } else { "" };
            format!("write `[{quote}{text}{quote}]`")
        }
        _ => "start each item with `- `, or write `[one, two]`".to_owned(),
    }
}

/// Gathers the schema of an object.
pub(crate) struct ObjectSchema {
    description: String,
    properties: Map<String, Value>,
    required: Vec<Value>,
}

impl ObjectSchema {
    pub(crate) fn new(description: &str) -> Self {
        let description = description.trim().to_owned();
        Self { description, properties: Map::new(), required: Vec::new() }
    }

    pub(crate) fn property<S: Shape>(
        &mut self,
        generator: &mut SchemaGenerator,
        key: Key,
        description: &str,
    ) {
        let mut schema = generator.subschema_for::<S>();
        schema.insert("description".to_owned(), description.trim().into());
        self.properties.insert(key.name.to_owned(), schema.to_value());
        if key.required {
            self.required.push(key.name.into());
        }
    }

    pub(crate) fn finish(self) -> Schema {
        let mut schema = json_schema!({
            "type": "object",
            "description": self.description,
            "properties": self.properties,
            "additionalProperties": false,
        });
        if !self.required.is_empty() {
            schema.insert("required".to_owned(), self.required.into());
        }
        schema
    }
}

/// One of a closed set of words.
pub(crate) fn word<'n>(node: &'n Node, reader: &mut Reader<'_>, words: &[&str]) -> Option<&'n str> {
    let listed = words.iter().map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ");
    let wanted = if words.len() == 1 { listed } else { format!("one of {listed}") };
    if let Content::Scalar { text, plain: true } = &node.content
        && old_boolean(text) == Some(false)
        && words.contains(&"disabled")
    {
        reader.report.push(
            Diagnostic::error(
                node.location.clone(),
                format!("`{text}` is a boolean to tools that read YAML 1.1"),
            )
            .help("write `disabled`"),
        );
        return None;
    }
    let text = reader.text(node, &wanted)?;
    if words.contains(&text) {
        return Some(text);
    }
    let mut wrong =
        Diagnostic::error(node.location.clone(), format!("expected {wanted}, found `{text}`"));
    wrong.help = suggest::foreign::word(text, words).or_else(|| {
        let meant = suggest::nearest(text, words.iter().copied())?;
        Some(format!("did you mean `{meant}`?"))
    });
    reader.report.push(wrong);
    None
}
