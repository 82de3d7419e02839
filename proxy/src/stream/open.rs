//! From an accepted connection to one at its upstream: the first message, the route, the attempts.
//!
//! Nothing is sent to an upstream before its connection stands, so another endpoint may be tried
//! for as long as none does.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use portcullis_config::model::StreamKind;
use tokio::time::Instant;

use super::record::TunnelFacts;
use crate::buffer::Buffer;
use crate::client::Client;
use crate::drain::Registration;
use crate::error::Reason;
use crate::observe::failure;
use crate::observe::series::UpstreamMetrics;
use crate::relay::read_some;
use crate::snapshot::stream::StreamRoute;
use crate::tls::hello::{Hello, HelloReader};
use crate::unserved::ConnectionFailure;
use crate::upstream::attempts::{Attempts, Budget, try_each};
use crate::upstream::balance::{PickKey, Picked, hash_of_peer};
use crate::upstream::local::LocalUpstream;
use crate::upstream::outcome::{AttemptOutcome, Trial};
use crate::upstream::pool::PooledConnection;
use crate::worker::{Current, Worker};

/// All that a tunnel needs; nothing of it holds the generation that decided.
pub(super) struct Opened {
    pub(super) connection: PooledConnection,
    pub(super) trial: Trial,
    pub(super) metrics: Arc<UpstreamMetrics>,
    /// What was read of the client already.
    pub(super) early: Option<Buffer>,
    /// Tells when the route is gone.
    pub(super) gone: Registration,
    pub(super) idle: Duration,
}

pub(super) async fn open(current: &Rc<Current>, facts: &mut TunnelFacts) -> Result<Opened, Reason> {
    let client = Rc::clone(&facts.client);
    let Some(listener) = current.stream(client.listener.id) else { return Err(Reason::Draining) };
    let early = match listener.settings.kind {
        StreamKind::Tcp => None,
        StreamKind::TlsPassthrough => {
            let limit = *listener.settings.timeouts.handshake;
            let read = read_hello(&facts.worker, &client, limit).await;
            let (buffer, name) = read.inspect_err(|reason| {
                let failure = match reason {
                    Reason::ClientAborted => return,
                    Reason::HeadTimeout => failure::Failure::HandshakeTimeout,
                    Reason::Draining => failure::Failure::HandshakeDraining,
                    _ => failure::Failure::HandshakeMalformed,
                };
                let worker = facts.worker.id();
                let failed =
                    ConnectionFailure::new(failure, &listener.metrics, worker, client.address);
                failed.report(match failure {
                    failure::Failure::HandshakeTimeout => {
                        "no whole first message of TLS came in time"
                    }
                    failure::Failure::HandshakeDraining => "the listener or the process ends",
                    _ => "the client's first message is no beginning of a TLS handshake",
                });
            })?;
            facts.name = name;
            Some(buffer)
        }
    };
    let Some(route) = listener.table.find(facts.name.as_deref()) else {
        facts.detail = Some(match facts.name {
            Some(_) => "the listener has no route for this server name".into(),
            None => {
                "the handshake names no server, and the listener has no route without names".into()
            }
        });
        return Err(Reason::NoRoute);
    };
    facts.route = Some(Arc::clone(route));
    if let Some(rule) = route.refusal(listener.index, client.address) {
        facts.detail = Some(rule.text().into());
        return Err(rule.reason());
    }
    let local = current.stream_routes.get(route.index).ok_or(Reason::Internal)?;
    let gone = local.tunnels.register();
    let backend = route.backends.pick(facts.worker.random());
    let upstream = current.upstreams.get(backend.upstream.0).ok_or(Reason::Internal)?;
    let (connection, trial) = connect(upstream, route, facts).await?;
    Ok(Opened {
        connection,
        trial,
        metrics: Arc::clone(&upstream.live.metrics),
        early,
        gone,
        idle: route.idle,
    })
}

