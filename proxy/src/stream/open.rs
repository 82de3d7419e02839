//! From an accepted connection to one at its upstream: the first message, the route, the attempts.
//!
//! Nothing is sent to an upstream before its connection stands, so another endpoint may be tried
//! for as long as none does.

use std::borrow::Cow;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use portcullis_config::model::StreamKind;
use smallvec::SmallVec;
use tokio::time::Instant;

use super::record::Facts;
use crate::buffer::Buffer;
use crate::client::Client;
use crate::drain::Registration;
use crate::error::Reason;
use crate::observe::failure::Failure;
use crate::observe::things::UpstreamMetrics;
use crate::relay::read_some;
use crate::snapshot::stream::StreamRoute;
use crate::tls::hello::{Hello, HelloReader};
use crate::unserved::Failed;
use crate::upstream::balance::{InFlight, Outcome, PickKey, hash_of_peer};
use crate::upstream::local::LocalUpstream;
use crate::upstream::pool::PooledConnection;
use crate::worker::{Current, Worker};

/// Endpoints that a connection remembers as tried.
const MAX_TRIED: usize = 8;

/// All that a tunnel needs; nothing of it holds the generation that decided.
pub(super) struct Opened {
    pub(super) connection: PooledConnection,
    pub(super) in_flight: InFlight,
    pub(super) metrics: Arc<UpstreamMetrics>,
    /// What was read of the client already.
    pub(super) early: Option<Buffer>,
    /// Tells when the route is gone.
    pub(super) gone: Registration,
    pub(super) idle: Duration,
}

pub(super) async fn open(current: &Rc<Current>, facts: &mut Facts) -> Result<Opened, Reason> {
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
                    Reason::HeadTimeout => Failure::HandshakeTimeout,
                    Reason::Draining => Failure::HandshakeDraining,
                    _ => Failure::HandshakeMalformed,
                };
                let worker = facts.worker.id();
                let failed = Failed::new(failure, &listener.metrics, worker, client.address);
                failed.tell(match failure {
                    Failure::HandshakeTimeout => "no whole first message of TLS came in time",
                    Failure::HandshakeDraining => "the listener or the process ends",
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
    let (connection, in_flight) = connect(upstream, route, facts).await?;
    Ok(Opened {
        connection,
        in_flight,
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
async fn connect(
    upstream: &LocalUpstream,
    route: &StreamRoute,
    facts: &mut Facts,
) -> Result<(PooledConnection, InFlight), Reason> {
    let worker = Rc::clone(&facts.worker);
    let client = Rc::clone(&facts.client);
    let hash = upstream.live.hash_key().and_then(|key| hash_of_peer(key, client.ip()));
    let key = PickKey { hash, sticky: None };
    let patience = *upstream.live.cluster.config.connect_timeout;
    let mut tried: SmallVec<[u64; MAX_TRIED]> = SmallVec::new();
    loop {
        let started = Instant::now();
        let Some(picked) = upstream.balancer.pick(&key, &tried, started) else {
            facts.upstream = Some(upstream.live.cluster.name.as_str().into());
            facts.detail = upstream.live.cluster.trouble().map(Cow::Owned);
            return Err(Reason::NoEndpoint);
        };
        facts.attempts += 1;
        let endpoint = upstream.endpoint(&picked);
        let shard = endpoint.metrics.of(worker.id());
        facts.endpoint = Some(Rc::clone(&endpoint));
        let in_flight = picked.start();
        let ends = || client.ends();
        let acquired = upstream.acquire_fresh(&picked, started + patience, &ends).await;
        let now = Instant::now();
        let error = match acquired {
            Ok(connection) => {
                // All that can be known of an endpoint's speed without reading what it says.
                in_flight.observe(Outcome { latency: Some(now - started), failed: false }, now);
                facts.connected = Some(now);
                facts.detail = None;
                shard.requests.increment();
                return Ok((connection, in_flight));
            }
            Err(error) => error,
        };
        tracing::debug!(endpoint = endpoint.metrics.address(), %error, "no connection");
        facts.detail = Some(error.words());
        if !error.may_try_another() {
            // It never left the queue: no endpoint was tried.
            facts.attempts -= 1;
            facts.endpoint = None;
            facts.upstream = Some(upstream.live.cluster.name.as_str().into());
            return Err(error.reason());
        }
        shard.requests.increment();
        shard.failures.increment();
        in_flight.observe(Outcome { latency: None, failed: true }, now);
        if facts.attempts > u32::from(route.retries) {
            return Err(error.reason());
        }
        upstream.live.metrics.of(worker.id()).resends.increment();
        if tried.len() < MAX_TRIED {
            tried.push(picked.id);
        }
    }
}
