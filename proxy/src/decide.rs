//! What is to be done with a request, from its head alone.
//!
//! Free of I/O: time, randomness and live state are inputs, so the data path, `explain` and a
//! replay are drivers of one code and cannot disagree. The order of the phases is written here
//! and nowhere else:
//!
//! 1. Normalise path and host. First, because everything after must read the same request.
//! 2. Route.
//! 3. Act: redirect, reply, or plan a forward (sticky or weighted backend, rewrite, host).
//!
//! Between 2 and 3 is the place of what may stop a request of a known route: CORS preflight,
//! address rules, limits that need no identity, authentication, authorization, other limits,
//! admission. Some of these must ask somebody (a limiter, a key fetch). They will make this a
//! resumable machine: [`Step`] gains `Ask(check)`, the position moves into [`Scratch`], and
//! `decide` is called again with the answer. Callers that treat the three steps below as the
//! final ones need no change for that.

use std::net::IpAddr;
use std::sync::Arc;

use portcullis_config::model::{HostHandling, UpstreamId};

use crate::cause::{Cause, Rule};
use crate::error::Reason;
use crate::message::{RequestHead, Span};
use crate::policy::redirect::Source;
use crate::policy::sticky::Sticky;
use crate::route::{Action, Forward, Normalised, Route, Table, Timeouts};
use crate::target::host::{self, Authority};
use crate::target::path::{self, EncodedSlash};

/// What is known of a request when its head has been read.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    pub head: RequestHead<'a>,
    /// The client's address, by a trusted peer's word or its own; `None` on a Unix socket.
    pub peer: Option<IpAddr>,
    /// Towards the client, by a trusted peer's word or as seen here.
    pub tls: bool,
    /// The name that the client asked for in its handshake.
    pub sni: Option<&'a str>,
    /// The port that the client used; `None` on a Unix socket, or where a trusted peer keeps it.
    pub local_port: Option<u16>,
    /// Uniformly distributed; chooses the backend.
    pub random: u64,
}

/// Buffers of one request, reused from request to request.
#[derive(Debug, Default)]
pub struct Scratch {
    path: Vec<u8>,
    host: Vec<u8>,
    /// The rewritten path, or the location of a redirect.
    made: Vec<u8>,
    /// The path was not written as it was matched.
    normalised: bool,
}

#[derive(Debug)]
pub enum Step<'t> {
    Reject(Rejection<'t>),
    Respond(ProxyReply<'t>),
    Plan(Plan<'t>),
}

/// Refused, with the route it had taken by then.
#[derive(Debug, Clone, Copy)]
pub struct Rejection<'t> {
    pub cause: Cause,
    pub route: Option<&'t Arc<Route>>,
}

/// An answer that the configuration gives. The route's response edits apply to it.
#[derive(Debug, Clone, Copy)]
pub struct ProxyReply<'t> {
    pub route: &'t Arc<Route>,
    pub reason: Reason,
    pub status: u16,
    pub content_type: Option<&'t str>,
    pub body: &'t [u8],
    /// The value of `location` is in the scratch: [`Scratch::location`].
    pub has_location: bool,
}

/// How a request is forwarded. It borrows the table alone: what depends on the request lies in
/// its head or its scratch and is read through the methods.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'t> {
    pub route: &'t Arc<Route>,
    pub forward: &'t Forward,
    pub upstream: UpstreamId,
    pub path: PathSource,
    pub host: HostSource<'t>,
    pub sticky: Option<Sticky<'t>>,
    pub timeouts: Timeouts,
    /// Extra tries.
    pub retries: u8,
}

/// Where the path to send lies. The query is that of the head, unchanged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PathSource {
    /// As the client wrote it.
    Head(Span),
    /// `/`, for the empty path of an absolute target.
    Root,
    Normalised,
    Rewritten,
}

/// The `host` to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HostSource<'t> {
    /// The authority of the head; never empty.
    Client,
    /// The name or address of whichever endpoint is chosen.
    Endpoint,
    Fixed(&'t str),
}

impl Plan<'_> {
    /// The path to send.
    pub fn path<'a>(&self, head: &RequestHead<'a>, scratch: &'a Scratch) -> &'a [u8] {
        match self.path {
            PathSource::Head(span) => span.of(head.bytes),
            PathSource::Root => b"/",
            PathSource::Normalised => &scratch.path,
            PathSource::Rewritten => &scratch.made,
        }
    }
}

impl Scratch {
    /// The path as it was matched, where that differs from how it was written.
    pub fn normalised_path(&self) -> Option<&[u8]> {
        self.normalised.then_some(&self.path)
    }

    /// The location of the redirect that was decided last.
    pub fn location(&self) -> &[u8] {
        &self.made
    }
}

