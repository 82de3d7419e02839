//! What a route does with its requests: forward, redirect or reply.

use regex::Regex;

use super::inherit::{Inheritance, built_in, within};
use super::matching::prefix;
use super::route::Targets;
use super::{at, refuse, timeouts, websocket};
use crate::diagnostics::{Diagnostic, Report};
use crate::location::{Located, Location, Origin, Sourced};
use crate::model::{
    Action, Backend, Forward, HostHandling, Redirect, RedirectPath, Reply, Retry, Rewrite, Route,
    StickyCookie, Upstream, UpstreamId, UpstreamProtocol,
};
use crate::raw;
use crate::text::Template;
use crate::values::Status;

pub(super) fn lower(
    raw: &Located<raw::Route>,
    targets: &Targets<'_>,
    report: &mut Report,
) -> Option<Action> {
    let route = &raw.value;
    let by_prefix = matches_by_prefix(route);
    match (&route.backends, &route.redirect, &route.reply) {
        (Some(backends), None, None) => forward(route, backends, by_prefix, targets, report),
        (None, Some(one), None) => {
            let local = local(route, report);
            let redirect = redirect(one, by_prefix, report)?;
            local.map(|()| Action::Redirect(redirect))
        }
        (None, None, Some(one)) => {
            let local = local(route, report);
            let reply = reply(one, report)?;
            local.map(|()| Action::Reply(reply))
        }
        _ if ["backends", "redirect", "reply"].iter().any(|key| route.spoiled.contains(key)) => {
            None
        }
        _ => {
            report.push(
                Diagnostic::error(
                    raw.location.clone(),
                    "a route has exactly one of `backends`, `redirect` and `reply`",
                )
                .help("`backends: [{upstream: <name>}]` forwards its requests"),
            );
            None
        }
    }
}

/// Whether the path that matched has a prefix that can be replaced.
fn matches_by_prefix(route: &raw::Route) -> bool {
    within(route.matcher.as_ref(), |one| &one.path).is_none_or(|path| path.value.prefix.is_some())
}

/// Keys that need an upstream.
fn local(route: &raw::Route, report: &mut Report) -> Option<()> {
    let given = [
        ("rewrite", at(&route.rewrite)),
        ("host", at(&route.host)),
        ("sticky", at(&route.sticky)),
        ("grpcWeb", super::on(&route.grpc_web)),
        ("requestHeaders", at(&route.request_headers)),
        ("timeouts", at(&route.timeouts)),
        ("retry", at(&route.retry)),
        ("websocket", at(&route.websocket)),
    ];
    let mut right = Some(());
    for (key, given) in given {
        let message = format!("`{key}` means nothing on a route without `backends`");
        right = right.and(refuse(given, message, report));
    }
    right
}

fn forward(
    route: &raw::Route,
    listed: &Located<Vec<Located<raw::Backend>>>,
    by_prefix: bool,
    targets: &Targets<'_>,
    report: &mut Report,
) -> Option<Action> {
    let backends = backends(listed, targets, report);
    let rewrite = match &route.rewrite {
        Some(one) => rewrite(one, by_prefix, report).map(Some),
        None => Some(None),
    };
    let timeouts = timeouts::lower(route, targets.inheritance, report);
    let retries = retries(route, targets.inheritance);
    let sticky = match &route.sticky {
        Some(sticky) => Some(StickyCookie {
            cookie: sticky.value.cookie.as_ref()?.value.clone(),
            max_age: sticky.value.max_age.as_ref().map(|one| one.value),
        }),
        None => None,
    };
    Some(Action::Forward(Box::new(Forward {
        backends: backends?,
        sticky,
        rewrite: rewrite?,
        host: route.host.as_ref().map_or(HostHandling::Preserve, |host| host.value.clone()),
        timeouts,
        retry: Retry { retries },
        grpc_web: super::on(&route.grpc_web).cloned(),
        websocket: websocket::lower(route.websocket.as_ref(), targets.inheritance, report),
    })))
}

