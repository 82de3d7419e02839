//! The layers of the proxy's modules, as ARCHITECTURE.md draws them: a module imports only what
//! stands beneath it in the drawing. That the drawing is right is all that this file holds.
//!
//! It reads texts, as the other files here do: paths that begin with `crate::`, and none that leave
//! their module by `super::`. What is compiled for tests alone may know anything.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::files::{files, root, shown};

/// The line after which the drawing begins.
const HEADING: &str = "### The layers of the proxy";

#[test]
fn modules_of_the_proxy_import_only_what_is_beneath_them() {
    let root = root();
    let architecture = std::fs::read_to_string(root.join("ARCHITECTURE.md")).unwrap();
    let ranks = ranks(&architecture);
    let source = root.join("proxy/src");
    let library = std::fs::read_to_string(source.join("lib.rs")).unwrap();
    let declared: BTreeSet<_> = library.lines().filter_map(declared_module).collect();
    let mut wrong = String::new();
    for name in &declared {
        if !ranks.contains_key(*name) {
            writeln!(wrong, "`{name}` stands in no layer of the drawing").unwrap();
        }
    }
    for name in ranks.keys().filter(|name| !declared.contains(**name)) {
        writeln!(wrong, "the drawing has `{name}`, which is no module").unwrap();
    }
    let files = of_the_proxy(&source);
    assert!(files.len() > 200, "{} files: the walk is broken", files.len());
    let mut arrows = 0;
    for file in &files {
        let path = module_path(file.strip_prefix(&source).unwrap());
        let Some(own) = path.first() else { continue };
        let text = std::fs::read_to_string(file).unwrap();
        for reference in references(&text, path.len()) {
            arrows += 1;
            let fault = match reference {
                Reference::Out => "leaves its module by `super::`: say `crate::`".to_owned(),
                Reference::To(name) if name == *own => continue,
                Reference::To(name) => match (ranks.get(&*name), ranks.get(&**own)) {
                    (Some(other), Some(own)) if other < own => continue,
                    (None, _) => format!("imports `{name}`, which is no module"),
                    _ => format!("imports `{name}`, which is not beneath `{own}`"),
                },
            };
            writeln!(wrong, "{}: {fault}", shown(file, &root)).unwrap();
        }
    }
    assert!(arrows > 500, "{arrows} imports: the reading is broken");
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// What is drawn, each with its rank: the ground has the lowest, and on a line the first has.
fn ranks(architecture: &str) -> BTreeMap<&str, usize> {
    let (_, after) = architecture.split_once(HEADING).unwrap();
    let drawing = after.split("```").nth(1).unwrap();
    let lines = drawing.lines().skip(1).filter(|line| !line.is_empty());
    // The first word of a line names the layer.
    let lines: Vec<Vec<_>> = lines.map(|line| line.split_whitespace().skip(1).collect()).collect();
    let from_the_ground = lines.into_iter().rev().flatten().enumerate();
    let mut ranks = BTreeMap::new();
    for (rank, name) in from_the_ground {
        assert!(ranks.insert(name, rank).is_none(), "`{name}` is drawn twice");
    }
    ranks
}

fn declared_module(line: &str) -> Option<&str> {
    let line = line.strip_prefix("pub(crate) ").or(line.strip_prefix("pub ")).unwrap_or(line);
    line.strip_prefix("mod ")?.strip_suffix(';')
}

/// The files that are compiled into the library.
fn of_the_proxy(source: &Path) -> Vec<PathBuf> {
    let all: Vec<_> = files("rs").into_iter().filter(|file| file.starts_with(source)).collect();
    let mut of_tests = BTreeSet::new();
    for file in &all {
        let path = module_path(file.strip_prefix(source).unwrap());
        let text = std::fs::read_to_string(file).unwrap();
        let declared = text.split("#[cfg(test)]\n").skip(1).filter_map(|rest| {
            declared_module(rest.trim_start().lines().next()?).map(str::to_owned)
        });
        of_tests.extend(declared.map(|name| [&path[..], &[name]].concat()));
    }
    let is_of_tests = |file: &PathBuf| {
        let path = module_path(file.strip_prefix(source).unwrap());
        (1..=path.len()).any(|length| of_tests.contains(&path[..length]))
    };
    all.into_iter().filter(|file| !is_of_tests(file)).collect()
}

/// `relay/request.rs` is `["relay", "request"]`; the library itself has no name.
fn module_path(file: &Path) -> Vec<String> {
    let mut path: Vec<_> =
        file.with_extension("").iter().map(|it| it.to_string_lossy().into_owned()).collect();
    path.retain(|name| name != "mod" && name != "lib");
    path
}

/// What a file knows of the others.
#[derive(Debug, PartialEq, Eq)]
enum Reference {
    /// A module of the library, by its whole path.
    To(String),
    /// A path that goes up to the library by `super::`.
    Out,
}

/// All of them in a file that is `depth` modules below the library, without its tests.
fn references(text: &str, depth: usize) -> Vec<Reference> {
    let code = without_tests(text);
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let whole_word = !code[..at].ends_with(|it: char| it.is_alphanumeric() || it == '_');
        if whole_word {
            found.extend(first_names(&code[at + "crate::".len()..]).map(Reference::To));
        }
    }
    let out = "super::".repeat(depth);
    found.extend(code.match_indices(&out).map(|_| Reference::Out));
    found
}

