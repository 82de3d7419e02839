//! From an endpoint to a connection, or to a stream of one: a pooled one, or a new one under the
//! connection cap.

use std::rc::Rc;
use std::sync::Arc;

use portcullis_config::model::{HttpProtocol, UpstreamProtocol};
use tokio::time::{Instant, timeout_at};

use crate::error::Reason;
use crate::fault::Words;
use crate::http2::client::{Channel, Lease};
use crate::io::Io;
use crate::observe::counter::WorkerId;
use crate::observe::series::UpstreamMetrics;
use crate::proxy_protocol::{self, ConnectionAddresses};
use crate::upstream::balance::Picked;
use crate::upstream::connect::{ConnectError, Offer, connect};
use crate::upstream::local::LocalUpstream;
use crate::upstream::pool::{Granted, Permit, PooledConnection};

/// What carries one request to an endpoint.
pub enum Connection {
    /// A connection that this exchange has for itself.
    Http1(PooledConnection),
    /// A stream of a shared connection.
    Http2(Lease),
}

impl Connection {
    /// It has carried a request before.
    pub fn is_reused(&self) -> bool {
        match self {
            Self::Http1(connection) => connection.reused,
            Self::Http2(lease) => lease.is_reused(),
        }
    }
}

/// An open HTTP/2 connection's permit under the cap, and its counters.
struct Http2Permit {
    _permit: Permit,
    metrics: Arc<UpstreamMetrics>,
    worker: WorkerId,
}

impl Http2Permit {
    fn take(permit: Permit, metrics: &Arc<UpstreamMetrics>, worker: WorkerId) -> Self {
        metrics.of(worker).active.add(1);
        Self { _permit: permit, metrics: Arc::clone(metrics), worker }
    }
}

impl Drop for Http2Permit {
    fn drop(&mut self) {
        let shard = self.metrics.of(self.worker);
        shard.active.add(-1);
        shard.closed.increment();
    }
}

/// Why there is no connection for a request. Nothing of the request was sent.
#[derive(Debug, thiserror::Error)]
pub enum AcquireError {
    #[error("no connection under the cap: {}", .0.label())]
    Cap(Reason),
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

impl AcquireError {
    pub fn reason(&self) -> Reason {
        match self {
            Self::Cap(reason) => *reason,
            Self::Connect(error) => error.reason(),
        }
    }

    /// What happened, for the access log.
    pub fn words(&self) -> Words {
        match self {
            Self::Cap(Reason::UpstreamOverflow) => {
                "concurrency.maxPending requests wait for a connection of the upstream already"
                    .into()
            }
            Self::Cap(_) => {
                "no connection of the upstream became free in time (concurrency.maxConnections, or \
                 one that is being opened)"
                    .into()
            }
            Self::Connect(error) => error.words(),
        }
    }

    /// Another endpoint may succeed. A cap holds for the whole upstream.
    pub fn may_try_another(&self) -> bool {
        matches!(self, Self::Connect(_))
    }
}

impl LocalUpstream {
    /// A connection to the endpoint, or a stream of one. An upstream with PROXY protocol gets a new
    /// connection for each `client`.
    pub async fn acquire(
        &self,
        picked: &Picked,
        deadline: Instant,
        now: Instant,
        client: &dyn Fn() -> Option<ConnectionAddresses>,
        mut permitted: impl FnMut(Instant),
    ) -> Result<Connection, AcquireError> {
        if self.may_speak_http2() {
            Box::pin(self.acquire_http2(picked, deadline, now, client, &mut permitted)).await
        } else {
            self.acquire_own(picked, deadline, now, client, permitted).await.map(Connection::Http1)
        }
    }

    /// Whether the upstream speaks HTTP/2, or may: with `auto` the first handshake decides.
    fn may_speak_http2(&self) -> bool {
        let config = &self.live.cluster.config;
        match config.protocol {
            UpstreamProtocol::Http1 => false,
            UpstreamProtocol::Http2 => true,
            UpstreamProtocol::Auto => {
                config.tls.is_some()
                    && config.proxy_protocol.is_none()
                    && self.multiplex.learned() != Some(HttpProtocol::Http1)
            }
        }
    }

