//! From a normalised request to its route, at a cost that does not grow with the routes.
//!
//! Precedence is that of the Gateway API (HTTPRoute). It is the order in which candidates are
//! visited, written once in [`Table::visit`]: the first one whose remaining conditions hold wins.
//!
//! 1. Host: exact, then the longest wildcard, then any host.
//! 2. Path: exact, then regex, then the longest prefix. The Gateway API leaves the place of
//!    regexes open; behind the prefixes a catch-all `/` would hide every one of them.
//! 3. A method, then more headers, then more query parameters, then more cookies.
//! 4. The order of the file.
//!
//! A candidate that fails hides nothing: less specific paths are tried, then less specific hosts.
//!
//! Exact paths are a map, prefixes a tree of segments that is walked down once and climbed back.
//! Regexes alone are tried one by one, and only in hosts that have any.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::Arc;

use ahash::RandomState;
use portcullis_config::model::ListenerId;
use regex::Regex;

use super::Route;
use super::matcher::{HostTest, Mismatch, Normalised, PathTest, regex_matches};
use crate::cause::Rule;
use crate::target::host;

type Map<V> = HashMap<Box<[u8]>, V, RandomState>;

/// The routes of one listener.
#[derive(Debug, Default)]
pub struct Table {
    exact: Map<Paths>,
    /// By suffix, without its `*.`.
    wildcards: Map<Paths>,
    /// No suffix is longer, so nothing longer is looked up.
    longest_wildcard: usize,
    any: Paths,
    /// In the order of the file.
    routes: Vec<Arc<Route>>,
}