/// Reads until the first message is whole. Its bytes stay in the buffer.
async fn read_hello(
    worker: &Worker,
    client: &Client,
    limit: Duration,
) -> Result<(Buffer, Option<String>), Reason> {
    client.deadline.set(client.quiet_since.get() + limit);
    let mut reader = HelloReader::default();
    let mut slot = None;
    loop {
        let read = client.deadline.bound(read_some(&client.io, worker.buffers(), &mut slot));
        let read = tokio::select! {
            biased;
            read = read => read,
            () = client.registration.drained() => return Err(Reason::Draining),
        };
        match read {
            Ok(Ok(count)) if count > 0 => {}
            // Who goes without a word has not said anything wrong.
            Ok(_) if slot.as_ref().is_none_or(Buffer::is_empty) => {
                return Err(Reason::ClientAborted);
            }
            Ok(_) => return Err(Reason::ClientHelloInvalid),
            Err(_) => return Err(Reason::HeadTimeout),
        }
        let Some(buffer) = slot.take() else { continue };
        match reader.feed(buffer.filled()) {
            Ok(Hello::Whole { name }) => return Ok((buffer, name)),
            Ok(Hello::Incomplete) => slot = Some(buffer),
            Err(error) => {
                tracing::debug!(listener = &*client.listener_name, %error, "no TLS");
                return Err(Reason::ClientHelloInvalid);
            }
        }
    }
}

/// Tries endpoints until a connection stands. Each attempt has the upstream's connect timeout,
/// the wait for a place under its cap included.
struct Connecting<'a> {
    upstream: &'a LocalUpstream,
    facts: &'a mut TunnelFacts,
}

/// Why there is no connection.
struct OpenFailure {
    reason: Reason,
    /// Another endpoint may do better.
    of_endpoint: bool,
}

impl Attempts for Connecting<'_> {
    type Answer = (PooledConnection, Trial);
    type Failure = OpenFailure;

    async fn attempt(
        &mut self,
        picked: &Picked,
        now: Instant,
    ) -> Result<Self::Answer, OpenFailure> {
        let Self { upstream, facts } = self;
        let client = Rc::clone(&facts.client);
        let deadline = now + *upstream.live.cluster.config.connect_timeout;
        let trial = Trial::begin(upstream, picked);
        facts.attempts += 1;
        facts.endpoint = Some(Rc::clone(trial.endpoint()));
        let ends = || client.ends();
        let acquired = upstream.acquire_fresh(picked, deadline, &ends).await;
        let error = match trial.connected(acquired) {
            Ok(connection) => {
                let connected = Instant::now();
                trial.record(AttemptOutcome::Connected { took: connected - now }, connected);
                facts.connected = Some(connected);
                facts.detail = None;
                return Ok((connection, trial));
            }
            Err(error) => error,
        };
        tracing::debug!(endpoint = trial.endpoint().metrics.address(), %error, "no connection");
        facts.detail = Some(error.words());
        let of_endpoint = error.may_try_another();
        if !of_endpoint {
            // It never left the queue: no endpoint was tried.
            facts.attempts -= 1;
            facts.endpoint = None;
            facts.upstream = Some(upstream.live.cluster.name.as_str().into());
        }
        Err(OpenFailure { reason: error.reason(), of_endpoint })
    }

    fn may_follow(&mut self, failure: &OpenFailure, _: Instant) -> bool {
        failure.of_endpoint
    }

    fn no_endpoint(&mut self) -> OpenFailure {
        let cluster = &self.upstream.live.cluster;
        self.facts.upstream = Some(cluster.name.as_str().into());
        self.facts.detail = cluster.unresolved().map(Cow::Owned);
        OpenFailure { reason: Reason::NoEndpoint, of_endpoint: false }
    }
}

async fn connect(
    upstream: &LocalUpstream,
    route: &StreamRoute,
    facts: &mut TunnelFacts,
) -> Result<(PooledConnection, Trial), Reason> {
    let hash = upstream.live.hash_key().and_then(|key| hash_of_peer(key, facts.client.ip()));
    let key = PickKey { hash, sticky: None };
    let budget = Budget { upstream, key: &key, extra: route.retries, begun: Instant::now() };
    let mut connecting = Connecting { upstream, facts };
    try_each(&budget, &mut connecting).await.map_err(|failure| failure.reason)
}
