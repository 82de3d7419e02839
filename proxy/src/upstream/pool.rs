//! Idle connections to one upstream, kept by one worker; and the cap on open ones.
//!
//! The pool is last in, first out, so that connections that are not needed grow old and are closed.
//! The cap counts the connections of all workers. A request beyond it waits in a bounded queue, first
//! come, first served. Only the cap is shared between threads, and it is touched only when a connection
//! is opened or closed.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::error::Reason;
use crate::io::Io;
use crate::observe::counter::WorkerId;
use crate::observe::series::UpstreamMetrics;
use crate::upstream::caps::ConnectionPermit;
use crate::upstream::cluster::Cluster;

/// An open connection with its permit under the cap.
pub struct PooledConnection {
    pub io: Rc<Io>,
    pub endpoint: u64,
    /// It has carried a request before.
    pub reused: bool,
    /// A PROXY protocol header has named its client, so no other client may use it.
    personal: bool,
    checked_out: Option<CheckedOut>,
    _permit: ConnectionPermit,
}

/// Counts the connections of one upstream that a worker has checked out.
pub struct CheckedOutCount {
    pub metrics: Arc<UpstreamMetrics>,
    pub worker: WorkerId,
}

/// Counts a connection as checked out until it is dropped.
struct CheckedOut(Rc<CheckedOutCount>);

impl Drop for CheckedOut {
    fn drop(&mut self) {
        self.0.metrics.of(self.0.worker).active.add(-1);
    }
}

struct Idle {
    connection: PooledConnection,
    expires: Instant,
}

/// The right to open one connection.
pub struct Permit(ConnectionPermit);

impl Permit {
    pub fn connected(self, io: Rc<Io>, endpoint: u64) -> PooledConnection {
        PooledConnection {
            io,
            endpoint,
            reused: false,
            personal: false,
            checked_out: None,
            _permit: self.0,
        }
    }
}

impl PooledConnection {
    /// Counts it until it is put back or closed.
    pub fn checked_out(mut self, count: &Rc<CheckedOutCount>) -> Self {
        count.metrics.of(count.worker).active.add(1);
        self.checked_out = Some(CheckedOut(Rc::clone(count)));
        self
    }

    /// Binds the connection to the client that it was opened for.
    pub fn for_one_client(self) -> Self {
        Self { personal: true, ..self }
    }
}

/// One worker's pool of one upstream.
pub struct Pool {
    max_idle: Cell<usize>,
    idle_timeout: Cell<Duration>,
    idle: RefCell<AHashMap<u64, Vec<Idle>>>,
    /// Requests of this worker that wait for a connection, the longest first.
    waiters: RefCell<VecDeque<Waiter>>,
}

struct Waiter {
    endpoint: u64,
    hand: oneshot::Sender<PooledConnection>,
}

/// What a waiting request got.
pub enum Granted {
    Open(Permit),
    Kept(PooledConnection),
}

/// What happened to a connection that was checked in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned {
    Idle,
    /// Idle; an older one was closed for it.
    Replaced,
    /// Handed to a waiting request.
    Handed,
    Closed,
}

impl Pool {
    pub fn new(max_idle: u32, idle_timeout: Duration) -> Self {
        Self {
            max_idle: Cell::new(max_idle as usize),
            idle_timeout: Cell::new(idle_timeout),
            idle: RefCell::default(),
            waiters: RefCell::default(),
        }
    }

    /// Sets new limits. Open connections stay.
    pub fn configure(&self, max_idle: u32, idle_timeout: Duration) {
        self.max_idle.set(max_idle as usize);
        self.idle_timeout.set(idle_timeout);
    }

    /// An idle connection to the endpoint that the peer has not closed. `closed` counts the unusable
    /// ones that were dropped.
    pub fn checkout(
        &self,
        endpoint: u64,
        now: Instant,
        closed: &mut u32,
    ) -> Option<PooledConnection> {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.get_mut(&endpoint)?;
        while let Some(Idle { mut connection, expires }) = kept.pop() {
            if expires > now && connection.io.is_quiet() {
                connection.reused = true;
                return Some(connection);
            }
            *closed += 1;
        }
        None
    }

    /// The right to open one connection at once. `None` if other requests wait for it.
    pub fn try_open(&self, cluster: &Cluster) -> Option<Permit> {
        if self.has_waiters() { None } else { cluster.try_connect().map(Permit) }
    }

    /// Waits for the right to open a connection, after the requests that wait already.
    pub async fn permit(&self, cluster: &Cluster) -> Permit {
        Permit(cluster.connect(false).await)
    }

    /// Waits until `deadline` for the right to open a connection, or for a connection to this endpoint
    /// that a request of this worker checks in. First come, first served.
    pub async fn wait(
        &self,
        cluster: &Cluster,
        endpoint: u64,
        deadline: Instant,
    ) -> Result<Granted, Reason> {
        let _waiting = cluster.try_pend().ok_or(Reason::UpstreamOverflow)?;
        let at_once = !self.has_waiters();
        let (hand, handed) = oneshot::channel();
        self.waiters.borrow_mut().push_back(Waiter { endpoint, hand });
        let either = async {
            tokio::select! {
                biased;
                Ok(connection) = handed => Granted::Kept(connection),
                permit = cluster.connect(at_once) => Granted::Open(Permit(permit)),
            }
        };
        timeout_at(deadline, either).await.map_err(|_| Reason::PoolTimeout)
    }