/// What became of a candidate.
#[derive(Debug, Clone, Copy)]
pub enum RouteVerdict<'t> {
    /// All conditions hold and nothing more specific took the request.
    Taken,
    /// All conditions hold, but this more specific route took the request.
    Outranked(&'t Arc<Route>),
    Lost(Mismatch<'t>),
}

impl Table {
    /// `routes` in the order of the file; all are taken, whatever listeners they name.
    pub fn build(routes: &[Arc<Route>]) -> Self {
        let mut table = Self { routes: routes.to_vec(), ..Self::default() };
        for route in routes {
            if route.matcher.hosts.is_empty() {
                table.any.insert(route);
            }
            for host in &route.matcher.hosts {
                let paths = match host {
                    HostTest::Exact(host) => table.exact.entry(host.clone()).or_default(),
                    HostTest::Suffix(suffix) => {
                        table.longest_wildcard = table.longest_wildcard.max(suffix.len());
                        table.wildcards.entry(suffix.clone()).or_default()
                    }
                };
                paths.insert(route);
            }
        }
        let hosts = table.exact.values_mut().chain(table.wildcards.values_mut());
        hosts.chain(std::iter::once(&mut table.any)).for_each(Paths::sort);
        table
    }

    /// The routes that one listener carries.
    pub fn for_listener(routes: &[Arc<Route>], listener: ListenerId) -> Self {
        let carried = routes.iter().filter(|route| route.listeners.contains(&listener));
        Self::build(&carried.cloned().collect::<Vec<_>>())
    }

    /// All routes, in the order of the file.
    pub fn routes(&self) -> &[Arc<Route>] {
        &self.routes
    }

    /// All routes, each once, in the order in which [`Table::visit`] would come to them if every
    /// host and path matched; a route of several hosts stands where its most specific one does.
    /// Hosts and paths of equal rank are ordered by name.
    pub fn in_order(&self) -> Vec<&Arc<Route>> {
        let mut wildcards: Vec<_> = self.wildcards.iter().collect();
        wildcards.sort_by_key(|(suffix, _)| (Reverse(suffix.len()), &**suffix));
        let mut exact: Vec<_> = self.exact.iter().collect();
        exact.sort_by_key(|(host, _)| &***host);
        let hosts = exact.into_iter().chain(wildcards).map(|(_, paths)| paths);
        let mut found = std::collections::HashSet::new();
        let candidates = hosts.chain(std::iter::once(&self.any)).flat_map(Paths::in_order);
        candidates.filter(|route| found.insert(route.id)).collect()
    }

    /// The route of a request.
    pub fn find(&self, request: &Normalised<'_>) -> Option<&Arc<Route>> {
        let taken = self.visit(request, |route| match route.matcher.conditions(request) {
            Ok(()) => ControlFlow::Break(route),
            Err(_) => ControlFlow::Continue(()),
        });
        taken.break_value()
    }

    /// Why [`Table::find`] found nothing: the first of host, path, method and the rest that no
    /// route has. Looks at the same candidates, so that it costs as much.
    #[cold]
    pub fn missed(&self, request: &Normalised<'_>) -> Rule {
        let mut missed = None;
        let _ = self.visit(request, |route| {
            missed = match route.matcher.conditions(request) {
                Err(Mismatch::Method) => missed.or(Some(Rule::NoRouteMethod)),
                _ => Some(Rule::NoRouteMatch),
            };
            ControlFlow::<()>::Continue(())
        });
        missed.unwrap_or(if self.knows(request.host) {
            Rule::NoRoutePath
        } else {
            Rule::NoRouteHost
        })
    }

    /// Whether any route takes this host, with whatever path.
    fn knows(&self, host: &[u8]) -> bool {
        !self.any.is_empty()
            || self.exact.contains_key(host)
            || host::parents(host).any(|parent| self.wildcards.contains_key(parent))
    }

    /// Every candidate by host and path, in order of precedence, with what became of it. A route
    /// that is reached by several of its hosts is listed once.
    pub fn explain(&self, request: &Normalised<'_>) -> Vec<(&Arc<Route>, RouteVerdict<'_>)> {
        let mut candidates: Vec<(&Arc<Route>, RouteVerdict<'_>)> = Vec::new();
        let mut taken = None;
        let _ = self.visit(request, |route| {
            if candidates.iter().any(|(seen, _)| seen.id == route.id) {
                return ControlFlow::<()>::Continue(());
            }
            let verdict = match (route.matcher.conditions(request), taken) {
                (Err(mismatch), _) => RouteVerdict::Lost(mismatch),
                (Ok(()), Some(winner)) => RouteVerdict::Outranked(winner),
                (Ok(()), None) => {
                    taken = Some(route);
                    RouteVerdict::Taken
                }
            };
            candidates.push((route, verdict));
            ControlFlow::Continue(())
        });
        candidates
    }

    /// Shows each route whose host and path match, most specific first, until one is taken.
    fn visit<'t, B>(
        &'t self,
        request: &Normalised<'_>,
        mut show: impl FnMut(&'t Arc<Route>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        if !self.exact.is_empty()
            && let Some(paths) = self.exact.get(request.host)
        {
            paths.visit(request.path, &mut show)?;
        }
        if !self.wildcards.is_empty() {
            for parent in host::parents(request.host) {
                if parent.len() <= self.longest_wildcard
                    && let Some(paths) = self.wildcards.get(parent)
                {
                    paths.visit(request.path, &mut show)?;
                }
            }
        }
        self.any.visit(request.path, &mut show)
    }
}

/// Routes of one host and path pattern, in order of precedence.
type Bucket = Vec<Arc<Route>>;

/// The routes of one host pattern.
#[derive(Debug, Default)]
struct Paths {
    exact: Map<Bucket>,
    /// In order of precedence among themselves.
    regexes: Vec<(Regex, Arc<Route>)>,
    /// The first one is the root; present once any prefix is.
    prefixes: Vec<Node>,
}

/// A segment of one or more prefixes.
#[derive(Debug, Default)]
struct Node {
    parent: Option<usize>,
    children: Map<usize>,
    routes: Bucket,
}

impl Paths {
    fn is_empty(&self) -> bool {
        self.exact.is_empty() && self.regexes.is_empty() && self.prefixes.is_empty()
    }

    fn insert(&mut self, route: &Arc<Route>) {
        let bucket = match &route.matcher.path {
            PathTest::Exact(path) => self.exact.entry(path.clone()).or_default(),
            PathTest::Prefix(prefix) => {
                let node = self.grow(prefix);
                &mut self.prefixes[node].routes
            }
            PathTest::Regex(regex) => {
                self.regexes.push((regex.clone(), Arc::clone(route)));
                return;
            }
        };
        // The same pattern twice in one route is one candidate.
        if bucket.last().is_none_or(|last| last.id != route.id) {
            bucket.push(Arc::clone(route));
        }
    }

    fn grow(&mut self, prefix: &[u8]) -> usize {
        if self.prefixes.is_empty() {
            self.prefixes.push(Node::default());
        }
        let mut node = 0;
        for segment in segments(prefix) {
            let next = self.prefixes.len();
            let child = *self.prefixes[node].children.entry(segment.into()).or_insert(next);
            if child == next {
                self.prefixes.push(Node { parent: Some(node), ..Node::default() });
            }
            node = child;
        }
        node
    }

    /// Stable sorts: what is equal keeps the order of the file.
    fn sort(&mut self) {
        let buckets = self.exact.values_mut();
        for bucket in buckets.chain(self.prefixes.iter_mut().map(|node| &mut node.routes)) {
            bucket.sort_by_key(|route| route.matcher.precedence());
            bucket.shrink_to_fit();
        }
        self.regexes.sort_by_key(|(_, route)| route.matcher.precedence());
    }

    fn visit<'t, B>(
        &'t self,
        path: &[u8],
        show: &mut impl FnMut(&'t Arc<Route>) -> ControlFlow<B>,
    ) -> ControlFlow<B> {
        if !self.exact.is_empty()
            && let Some(bucket) = self.exact.get(path)
        {
            bucket.iter().try_for_each(&mut *show)?;
        }
        for (regex, route) in &self.regexes {
            if regex_matches(regex, path) {
                show(route)?;
            }
        }
        let mut climb = self.deepest(path);
        while let Some(node) = climb {
            node.routes.iter().try_for_each(&mut *show)?;
            climb = node.parent.map(|parent| &self.prefixes[parent]);
        }
        ControlFlow::Continue(())
    }

    fn in_order(&self) -> impl Iterator<Item = &Arc<Route>> {
        let mut exact: Vec<_> = self.exact.iter().collect();
        exact.sort_by_key(|(path, _)| &***path);
        let mut prefixes: Vec<_> = self.prefixes.iter().flat_map(|node| &node.routes).collect();
        // Stable: routes of one prefix keep their order.
        prefixes.sort_by_key(|route| {
            let prefix = route.matcher.prefix().unwrap_or_default();
            (Reverse(segments(prefix).count()), prefix)
        });
        let exact = exact.into_iter().flat_map(|(_, bucket)| bucket);
        exact.chain(self.regexes.iter().map(|(_, route)| route)).chain(prefixes)
    }

    /// The longest known prefix of a path, whether or not a route ends there.
    fn deepest(&self, path: &[u8]) -> Option<&Node> {
        let mut node = self.prefixes.first()?;
        for segment in segments(path) {
            if node.children.is_empty() {
                break;
            }
            match node.children.get(segment) {
                Some(child) => node = &self.prefixes[*child],
                None => break,
            }
        }
        Some(node)
    }
}

/// The segments of a path that starts with a slash; of the root and of `*`, none.
fn segments(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = path;
    std::iter::from_fn(move || {
        let inner = rest.strip_prefix(b"/")?;
        let end = memchr::memchr(b'/', inner).unwrap_or(inner.len());
        rest = &inner[end..];
        (end > 0).then(|| &inner[..end])
    })
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod unreached;
