//! Listeners and routes of bytes that are passed on: `tcp` and `tls-passthrough`.
//!
//! What belongs to HTTP is refused here by name, so that nobody waits for a key to take effect.

use std::collections::HashMap;

use super::inherit::{Inheritance, built_in, within};
use super::route::Targets;
use super::{action, at, listener, policies, refuse};
use crate::diagnostics::{Diagnostic, Report};
use crate::location::{Located, Location, Origin};
use crate::model::{
    BalancePolicy, HashKey, ListenerId, ListenerKind, ListenerTls, ProxyProtocol, Retry,
    StreamKind, StreamListener, StreamRoute, StreamTimeouts, Trust, Upstream,
};
use crate::raw;
use crate::values::HostPattern;

pub(super) fn listener(
    raw: &raw::Listener,
    kind: StreamKind,
    inheritance: &Inheritance<'_>,
    report: &mut Report,
) -> Option<ListenerKind> {
    let tls = tls(raw, kind, report);
    let timeouts = raw.timeouts.as_ref();
    let (idle, body) = (within(timeouts, |one| &one.idle), within(timeouts, |one| &one.body));
    let kept = foreign(
        kind,
        [
            ("protocols", at(&raw.protocols)),
            ("requestLimits", at(&raw.request_limits)),
            ("headerUnderscores", at(&raw.header_underscores)),
            ("upgrades", at(&raw.upgrades)),
            ("timeouts.body", body.map(|one| &one.location)),
        ],
        report,
    );
    let idle = idle.map(|one| {
        let message = format!("a `{}` listener has no `timeouts.idle`", kind.word());
        report.push(
            Diagnostic::error(one.location.clone(), message)
                .help("its routes have one: `timeouts: {idle: 1h}`"),
        );
    });
    let trust = listener::trust(raw, report);
    let proxy_protocol =
        trust.as_ref().and_then(|trust| listener::proxy_protocol(raw, trust, report));
    if proxy_protocol == Some(ProxyProtocol::Disabled)
        && trust.as_ref().is_some_and(|trust| *trust != Trust::None)
        && let Some(vain) = at(&raw.trusted_proxies).or(at(&raw.trusted_hops))
    {
        let message = "they have no effect: `proxyProtocol` is disabled";
        report.push(Diagnostic::warning(vain.clone(), message));
    }
    let own = |one: Option<&Located<std::time::Duration>>, built_in| {
        inheritance.pick(one, Origin::Listener, |_| None, built_in)
    };
    let stream = StreamListener {
        kind,
        tls: tls?,
        connection_limits: listener::connection_limits(raw, inheritance),
        timeouts: StreamTimeouts {
            head: own(within(timeouts, |one| &one.head), built_in::HEAD),
            handshake: own(within(timeouts, |one| &one.handshake), built_in::HANDSHAKE),
        },
        trust: trust?,
        proxy_protocol: proxy_protocol?,
    };
    kept.filter(|()| idle.is_none()).map(|()| ListenerKind::Stream(Box::new(stream)))
}

fn tls(raw: &raw::Listener, kind: StreamKind, report: &mut Report) -> Option<Option<ListenerTls>> {
    let Some(tls) = &raw.tls else { return Some(None) };
    if kind == StreamKind::TlsPassthrough {
        report.push(
            Diagnostic::error(
                tls.location.clone(),
                "a `tls-passthrough` listener passes TLS on: it has no `tls` of its own",
            )
            .help("`kind: tcp` with `tls` decrypts"),
        );
        return None;
    }
    // What is inside is not known here, so nothing is agreed on.
    listener::lower_tls(tls, Vec::new(), report).map(Some)
}

/// Keys that only HTTP has.
pub(super) fn foreign<'a>(
    kind: StreamKind,
    given: impl IntoIterator<Item = (&'static str, Option<&'a Location>)>,
    report: &mut Report,
) -> Option<()> {
    let mut right = Some(());
    for (key, given) in given {
        let message = format!("`{key}` is for HTTP: a `{}` listener reads none", kind.word());
        right = right.and(refuse(given, message, report));
    }
    right
}