/// Decides on a request.
pub fn decide<'t>(table: &'t Table, facts: &Facts<'_>, scratch: &mut Scratch) -> Step<'t> {
    let Scratch { path: path_scratch, host: host_scratch, made, normalised } = scratch;
    *normalised = false;
    let reject = |rule: Rule, route| Step::Reject(Rejection { cause: rule.in_request(), route });

    let request = match normalise(&facts.head, path_scratch, host_scratch) {
        Ok(request) => request,
        Err(rule) => return reject(rule, None),
    };
    *normalised = request.path == PathSource::Normalised;
    let found = table.find(&request.seen);
    // Kept until here because only a route can allow it; a refusal, not a mismatch, so that no
    // other route takes what this one must not.
    if !found.is_some_and(|route| route.allow_encoded_slash)
        && path::has_encoded_slash(request.seen.path)
    {
        return reject(Rule::PathSlash, found);
    }
    let Some(route) = found else {
        return reject(table.missed(&request.seen), None);
    };
    #[cfg(test)]
    if let Some(rule) = crate::policy::sample::judge(&facts.head) {
        return reject(rule, Some(route));
    }

    match &route.action {
        Action::Redirect(redirect) => {
            let source = Source {
                tls: facts.tls,
                local_port: facts.local_port,
                authority: request.authority,
                path: request.seen.path,
                query: request.seen.query,
            };
            match redirect.locate(&source, made) {
                Ok(()) => Step::Respond(ProxyReply {
                    route,
                    reason: Reason::Redirected,
                    status: redirect.status,
                    content_type: None,
                    body: b"",
                    has_location: true,
                }),
                Err(rule) => reject(rule, Some(route)),
            }
        }
        Action::Reply(reply) => Step::Respond(ProxyReply {
            route,
            reason: Reason::Replied,
            status: reply.status,
            content_type: reply.content_type.as_deref(),
            body: &reply.body,
            has_location: false,
        }),
        Action::Forward(forward) => match plan(route, forward, facts, &request, made) {
            Ok(plan) => Step::Plan(plan),
            Err(rule) => reject(rule, Some(route)),
        },
    }
}

/// A request in its normal form, with what routing does not look at.
pub(crate) struct Request<'a> {
    pub(crate) seen: Normalised<'a>,
    authority: Authority<'a>,
    path: PathSource,
}

/// The first phase; `explain` asks for it alone.
pub(crate) fn normalise<'a>(
    head: &RequestHead<'a>,
    path_scratch: &'a mut Vec<u8>,
    host_scratch: &'a mut Vec<u8>,
) -> Result<Request<'a>, Rule> {
    let written = head.path();
    // A tunnel has no path: nothing here could route it.
    if head.method() == b"CONNECT" {
        return Err(Rule::Connect);
    }
    let path = path::normalise(written, path_scratch, EncodedSlash::Keep)?;
    let source = if written.is_empty() {
        PathSource::Root
    } else if std::ptr::eq(path, written) {
        PathSource::Head(head.parts.path)
    } else {
        PathSource::Normalised
    };
    let authority = host::normalise(head.authority(), host_scratch)?;
    let seen = Normalised {
        host: authority.host,
        path,
        method: head.method(),
        query: head.query(),
        fields: head.fields(),
    };
    Ok(Request { seen, authority, path: source })
}

fn plan<'t>(
    route: &'t Arc<Route>,
    forward: &'t Forward,
    facts: &Facts<'_>,
    request: &Request<'_>,
    made: &mut Vec<u8>,
) -> Result<Plan<'t>, Rule> {
    let shown = forward.sticky.as_ref().and_then(|it| it.read(&request.seen.fields));
    let backend = shown
        .and_then(|it| forward.backends.by_key(it.backend))
        .unwrap_or_else(|| forward.backends.pick(facts.random));
    let path = match &forward.rewrite {
        None => request.path,
        Some(rewrite) => {
            rewrite.apply(request.seen.path, made)?;
            PathSource::Rewritten
        }
    };
    Ok(Plan {
        route,
        forward,
        upstream: backend.upstream,
        path,
        host: match &forward.host {
            HostHandling::Set(host) => HostSource::Fixed(host),
            HostHandling::Preserve if !request.authority.host.is_empty() => HostSource::Client,
            // HTTP/1.0 may name no host; the upstream gets one all the same.
            HostHandling::Preserve | HostHandling::Upstream => HostSource::Endpoint,
        },
        sticky: forward.sticky.as_ref().map(|it| it.stick(shown, backend.key)),
        timeouts: forward.timeouts,
        retries: forward.retries,
    })
}

#[cfg(test)]
mod tests;
