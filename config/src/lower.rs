//! From what is written to what holds: defaults, references, and the rules between values.
//!
//! Everything that is wrong is reported in one run, so no step stops at the first error. The only
//! files it knows are those of the locations; nothing here touches the world.

mod action;
mod addresses;
mod bypass;
mod cover;
mod headers;
mod inherit;
mod listener;
mod matching;
mod names;
mod paths;
mod policies;
mod process;
mod reach;
mod route;
mod stream;
mod timeouts;
mod upstream;
mod websocket;

use std::collections::HashSet;

use crate::diagnostics::{Diagnostic, Report};
use crate::location::{Located, Location};
use crate::model::{Config, Listener, ListenerId, ListenerKind, Route, StreamRoute, Workers};
use crate::raw;
use inherit::Inheritance;
use names::Names;

/// Joins the documents of all files. `None` when the report holds errors.
pub(crate) fn lower(documents: &[&raw::Document], report: &mut Report) -> Option<Config> {
    let merged = Merged::new(documents, report);
    let inheritance = Inheritance::new(merged.defaults, report);

    let complete = |key| documents.iter().all(|one| !one.spoiled.contains(&key));
    let all = complete("listeners");
    let listener_names =
        Names::new("listener", merged.listeners.iter(), |one| &one.name, all, report);
    let all = complete("upstreams");
    let upstream_names =
        Names::new("upstream", merged.upstreams.iter(), |one| &one.name, all, report);
    Names::new("route", merged.routes.iter(), |one| &one.name, true, report);

    let kinds: Vec<_> = merged.listeners.iter().map(|one| listener::kind_of(&one.value)).collect();
    let of_listener =
        |one: &&Located<raw::Listener>| policies::of_listener(&one.value, &inheritance, report);
    let policies: Vec<_> = merged.listeners.iter().map(of_listener).collect();
    let targets = route::Targets {
        listeners: &listener_names,
        kinds: &kinds,
        policies: &policies,
        upstreams: &upstream_names,
        inheritance: &inheritance,
    };
    let with_policies: Vec<_> = merged.listeners.iter().zip(&policies).collect();
    let listeners = collect(&with_policies, |(one, policies)| {
        listener::lower(one, policies, &inheritance, report)
    });
    let upstreams = collect(&merged.upstreams, |one| upstream::lower(one, &inheritance, report));
    let routes = collect(&merged.routes, |one| route::lower(one, &targets, report)).map(by_kind);
    let admin = merged.admin.and_then(|one| process::admin(one, report));

    if merged.listeners.is_empty() && complete("listeners") {
        report.push(
            Diagnostic::error(None, "no file declares a listener")
                .help("`listeners: [{name: public, address: \"[::]:8080\"}]`"),
        );
    }
    addresses::check(&merged.listeners, merged.admin, report);
    if routes.is_some() {
        unused_upstreams(&merged, report);
    }
    if let Some((routes, stream_routes)) = &routes {
        let unreached = reach::check(routes, report);
        if let Some(listeners) = &listeners {
            let unbound = merged.routes.iter().filter(|route| route.value.listeners.is_none());
            let unbound = unbound.filter_map(|route| route.value.name.as_ref());
            let unbound = unbound.map(|name| name.value.as_str()).collect();
            bypass::check(routes, &unbound, &unreached, listeners, report);
        }
        action::check_grpc_web(routes, upstreams.as_deref(), report);
        let kind_of = |at: ListenerId| match &listeners.as_ref()?.get(at.0)?.kind {
            ListenerKind::Stream(stream) => Some(stream.kind),
            ListenerKind::Http(_) | ListenerKind::Status => None,
        };
        stream::check(stream_routes, kind_of, upstreams.as_deref(), report);
        if let Some(upstreams) = &upstreams {
            timeouts::check_connects(upstreams, routes, stream_routes, report);
        }
        if let Some(listeners) = &listeners {
            let bound = routes.iter().flat_map(|route| &route.listeners);
            let bound = bound.chain(stream_routes.iter().flat_map(|route| &route.listeners));
            idle_listeners(listeners, &bound.copied().collect(), report);
            policies::check(listeners, routes, stream_routes, report);
        }
    }
    let (routes, stream_routes) = routes.unzip();
    let config = Config {
        workers: merged.workers.map_or(Workers::Auto, |one| one.value),
        listeners: listeners?,
        upstreams: upstreams?,
        routes: routes?,
        stream_routes: stream_routes?,
        limits: process::limits(merged.limits),
        access_log: process::access_log(merged.access_log),
        admin,
        shutdown: process::shutdown(merged.shutdown),
    };
    (!report.has_errors()).then_some(config)
}

/// All of them, or nothing when one is wrong; every one is looked at either way, so that
/// indices never shift.
fn collect<T, U>(items: &[T], lower: impl FnMut(&T) -> Option<U>) -> Option<Vec<U>> {
    let lowered: Vec<_> = items.iter().map(lower).collect();
    lowered.into_iter().collect()
}

