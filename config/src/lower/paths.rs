//! Whether every path that one pattern matches is matched by another, proved by their automata.
//!
//! Paths are those that the router sees: normalised, so without `//`, without what has to be
//! escaped, and with escapes in upper case. `*`, which only `OPTIONS` asks for, is none of them.

use std::collections::{HashMap, HashSet, hash_map::Entry};

use regex_automata::hybrid::LazyStateID;
use regex_automata::hybrid::dfa::{Cache, DFA};
use regex_automata::nfa::thompson;
use regex_automata::{Anchored, Input, MatchKind};

use crate::values::PathPattern;

/// What stands between two slashes.
const SEGMENT: &str = r"(?:[A-Za-z0-9\-._~!$&'()*+,;=:@]|%[0-9A-F]{2})+";
/// Bytes of paths.
const ALPHABET: &[u8] =
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:@/%";
/// Bytes of an automaton; larger ones are not looked at.
const AUTOMATON_BYTES: usize = 1 << 20;
/// Combinations of states that one proof looks at, and those of one file: each takes about 10 us.
const STATES: usize = 2_000;
const STATES_OF_ALL: usize = 50_000;

/// Proves, and remembers what it needed for that.
pub(super) struct Prover {
    /// By expression; `None` when it cannot be one.
    automata: HashMap<String, Option<Automaton>>,
    /// Proofs that may still be tried: a file with more is not worth the time.
    left: usize,
    states: usize,
}

impl Prover {
    pub(super) fn new(proofs: usize) -> Self {
        Self { automata: HashMap::new(), left: proofs, states: STATES_OF_ALL }
    }

    /// Whether `outer` surely matches every path that `inner` matches.
    pub(super) fn within(&mut self, inner: &PathPattern, outer: &PathPattern) -> bool {
        match (inner, outer) {
            (_, PathPattern::Prefix(outer)) if outer.is_empty() => true,
            (
                PathPattern::Exact(inner) | PathPattern::Prefix(inner),
                PathPattern::Prefix(outer),
            ) => inner
                .strip_prefix(outer.as_str())
                .is_some_and(|rest| rest.is_empty() || rest.starts_with('/')),
            (PathPattern::Exact(inner), PathPattern::Exact(outer)) => inner == outer,
            // Escapes are brought to their normal form elsewhere.
            (PathPattern::Exact(path) | PathPattern::Prefix(path), PathPattern::Regex(_))
                if path.contains('%') =>
            {
                false
            }
            (PathPattern::Exact(inner), PathPattern::Regex(outer)) => outer.is_match(inner),
            (PathPattern::Prefix(inner), PathPattern::Regex(outer)) => {
                // Most do not match all of these, which costs little to see.
                let root = if inner.is_empty() { "/" } else { inner };
                let tried = [root, &format!("{inner}/"), &format!("{inner}/~0.a/%7B-Z")];
                tried.iter().all(|path| outer.is_match(path))
                    && self.prove(&[&below(inner)], outer.as_str())
            }
            (PathPattern::Regex(inner), PathPattern::Regex(outer)) => {
                inner.as_str() == outer.as_str()
                    || self.prove(&[&below(""), inner.as_str()], outer.as_str())
            }
            (PathPattern::Regex(inner), PathPattern::Prefix(outer)) => {
                self.prove(&[&below(""), inner.as_str()], &below(outer))
            }
            (PathPattern::Prefix(_) | PathPattern::Regex(_), PathPattern::Exact(_)) => false,
        }
    }

    /// Whether what all of `inner` match is matched by `outer`; `false` also when that takes too
    /// long to see.
    fn prove(&mut self, inner: &[&str], outer: &str) -> bool {
        let Some(left) = self.left.checked_sub(1) else { return false };
        self.left = left;
        let expressions: Vec<&str> = inner.iter().copied().chain([outer]).collect();
        // All but the last are of `inner`.
        let mut walkers = Vec::new();
        for expression in &expressions {
            let automaton = self.automaton(expression);
            let Some(automaton) = automaton else { return false };
            walkers.push(automaton);
        }
        let mut states = self.states.min(STATES);
        let (asked, proved) = (states, included(&mut walkers, &mut states));
        self.states -= asked - states;
        proved.unwrap_or(false)
    }

