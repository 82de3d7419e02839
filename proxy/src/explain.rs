//! What would happen to a request, and why: [`decide`] driven by a request that nobody sent.
//!
//! Nothing here decides anything. The step comes from [`decide`], the losers from
//! [`Table::explain`], and what was configured from the configuration itself, with its places.
//! Secrets do not show: texts are printed as they were written.

mod report;
mod upgrade;

use std::net::IpAddr;

use portcullis_config::model::{
    Action, Config, Forward, HeaderEdits, HeaderValueEdit, ListenAddress, Listener, ListenerId,
    ListenerKind, Trust,
};
use portcullis_config::values::{HeaderName, MethodName};

pub use report::{Candidate, EditsTold, Explanation, Outcome, PhaseTold, SettingTold, ShareTold};

use crate::decide::{Facts, HostSource, Plan, Scratch, Step, decide, normalise};
use crate::http1::hypothetical::HypotheticalHead;
use crate::message::RequestHead;
use crate::policy::forwarded::is_claim;
use crate::policy::grpc_web::Web;
use crate::policy::provenance::{Peer, Provenance};
use crate::policy::reply::is_field_value;
use crate::route::table::Verdict;
use crate::route::{Mismatch, Route, Table};

/// A request to explain.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    pub method: &'a str,
    /// `http://host/path?query`, `https://…`, or a path alone.
    pub url: &'a str,
    /// `host` among them overrides that of the URL.
    pub headers: &'a [(String, String)],
    /// Who connects; `None` over a Unix socket, or where it does not matter.
    pub peer: Option<IpAddr>,
    /// The name of a listener; else the one that the URL's scheme and port lead to.
    pub listener: Option<&'a str>,
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

/// Explains a request. `table` gives the live table of a listener.
///
/// # Errors
/// When the question is not about a request that could be sent.
pub fn explain<'t>(
    config: &Config,
    table: impl Fn(ListenerId) -> Option<&'t Table>,
    question: &Question<'_>,
) -> Result<Explanation, ExplainError> {
    let url = Url::parse(question.url)?;
    check_sendable(question)?;
    let (id, listener, tls) = choose_listener(config, question, &url)?;
    let table = table(id).ok_or_else(|| ExplainError::Listener(listener.name.clone()))?;

    let named = question.headers.iter().find(|(name, _)| name.eq_ignore_ascii_case("host"));
    let authority = named.map_or(url.authority, |(_, host)| host);
    let head = HypotheticalHead::try_new(
        question.method,
        authority,
        url.path,
        url.query,
        question.headers,
    )
    .ok_or(ExplainError::TooLong)?;
    let peer = Peer { address: question.peer, tls };
    // The ids of a trace decide nothing.
    let provenance = Provenance::judge(&head.view(), trust_of(listener), peer, || (1, 1));
    let facts = Facts {
        head: head.view(),
        peer: provenance.forwarded_for.or(question.peer),
        tls: provenance.tls,
        sni: None,
        local_port: provenance.port(&head.view(), port_of(listener)),
        random: 0,
    };

    let mut scratch = Scratch::default();
    let step = decide(table, &facts, &mut scratch);
    let (route, mut outcome) = outcome(config, &step, &facts, &scratch);
    let upgrade = match (&step, &listener.kind) {
        (Step::Plan(plan), ListenerKind::Http(http)) if facts.head.parts.upgrade => {
            let route = &config.routes[plan.route.id.0];
            Some(upgrade::tell(&facts.head, http.upgrades, &route.action, &mut outcome))
        }
        _ => None,
    };
    let web = match &step {
        Step::Plan(plan) if plan.forward.grpc_web => Web::of(facts.head.fields()),
        _ => None,
    };
    let candidates = candidates(table, &facts.head);
    let configured = route.map(|route| &config.routes[route.id.0]);
    let mut report = Explanation {
        listener: listener.name.clone(),
        method: question.method.to_owned(),
        host: authority.to_owned(),
        path: url.path.to_owned(),
        route: route.map(|route| route.name.clone()),
        location: route.map(|route| route.location.to_string()),
        phases: Vec::new(),
        candidates,
        outcome,
        request_headers: configured.map(|it| edits(&it.request_headers)).unwrap_or_default(),
        response_headers: configured.map(|it| edits(&it.response_headers)).unwrap_or_default(),
    };
    report.phases = phases(&facts.head, &provenance, upgrade, web, &report);
    Ok(report)
}

