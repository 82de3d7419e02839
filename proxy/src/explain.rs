//! What would happen to a request, and why: runs [`decide`] for a hypothetical request.
//!
//! This module decides nothing. The step comes from [`decide`], the other routes from
//! [`Table::explain`], settings and their places from the configuration. Secrets are not shown: texts
//! are printed as they were written.

mod report;
mod request;
mod upgrade;
mod world;

use std::net::IpAddr;

use portcullis_config::model::{
    Action, Config, Forward, HeaderEdits, HeaderValueEdit, HttpListener, ListenAddress, Listener,
    ListenerId, ListenerKind,
};
use tokio::time::Instant;

pub use report::{
    BackendShare, Candidate, EffectiveSetting, ExplainedOutcome, Explanation, HeaderEditsView,
    PhaseVerdict,
};
pub use world::World;

use crate::cause::Rule;
use crate::decide::{
    DecisionScratch, Facts, HostSource, Plan, Site, Step, decide, normalise, resume,
};
use crate::error::Reason;
use crate::message::RequestHead;
use crate::policy::forwarded::is_claim;
use crate::policy::judge::Question as PolicyQuestion;
use crate::policy::provenance::{Peer, Provenance};
use crate::route::table::RouteVerdict;
use crate::route::{Mismatch, Normalised, Route, Table};
use crate::snapshot::request_rules;
use request::Url;

/// A request to explain.
#[derive(Debug, Clone, Copy)]
pub struct ExplainRequest<'a> {
    pub method: &'a str,
    /// `http://host/path?query`, `https://…`, or a path alone.
    pub url: &'a str,
    /// `host` among them overrides that of the URL.
    pub headers: &'a [(String, String)],
    /// Who connects; `None` over a Unix socket, or where it does not matter.
    pub peer: Option<IpAddr>,
    /// The name of a listener; else the one that the URL's scheme and port lead to.
    pub listener: Option<&'a str>,
    /// Sent by HTTP/2, not by HTTP/1.1.
    pub http2: bool,
    /// The name in the TLS handshake; default: that of the URL.
    pub server_name: Option<&'a str>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    #[error("`{0}` is not a method")]
    Method(String),
    #[error("`{0}` is neither an http or https URL nor a path")]
    Url(String),
    #[error("`{0}` is not a header that could be sent")]
    Header(String),
    #[error("no http listener is called `{0}`")]
    Listener(String),
    #[error("the configuration has no http listener")]
    NoListener,
    #[error("the request is too long")]
    TooLong,
}