/// `bound` are the listeners of the route, all of the kind.
pub(super) fn route(
    raw: &Located<raw::Route>,
    kind: StreamKind,
    bound: Vec<ListenerId>,
    targets: &Targets<'_>,
    report: &mut Report,
) -> Option<StreamRoute> {
    let route = &raw.value;
    let timeouts = route.timeouts.as_ref();
    let foreign = foreign(
        kind,
        [
            ("redirect", at(&route.redirect)),
            ("reply", at(&route.reply)),
            ("rewrite", at(&route.rewrite)),
            ("host", at(&route.host)),
            ("sticky", at(&route.sticky)),
            ("requestHeaders", at(&route.request_headers)),
            ("responseHeaders", at(&route.response_headers)),
            ("allowEncodedSlash", at(&route.allow_encoded_slash)),
            ("grpcWeb", at(&route.grpc_web)),
            ("websocket", at(&route.websocket)),
            ("requestLimits", at(&route.request_limits)),
            ("timeouts.response", within(timeouts, |one| &one.response).map(|one| &one.location)),
            ("timeouts.perTry", within(timeouts, |one| &one.per_try).map(|one| &one.location)),
        ]
        .into_iter()
        .chain(route.policies.for_http()),
        report,
    );
    let policies = policies::of_route(route, &bound, targets.policies, report);
    let sni = sni(route, kind, report);
    let backends = match &route.backends {
        Some(listed) => action::backends(listed, targets, report),
        None if route.spoiled.contains(&"backends") || foreign.is_none() => None,
        None => {
            let message = format!("a route of a `{}` listener needs `backends`", kind.word());
            report.push(
                Diagnostic::error(raw.location.clone(), message)
                    .help("`backends: [{upstream: <name>}]`"),
            );
            None
        }
    };
    // The idle time of `defaults` is meant for responses, and far too short here.
    let idle = targets.inheritance.pick(
        within(timeouts, |one| &one.idle),
        Origin::Route,
        |_| None,
        built_in::STREAM_IDLE,
    );
    let retries = action::retries(route, targets.inheritance);
    let name = route.name.as_ref()?;
    foreign?;
    Some(StreamRoute {
        name: name.value.clone(),
        location: name.location.clone(),
        listeners: bound,
        sni: sni?,
        backends: backends?,
        idle,
        retry: Retry { retries },
        policies: policies?,
    })
}

fn sni(route: &raw::Route, kind: StreamKind, report: &mut Report) -> Option<Vec<HostPattern>> {
    let Some(matcher) = &route.matcher else { return Some(Vec::new()) };
    if kind == StreamKind::Tcp {
        let message = "a `tcp` listener reads nothing that a route could match";
        refuse(Some(&matcher.location), message, report);
        return None;
    }
    let one = &matcher.value;
    let mut right = foreign(
        kind,
        [
            ("path", at(&one.path)),
            ("methods", at(&one.methods)),
            ("headers", at(&one.headers)),
            ("query", at(&one.query)),
            ("cookies", at(&one.cookies)),
        ],
        report,
    );
    if let Some(hosts) = &one.hosts {
        report.push(
            Diagnostic::error(hosts.location.clone(), "the host of a request is not seen here")
                .help("`sni` is the name that the client asks for"),
        );
        right = None;
    }
    let names = super::matching::listed("name", &one.sni, report)?;
    for name in one.sni.iter().flat_map(|listed| &listed.value) {
        if matches!(&name.value, HostPattern::Exact(host) if is_address(host)) {
            let message = "clients ask for a name, never for an address";
            right = right.and(refuse(Some(&name.location), message, report));
        }
    }
    right.map(|()| names)
}

fn is_address(host: &str) -> bool {
    host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok()
}

/// Warns of routes that earlier ones hide, and of upstreams that cannot do here what they are
/// configured for.
pub(super) fn check(
    routes: &[StreamRoute],
    kind_of: impl Fn(ListenerId) -> Option<StreamKind>,
    upstreams: Option<&[Upstream]>,
    report: &mut Report,
) {
    let mut taken: HashMap<(ListenerId, Option<&HostPattern>), &StreamRoute> = HashMap::new();
    for route in routes {
        let names: Vec<_> = match &route.sni[..] {
            [] => vec![None],
            names => names.iter().map(Some).collect(),
        };
        let claims = route.listeners.iter().flat_map(|at| names.iter().map(|name| (*at, *name)));
        let claims: Vec<_> = claims.collect();
        let first = claims.first().and_then(|claim| taken.get(claim)).copied();
        if let Some(first) = first
            && claims.iter().all(|claim| taken.contains_key(claim))
        {
            let message = format!("the route `{}` is never reached", route.name);
            report.push(
                Diagnostic::warning(route.location.clone(), message)
                    .related(first.location.clone(), "an earlier route takes the same connections"),
            );
        }
        for claim in claims {
            taken.entry(claim).or_insert(route);
        }
        let passes_tls =
            route.listeners.first().and_then(|at| kind_of(*at)) == Some(StreamKind::TlsPassthrough);
        for backend in &route.backends {
            if let Some(upstream) = upstreams.and_then(|all| all.get(backend.upstream.0)) {
                suits(upstream, &backend.location, passes_tls, report);
            }
        }
    }
}

fn suits(upstream: &Upstream, place: &Location, passes_tls: bool, report: &mut Report) {
    if let BalancePolicy::RingHash(key) | BalancePolicy::Maglev(key) =
        &upstream.load_balancer.policy.value
        && *key != HashKey::SourceIp
    {
        let message = format!(
            "the upstream `{}` hashes what only a request has: endpoints are chosen at random",
            upstream.name
        );
        report.push(
            Diagnostic::warning(place.clone(), message)
                .related(upstream.location.clone(), "the upstream stands here")
                .help("`hash: {sourceIp: true}`"),
        );
    }
    if passes_tls && upstream.tls.is_some() {
        let message =
            format!("what is TLS already is wrapped in that of the upstream `{}`", upstream.name);
        report.push(
            Diagnostic::warning(place.clone(), message)
                .related(upstream.location.clone(), "the upstream stands here"),
        );
    }
}
