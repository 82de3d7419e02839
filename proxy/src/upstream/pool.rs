//! Idle connections to one upstream, kept by one worker; and the cap on open ones.
//!
//! The last connection put back is the first one lent, so that what is not needed grows old and
//! is closed. The cap counts the connections of all workers; a request beyond it waits in a
//! bounded queue. Nothing here is touched by two threads except the cap, and that only when a
//! connection is opened or closed.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::Duration;

use ahash::AHashMap;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout_at};

use crate::error::Reason;
use crate::io::Io;
use crate::upstream::caps::ConnectionPermit;
use crate::upstream::cluster::Cluster;

/// An open connection with its place under the cap.
pub struct PooledConnection {
    pub io: Rc<Io>,
    pub endpoint: u64,
    /// It has carried a request before.
    pub reused: bool,
    _permit: ConnectionPermit,
}

struct Idle {
    connection: PooledConnection,
    expires: Instant,
}

/// The right to open one connection.
pub struct Permit(ConnectionPermit);

impl Permit {
    pub fn connected(self, io: Rc<Io>, endpoint: u64) -> PooledConnection {
        PooledConnection { io, endpoint, reused: false, _permit: self.0 }
    }
}

/// One worker's pool of one upstream.
pub struct Pool {
    max_idle: Cell<usize>,
    idle_timeout: Cell<Duration>,
    idle: RefCell<AHashMap<u64, Vec<Idle>>>,
    /// Requests of this worker that wait for a connection, the longest first.
    waiters: RefCell<VecDeque<oneshot::Sender<()>>>,
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

    /// Takes over new limits; open connections stay.
    pub fn configure(&self, max_idle: u32, idle_timeout: Duration) {
        self.max_idle.set(max_idle as usize);
        self.idle_timeout.set(idle_timeout);
    }

    /// An idle connection to the endpoint that its peer has not closed.
    pub fn checkout(&self, endpoint: u64, now: Instant) -> Option<PooledConnection> {
        let mut idle = self.idle.borrow_mut();
        let kept = idle.get_mut(&endpoint)?;
        while let Some(Idle { mut connection, expires }) = kept.pop() {
            if expires > now && connection.io.is_quiet() {
                connection.reused = true;
                return Some(connection);
            }
        }
        None
    }

    /// The right to open a connection, waited for until `deadline` when the cap is reached.
    ///
    /// `None` means that a connection of this worker has become idle meanwhile: look again.
    pub async fn permit(
        &self,
        cluster: &Cluster,
        deadline: Instant,
    ) -> Result<Option<Permit>, Reason> {
        if let Some(permit) = cluster.try_connect() {
            return Ok(Some(Permit(permit)));
        }
        let _waiting = cluster.try_pend().ok_or(Reason::UpstreamOverflow)?;
        let (sender, freed) = oneshot::channel();
        self.waiters.borrow_mut().push_back(sender);
        let either = async {
            tokio::select! {
                biased;
                permit = cluster.connect() => Some(Permit(permit)),
                _ = freed => None,
            }
        };
        let outcome = timeout_at(deadline, either).await.map_err(|_| Reason::PoolTimeout);
        self.waiters.borrow_mut().retain(|waiter| !waiter.is_closed());
        outcome
    }

    /// Puts a connection back whose exchange is complete on both sides. `peer_timeout` is the
    /// idle time that the upstream has announced; ours is made shorter.
    pub fn checkin(
        &self,
        cluster: &Cluster,
        connection: PooledConnection,
        peer_timeout: Option<Duration>,
        now: Instant,
    ) {
        let waiter = self.next_waiter();
        let starving = waiter.is_none() && cluster.pending_requests() > 0;
        if starving || self.max_idle.get() == 0 || !connection.io.is_quiet() {
            // Its place goes to whoever waits on another worker.
            drop(connection);
        } else {
            let own = self.idle_timeout.get();
            let keep = peer_timeout.map_or(own, |peer| own.min(shorter_than(peer)));
            let mut idle = self.idle.borrow_mut();
            let kept = idle.entry(connection.endpoint).or_default();
            if kept.len() >= self.max_idle.get() {
                kept.remove(0);
            }
            kept.push(Idle { connection, expires: now + keep });
        }
        if let Some(waiter) = waiter {
            // A waiter that is gone has been served otherwise.
            let _ = waiter.send(());
        }
    }

