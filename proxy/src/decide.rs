//! Decides what to do with a request, from its head alone.
//!
//! No I/O: time, randomness and live state are inputs. So the data path and `explain` run the same
//! code and cannot disagree. No other module decides. The order of the steps is written here, the
//! order of a route's policies in [`policy`](crate::policy):
//!
//! 1. Memory. Near its memory limit the process does not route.
//! 2. The connection. A host of another certificate is refused (421).
//! 3. Normalise path and host. All later steps read the normalised request.
//! 4. Route.
//! 5. The policies of the route, or of the listener if no route matches. A policy that is not
//!    configured costs nothing.
//! 6. Act: redirect, reply, or plan a forward. A forward checks the gRPC deadline, the WebSocket
//!    handshake and the body limit. These checks follow the policies, so that a client that is not
//!    admitted learns of no limit.
//!
//! A policy may need an answer first ([`Step::Ask`]). The driver finds the answer and calls
//! [`resume`].

mod facts;
mod normalise;
mod step;

use std::sync::Arc;

use portcullis_config::model::HostHandling;

pub use facts::{Facts, LISTENERS_ASKED, Site};
pub(crate) use normalise::normalise;
use step::Position;
pub use step::{HostSource, PathSource, Pause, Plan, ProxyReply, Rejection, Resumable, Step};

use crate::cause::{Cause, Rule};
use crate::error::Reason;
use crate::message::Framing;
use crate::policy::Policy;
use crate::policy::grpc::Call;
use crate::policy::judge::{Answer, Inspected, Lists, Verdict};
use crate::policy::redirect::RedirectParts;
use crate::route::{Action, Forward, Normalised, Route};
use crate::target::path::has_encoded_slash;
use crate::websocket::handshake::{self, Handshake};
use normalise::{NormalisedRequest, again};

/// Buffers of one request, reused from request to request.
#[derive(Debug, Default)]
pub struct DecisionScratch {
    path: Vec<u8>,
    host: Vec<u8>,
    /// The rewritten path, or the location of a redirect.
    made: Vec<u8>,
    /// The path was not written as it was matched.
    normalised: bool,
    /// Policies of the route that have let the request pass.
    passed: Option<usize>,
    /// What policies say of the request that goes up and of the response that comes back.
    pub lists: Lists,
    /// The request is a gRPC call, or a gRPC-Web call that is translated. Also set for a refusal, which
    /// is then written in gRPC's form.
    pub call: Option<Call>,
    /// The request asks for a WebSocket, and the listener allows it.
    pub handshake: Option<Handshake>,
}

impl DecisionScratch {
    /// The path as it was matched, where that differs from how it was written.
    pub fn normalised_path(&self) -> Option<&[u8]> {
        self.normalised.then_some(&self.path)
    }

    /// The location of the redirect that was decided last.
    pub fn location(&self) -> &[u8] {
        &self.made
    }

    /// How many policies have let the request pass; the next one has stopped it, if there is one.
    /// `None` where the request did not come so far.
    pub fn policies_passed(&self) -> Option<usize> {
        self.passed
    }

    /// Forgets the decision of the previous request.
    pub fn clear(&mut self) {
        self.normalised = false;
        self.passed = None;
        self.lists.clear();
        self.call = None;
        self.handshake = None;
    }
}

/// What a decision leaves in the scratch, besides its step.
struct Results<'s> {
    lists: &'s mut Lists,
    passed: &'s mut Option<usize>,
    made: &'s mut Vec<u8>,
    call: &'s mut Option<Call>,
    handshake: &'s mut Option<Handshake>,
}

