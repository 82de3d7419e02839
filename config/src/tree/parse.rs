//! From parser events to the tree, within bounds.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use granit_parser::{Event, Marker, Parser, ScalarStyle, Span};

use super::{Content, DEPTH, Entry, FILE_BYTES, NODES, Node};
use crate::diagnostics::{Diagnostic, Report};
use crate::location::{Located, Location};

/// Reads one document. `None` when there is none, or when the text is not YAML.
pub(crate) fn parse(file: &Arc<Path>, text: &str, report: &mut Report) -> Option<Node> {
    if text.len() > FILE_BYTES {
        report.push(Diagnostic::error(
            Location { file: file.clone(), line: 1, column: 1, start: 0, end: 0 },
            format!("a configuration file has at most {} MiB", FILE_BYTES / (1024 * 1024)),
        ));
        return None;
    }
    let options = granit_parser::options! {
        emit_unresolved_aliases: true,
        disallow_directives: true,
        flow_nesting_limit: DEPTH,
        block_nesting_limit: DEPTH,
    };
    let mut builder = Builder {
        file,
        text,
        report,
        open: Vec::new(),
        root: None,
        anchors: HashMap::new(),
        nodes: 0,
        documents: 0,
    };
    for next in Parser::new_from_str_with_options(text, options) {
        let step = match next {
            Ok((event, span)) => builder.event(event, span),
            Err(error) => {
                let at = builder.at(*error.marker(), *error.marker());
                builder.report.push(syntax(at, &error.info(), text));
                Err(Stop)
            }
        };
        if step.is_err() {
            return None;
        }
    }
    if builder.root.is_none() {
        let start = Location { file: file.clone(), line: 1, column: 1, start: 0, end: 0 };
        builder.report.push(
            Diagnostic::error(start, "the file holds no configuration")
                .help("`init` writes a commented starter file"),
        );
    }
    builder.root
}

fn syntax(at: Location, info: &str, text: &str) -> Diagnostic {
    let diagnostic = Diagnostic::error(at.clone(), format!("not valid YAML: {info}"));
    let line = text[..at.start].rfind('\n').map_or(0, |newline| newline + 1);
    let indent = text[line..].split(|character: char| character != ' ' && character != '\t').next();
    if indent.is_some_and(|indent| indent.contains('\t')) {
        return diagnostic.help("YAML is indented with spaces, never with tabs");
    }
    diagnostic
}

/// The report says why reading ends here.
struct Stop;

struct Builder<'a> {
    file: &'a Arc<Path>,
    text: &'a str,
    report: &'a mut Report,
    open: Vec<Open>,
    root: Option<Node>,
    anchors: HashMap<usize, Anchored>,
    nodes: usize,
    documents: usize,
}

/// A collection whose end has not come yet.
struct Open {
    location: Location,
    anchor: usize,
    first_node: usize,
    /// Levels below this one.
    depth: usize,
    kind: Kind,
}

enum Kind {
    List(Vec<Node>),
    Map { entries: Vec<Entry>, seen: HashMap<String, usize>, key: Option<Key> },
}

/// A key that waits for its value; one that cannot be used swallows it.
enum Key {
    Usable(Located<String>),
    Ignored,
}

/// What an alias stands for, and what it costs.
struct Anchored {
    node: Node,
    nodes: usize,
    depth: usize,
}