/// The code of a file alone: no comments, and nothing that is compiled for tests.
fn without_tests(text: &str) -> String {
    let (code, _) = text.split_once("#[cfg(test)]\nmod tests").unwrap_or((text, ""));
    let mut lines = Vec::new();
    let mut of_tests = false;
    for line in code.lines() {
        let code = line.split("//").next().unwrap_or_default();
        // Of an item, only the first line is left out: the others import nothing.
        if !std::mem::replace(&mut of_tests, code.trim() == "#[cfg(test)]") {
            lines.push(code);
        }
    }
    lines.join("\n")
}

/// The first name of a path, or of each path in its group.
fn first_names(path: &str) -> impl Iterator<Item = String> {
    let Some(group) = path.strip_prefix('{') else {
        return vec![name(path)].into_iter();
    };
    let mut names = Vec::new();
    let (mut depth, mut begins) = (0, 0);
    for (at, letter) in group.char_indices() {
        match letter {
            ',' | '}' if depth == 0 => {
                names.push(name(&group[begins..at]));
                begins = at + 1;
                if letter == '}' {
                    break;
                }
            }
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
    }
    names.retain(|name| !name.is_empty());
    names.into_iter()
}

fn name(path: &str) -> String {
    path.trim_start().chars().take_while(|it| it.is_alphanumeric() || *it == '_').collect()
}

#[test]
fn imports_are_read_however_they_are_written() {
    let check = |text: &str, expected: &[&str]| {
        let found = references(text, 2).into_iter().map(|found| match found {
            Reference::To(name) => name,
            Reference::Out => "out".to_owned(),
        });
        assert_eq!(found.collect::<Vec<_>>(), expected, "{text}");
    };
    check("use crate::route::Table;", &["route"]);
    check("use crate::route;\nfn f() -> crate::tls::Facts {}", &["route", "tls"]);
    check("use crate::{io, route::{Table, Route}, tls};", &["io", "route", "tls"]);
    check("use crate::{\n    io,\n    route::{self, Table},\n};", &["io", "route"]);
    check("pub(crate) use crate::io::Io as Other;", &["io"]);
    check("$crate::io::Io", &["io"]);
    check("use super::super::route::Table;", &["out"]);
    check("use super::route::Table;\nuse self::a::b;\nmycrate::x", &[]);
    check("/// [`x`](crate::route)\n// crate::io\nlet a = 1; // crate::tls", &[]);
    check("use crate::a::B;\n#[cfg(test)]\nmod tests {\n    use crate::c::D;\n}", &["a"]);
    check("#[cfg(test)]\nuse crate::a::B;\nuse crate::c::D;", &["c"]);
}

#[test]
fn the_drawing_is_read_from_the_ground_up() {
    let text = format!("{HEADING}\nWords.\n\n```text\nupper   c  d\nground  a b\n```\nmore");
    let expected = BTreeMap::from([("a", 0), ("b", 1), ("c", 2), ("d", 3)]);
    assert_eq!(ranks(&text), expected);
}