    async fn acquire_http2(
        &self,
        picked: &Picked,
        deadline: Instant,
        now: Instant,
        client: &dyn Fn() -> Option<ConnectionAddresses>,
        permitted: &mut impl FnMut(Instant),
    ) -> Result<Connection, AcquireError> {
        let shard = self.live.metrics.of(self.worker);
        let cluster = &self.live.cluster;
        let mut place = None;
        let mut now = now;
        loop {
            let change = self.multiplex.change();
            if let Some(lease) = self.multiplex.lease(picked.id) {
                permitted(now);
                return Ok(Connection::Http2(lease));
            }
            if !self.may_speak_http2() {
                // Another request's handshake has decided it meanwhile.
                let own = self.acquire_own(picked, deadline, now, client, permitted).await;
                return own.map(Connection::Http1);
            }
            let permit = place.take().or_else(|| self.pool.try_open(cluster));
            if let Some(permit) = permit
                && let Some(_opening) = self.multiplex.try_opening(picked.id)
            {
                permitted(now);
                let io = self.connect(picked, deadline, now, client, Offer::Http).await?;
                let agreed = io.agreed();
                let wanted = cluster.config.protocol == UpstreamProtocol::Http2;
                if !wanted && agreed != Some(HttpProtocol::Http2) {
                    self.multiplex.learn(HttpProtocol::Http1);
                    let own = permit.connected(io, picked.id).checked_out(&self.checked_out);
                    return Ok(Connection::Http1(own));
                }
                let place = Http2Permit::take(permit, &self.live.metrics, self.worker);
                let opened = Channel::open(io, self.multiplex.changes(), place);
                let channel = match timeout_at(deadline, opened).await {
                    Ok(Ok(channel)) => channel,
                    Ok(Err(error)) => return Err(ConnectError::Http2(error).into()),
                    Err(_) => return Err(ConnectError::Http2Timeout.into()),
                };
                self.multiplex.learn(HttpProtocol::Http2);
                return Ok(Connection::Http2(self.multiplex.add(picked.id, channel)));
            }
            let _pending = shard.pending.hold();
            let _waiting = cluster.try_pend().ok_or(AcquireError::Cap(Reason::UpstreamOverflow))?;
            // A connection is being opened; another permit would be of no use.
            let opening = self.multiplex.is_opening(picked.id);
            let either = async {
                if opening {
                    change.await;
                    return None;
                }
                tokio::select! {
                    biased;
                    () = change => None,
                    permit = self.pool.permit(cluster) => Some(permit),
                }
            };
            let waited = timeout_at(deadline, either).await;
            place = waited.map_err(|_| AcquireError::Cap(Reason::PoolTimeout))?;
            now = Instant::now();
        }
    }

    /// An exclusive connection, of either protocol.
    pub async fn acquire_own(
        &self,
        picked: &Picked,
        deadline: Instant,
        now: Instant,
        client: &dyn Fn() -> Option<ConnectionAddresses>,
        mut permitted: impl FnMut(Instant),
    ) -> Result<PooledConnection, AcquireError> {
        if self.live.cluster.config.proxy_protocol.is_none()
            && !self.pool.has_waiters()
            && let Some(connection) = self.checkout(picked.id, now)
        {
            permitted(now);
            return Ok(connection.checked_out(&self.checked_out));
        }
        // Boxed, because few requests get here: the state of a handshake is large.
        Box::pin(self.acquire_more(picked, deadline, client, Offer::Http, permitted)).await
    }

    /// A new connection for a tunnel. It never goes back to the pool.
    pub async fn acquire_fresh(
        &self,
        picked: &Picked,
        deadline: Instant,
        client: &dyn Fn() -> Option<ConnectionAddresses>,
    ) -> Result<PooledConnection, AcquireError> {
        self.acquire_more(picked, deadline, client, Offer::Nothing, |_| {}).await
    }

    async fn acquire_more(
        &self,
        picked: &Picked,
        deadline: Instant,
        client: &dyn Fn() -> Option<ConnectionAddresses>,
        offer: Offer,
        mut permitted: impl FnMut(Instant),
    ) -> Result<PooledConnection, AcquireError> {
        let shard = self.live.metrics.of(self.worker);
        let cluster = &self.live.cluster;
        let alone = cluster.config.proxy_protocol.is_some() || offer == Offer::Nothing;
        let mut permit = self.pool.try_open(cluster);
        // An idle connection to another endpoint is closed to free its permit.
        if permit.is_none() && self.evict_one() {
            permit = self.pool.try_open(cluster);
        }
        let permit = loop {
            if let Some(permit) = permit.take() {
                break permit;
            }
            let _pending = shard.pending.hold();
            let granted = self.pool.wait(cluster, picked.id, deadline).await;
            match granted.map_err(AcquireError::Cap)? {
                Granted::Open(permit) => break permit,
                // A pooled connection was handed over, but only its permit can be used.
                Granted::Kept(connection) if alone => self.close(connection),
                Granted::Kept(connection) => {
                    permitted(Instant::now());
                    return Ok(connection.checked_out(&self.checked_out));
                }
            }
            permit = self.pool.try_open(cluster);
        };
        let now = Instant::now();
        permitted(now);
        let io = self.connect(picked, deadline, now, client, offer).await?;
        let connection = permit.connected(io, picked.id).checked_out(&self.checked_out);
        Ok(if alone { connection.for_one_client() } else { connection })
    }

    async fn connect(
        &self,
        picked: &Picked,
        deadline: Instant,
        now: Instant,
        client: &dyn Fn() -> Option<ConnectionAddresses>,
        offer: Offer,
    ) -> Result<Rc<Io>, ConnectError> {
        let shard = self.live.metrics.of(self.worker);
        let config = &self.live.cluster.config;
        let limit = deadline.min(now + *config.connect_timeout);
        let preface = config.proxy_protocol.map(|version| proxy_protocol::write(version, client()));
        let preface = preface.unwrap_or_default();
        connect(self.live.tls.as_deref(), picked, &preface, offer, limit)
            .await
            .inspect(|_| shard.opened.increment())
            .inspect_err(|error| shard.connect_failed(error.failure()))
    }
}