impl Builder<'_> {
    fn event(&mut self, event: Event<'_>, span: Span) -> Result<(), Stop> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    let at = self.at(span.start, span.end);
                    self.report.push(
                        Diagnostic::error(at, "a file holds one document")
                            .help("put the second one into a file of its own in a directory"),
                    );
                    return Err(Stop);
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                self.count(1, span)?;
                let location = self.at(span.start, span.end);
                let plain = style == ScalarStyle::Plain;
                let content = Content::Scalar { text: text.into_owned(), plain };
                self.close(Node { location, content }, anchor, 1, 0);
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                self.start(Kind::List(Vec::new()), anchor, span)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.refuse_tag(tag.is_some(), span);
                let (entries, seen) = (Vec::new(), HashMap::new());
                self.start(Kind::Map { entries, seen, key: None }, anchor, span)?;
            }
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(id) => self.alias(id, span)?,
            Event::UnresolvedAlias(name) => {
                let at = self.at(span.start, span.end);
                self.report.push(Diagnostic::error(
                    at.clone(),
                    format!("no anchor `&{name}` stands before this alias"),
                ));
                self.ignore(at);
            }
            _ => {}
        }
        Ok(())
    }

    fn start(&mut self, kind: Kind, anchor: usize, span: Span) -> Result<(), Stop> {
        self.count(1, span)?;
        self.check_depth(0, span)?;
        let location = self.at(span.start, span.end);
        self.open.push(Open { location, anchor, first_node: self.nodes, depth: 0, kind });
        Ok(())
    }

    fn end(&mut self) {
        let Some(open) = self.open.pop() else { return };
        let nodes = self.nodes - open.first_node + 1;
        let content = match open.kind {
            Kind::List(items) => Content::List(items),
            Kind::Map { entries, .. } => Content::Map(entries),
        };
        self.close(Node { location: open.location, content }, open.anchor, nodes, open.depth);
    }

    /// A complete node: remembered under its anchor, and given to what it stands in.
    fn close(&mut self, node: Node, anchor: usize, nodes: usize, depth: usize) {
        if anchor != 0 {
            // The copy costs as much as the original.
            self.nodes += nodes;
            self.anchors.insert(anchor, Anchored { node: node.clone(), nodes, depth });
        }
        self.place(node, depth);
    }

    fn alias(&mut self, id: usize, span: Span) -> Result<(), Stop> {
        let Some((nodes, depth)) = self.anchors.get(&id).map(|known| (known.nodes, known.depth))
        else {
            let at = self.at(span.start, span.end);
            self.report.push(Diagnostic::error(at.clone(), "an alias inside its own anchor"));
            self.ignore(at);
            return Ok(());
        };
        self.count(nodes, span)?;
        self.check_depth(depth, span)?;
        let node = self.anchors[&id].node.clone();
        self.place(node, depth);
        Ok(())
    }

    /// Stands where a value that cannot be known would have stood.
    fn ignore(&mut self, location: Location) {
        match self.open.last_mut().map(|open| &mut open.kind) {
            Some(Kind::Map { key, .. }) => {
                *key = if key.is_some() { None } else { Some(Key::Ignored) };
            }
            Some(Kind::List(_)) => {}
            None => self.root = Some(Node { location, content: Content::Map(Vec::new()) }),
        }
    }

    fn place(&mut self, node: Node, depth: usize) {
        let Some(open) = self.open.last_mut() else {
            self.root = Some(node);
            return;
        };
        open.depth = open.depth.max(depth + 1);
        match &mut open.kind {
            Kind::List(items) => items.push(node),
            Kind::Map { entries, seen, key } => match key.take() {
                None => {
                    let first = |text: &str| seen.get(text).map(|at| &entries[*at].key);
                    *key = Some(usable(node, first, self.report));
                }
                Some(Key::Ignored) => {}
                Some(Key::Usable(key)) => {
                    seen.insert(key.value.clone(), entries.len());
                    entries.push(Entry { key, value: node });
                }
            },
        }
    }

    fn refuse_tag(&mut self, tagged: bool, span: Span) {
        if tagged {
            let start = span.tag_start().unwrap_or(span.start);
            let at = self.at(start, start);
            self.report
                .push(Diagnostic::error(at, "tags are not used here").help("remove the `!` tag"));
        }
    }

    fn count(&mut self, nodes: usize, span: Span) -> Result<(), Stop> {
        self.nodes += nodes;
        if self.nodes <= NODES {
            return Ok(());
        }
        let at = self.at(span.start, span.end);
        self.report.push(Diagnostic::error(
            at,
            format!("a file holds at most {NODES} values, aliases expanded"),
        ));
        Err(Stop)
    }

    fn check_depth(&mut self, depth: usize, span: Span) -> Result<(), Stop> {
        if self.open.len() + depth < DEPTH {
            return Ok(());
        }
        let at = self.at(span.start, span.end);
        self.report.push(Diagnostic::error(at, format!("nested more than {DEPTH} levels deep")));
        Err(Stop)
    }

    /// Clipped to the line on which it starts: an excerpt shows one.
    fn at(&self, start: Marker, end: Marker) -> Location {
        let offset = |marker: Marker| {
            let byte = marker
                .byte_offset()
                .or_else(|| self.text.char_indices().nth(marker.index()).map(|(offset, _)| offset));
            let mut byte = byte.unwrap_or(self.text.len()).min(self.text.len());
            while !self.text.is_char_boundary(byte) {
                byte -= 1;
            }
            byte
        };
        let from = offset(start);
        let line_end = self.text[from..].find('\n').map_or(self.text.len(), |end| from + end);
        let to = offset(end).clamp(from, line_end);
        let to = from + self.text[from..to].trim_end().len();
        Location {
            file: self.file.clone(),
            line: u32::try_from(start.line().max(1)).unwrap_or(u32::MAX),
            column: u32::try_from(start.col() + 1).unwrap_or(u32::MAX),
            start: from,
            end: to,
        }
    }
}

/// A key must be a text that stands once.
fn usable<'a>(
    node: Node,
    first: impl Fn(&str) -> Option<&'a Located<String>>,
    report: &mut Report,
) -> Key {
    let Content::Scalar { text, .. } = node.content else {
        report.push(Diagnostic::error(node.location, "a key is a text"));
        return Key::Ignored;
    };
    if text == "<<" {
        report.push(
            Diagnostic::error(node.location, "merge keys (`<<`) are not part of YAML 1.2")
                .help("repeat the keys, or put common values under `defaults`"),
        );
        return Key::Ignored;
    }
    if let Some(first) = first(&text) {
        report.push(
            Diagnostic::error(node.location, format!("`{text}` stands twice in this mapping"))
                .related(first.location.clone(), "it stands here first"),
        );
        return Key::Ignored;
    }
    Key::Usable(Located { value: text, location: node.location })
}