    /// Whether a request of this worker waits for a connection.
    pub fn has_waiters(&self) -> bool {
        let mut waiters = self.waiters.borrow_mut();
        // Removes requests that were served or gave up, so that the first one really waits.
        while waiters.front().is_some_and(|waiter| waiter.hand.is_closed()) {
            waiters.pop_front();
        }
        !waiters.is_empty()
    }

    /// Checks a connection in after an exchange that is complete on both sides, or hands it to the
    /// request that has waited longest. `peer_timeout` is the idle time that the upstream announced;
    /// ours is made shorter.
    pub fn checkin(
        &self,
        cluster: &Cluster,
        mut connection: PooledConnection,
        peer_timeout: Option<Duration>,
        now: Instant,
    ) -> Returned {
        connection.checked_out = None;
        if connection.personal || self.max_idle.get() == 0 || !connection.io.is_quiet() {
            return Returned::Closed;
        }
        if self.has_waiters() {
            let mut waiters = self.waiters.borrow_mut();
            let wants_it =
                waiters.front().is_some_and(|waiter| waiter.endpoint == connection.endpoint);
            if wants_it && let Some(waiter) = waiters.pop_front() {
                connection.reused = true;
                return match waiter.hand.send(connection) {
                    Ok(()) => Returned::Handed,
                    Err(_) => Returned::Closed,
                };
            }
            // The first waiting request wants another endpoint, and gets this connection's permit.
            return Returned::Closed;
        }
        if cluster.pending_requests() > 0 {
            // Its permit goes to a request that waits on another worker.
            return Returned::Closed;
        }
        let own = self.idle_timeout.get();
        let keep = peer_timeout.map_or(own, |peer| own.min(shorter_than(peer)));
        let mut idle = self.idle.borrow_mut();
        let kept = idle.entry(connection.endpoint).or_default();
        let full = kept.len() >= self.max_idle.get();
        if full {
            kept.remove(0);
        }
        kept.push(Idle { connection, expires: now + keep });
        if full { Returned::Replaced } else { Returned::Idle }
    }

    /// Closes what has been idle for too long, or was closed by its peer, or belongs to an
    /// endpoint that is gone.
    pub fn sweep(&self, now: Instant, is_current: impl Fn(u64) -> bool) {
        self.idle.borrow_mut().retain(|endpoint, kept| {
            if is_current(*endpoint) {
                kept.retain(|idle| idle.expires > now && idle.connection.io.is_quiet());
            } else {
                kept.clear();
            }
            !kept.is_empty()
        });
    }

    /// Closes one idle connection, whichever endpoint it leads to, to make room under the cap
    /// for a connection to another one.
    pub fn evict_one(&self) -> bool {
        let mut idle = self.idle.borrow_mut();
        for kept in idle.values_mut() {
            if !kept.is_empty() {
                kept.remove(0);
                return true;
            }
        }
        false
    }

    pub fn idle_count(&self) -> usize {
        self.idle.borrow().values().map(Vec::len).sum()
    }
}