/// Decides on a request.
pub fn decide<'t>(
    site: &Site<'t, '_>,
    facts: &Facts<'_>,
    scratch: &mut DecisionScratch,
) -> Step<'t> {
    scratch.clear();
    let DecisionScratch { path, host, made, normalised, passed, lists, call, handshake } = scratch;
    let head = &facts.head;
    for name in site.identity_headers {
        lists.request.remove(name);
    }
    *call = Call::of(head.fields(), || facts.received);
    let reject = |cause: Cause, route| Step::Reject(Rejection { cause, route });

    if facts.memory_full {
        return reject(Reason::MemoryLimit.into(), None);
    }
    if site.tls.is_some_and(|tls| tls.misdirected(facts.sni, head.authority())) {
        return reject(Rule::OtherCertificate.in_request(), None);
    }
    let request = match normalise(head, path, host) {
        Ok(request) => request,
        Err(rule) => return reject(rule.in_request(), None),
    };
    *normalised = request.path == PathSource::Normalised;
    let found = find(site, &request);
    // Checked after routing, because only a route can allow it. It is a refusal, not a mismatch, so
    // that no other route takes the request.
    if !found.is_some_and(|route| route.allow_encoded_slash) && has_encoded_slash(request.seen.path)
    {
        return reject(Rule::PathSlash.in_request(), found);
    }
    if let Some(Action::Forward(forward)) = found.map(|route| &route.action)
        && forward.grpc_web
    {
        // Known before any policy refuses, whose refusal its clients must be able to read.
        *call = Call::of_web(head.fields(), facts.received).or(*call);
    }
    let route = found.ok_or_else(|| missed(site, &request));
    let policies = found.map_or(site.policies, |route| route.policies.at(site.listener));
    let position = Position { route, policies, next: 0, path: request.path };
    let results = Results { lists, passed, made, call, handshake };
    go_on(site, facts, &request, results, position, None)
}

/// Continues a decision whose question is answered, with the same `facts` and `scratch`.
pub fn resume<'t>(
    site: &Site<'t, '_>,
    facts: &Facts<'_>,
    scratch: &mut DecisionScratch,
    resumable: Resumable<'t>,
    answer: Answer,
) -> Step<'t> {
    let Resumable(position) = resumable;
    let DecisionScratch { path, host, made, passed, lists, call, handshake, .. } = scratch;
    let results = Results { lists, passed, made, call, handshake };
    match again(&facts.head, position.path, path, host) {
        Ok(request) => go_on(site, facts, &request, results, position, Some(answer)),
        Err(rule) => {
            Step::Reject(Rejection { cause: rule.in_request(), route: position.route.ok() })
        }
    }
}

/// The route of a request. A CORS preflight is routed by the method that it asks for; otherwise a
/// route for `POST` would never see its preflights.
fn find<'t>(site: &Site<'t, '_>, request: &NormalisedRequest<'_>) -> Option<&'t Arc<Route>> {
    if let Some(method) = preflight_method(&request.seen) {
        let asked = site.table.find(&Normalised { method, ..request.seen });
        let has_cors = |route: &&Arc<Route>| {
            route.policies.at(site.listener).iter().any(Policy::answers_preflights)
        };
        if let Some(route) = asked.filter(has_cors) {
            return Some(route);
        }
    }
    site.table.find(&request.seen)
}

/// The method that a preflight asks for (Fetch, section 4.8).
fn preflight_method<'a>(seen: &Normalised<'a>) -> Option<&'a [u8]> {
    if seen.method != b"OPTIONS" || seen.fields.first("origin").is_none() {
        return None;
    }
    seen.fields.first("access-control-request-method")
}

/// Why no route was found.
#[cold]
fn missed(site: &Site<'_, '_>, request: &NormalisedRequest<'_>) -> Cause {
    let here = site.table.missed(&request.seen);
    let elsewhere = (site.elsewhere)(&request.seen);
    if elsewhere { Rule::NoRouteListener.in_request() } else { here.in_request() }
}