pub(super) fn retries(route: &raw::Route, inheritance: &Inheritance<'_>) -> Sourced<u8> {
    inheritance.pick(
        within(route.retry.as_ref(), |one| &one.retries),
        Origin::Route,
        |defaults| within(defaults.retry.as_ref(), |one| &one.retries),
        built_in::RETRIES,
    )
}

pub(super) fn backends(
    listed: &Located<Vec<Located<raw::Backend>>>,
    targets: &Targets<'_>,
    report: &mut Report,
) -> Option<Vec<Backend>> {
    if listed.value.is_empty() {
        refuse(Some(&listed.location), "a route needs at least one backend", report)?;
    }
    let weight = |one: &Located<raw::Backend>| one.value.weight.as_ref().map_or(1, |one| one.value);
    if listed.value.iter().all(|one| weight(one) == 0) {
        let message = "the weights sum to nothing: no backend takes a request";
        refuse(Some(&listed.location), message, report);
    }
    let backends = super::collect(&listed.value, |one| {
        let name = one.value.upstream.as_ref()?;
        let index = targets.upstreams.find(name, report)?;
        Some(Backend {
            upstream: UpstreamId(index),
            weight: weight(one),
            location: name.location.clone(),
        })
    })?;
    for (index, backend) in backends.iter().enumerate() {
        let first = backends[..index].iter().find(|one| one.upstream == backend.upstream);
        if let Some(first) = first {
            report.push(
                Diagnostic::warning(backend.location.clone(), "this upstream stands twice")
                    .related(first.location.clone(), "it stands here first"),
            );
        }
    }
    Some(backends)
}

/// What translates to gRPC needs an upstream that can speak it.
pub(super) fn check_grpc_web(
    routes: &[Route],
    upstreams: Option<&[Upstream]>,
    report: &mut Report,
) {
    for route in routes {
        let Action::Forward(forward) = &route.action else { continue };
        let Some(said) = &forward.grpc_web else { continue };
        for backend in &forward.backends {
            let Some(upstream) = upstreams.and_then(|all| all.get(backend.upstream.0)) else {
                continue;
            };
            let speaks = match upstream.protocol {
                UpstreamProtocol::Http1 => false,
                UpstreamProtocol::Http2 => true,
                UpstreamProtocol::Auto => upstream.tls.is_some(),
            };
            if !speaks {
                let message = format!(
                    "gRPC needs HTTP/2, which the upstream `{}` is not spoken to in",
                    upstream.name
                );
                report.push(
                    Diagnostic::error(backend.location.clone(), message)
                        .related(said.clone(), "gRPC-Web is translated to gRPC here")
                        .help("`protocol: http2` in the upstream"),
                );
            }
        }
    }
}

fn rewrite(raw: &Located<raw::Rewrite>, by_prefix: bool, report: &mut Report) -> Option<Rewrite> {
    let one = &raw.value;
    match (&one.prefix, &one.path, &one.regex, &one.replacement) {
        (Some(new), None, None, None) => {
            needs_prefix(&new.location, by_prefix, report)?;
            Some(Rewrite::Prefix(prefix(&new.value)))
        }
        (None, Some(path), None, None) => Some(Rewrite::Path(path.value.clone())),
        (None, None, Some(pattern), Some(replacement)) => {
            if let Some(group) = unknown_group(&pattern.value, &replacement.value) {
                report.push(
                    Diagnostic::error(
                        replacement.location.clone(),
                        format!("the expression has no group `{group}`"),
                    )
                    .related(pattern.location.clone(), "the expression stands here")
                    .help("`${1}a` is group 1 and an `a`; `$1a` is the group named `1a`"),
                );
                return None;
            }
            Some(Rewrite::Regex {
                pattern: pattern.value.clone(),
                replacement: replacement.value.clone(),
            })
        }
        _ if !one.spoiled.is_empty() => None,
        _ => {
            let message = "`rewrite` is `prefix`, `path`, or `regex` with `replacement`";
            refuse(Some(&raw.location), message, report);
            None
        }
    }
}