/// Sooner than the peer by a second, or by half where it gives less than two.
fn shorter_than(peer: Duration) -> Duration {
    const MARGIN: Duration = Duration::from_secs(1);
    if peer >= 2 * MARGIN { peer - MARGIN } else { peer / 2 }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use portcullis_config::location::Sourced;
    use portcullis_config::model::BalancePolicy;
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::io::Socket;

    async fn pair() -> (Rc<Io>, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
        (Rc::new(Io::plain(Socket::Tcp(ours.unwrap()))), theirs.unwrap().0)
    }

    struct Fixture {
        cluster: Arc<Cluster>,
        pool: Pool,
    }

    fn fixture(max_connections: u32, max_pending: u32) -> Fixture {
        let mut upstream = crate::upstream::fixture::upstream(BalancePolicy::Random, []);
        let limit = NonZeroU32::new(max_connections).unwrap();
        upstream.concurrency.max_connections = Sourced::built_in(limit);
        upstream.concurrency.max_pending = Sourced::built_in(max_pending);
        Fixture {
            cluster: Cluster::build(&upstream, None),
            pool: Pool::new(4, Duration::from_secs(30)),
        }
    }

    impl Fixture {
        fn try_open(&self) -> Option<Permit> {
            self.pool.try_open(&self.cluster)
        }

        async fn wait(&self, endpoint: u64, deadline: Instant) -> Result<Granted, Reason> {
            self.pool.wait(&self.cluster, endpoint, deadline).await
        }

        fn checkin(
            &self,
            connection: PooledConnection,
            peer: Option<Duration>,
            now: Instant,
        ) -> Returned {
            self.pool.checkin(&self.cluster, connection, peer, now)
        }

        fn checkout(&self, endpoint: u64, now: Instant) -> Option<PooledConnection> {
            self.pool.checkout(endpoint, now, &mut 0)
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    async fn opened(pool: &Fixture, endpoint: u64) -> (PooledConnection, TcpStream) {
        let (io, peer) = pair().await;
        let permit = pool.try_open().unwrap();
        (permit.connected(io, endpoint), peer)
    }

    #[tokio::test]
    async fn a_connection_is_reused() {
        let pool = fixture(4, 4);
        let (connection, _peer) = opened(&pool, 7).await;
        pool.checkin(connection, None, Instant::now());
        assert!(pool.checkout(8, Instant::now()).is_none());
        assert!(pool.checkout(7, Instant::now()).is_some_and(|connection| connection.reused));
        assert!(pool.checkout(7, Instant::now()).is_none());
    }

    #[tokio::test]
    async fn a_connection_closed_by_its_peer_is_not_reused() {
        let pool = fixture(4, 4);
        let (connection, peer) = opened(&pool, 7).await;
        let io = Rc::clone(&connection.io);
        pool.checkin(connection, None, Instant::now());
        drop(peer);
        io.readable().await.unwrap();
        assert!(pool.checkout(7, Instant::now()).is_none());
    }

    #[tokio::test]
    async fn an_old_connection_is_not_reused_and_the_peer_can_shorten_its_life() {
        let pool = fixture(4, 4);
        let now = Instant::now();
        for (peer_timeout, age, checked_out) in [
            (None, 29, true),
            (None, 31, false),
            (Some(5), 3, true),
            (Some(5), 4, false),
            (Some(1), 1, false),
            (Some(100), 31, false),
        ] {
            let (connection, _peer) = opened(&pool, 7).await;
            pool.checkin(connection, peer_timeout.map(Duration::from_secs), now);
            let found = pool.checkout(7, now + Duration::from_secs(age)).is_some();
            assert_eq!(found, checked_out, "{peer_timeout:?} {age}");
        }
    }

    #[tokio::test]
    async fn the_cap_makes_requests_wait_and_the_queue_is_bounded() {
        let pool = fixture(1, 1);
        let (connection, _peer) = opened(&pool, 7).await;
        assert!(pool.try_open().is_none());
        assert!(matches!(pool.wait(7, soon()).await, Err(Reason::PoolTimeout)));
        let deadline = Instant::now() + Duration::from_secs(5);
        let first = pool.wait(7, deadline);
        let second = async {
            let refused = pool.wait(7, deadline).await;
            assert!(matches!(refused, Err(Reason::UpstreamOverflow)));
            assert_eq!(pool.checkin(connection, None, Instant::now()), Returned::Handed);
        };
        let (first, ()) = tokio::join!(first, second);
        assert!(matches!(first, Ok(Granted::Kept(_))), "no new one is opened");
        assert_eq!(pool.cluster.pending_requests(), 0);
    }

    #[tokio::test]
    async fn a_newcomer_does_not_pass_those_who_wait() {
        let pool = fixture(1, 4);
        let (connection, _peer) = opened(&pool, 7).await;
        let deadline = Instant::now() + Duration::from_secs(5);
        let first = async {
            let granted = pool.wait(7, deadline).await;
            assert!(matches!(granted, Ok(Granted::Kept(_))), "the one that was put back");
            assert!(pool.pool.has_waiters(), "the newcomer still waits");
        };
        let newcomer = async {
            assert!(pool.try_open().is_none());
            let hands_on = async {
                assert_eq!(pool.checkin(connection, None, Instant::now()), Returned::Handed);
            };
            tokio::join!(pool.wait(7, deadline), hands_on).0
        };
        let ((), newcomer) = tokio::join!(first, newcomer);
        assert!(matches!(newcomer, Ok(Granted::Open(_))));
    }

    #[tokio::test]
    async fn a_connection_to_another_endpoint_gives_its_place() {
        let pool = fixture(1, 4);
        let (connection, _peer) = opened(&pool, 7).await;
        let deadline = Instant::now() + Duration::from_secs(5);
        let (granted, returned) = tokio::join!(pool.wait(8, deadline), async {
            pool.checkin(connection, None, Instant::now())
        });
        assert_eq!(returned, Returned::Closed);
        assert!(matches!(granted, Ok(Granted::Open(_))));
    }

    #[tokio::test]
    async fn a_closed_connection_frees_its_place() {
        let pool = fixture(1, 1);
        let (connection, _peer) = opened(&pool, 7).await;
        drop(connection);
        assert!(pool.try_open().is_some());
    }

    #[tokio::test]
    async fn a_sweep_closes_what_is_old_or_gone() {
        let pool = fixture(4, 4);
        let now = Instant::now();
        let (first, _peer) = opened(&pool, 1).await;
        let (second, _other) = opened(&pool, 2).await;
        pool.checkin(first, None, now);
        pool.checkin(second, None, now + Duration::from_secs(10));
        pool.pool.sweep(now, |endpoint| endpoint == 2);
        assert_eq!(pool.pool.idle_count(), 1);
        pool.pool.sweep(now + Duration::from_secs(41), |_| true);
        assert_eq!(pool.pool.idle_count(), 0);
    }
}