/// The policies that are left, then the action.
fn go_on<'t>(
    site: &Site<'t, '_>,
    facts: &Facts<'_>,
    request: &NormalisedRequest<'_>,
    results: Results<'_>,
    position: Position<'t>,
    mut answer: Option<Answer>,
) -> Step<'t> {
    let Position { route, policies, next, .. } = position;
    let inspected = Inspected {
        head: facts.head,
        host: request.seen.host,
        path: request.seen.path,
        client: facts.client,
        tls: facts.tls,
    };
    *results.passed = Some(next);
    for (index, policy) in policies.iter().enumerate().skip(next) {
        let verdict = match answer.take() {
            Some(answer) => policy.resume(&inspected, results.lists, answer),
            None => policy.judge(&inspected, results.lists),
        };
        match verdict {
            Verdict::Pass => *results.passed = Some(index + 1),
            Verdict::Refuse(cause) => {
                return Step::Reject(Rejection { cause, route: route.ok() });
            }
            Verdict::Answer(reason) => return Step::Respond(empty(route.ok(), reason)),
            Verdict::Ask(question) => {
                let position = Position { next: index, ..position };
                return Step::Ask(Pause { question, position });
            }
        }
    }
    match route {
        Ok(route) => act(site, facts, request, route, results),
        Err(cause) => Step::Reject(Rejection { cause, route: None }),
    }
}

/// What the route does with a request that its policies let pass.
fn act<'t>(
    site: &Site<'t, '_>,
    facts: &Facts<'_>,
    request: &NormalisedRequest<'_>,
    route: &'t Arc<Route>,
    results: Results<'_>,
) -> Step<'t> {
    match &route.action {
        Action::Redirect(redirect) => {
            let source = RedirectParts {
                tls: facts.tls,
                local_port: facts.local_port,
                authority: request.authority,
                path: request.seen.path,
                query: request.seen.query,
            };
            match redirect.locate(&source, results.made) {
                Ok(()) => Step::Respond(ProxyReply {
                    status: redirect.status,
                    has_location: true,
                    ..empty(Some(route), Reason::Redirected)
                }),
                Err(rule) => {
                    Step::Reject(Rejection { cause: rule.in_request(), route: Some(route) })
                }
            }
        }
        Action::Reply(reply) => Step::Respond(ProxyReply {
            status: reply.status,
            content_type: reply.content_type.as_deref(),
            body: &reply.body,
            ..empty(Some(route), Reason::Replied)
        }),
        Action::Forward(forward) => match plan(site, facts, request, (route, forward), results) {
            Ok(plan) => Step::Plan(plan),
            Err(cause) => Step::Reject(Rejection { cause, route: Some(route) }),
        },
    }
}

/// An answer without a body.
fn empty<'t>(route: Option<&'t Arc<Route>>, reason: Reason) -> ProxyReply<'t> {
    ProxyReply {
        route,
        reason,
        status: reason.status(),
        content_type: None,
        body: b"",
        has_location: false,
    }
}

fn plan<'t>(
    site: &Site<'t, '_>,
    facts: &Facts<'_>,
    request: &NormalisedRequest<'_>,
    (route, forward): (&'t Arc<Route>, &'t Forward),
    results: Results<'_>,
) -> Result<Plan<'t>, Cause> {
    let call = *results.call;
    if call.is_some_and(|call| call.is_over(facts.now)) {
        return Err(Reason::Deadline.into());
    }
    *results.handshake = handshake::wanted(&facts.head, site.upgrades, || facts.random_key)
        .map_err(Rule::in_request)?;
    let body_limit = route.body_limit.unwrap_or(site.body_limit);
    if let Framing::Length(length) = facts.head.parts.framing
        && length > body_limit
        // Of a call whose messages are followed the limit is for each of them.
        && !(forward.follows_messages && call.is_some_and(|call| call.web.is_none()))
    {
        return Err(Rule::BodyLimit.in_request());
    }
    let shown = forward.sticky.as_ref().and_then(|it| it.read(&request.seen.fields));
    let backend = shown
        .and_then(|it| forward.backends.by_key(it.backend))
        .unwrap_or_else(|| forward.backends.pick(facts.random));
    let path = match &forward.rewrite {
        None => request.path,
        Some(rewrite) => {
            rewrite.apply(request.seen.path, results.made).map_err(Rule::in_request)?;
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
            // An HTTP/1.0 request may have no host; the upstream gets one anyway.
            HostHandling::Preserve | HostHandling::Upstream => HostSource::Endpoint,
        },
        sticky: forward.sticky.as_ref().map(|it| it.stick(shown, backend.key)),
        retries: forward.retries,
        body_limit,
    })
}

#[cfg(test)]
mod tests;