/// Explains a request: the request is read, and decided on, by the code that serves.
///
/// # Errors
/// When the question is not about a request that could be sent.
pub fn explain(
    config: &Config,
    world: &World,
    question: &ExplainRequest<'_>,
) -> Result<Explanation, ExplainError> {
    let url = Url::parse(question.url)?;
    let (id, listener, http) = choose_listener(config, question, &url)?;
    let read = request::read(question, &url, &request_rules(http))?;
    let elsewhere = |seen: &Normalised<'_>| world.elsewhere(id, seen);
    let site = world
        .site(id, http, &elsewhere)
        .ok_or_else(|| ExplainError::Listener(listener.name.clone()))?;

    let named = question.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
    let authority = named.map_or(url.authority, |(_, host)| host);
    let mut report = Explanation {
        listener: listener.name.clone(),
        method: question.method.to_owned(),
        host: authority.to_owned(),
        path: url.path.to_owned(),
        route: None,
        location: None,
        phases: Vec::new(),
        candidates: Vec::new(),
        outcome: ExplainedOutcome::none(),
        request_headers: HeaderEditsView::default(),
        response_headers: HeaderEditsView::default(),
    };
    if let Some(cause) = read.refused {
        report.outcome = ExplainedOutcome::rejected(cause, read.call);
        let verdict = report.outcome.to_string();
        report.phases.push(PhaseVerdict { phase: "head", verdict });
        return Ok(report);
    }
    let head = read.head();
    let peer = Peer { address: question.peer, tls: http.tls.is_some() };
    // The ids of a trace decide nothing.
    let provenance = Provenance::judge(&head, &http.trust, peer, || (1, 1));
    let now = Instant::now();
    let server_name = question.server_name.or_else(|| url.server_name());
    let facts = Facts {
        head,
        client: provenance.forwarded_for.or(question.peer),
        tls: provenance.tls,
        sni: server_name.filter(|_| http.tls.is_some()),
        local_port: provenance.port(&head, port_of(listener)),
        received: now,
        now,
        memory_full: false,
        random: 0,
        random_key: 0,
    };
    let mut scratch = DecisionScratch::default();
    let step = decided(&site, &facts, &mut scratch);
    let (route, outcome) = outcome(config, &step, &facts, &scratch);
    let configured = route.map(|route| &config.routes[route.id.0]);
    report.route = route.map(|route| route.name.clone());
    report.location = route.map(|route| route.location.to_string());
    report.outcome = outcome;
    report.candidates = candidates(site.table, &head);
    report.request_headers = configured.map(|it| edits(&it.request_headers)).unwrap_or_default();
    report.response_headers = configured.map(|it| edits(&it.response_headers)).unwrap_or_default();
    report.phases = phases(&facts, &site, &provenance, &step, route, &scratch, &report);
    if let Step::Plan(plan) = &step
        && scratch.handshake.is_some()
        && let ExplainedOutcome::Forward { settings, .. } = &mut report.outcome
        && let Action::Forward(forward) = &config.routes[plan.route.id.0].action
    {
        settings.extend(upgrade::settings(&forward.websocket));
    }
    Ok(report)
}

/// Decides, and answers what policies ask on this thread.
fn decided<'t>(site: &Site<'t, '_>, facts: &Facts<'_>, scratch: &mut DecisionScratch) -> Step<'t> {
    let mut step = decide(site, facts, scratch);
    loop {
        match step {
            Step::Ask(pause) => {
                let (question, resumable) = pause.ask();
                let answer = match question {
                    PolicyQuestion::Compute(work) => work(),
                };
                step = resume(site, facts, scratch, resumable, answer);
            }
            end => return end,
        }
    }
}

fn outcome<'t>(
    config: &Config,
    step: &Step<'t>,
    facts: &Facts<'_>,
    scratch: &DecisionScratch,
) -> (Option<&'t Route>, ExplainedOutcome) {
    match step {
        Step::Reject(it) => {
            (it.route.map(|route| &**route), ExplainedOutcome::rejected(it.cause, scratch.call))
        }
        Step::Respond(it) if it.has_location => {
            let location = text(scratch.location());
            (
                it.route.map(|route| &**route),
                ExplainedOutcome::Redirect { status: it.status, location },
            )
        }
        Step::Respond(it) => (
            it.route.map(|route| &**route),
            ExplainedOutcome::Reply {
                status: it.status,
                reason: it.reason.label(),
                content_type: it.content_type.map(str::to_owned),
                bytes: it.body.len(),
            },
        ),
        Step::Plan(plan) => (Some(plan.route), forward(config, plan, facts, scratch)),
        // Every question was answered.
        Step::Ask(_) => (None, ExplainedOutcome::rejected(Reason::Internal.into(), None)),
    }
}