    fn next_waiter(&self) -> Option<oneshot::Sender<()>> {
        let mut waiters = self.waiters.borrow_mut();
        while let Some(waiter) = waiters.pop_front() {
            if !waiter.is_closed() {
                return Some(waiter);
            }
        }
        None
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
    use std::sync::Arc;

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
        async fn permit(&self, deadline: Instant) -> Result<Option<Permit>, Reason> {
            self.pool.permit(&self.cluster, deadline).await
        }

        fn checkin(&self, connection: PooledConnection, peer: Option<Duration>, now: Instant) {
            self.pool.checkin(&self.cluster, connection, peer, now);
        }

        fn checkout(&self, endpoint: u64, now: Instant) -> Option<PooledConnection> {
            self.pool.checkout(endpoint, now)
        }
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_millis(20)
    }

    async fn opened(pool: &Fixture, endpoint: u64) -> (PooledConnection, TcpStream) {
        let (io, peer) = pair().await;
        let permit = pool.permit(soon()).await.unwrap().unwrap();
        (permit.connected(io, endpoint), peer)
    }

    #[tokio::test]
    async fn a_connection_is_lent_again() {
        let pool = fixture(4, 4);
        let (connection, _peer) = opened(&pool, 7).await;
        pool.checkin(connection, None, Instant::now());
        assert!(pool.checkout(8, Instant::now()).is_none());
        assert!(pool.checkout(7, Instant::now()).is_some_and(|connection| connection.reused));
        assert!(pool.checkout(7, Instant::now()).is_none());
    }

    #[tokio::test]
    async fn a_connection_closed_by_its_peer_is_not_lent() {
        let pool = fixture(4, 4);
        let (connection, peer) = opened(&pool, 7).await;
        let io = Rc::clone(&connection.io);
        pool.checkin(connection, None, Instant::now());
        drop(peer);
        io.readable().await.unwrap();
        assert!(pool.checkout(7, Instant::now()).is_none());
    }

    #[tokio::test]
    async fn an_old_connection_is_not_lent_and_the_peer_can_shorten_its_life() {
        let pool = fixture(4, 4);
        let now = Instant::now();
        for (peer_timeout, age, lent) in [
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
            assert_eq!(found, lent, "{peer_timeout:?} {age}");
        }
    }

    #[tokio::test]
    async fn the_cap_makes_requests_wait_and_the_queue_is_bounded() {
        let pool = fixture(1, 1);
        let (connection, _peer) = opened(&pool, 7).await;
        assert!(matches!(pool.permit(soon()).await, Err(Reason::PoolTimeout)));
        let deadline = Instant::now() + Duration::from_secs(5);
        let first = pool.permit(deadline);
        let second = async {
            let refused = pool.permit(deadline).await;
            assert!(matches!(refused, Err(Reason::UpstreamOverflow)));
            pool.checkin(connection, None, Instant::now());
        };
        let (first, ()) = tokio::join!(first, second);
        assert!(matches!(first, Ok(None)), "a connection went idle, so no new one is opened");
        assert!(pool.checkout(7, Instant::now()).is_some());
        assert_eq!(pool.cluster.pending_requests(), 0);
    }

    #[tokio::test]
    async fn a_closed_connection_frees_its_place() {
        let pool = fixture(1, 1);
        let (connection, _peer) = opened(&pool, 7).await;
        drop(connection);
        assert!(matches!(pool.permit(soon()).await, Ok(Some(_))));
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
