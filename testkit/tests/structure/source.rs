//! Rust source as far as the rules need it: code without comments and texts, split into what is
//! built and what is for tests, and the paths that are named in it.
//!
//! It is no parser. It knows where texts end and braces close; macros it reads like any code.

/// The code of a file, with the same lines: comments are blank, and so is what stands in texts.
pub(crate) fn code(text: &str) -> String {
    let characters: Vec<char> = text.chars().collect();
    let mut code = String::with_capacity(text.len());
    let mut at = 0;
    while at < characters.len() {
        let end = end_of_silence(&characters, at);
        if end > at {
            code.extend(characters[at..end].iter().map(|c| if *c == '\n' { '\n' } else { ' ' }));
            at = end;
        } else if is_word(characters[at]) {
            // A whole word at once: an `r` within one begins no text.
            let end = end_of(&characters, at, |c| !is_word(c));
            code.extend(&characters[at..end]);
            at = end;
        } else {
            code.push(characters[at]);
            at += 1;
        }
    }
    code
}

/// What is built, and what is built for tests alone; each with blanks in the place of the other.
pub(crate) fn split_off_tests(code: &str) -> (String, String) {
    const MARK: &str = "#[cfg(test)]";
    let (mut built, mut tests) = (String::new(), String::new());
    let blank = |text: &str| -> String {
        text.chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect()
    };
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        let length = length_of_item(&rest[start + MARK.len()..]);
        let (before, after) = rest.split_at(start);
        let (item, after) = after.split_at(MARK.len() + length);
        built.extend([before, &blank(item)]);
        tests.extend([&blank(before), item]);
        rest = after;
    }
    built.push_str(rest);
    tests.push_str(&blank(rest));
    (built, tests)
}

/// Every path that the code names, with the trees of `use` taken apart: `a::{b, c::d}` is `a::b`
/// and `a::c::d`.
pub(crate) fn paths(code: &str) -> Vec<Vec<&str>> {
    let words = words(code);
    let mut paths = Vec::new();
    let mut at = 0;
    while at < words.len() {
        if words[at] == "use" {
            at = tree(&words, at + 1, &[], &mut paths);
        } else if words[at] == "mod" {
            // It is declared, not asked for anything.
            at += 2;
        } else if words[at..].starts_with(&["pub", "("]) {
            // Who may see it: nothing is imported.
            at += words[at..].iter().position(|word| *word == ")").unwrap_or(0) + 1;
        } else if is_name(words[at]) {
            let start = at;
            while at + 2 < words.len() && words[at + 1] == "::" && is_name(words[at + 2]) {
                at += 2;
            }
            paths.push(words[start..=at].iter().copied().filter(|word| *word != "::").collect());
            at += 1;
        } else {
            at += 1;
        }
    }
    paths
}

/// One branch of a `use`, from a word on; the word behind it is returned.
fn tree<'a>(
    words: &[&'a str],
    mut at: usize,
    prefix: &[&'a str],
    paths: &mut Vec<Vec<&'a str>>,
) -> usize {
    let mut path = prefix.to_vec();
    let mut branched = false;
    while let Some(word) = words.get(at) {
        match *word {
            "{" => {
                branched = true;
                at += 1;
                while words.get(at).is_some_and(|word| *word != "}") {
                    at = tree(words, at, &path, paths);
                    if words.get(at) == Some(&",") {
                        at += 1;
                    }
                }
            }
            "," | "}" | ";" => break,
            // The new name is no part of the path.
            "as" => at += 1,
            "self" if !path.is_empty() => {}
            word if is_name(word) => path.push(word),
            _ => {}
        }
        at += 1;
    }
    if !branched {
        paths.push(path);
    }
    at
}

/// Names, `::`, and every other sign by itself.
pub(crate) fn words(code: &str) -> Vec<&str> {
    let mut words = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let length = if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else if rest.starts_with("::") {
            2
        } else {
            first.len_utf8()
        };
        words.push(&rest[..length]);
        rest = rest[length..].trim_start();
    }
    words
}