fn forward(
    config: &Config,
    plan: &Plan<'_>,
    facts: &Facts<'_>,
    scratch: &DecisionScratch,
) -> ExplainedOutcome {
    let path = text(plan.path(&facts.head, scratch));
    let host = match plan.host {
        HostSource::Client => text(facts.head.authority()),
        HostSource::Endpoint => "that of the endpoint".to_owned(),
        HostSource::Fixed(host) => host.to_owned(),
    };
    let settings = match &config.routes[plan.route.id.0].action {
        Action::Forward(forward) => settings(forward),
        Action::Redirect(_) | Action::Reply(_) => Vec::new(),
    };
    // A cookie that names a backend fixes it, whatever the weights.
    let kept = plan.sticky.filter(|sticky| sticky.endpoint.is_some()).map(|_| plan.upstream);
    let total = plan.forward.backends.total_weight();
    let shares = plan.forward.backends.entries().iter().map(|backend| {
        let upstream = &config.upstreams[backend.upstream.0];
        let share = match kept {
            Some(kept) if kept == backend.upstream => (1, 1),
            Some(_) => (0, 1),
            None => (u64::from(backend.weight), total),
        };
        BackendShare {
            upstream: upstream.name.clone(),
            location: upstream.location.to_string(),
            share: percent(share.0, share.1),
        }
    });
    ExplainedOutcome::Forward {
        path,
        host,
        upstreams: shares.collect(),
        kept_by_cookie: kept.is_some(),
        settings,
    }
}

fn settings(forward: &Forward) -> Vec<EffectiveSetting> {
    let timeouts = &forward.timeouts;
    let mut settings: Vec<_> = [
        ("timeouts.response", &timeouts.response),
        ("timeouts.perTry", &timeouts.per_try),
        ("timeouts.idle", &timeouts.idle),
    ]
    .map(|(name, it)| EffectiveSetting {
        name,
        value: format!("{:?}", it.value),
        origin: it.origin.to_string(),
    })
    .into();
    let retries = &forward.retry.retries;
    settings.push(EffectiveSetting {
        name: "retry.retries",
        value: retries.value.to_string(),
        origin: retries.origin.to_string(),
    });
    settings
}

/// Every route of the listener: the candidates in order of precedence, then those that host or
/// path rule out, in the order of the file. Empty when the request has no normal form.
fn candidates(table: &Table, head: &RequestHead<'_>) -> Vec<Candidate> {
    let (mut path_scratch, mut host_scratch) = (Vec::new(), Vec::new());
    let Ok(request) = normalise(head, &mut path_scratch, &mut host_scratch) else {
        return Vec::new();
    };
    let seen = request.seen;
    let add = |route: &Route, taken, because: String| Candidate {
        route: route.name.clone(),
        location: route.location.to_string(),
        taken,
        because,
    };
    let reached = table.explain(&seen);
    let mut found: Vec<_> = reached
        .iter()
        .map(|(route, verdict)| match verdict {
            RouteVerdict::Taken => {
                add(route, true, "matches, and nothing more specific does".into())
            }
            RouteVerdict::Outranked(by) => {
                add(route, false, format!("matches, but `{}` goes first", by.name))
            }
            RouteVerdict::Lost(mismatch) => add(route, false, mismatch.to_string()),
        })
        .collect();
    let others = table.routes().iter().filter_map(|route| {
        let mismatch = route.matcher.verdict(&seen).err()?;
        let beyond = matches!(mismatch, Mismatch::Host | Mismatch::Path);
        beyond.then(|| add(route, false, mismatch.to_string()))
    });
    found.extend(others);
    found
}