fn outcome<'t>(
    config: &Config,
    step: &Step<'t>,
    facts: &Facts<'_>,
    scratch: &Scratch,
) -> (Option<&'t Route>, Outcome) {
    match step {
        Step::Reject(it) => (it.route.map(|route| &**route), Outcome::rejected(it.cause)),
        Step::Respond(it) if it.has_location => {
            let location = text(scratch.location());
            (Some(it.route), Outcome::Redirect { status: it.status, location })
        }
        Step::Respond(it) => (
            Some(it.route),
            Outcome::Reply {
                status: it.status,
                content_type: it.content_type.map(str::to_owned),
                bytes: it.body.len(),
            },
        ),
        Step::Plan(plan) => (Some(plan.route), forward(config, plan, facts, scratch)),
    }
}

fn forward(config: &Config, plan: &Plan<'_>, facts: &Facts<'_>, scratch: &Scratch) -> Outcome {
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
        ShareTold {
            upstream: upstream.name.clone(),
            location: upstream.location.to_string(),
            share: percent(share.0, share.1),
        }
    });
    Outcome::Forward {
        path,
        host,
        upstreams: shares.collect(),
        kept_by_cookie: kept.is_some(),
        settings,
    }
}

fn settings(forward: &Forward) -> Vec<SettingTold> {
    let timeouts = &forward.timeouts;
    let mut settings: Vec<_> = [
        ("timeouts.response", &timeouts.response),
        ("timeouts.perTry", &timeouts.per_try),
        ("timeouts.idle", &timeouts.idle),
    ]
    .map(|(name, it)| SettingTold {
        name,
        value: format!("{:?}", it.value),
        origin: it.origin.to_string(),
    })
    .into();
    let retries = &forward.retry.retries;
    settings.push(SettingTold {
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
    let tell = |route: &Route, taken, because: String| Candidate {
        route: route.name.clone(),
        location: route.location.to_string(),
        taken,
        because,
    };
    let reached = table.explain(&seen);
    let mut told: Vec<_> = reached
        .iter()
        .map(|(route, verdict)| match verdict {
            Verdict::Taken => tell(route, true, "matches, and nothing more specific does".into()),
            Verdict::Outranked(by) => {
                tell(route, false, format!("matches, but `{}` goes first", by.name))
            }
            Verdict::Lost(mismatch) => tell(route, false, mismatch.to_string()),
        })
        .collect();
    let others = table.routes().iter().filter_map(|route| {
        let mismatch = route.matcher.verdict(&seen).err()?;
        let beyond = matches!(mismatch, Mismatch::Host | Mismatch::Path);
        beyond.then(|| tell(route, false, mismatch.to_string()))
    });
    told.extend(others);
    told
}

/// The verdict of each phase, in the order in which [`decide`] goes through them.
fn phases(
    head: &RequestHead<'_>,
    provenance: &Provenance,
    upgrade: Option<String>,
    web: Option<Web>,
    report: &Explanation,
) -> Vec<PhaseTold> {
    let mut phases = Vec::new();
    let mut tell = |phase, verdict| phases.push(PhaseTold { phase, verdict });
    let (mut path_scratch, mut host_scratch) = (Vec::new(), Vec::new());
    match normalise(head, &mut path_scratch, &mut host_scratch) {
        Ok(request) => {
            let (host, path) = (text(request.seen.host), text(request.seen.path));
            let host = if host.is_empty() { "none".to_owned() } else { format!("`{host}`") };
            tell("normalise", format!("host {host}, path `{path}`"));
        }
        Err(_) => {
            tell("normalise", report.outcome.to_string());
            return phases;
        }
    }
    let claims = head.fields().iter().map(|(name, _)| name).filter(|name| is_claim(name));
    let claims: Vec<_> = claims.map(|name| format!("`{}`", text(name))).collect();
    tell(
        "client claims",
        match provenance.forwarded_for {
            _ if claims.is_empty() => "none".to_owned(),
            Some(client) => format!("of a trusted peer, for `{client}`: {}", claims.join(", ")),
            None if provenance.is_believed() => {
                format!("of a trusted peer: {}", claims.join(", "))
            }
            None => format!("removed: {}", claims.join(", ")),
        },
    );
    tell(
        "route",
        match (&report.route, &report.location) {
            (Some(route), Some(location)) => format!("`{route}` at {location}"),
            _ => "none".to_owned(),
        },
    );
    if let Some(verdict) = upgrade {
        tell("upgrade", verdict);
    }
    if let Some(web) = web {
        let text = |text| if text { "base64" } else { "binary" };
        let (from, to) = (text(web.text), text(web.text_back));
        tell("grpc-web", format!("translated to gRPC: {from} in, {to} out"));
    }
    tell("action", report.outcome.to_string());
    phases
}

fn edits(edits: &HeaderEdits) -> EditsTold {
    // As written: what a reference stands for may be a secret.
    let line = |it: &HeaderValueEdit| format!("{}: {}", it.name.as_str(), it.value.source());
    EditsTold {
        remove: edits.remove.iter().map(|name| name.as_str().to_owned()).collect(),
        set: edits.set.iter().map(line).collect(),
        add: edits.add.iter().map(line).collect(),
    }
}

struct Url<'a> {
    tls: Option<bool>,
    authority: &'a str,
    path: &'a str,
    query: Option<&'a str>,
}

impl<'a> Url<'a> {
    fn parse(url: &'a str) -> Result<Self, ExplainError> {
        let (tls, rest) = if let Some(rest) = url.strip_prefix("https://") {
            (Some(true), rest)
        } else if let Some(rest) = url.strip_prefix("http://") {
            (Some(false), rest)
        } else if url.starts_with('/') || url == "*" {
            (None, url)
        } else {
            return Err(ExplainError::Url(url.to_owned()));
        };
        let (authority, target) = match (tls, rest.find(['/', '?'])) {
            (None, _) => ("", rest),
            (Some(_), Some(at)) => rest.split_at(at),
            (Some(_), None) => (rest, ""),
        };
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (target, None),
        };
        Ok(Self { tls, authority, path, query })
    }

    fn port(&self) -> Option<u16> {
        let written = self.authority.rsplit_once(':').and_then(|(_, port)| port.parse().ok());
        written.or(self.tls.map(|tls| if tls { 443 } else { 80 }))
    }
}

