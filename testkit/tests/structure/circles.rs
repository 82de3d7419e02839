//! The modules of each crate are layers: what one imports does not import it back.
//!
//! A module is known here by its path; what it is for, no rule asks.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;

use super::source::{code, paths, split_off_tests};
use super::{metadata, text};
use crate::files::files;

/// Crates whose layers are listed one by one elsewhere.
const LISTED: &[&str] = &["portcullis-proxy"];

/// Crates whose files are free of circles too, parents and children included.
const BY_FILE: &[&str] = &["shop-users"];

/// Circles that are still there: the crate, and all that it has in them. The list only shrinks.
const KNOWN: &[(&str, &[&str])] = &[(
    // A policy has its keys, its value and its view in one file, which the model and the reader know.
    "portcullis-config",
    &["load", "lower", "model", "policy", "raw", "suggest"],
)];

/// The root stands in the place of whatever is declared in it.
const ROOT: &str = "(root)";

#[test]
fn modules_do_not_import_each_other_in_circles() {
    let metadata = metadata();
    let mut wrong = String::new();
    for package in metadata["packages"].as_array().unwrap() {
        let name = text(package, "name");
        if LISTED.contains(&name) {
            continue;
        }
        let folder = Path::new(text(package, "manifest_path")).parent().unwrap().join("src");
        let modules = Modules::read(&folder);
        let depth = if BY_FILE.contains(&name) { usize::MAX } else { 1 };
        let circles = circles(modules.imports(depth));
        let known = KNOWN.iter().find(|(of, _)| *of == name).map_or(&[][..], |(_, known)| known);
        if !circles.keys().eq(known) {
            writeln!(wrong, "{name}: {known:?} are known to be in circles, and these are:")
                .unwrap();
            for (module, imported) in circles {
                writeln!(wrong, "    {module} imports {imported:?}").unwrap();
            }
        }
    }
    assert!(wrong.is_empty(), "\n{wrong}");
}

/// Who imports whom.
type Imports = BTreeMap<String, BTreeSet<String>>;

/// What is left when all is taken away, again and again, that imports none of the rest or is
/// imported by none: the circles, and what stands between two of them.
fn circles(mut imports: Imports) -> Imports {
    loop {
        let imported: BTreeSet<String> = imports.values().flatten().cloned().collect();
        let before = imports.len();
        imports.retain(|module, to| imported.contains(module) && !to.is_empty());
        if imports.len() == before {
            let left: BTreeSet<String> = imports.keys().cloned().collect();
            if imports.values().all(|to| to.is_subset(&left)) {
                return imports;
            }
            imports.values_mut().for_each(|to| to.retain(|module| left.contains(module)));
        }
    }
}

/// The code of a crate without its tests, by the path of its modules; the root's is empty.
struct Modules(BTreeMap<Vec<String>, String>);

impl Modules {
    fn read(folder: &Path) -> Self {
        let has_library = folder.join("lib.rs").exists();
        let files = files("rs").into_iter().filter_map(|path| {
            let name = path.strip_prefix(folder).ok()?.with_extension("");
            let text = std::fs::read_to_string(&path).unwrap();
            Some((name.to_str()?.replace('\\', "/"), text))
        });
        // Beside a library, a program is a crate of its own.
        Self::of(files.filter(|(name, _)| name != "main" || !has_library))
    }

    /// Of files, by their names without the ending.
    fn of(files: impl Iterator<Item = (String, String)>) -> Self {
        let modules = files.filter_map(|(name, text)| {
            let mut path: Vec<_> = name.split('/').map(str::to_owned).collect();
            if path.iter().any(|part| part == "tests") {
                return None;
            }
            if matches!(name.as_str(), "lib" | "main")
                || path.last().is_some_and(|last| last == "mod")
            {
                path.pop();
            }
            Some((path, split_off_tests(&code(&text)).0))
        });
        Self(modules.collect())
    }

    /// Which module names something of which other. Modules deeper than `depth` count as the one
    /// that they are in.
    fn imports(&self, depth: usize) -> Imports {
        let shown = |module: &[String]| match &module[..module.len().min(depth)] {
            [] => ROOT.to_owned(),
            path => path.join("::"),
        };
        let mut imports = Imports::new();
        for (module, code) in &self.0 {
            let from = imports.entry(shown(module)).or_default();
            let targets = paths(code).into_iter().filter_map(|path| self.target(module, &path));
            from.extend(targets.map(shown));
        }
        for (module, to) in &mut imports {
            to.remove(module);
        }
        imports
    }

    /// The module of this crate that a path leads into, named in `module`.
    fn target(&self, module: &[String], path: &[&str]) -> Option<&[String]> {
        let ups = path.iter().take_while(|part| **part == "super").count();
        let (base, rest) = match path.first().copied()? {
            "crate" => (&[][..], &path[1..]),
            "self" => (module, &path[1..]),
            "super" => (&module[..module.len().checked_sub(ups)?], &path[ups..]),
            _ => (module, path),
        };
        let mut full = base.to_vec();
        full.extend(rest.iter().map(|part| (*part).to_owned()));
        let is_relative = ups == 0 && !["crate", "self"].contains(&path[0]);
        let at_least = if is_relative { base.len() + 1 } else { 0 };
        let known =
            (at_least..=full.len()).rev().find_map(|end| self.0.get_key_value(&full[..end]));
        known.map(|(module, _)| module.as_slice())
    }
}

#[test]
fn circles_are_found() {
    let check = |depth, files: &[(&str, &str)], expected: &[&str]| {
        let files = files.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
        let circles = circles(Modules::of(files).imports(depth));
        assert!(circles.keys().eq(expected), "{circles:?} {expected:?}");
    };
    let ends = [("lib", "mod a; mod b; use a::X;"), ("a", "use crate::b::Y;"), ("b", "pub Y")];
    check(1, &ends, &[]);
    check(
        1,
        &[("lib", "use a::X;"), ("a", "use crate::b;"), ("b", "use super::a::X;")],
        &["a", "b"],
    );
    check(1, &[("lib", "use a::X;"), ("a", "fn x(state: crate::State) {}")], &[ROOT, "a"]);
    check(
        1,
        &[("a", "use crate::{b::c::X, d};"), ("b/c", "d::e()"), ("d", "crate::a::f()")],
        &["a", "d"],
    );
    check(1, &[("a", "// crate::b\n#[cfg(test)]\nuse crate::b;"), ("b", "use crate::a;")], &[]);
    check(1, &[("a", "use crate::b;"), ("b/tests/c", "use crate::a;"), ("b", "")], &[]);
    // Within one module of the top, and so for each file alone.
    let within = [("a", "mod b; mod c;"), ("a/b", "use super::c;"), ("a/c", "use super::b::X;")];
    check(1, &within, &[]);
    check(usize::MAX, &within, &["a::b", "a::c"]);
    // Between two circles stands what both need to be one; beside them nothing is named.
    let two =
        [("a", "crate::b"), ("b", "crate::a; crate::c;"), ("c", "crate::d"), ("d", "crate::e")];
    check(
        1,
        &[&two[..], &[("e", "crate::d"), ("f", "crate::a")]].concat(),
        &["a", "b", "c", "d", "e"],
    );
}