/// The verdict of each phase, in the order in which [`decide`] goes through them.
fn phases(
    facts: &Facts<'_>,
    site: &Site<'_, '_>,
    provenance: &Provenance,
    step: &Step<'_>,
    route: Option<&Route>,
    scratch: &DecisionScratch,
    report: &Explanation,
) -> Vec<PhaseVerdict> {
    let head = &facts.head;
    let mut phases = Vec::new();
    let mut add = |phase, verdict| phases.push(PhaseVerdict { phase, verdict });
    let refused = match step {
        Step::Reject(rejection) => rejection.cause.rule,
        _ => None,
    };
    if refused == Some(Rule::OtherCertificate) {
        add("connection", report.outcome.to_string());
        return phases;
    }
    let (mut path_scratch, mut host_scratch) = (Vec::new(), Vec::new());
    match normalise(head, &mut path_scratch, &mut host_scratch) {
        Ok(request) => {
            let (host, path) = (text(request.seen.host), text(request.seen.path));
            let host = if host.is_empty() { "none".to_owned() } else { format!("`{host}`") };
            add("normalise", format!("host {host}, path `{path}`"));
        }
        Err(_) => {
            add("normalise", report.outcome.to_string());
            return phases;
        }
    }
    let claims = head.fields().iter().map(|(name, _)| name).filter(|name| is_claim(name));
    let claims: Vec<_> = claims.map(|name| format!("`{}`", text(name))).collect();
    add(
        "client claims",
        match provenance.forwarded_for {
            _ if claims.is_empty() => "none".to_owned(),
            Some(client) => format!("of a trusted peer, for `{client}`: {}", claims.join(", ")),
            None if provenance.is_trusted() => {
                format!("of a trusted peer: {}", claims.join(", "))
            }
            None => format!("removed: {}", claims.join(", ")),
        },
    );
    add(
        "route",
        match (&report.route, &report.location) {
            (Some(route), Some(location)) => format!("`{route}` at {location}"),
            _ => "none".to_owned(),
        },
    );
    let policies = route.map_or(site.policies, |route| route.policies.at(site.listener));
    for (index, policy) in policies.iter().enumerate() {
        match scratch.policies_passed() {
            Some(passed) if index < passed => add(policy.name(), "passes".to_owned()),
            Some(passed) if index == passed => add(policy.name(), report.outcome.to_string()),
            Some(_) | None => {}
        }
    }
    if let Some(verdict) = upgrade::verdict(head, site.upgrades, step, scratch.handshake.is_some())
    {
        add("upgrade", verdict);
    }
    if let Step::Plan(_) = step
        && let Some(web) = scratch.call.and_then(|call| call.web)
    {
        let text = |text| if text { "base64" } else { "binary" };
        let (from, to) = (text(web.text), text(web.text_back));
        add("grpc-web", format!("translated to gRPC: {from} in, {to} out"));
    }
    add("action", report.outcome.to_string());
    phases
}

fn edits(edits: &HeaderEdits) -> HeaderEditsView {
    // As written: what a reference stands for may be a secret.
    let line = |it: &HeaderValueEdit| format!("{}: {}", it.name.as_str(), it.value.source());
    HeaderEditsView {
        remove: edits.remove.iter().map(|name| name.as_str().to_owned()).collect(),
        set: edits.set.iter().map(line).collect(),
        add: edits.add.iter().map(line).collect(),
    }
}

/// The named listener, else the http listener that fits the URL best: by scheme, then by port.
fn choose_listener<'c>(
    config: &'c Config,
    question: &ExplainRequest<'_>,
    url: &Url<'_>,
) -> Result<(ListenerId, &'c Listener, &'c HttpListener), ExplainError> {
    let http = config.listeners.iter().enumerate().filter_map(|(index, listener)| {
        let ListenerKind::Http(http) = &listener.kind else { return None };
        Some((ListenerId(index), listener, &**http))
    });
    if let Some(name) = question.listener {
        return http
            .into_iter()
            .find(|(_, listener, _)| listener.name == name)
            .ok_or_else(|| ExplainError::Listener(name.to_owned()));
    }
    let misfit = |(_, listener, http): &(ListenerId, &Listener, &HttpListener)| {
        let other_scheme = url.tls.is_some_and(|wanted| wanted != http.tls.is_some());
        (other_scheme, url.port() != port_of(listener))
    };
    http.min_by_key(misfit).ok_or(ExplainError::NoListener)
}

fn port_of(listener: &Listener) -> Option<u16> {
    match &listener.address {
        ListenAddress::Tcp { address, .. } => Some(address.port()),
        ListenAddress::Unix(_) => None,
    }
}

/// With one decimal where there is one.
fn percent(part: u64, whole: u64) -> String {
    let thousandths = u128::from(part) * 1000 / u128::from(whole.max(1));
    match thousandths % 10 {
        0 => format!("{}%", thousandths / 10),
        rest => format!("{}.{rest}%", thousandths / 10),
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[cfg(test)]
mod tests;
