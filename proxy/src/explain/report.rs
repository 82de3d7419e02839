//! The form of an explanation: a stable JSON document, and the same as text.

use std::fmt;

use serde::Serialize;

use crate::cause::{Cause, Rule};
use crate::policy::grpc::{Call, Status};

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    pub listener: String,
    pub method: String,
    /// As asked.
    pub host: String,
    /// As asked.
    pub path: String,
    /// The route taken and its place.
    pub route: Option<String>,
    pub location: Option<String>,
    /// In the order in which they ran.
    pub phases: Vec<PhaseVerdict>,
    pub outcome: ExplainedOutcome,
    pub request_headers: HeaderEditsView,
    pub response_headers: HeaderEditsView,
    /// All routes of the listener, those that were reached first, in order of precedence.
    pub candidates: Vec<Candidate>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PhaseVerdict {
    pub phase: &'static str,
    pub verdict: String,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase", tag = "kind")]
pub enum ExplainedOutcome {
    Rejected {
        status: u16,
        reason: &'static str,
        /// The rule behind the reason, as the access log words it.
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<&'static str>,
        /// Of a call of gRPC, whose clients are answered with status 200 and this.
        #[serde(skip_serializing_if = "Option::is_none")]
        grpc_status: Option<u32>,
    },
    Redirect {
        status: u16,
        location: String,
    },
    Reply {
        status: u16,
        /// `reply`, or that of the policy which answers.
        reason: &'static str,
        content_type: Option<String>,
        bytes: usize,
    },
    Forward {
        /// As sent.
        path: String,
        /// As sent.
        host: String,
        upstreams: Vec<BackendShare>,
        /// A sticky cookie chose, not the weights.
        kept_by_cookie: bool,
        settings: Vec<EffectiveSetting>,
    },
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BackendShare {
    pub upstream: String,
    pub location: String,
    pub share: String,
}

/// An effective value and who set it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EffectiveSetting {
    pub name: &'static str,
    pub value: String,
    pub origin: String,
}

/// Header edits as written, references unresolved.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeaderEditsView {
    pub remove: Vec<String>,
    pub set: Vec<String>,
    pub add: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Candidate {
    pub route: String,
    pub location: String,
    pub taken: bool,
    pub because: String,
}

impl fmt::Display for Explanation {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { method, host, path, listener, .. } = self;
        writeln!(out, "{method} {host}{path} on listener `{listener}`")?;
        for PhaseVerdict { phase, verdict } in &self.phases {
            writeln!(out, "  {phase:<14} {verdict}")?;
        }
        if let ExplainedOutcome::Forward { upstreams, settings, kept_by_cookie, .. } = &self.outcome
        {
            let how = if *kept_by_cookie { " (kept by cookie)" } else { "" };
            writeln!(out, "\nupstreams{how}")?;
            for BackendShare { upstream, location, share } in upstreams {
                writeln!(out, "  {share:<7} `{upstream}` at {location}")?;
            }
            writeln!(out, "\nsettings")?;
            for EffectiveSetting { name, value, origin } in settings {
                writeln!(out, "  {name:<18} {value:<8} ({origin})")?;
            }
        }
        self.request_headers.write(out, "request headers")?;
        self.response_headers.write(out, "response headers")?;
        if !self.candidates.is_empty() {
            writeln!(out, "\nroutes")?;
        }
        for Candidate { route, location, taken, because } in &self.candidates {
            let mark = if *taken { '>' } else { ' ' };
            writeln!(out, "{mark} `{route}` at {location}: {because}")?;
        }
        Ok(())
    }
}

impl HeaderEditsView {
    fn write(&self, out: &mut fmt::Formatter<'_>, title: &str) -> fmt::Result {
        let edits = [("remove", &self.remove), ("set", &self.set), ("add", &self.add)];
        if edits.iter().all(|(_, lines)| lines.is_empty()) {
            return Ok(());
        }
        writeln!(out, "\n{title}")?;
        for (how, lines) in edits {
            lines.iter().try_for_each(|line| writeln!(out, "  {how:<7} {line}"))?;
        }
        Ok(())
    }
}

impl ExplainedOutcome {
    /// Before anything is decided.
    pub(super) fn none() -> Self {
        Self::Rejected { status: 0, reason: "", detail: None, grpc_status: None }
    }

    pub(super) fn rejected(cause: Cause, call: Option<Call>) -> Self {
        let grpc_status = call.map(|_| Status::of(cause.reason, None) as u32);
        Self::Rejected {
            status: if call.is_some() { 200 } else { cause.reason.status() },
            reason: cause.reason.label(),
            detail: cause.rule.map(Rule::text),
            grpc_status,
        }
    }
}

impl fmt::Display for ExplainedOutcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Rejected { status, reason, detail, grpc_status } => {
                write!(out, "{status}")?;
                grpc_status.map_or(Ok(()), |status| write!(out, ", grpc-status {status}"))?;
                write!(out, ", refused: {reason}")?;
                detail.map_or(Ok(()), |detail| write!(out, " ({detail})"))
            }
            Self::Redirect { status, location } => write!(out, "{status} to {location}"),
            Self::Reply { status, content_type, bytes, .. } => {
                let kind = content_type.as_deref().unwrap_or("no content type");
                write!(out, "{status} with {bytes} bytes ({kind})")
            }
            Self::Forward { path, host, .. } => {
                write!(out, "forward with path `{path}` and host `{host}`")
            }
        }
    }
}