fn check_sendable(question: &Question<'_>) -> Result<(), ExplainError> {
    if MethodName::parse(question.method).is_err() {
        return Err(ExplainError::Method(question.method.to_owned()));
    }
    for (name, value) in question.headers {
        if HeaderName::parse(name).is_err() || !is_field_value(value) {
            return Err(ExplainError::Header(name.clone()));
        }
    }
    Ok(())
}

/// The named listener, else the http listener that fits the URL best: by scheme, then by port.
fn choose_listener<'c>(
    config: &'c Config,
    question: &Question<'_>,
    url: &Url<'_>,
) -> Result<(ListenerId, &'c Listener, bool), ExplainError> {
    let http = config.listeners.iter().enumerate().filter_map(|(index, listener)| {
        let ListenerKind::Http(http) = &listener.kind else { return None };
        Some((ListenerId(index), listener, http.tls.is_some()))
    });
    if let Some(name) = question.listener {
        return http
            .into_iter()
            .find(|(_, listener, _)| listener.name == name)
            .ok_or_else(|| ExplainError::Listener(name.to_owned()));
    }
    let misfit = |(_, listener, tls): &(ListenerId, &Listener, bool)| {
        (url.tls.is_some_and(|wanted| wanted != *tls), url.port() != port_of(listener))
    };
    http.min_by_key(misfit).ok_or(ExplainError::NoListener)
}

fn trust_of(listener: &Listener) -> &Trust {
    match &listener.kind {
        ListenerKind::Http(http) => &http.trust,
        // `explain` refuses those that do not route requests.
        ListenerKind::Stream(_) | ListenerKind::Status => &Trust::Nobody,
    }
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