    /// A copy shares the automaton, but not what has been found of it.
    fn automaton(&mut self, expression: &str) -> Option<Automaton> {
        match self.automata.entry(expression.to_owned()) {
            Entry::Occupied(known) => known.get().clone(),
            Entry::Vacant(place) => place.insert(Automaton::new(expression)).clone(),
        }
    }
}

/// Paths that a held prefix matches.
fn below(prefix: &str) -> String {
    if prefix.is_empty() {
        return format!(r"\A/(?:{SEGMENT}(?:/{SEGMENT})*/?)?\z");
    }
    format!(r"\A{}(?:/{SEGMENT})*/?\z", regex::escape(prefix))
}

#[derive(Clone)]
struct Automaton {
    dfa: DFA,
    cache: Cache,
}

impl Automaton {
    fn new(expression: &str) -> Option<Self> {
        let config = DFA::config()
            // Not the first match but any: what is asked is whether the whole path is in it.
            .match_kind(MatchKind::All)
            // No byte outside of ASCII is ever shown to it.
            .unicode_word_boundary(true)
            .cache_capacity(AUTOMATON_BYTES)
            // States keep their numbers: an automaton that outgrows its cache fails instead.
            .minimum_cache_clear_count(Some(0));
        let thompson = thompson::Config::new().nfa_size_limit(Some(AUTOMATON_BYTES));
        let dfa = DFA::builder().configure(config).thompson(thompson).build(expression).ok()?;
        let cache = dfa.create_cache();
        Some(Self { dfa, cache })
    }

    fn start(&mut self) -> Option<LazyStateID> {
        let input = Input::new("").anchored(Anchored::Yes);
        self.dfa.start_state_forward(&mut self.cache, &input).ok()
    }

    fn next(&mut self, state: LazyStateID, byte: u8) -> Option<LazyStateID> {
        let next = self.dfa.next_state(&mut self.cache, state, byte).ok()?;
        (!next.is_quit() && self.cache.clear_count() == 0).then_some(next)
    }

    /// Whether a path that ends here matches.
    fn accepts(&mut self, state: LazyStateID) -> Option<bool> {
        let end = self.dfa.next_eoi_state(&mut self.cache, state).ok()?;
        (!end.is_quit() && self.cache.clear_count() == 0).then_some(end.is_match())
    }
}