/// Each kind in the order of the file.
fn by_kind(lowered: Vec<route::Lowered>) -> (Vec<Route>, Vec<StreamRoute>) {
    let (mut routes, mut stream_routes) = (Vec::new(), Vec::new());
    for one in lowered {
        match one {
            route::Lowered::Http(route) => routes.push(*route),
            route::Lowered::Stream(route) => stream_routes.push(*route),
        }
    }
    (routes, stream_routes)
}

/// The documents of all files as one.
struct Merged<'a> {
    workers: Option<&'a Located<Workers>>,
    listeners: Vec<&'a Located<raw::Listener>>,
    defaults: Option<&'a Located<raw::Defaults>>,
    upstreams: Vec<&'a Located<raw::Upstream>>,
    routes: Vec<&'a Located<raw::Route>>,
    limits: Option<&'a Located<raw::Limits>>,
    access_log: Option<&'a Located<raw::AccessLog>>,
    admin: Option<&'a Located<raw::Admin>>,
    shutdown: Option<&'a Located<raw::Shutdown>>,
}

impl<'a> Merged<'a> {
    fn new(documents: &[&'a raw::Document], report: &mut Report) -> Self {
        Self {
            workers: single("workers", documents, |one| &one.workers, report),
            listeners: list(documents, |one| &one.listeners),
            defaults: single("defaults", documents, |one| &one.defaults, report),
            upstreams: list(documents, |one| &one.upstreams),
            routes: list(documents, |one| &one.routes),
            limits: single("limits", documents, |one| &one.limits, report),
            access_log: single("accessLog", documents, |one| &one.access_log, report),
            admin: single("admin", documents, |one| &one.admin, report),
            shutdown: single("shutdown", documents, |one| &one.shutdown, report),
        }
    }
}

fn list<'a, T: 'a>(
    documents: &[&'a raw::Document],
    key: impl Fn(&'a raw::Document) -> &'a raw::Items<T>,
) -> Vec<&'a Located<T>> {
    documents.iter().filter_map(|one| key(one).as_ref()).flat_map(|list| &list.value).collect()
}

/// A key that may stand in one of the files only.
fn single<'a, T: 'a>(
    name: &str,
    documents: &[&'a raw::Document],
    key: impl Fn(&'a raw::Document) -> &'a Option<Located<T>>,
    report: &mut Report,
) -> Option<&'a Located<T>> {
    let mut found = documents.iter().filter_map(|one| key(one).as_ref());
    let first = found.next()?;
    for other in found {
        report.push(
            Diagnostic::error(
                other.location.clone(),
                format!("`{name}` may stand in one file of a directory"),
            )
            .related(first.location.clone(), "it stands here too"),
        );
    }
    Some(first)
}

fn unused_upstreams(merged: &Merged<'_>, report: &mut Report) {
    let used: HashSet<_> = merged
        .routes
        .iter()
        .filter_map(|route| route.value.backends.as_ref())
        .flat_map(|backends| &backends.value)
        .filter_map(|backend| backend.value.upstream.as_ref())
        .map(|name| name.value.as_str())
        .collect();
    for name in merged.upstreams.iter().filter_map(|one| one.value.name.as_ref()) {
        if !used.contains(name.value.as_str()) {
            report.push(Diagnostic::warning(
                name.location.clone(),
                format!("no route uses the upstream `{}`", name.value),
            ));
        }
    }
}

fn idle_listeners(listeners: &[Listener], bound: &HashSet<ListenerId>, report: &mut Report) {
    for (index, listener) in listeners.iter().enumerate() {
        let does = match &listener.kind {
            ListenerKind::Http(_) => "it answers 404",
            ListenerKind::Stream(_) => "it closes every connection",
            ListenerKind::Status => continue,
        };
        if !bound.contains(&ListenerId(index)) {
            report.push(Diagnostic::warning(
                listener.location.clone(),
                format!("no route is bound to the listener `{}`: {does}", listener.name),
            ));
        }
    }
}

/// Reports a key that means nothing beside another.
fn refuse(given: Option<&Location>, message: impl Into<String>, report: &mut Report) -> Option<()> {
    match given {
        Some(at) => {
            report.push(Diagnostic::error(at.clone(), message));
            None
        }
        None => Some(()),
    }
}

/// Where a key stands, when it does.
fn at<T>(field: &Option<Located<T>>) -> Option<&Location> {
    field.as_ref().map(|one| &one.location)
}

/// A `true` that counts; `false` is as good as absent.
fn on(field: &Option<Located<bool>>) -> Option<&Location> {
    field.as_ref().filter(|one| one.value).map(|one| &one.location)
}

#[cfg(test)]
mod tests;