fn needs_prefix(at: &Location, by_prefix: bool, report: &mut Report) -> Option<()> {
    let message = "`prefix` replaces a matched prefix: this route matches by another rule";
    refuse(Some(at).filter(|_| !by_prefix), message, report)
}

/// A group that a replacement names and the expression does not have: it would vanish silently.
fn unknown_group(pattern: &Regex, replacement: &str) -> Option<String> {
    let mut rest = replacement;
    while let Some(dollar) = rest.find('$') {
        rest = &rest[dollar + 1..];
        if let Some(after) = rest.strip_prefix('$') {
            rest = after;
            continue;
        }
        let name = match rest.strip_prefix('{') {
            Some(braced) => match braced.find('}') {
                Some(end) => &braced[..end],
                None => continue,
            },
            None => {
                let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
                &rest[..rest.bytes().take_while(|byte| word(*byte)).count()]
            }
        };
        let known = match name.parse::<usize>() {
            Ok(index) => index < pattern.captures_len(),
            Err(_) => pattern.capture_names().flatten().any(|known| known == name),
        };
        if !known && !name.is_empty() {
            return Some(name.to_owned());
        }
    }
    None
}

fn redirect(
    raw: &Located<raw::Redirect>,
    by_prefix: bool,
    report: &mut Report,
) -> Option<Redirect> {
    let one = &raw.value;
    let path = match (&one.path, &one.prefix) {
        (None, None) => None,
        (Some(path), None) => Some(RedirectPath::Full(path.value.clone())),
        (None, Some(new)) => {
            needs_prefix(&new.location, by_prefix, report)?;
            Some(RedirectPath::Prefix(prefix(&new.value)))
        }
        (Some(_), Some(new)) => {
            let message = "`redirect` has either `path` or `prefix`";
            refuse(Some(&new.location), message, report)?;
            None
        }
    };
    let status = match &one.status {
        None => Status::parse(302).ok()?,
        Some(status) => {
            if !matches!(status.value.code(), 301 | 302 | 303 | 307 | 308) {
                let message = "a redirect is 301, 302, 303, 307 or 308";
                refuse(Some(&status.location), message, report)?;
            }
            status.value
        }
    };
    if one.spoiled.is_empty()
        && one.scheme.is_none()
        && one.host.is_none()
        && one.port.is_none()
        && path.is_none()
    {
        let message = "this sends clients back to where they came from";
        refuse(Some(&raw.location), message, report)?;
    }
    Some(Redirect {
        scheme: one.scheme.as_ref().map(|scheme| scheme.value),
        host: one.host.as_ref().map(|host| host.value.clone()),
        port: one.port.as_ref().map(|port| port.value),
        path,
        status,
    })
}

fn reply(raw: &Located<raw::Reply>, report: &mut Report) -> Option<Reply> {
    let one = &raw.value;
    let status = match &one.status {
        None => Status::parse(200).ok()?,
        Some(status) => status.value,
    };
    if matches!(status.code(), 204 | 205 | 304) {
        refuse(at(&one.body), format!("a {} response has no body", status.code()), report)?;
    }
    let content_type = one.content_type.as_ref().map(|one| one.value.clone());
    let default_type = || one.body.as_ref().map(|_| "text/plain; charset=utf-8".to_owned());
    Some(Reply {
        status,
        content_type: content_type.or_else(default_type),
        body: one.body.as_ref().map_or_else(|| Template::plain(""), |body| body.value.clone()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_of_a_replacement() {
        let pattern = Regex::new("^/a/([0-9]+)/(?<rest>.*)$").unwrap();
        for (replacement, expected) in [
            ("/b/$1/$rest", None),
            ("/b/${1}x/${rest}$0", None),
            ("/b/$$5", None),
            ("/b/$1x", Some("1x")),
            ("/b/$3", Some("3")),
            ("/b/${other}", Some("other")),
            ("/b/$", None),
            ("/b/${", None),
        ] {
            let unknown = unknown_group(&pattern, replacement);
            assert_eq!(unknown.as_deref(), expected, "{replacement}");
        }
    }
}