/// The length of the item at the beginning: to its `;`, its `,` or its closing brace.
fn length_of_item(code: &str) -> usize {
    let mut depth = 0_usize;
    for (at, character) in code.char_indices() {
        match character {
            '(' | '[' | '{' => depth += 1,
            // The item was the last of what is around it.
            ')' | ']' | '}' if depth == 0 => return at,
            ')' | ']' | '}' => {
                depth -= 1;
                if depth == 0 && character == '}' {
                    let end = at + 1;
                    return if code[end..].starts_with(';') { end + 1 } else { end };
                }
            }
            ';' | ',' if depth == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// Where a comment, a text or a character ends that begins here; here, if none does.
fn end_of_silence(characters: &[char], at: usize) -> usize {
    let here = &characters[at..];
    let starts = |text: &str| text.chars().eq(here.iter().copied().take(text.chars().count()));
    if starts("//") {
        return end_of(characters, at, |c| c == '\n');
    }
    if starts("/*") {
        let close = here.windows(2).position(|pair| pair == ['*', '/']);
        return close.map_or(characters.len(), |close| at + close + 2);
    }
    if let Some(hashes) = raw(here) {
        let mut close = vec!['"'];
        close.extend(std::iter::repeat_n('#', hashes));
        let open = here.iter().position(|c| *c == '"').unwrap_or(0) + 1;
        let end = here[open..].windows(close.len()).position(|window| window == close);
        return end.map_or(characters.len(), |end| at + open + end + close.len());
    }
    match here {
        ['"', ..] => quoted(characters, at + 1, '"'),
        ['b', '"', ..] => quoted(characters, at + 2, '"'),
        ['b', '\'', ..] => quoted(characters, at + 2, '\''),
        // Others are lifetimes.
        ['\'', '\\', ..] | ['\'', _, '\'', ..] => quoted(characters, at + 1, '\''),
        _ => at,
    }
}

/// The hashes of a raw text that begins here.
fn raw(here: &[char]) -> Option<usize> {
    let prefix = if here.starts_with(&['b', 'r']) { 2 } else { 1 };
    if here.get(prefix - 1) != Some(&'r') {
        return None;
    }
    let hashes = here[prefix..].iter().take_while(|c| **c == '#').count();
    (here.get(prefix + hashes) == Some(&'"')).then_some(hashes)
}

fn quoted(characters: &[char], mut at: usize, mark: char) -> usize {
    while at < characters.len() && characters[at] != mark {
        at += if characters[at] == '\\' { 2 } else { 1 };
    }
    (at + 1).min(characters.len())
}

fn end_of(characters: &[char], at: usize, stop: impl Fn(char) -> bool) -> usize {
    let length = characters[at..].iter().position(|c| stop(*c));
    length.map_or(characters.len(), |length| at + length)
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| is_word(c) && !c.is_ascii_digit())
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

#[test]
fn comments_and_texts_are_no_code() {
    let check = |text: &str, expected: &str| {
        let kept: Vec<_> = code(text).split_whitespace().map(str::to_owned).collect();
        assert_eq!(kept.join(" "), expected, "{text}");
    };
    check("a // b\nc", "a c");
    check("a /* b\n */ c", "a c");
    check(r#"a("b \" c", d)"#, "a( , d)");
    check(r##"a(r#"b " c"#, br"\", d)"##, "a( , , d)");
    check(r"a('b', '\'', b'\\', 'c'..='d')", "a( , , , ..= )");
    check("fn a<'b>(c: &'b str)", "fn a<'b>(c: &'b str)");
    check("bar(\"x\") var", "bar( ) var");
}

#[test]
fn tests_are_told_from_what_is_built() {
    let check = |code: &str, built: &str, tests: &str| {
        let (found, of_tests) = split_off_tests(code);
        assert_eq!((found.trim(), of_tests.trim()), (built, tests), "{code}");
    };
    check("a", "a", "");
    check("a #[cfg(test)] mod b;", "a", "#[cfg(test)] mod b;");
    check("#[cfg(test)] mod b { fn c() { d } } e", "e", "#[cfg(test)] mod b { fn c() { d } }");
    check("#[cfg(test)] fn b(c: D, e: F) { g } h", "h", "#[cfg(test)] fn b(c: D, e: F) { g }");
    check(
        "#[cfg(test)] #[allow(x)] use b::{c, d}; e",
        "e",
        "#[cfg(test)] #[allow(x)] use b::{c, d};",
    );
}

#[test]
fn paths_are_found_wherever_they_are_named() {
    let check = |code: &str, expected: &[&str]| {
        let found: Vec<_> = paths(code).iter().map(|path| path.join("::")).collect();
        assert_eq!(found, expected, "{code}");
    };
    check("use a::b;", &["a::b"]);
    check("use a::{self, b, c::{d, e as f}, g::*};", &["a", "a::b", "a::c::d", "a::c::e", "a::g"]);
    check("x = super::a::<B>() + c::D;", &["x", "super::a", "B", "c::D"]);
    check("pub(in super::a) mod b; c::d", &["c::d"]);
    check("#[e(paths(super::a::b, c))]", &["e", "paths", "super::a::b", "c"]);
}
