//! Requests of the proxy's own to an upstream: for keys, for authorization, for health.
//!
//! Small ones with small answers, over the connections, the TLS, the caps and the counters that
//! forwarded requests use. It knows no client of the proxy, and no policy.

use std::io;

use bytes::Bytes;
use http::{Request, Response};
use tokio::time::{Instant, timeout_at};

use crate::cause::Cause;
use crate::http1::response::ResponseRules;
use crate::http2::client::is_refused;
use crate::upstream::acquire::{AcquireError, Connection};
use crate::upstream::attempts::{Attempts, Budget, try_each};
use crate::upstream::balance::{PickKey, Picked};
use crate::upstream::local::LocalUpstream;
use crate::upstream::outcome::{AttemptOutcome, Trial};

mod http1;
mod http2;

/// Attempts after the first one, each of which needs that nothing of the request was sent.
const EXTRA: u8 = 2;
/// More interim responses than this are no answer.
const MAX_INTERIM: u32 = 16;
/// What the head of an answer may be.
const RULES: ResponseRules = ResponseRules { head_bytes: 60 * 1024, headers: 256 };

/// What an answer may take.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// When the whole answer is to be there.
    pub deadline: Instant,
    /// Bytes of its body.
    pub body: usize,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    #[error("the upstream has no endpoint")]
    NoEndpoint,
    #[error(transparent)]
    Acquire(#[from] AcquireError),
    #[error("there was no whole answer in time")]
    Timeout,
    #[error("the connection broke: {0}")]
    Broke(io::Error),
    #[error("the connection ended before a whole answer")]
    Truncated,
    #[error("the HTTP/2 stream broke: {0}")]
    Stream(h2::Error),
    #[error("the answer breaks the rules of HTTP: {}", .0.rule.map_or("it is malformed", |it| it.text()))]
    Malformed(Cause),
    #[error("the answer's body has more than {0} bytes")]
    TooLarge(usize),
    #[error("the request's authority and target make no URI")]
    Target,
}

impl CallError {
    /// What it says of the endpoint.
    fn outcome(&self) -> AttemptOutcome {
        match self {
            // The first was noted as it happened; the rest is between our caller and us.
            Self::Acquire(_) | Self::NoEndpoint | Self::TooLarge(_) | Self::Target => {
                AttemptOutcome::Unjudged
            }
            Self::Timeout => AttemptOutcome::Timeout,
            Self::Stream(error) if is_refused(error) => AttemptOutcome::Refused,
            Self::Broke(_) | Self::Truncated | Self::Stream(_) => AttemptOutcome::Reset,
            Self::Malformed(_) => AttemptOutcome::Invalid,
        }
    }
}

/// An answer, and what becomes of the connection that it came on.
struct ClientAnswer {
    response: Response<Bytes>,
    reuse: Reuse,
}

enum Reuse {
    No,
    /// The connection stands exactly behind the answer; how many seconds the endpoint keeps it.
    Yes(Option<u32>),
}

/// Why an attempt failed.
struct ClientFailure {
    error: CallError,
    /// The endpoint surely did nothing with the request.
    not_sent: bool,
}

impl ClientFailure {
    fn sent(error: CallError) -> Self {
        Self { error, not_sent: false }
    }
}

struct Calls<'a> {
    upstream: &'a LocalUpstream,
    request: &'a Request<Bytes>,
    limits: Limits,
}

impl LocalUpstream {
    /// Sends the request to an endpoint and waits for the whole answer. Method, path with query,
    /// headers and body count; the `host` is the endpoint's unless the headers name one.
    pub async fn call(
        &self,
        request: &Request<Bytes>,
        limits: Limits,
    ) -> Result<Response<Bytes>, CallError> {
        let key = PickKey { hash: None, sticky: None };
        let budget = Budget { upstream: self, key: &key, extra: EXTRA, begun: Instant::now() };
        let mut calls = Calls { upstream: self, request, limits };
        try_each(&budget, &mut calls).await.map_err(|failure| failure.error)
    }
}

impl Attempts for Calls<'_> {
    type Answer = Response<Bytes>;
    type Failure = ClientFailure;

    async fn attempt(
        &mut self,
        picked: &Picked,
        now: Instant,
    ) -> Result<Response<Bytes>, ClientFailure> {
        let Self { upstream, request, limits } = *self;
        let trial = Trial::begin(upstream, picked);
        let acquired = upstream.acquire(picked, limits.deadline, now, &|| None, |_| {}).await;
        let mut connection = trial.connected(acquired).map_err(|error| ClientFailure {
            not_sent: error.may_try_another(),
            error: error.into(),
        })?;
        let began = Instant::now();
        let talk = async {
            match &mut connection {
                Connection::Http1(own) => http1::talk(&own.io, request, picked, limits).await,
                Connection::Http2(lease) => {
                    let tls = upstream.live.tls.is_some();
                    http2::talk(lease, request, picked, tls, limits).await
                }
            }
        };
        let timeout = |_| Err(ClientFailure::sent(CallError::Timeout));
        let answer = timeout_at(limits.deadline, talk).await.unwrap_or_else(timeout);
        let now = Instant::now();
        match answer {
            Ok(ClientAnswer { response, reuse }) => {
                let status = response.status().as_u16();
                trial.record(AttemptOutcome::Answered { status, latency: now - began }, now);
                match reuse {
                    Reuse::Yes(seconds) => upstream.release(connection, seconds, now),
                    Reuse::No => upstream.discard(connection),
                }
                Ok(response)
            }
            Err(failure) => {
                tracing::debug!(error = %failure.error, "no answer from an upstream");
                upstream.discard(connection);
                trial.record(failure.error.outcome(), now);
                Err(failure)
            }
        }
    }

    fn may_follow(&mut self, failure: &ClientFailure, now: Instant) -> bool {
        failure.not_sent && now < self.limits.deadline
    }

    fn no_endpoint(&mut self) -> ClientFailure {
        ClientFailure::sent(CallError::NoEndpoint)
    }
}

/// Appends to a body, up to its limit.
fn put(body: &mut Vec<u8>, data: &[u8], most: usize) -> Result<(), CallError> {
    if data.len() > most - body.len() {
        return Err(CallError::TooLarge(most));
    }
    body.extend_from_slice(data);
    Ok(())
}

/// An HTTP/2 stream that did not get anywhere.
fn stream_failure(error: h2::Error) -> ClientFailure {
    let not_sent = is_refused(&error);
    ClientFailure { error: CallError::Stream(error), not_sent }
}

#[cfg(test)]
mod tests;