/// Walks all automata together over every path: none may end where all but the last accept.
/// `None` when there are too many states.
fn included(walkers: &mut [Automaton], states_left: &mut usize) -> Option<bool> {
    let start: Vec<_> = walkers.iter_mut().map(Automaton::start).collect::<Option<_>>()?;
    let mut seen = HashSet::from([start.clone()]);
    let mut open = vec![start];
    while let Some(states) = open.pop() {
        let accepted: Vec<_> = walkers
            .iter_mut()
            .zip(&states)
            .map(|(walker, state)| walker.accepts(*state))
            .collect::<Option<_>>()?;
        let (outer, inner) = accepted.split_last()?;
        if inner.iter().all(|accepts| *accepts) && !outer {
            return Some(false);
        }
        for byte in ALPHABET {
            let next: Vec<_> = walkers
                .iter_mut()
                .zip(&states)
                .map(|(walker, state)| walker.next(*state, *byte))
                .collect::<Option<_>>()?;
            // No path of `inner` goes on this way.
            let (_, inner) = next.split_last()?;
            if inner.iter().any(|state| state.is_dead()) || !seen.insert(next.clone()) {
                continue;
            }
            *states_left = states_left.checked_sub(1)?;
            open.push(next);
        }
    }
    Some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pattern(text: &str) -> PathPattern {
        match text.split_once(' ') {
            Some(("exact", path)) => PathPattern::Exact(path.to_owned()),
            Some(("prefix", path)) => PathPattern::Prefix(super::super::matching::prefix(path)),
            Some((_, regex)) => {
                PathPattern::Regex(regex::Regex::new(&format!(r"\A(?:{regex})\z")).unwrap())
            }
            None => panic!("{text}"),
        }
    }

    #[test]
    fn what_is_within() {
        for (inner, outer, expected) in [
            ("prefix /", "regex .*", true),
            ("prefix /", "regex /.*", true),
            ("prefix /", "regex ^/.*$", true),
            ("prefix /", "regex /.+", false),
            ("prefix /", "regex /[^/]*", false),
            ("prefix /", "regex (?:/[^/]*)+", true),
            ("prefix /", "regex (?:/[^/]+)*/?", true),
            ("prefix /", "regex (?s:.)*", true),
            ("prefix /", "regex [^?#]*", true),
            ("prefix /", r"regex \S+", true),
            ("prefix /", "regex /[a-z/]*", false),
            ("prefix /", "regex (?i)/[a-z0-9%/._~!$&'()*+,;=:@-]*", true),
            ("prefix /", r"regex (?:/(?:[\w.~!$&'()*+,;=:@-]|%[[:xdigit:]]{2})*)+", true),
            ("prefix /", r"regex (?:/(?:[\w.~!$&'()*+,;=:@-]|%[0-9a-f]{2})*)+", false),
            ("prefix /api", "regex /api/.*", false),
            ("prefix /api", "regex /api.*", true),
            ("prefix /api", "regex /api(/.*)?", true),
            ("prefix /api", "regex /api|/api/.*", true),
            ("prefix /api", "regex /(api|web)(/.*)?", true),
            ("prefix /api", "regex /(app|web)(/.*)?", false),
            ("prefix /api", "regex /a.*", true),
            ("prefix /a.b", "regex /a[.]b(/.*)?", true),
            ("prefix /a", r"regex /a\b.*", true),
            ("prefix /api/v1", r"regex /api/v\d+(/.*)?", true),
            ("prefix /api/v1", r"regex /api/v\d+/[^/]+", false),
            ("prefix /api", "regex /api(/[^/]+){0,3}/?", false),
            ("prefix /a%62", "regex .*", false),
            ("regex /api/[0-9]+", "regex /api/.*", true),
            ("regex /api/[0-9]+", "regex /api/[0-9]{1,9}", false),
            ("regex /api/[0-9]{1,3}", "regex /api/[0-9]+", true),
            ("regex /api/.*", "regex /api/[0-9]+", false),
            ("regex /a|/b", "regex /[ab]", true),
            ("regex .*", "regex /.*", true),
            ("regex /a//b", "regex /x", true),
            ("regex /a", "prefix /", true),
            ("regex /a/[0-9]+", "prefix /a", true),
            ("regex /a[0-9]+", "prefix /a", false),
            ("exact /a/b", "regex /a/.*", true),
            ("exact /a", "regex /a/.*", false),
            ("exact /a/b", "prefix /a", true),
            ("exact /ab", "prefix /a", false),
            ("prefix /a/b", "prefix /a", true),
            ("prefix /a", "prefix /a/b", false),
            ("prefix /a", "exact /a", false),
        ] {
            let found = Prover::new(1).within(&pattern(inner), &pattern(outer));
            assert_eq!(found, expected, "{inner}; {outer}");
        }
    }

    #[test]
    fn what_takes_too_long_is_not_proved() {
        let large = "regex /(?:[^/]*a[^/]{14}|.*)";
        assert!(!Prover::new(0).within(&pattern("prefix /"), &pattern("regex .*")));
        let found = Prover::new(1).within(&pattern("prefix /"), &pattern(large));
        assert!(!found, "too many states");
    }
}
