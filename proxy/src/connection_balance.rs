//! Connection balancing: spreads the connections of one listener evenly over the workers.
//!
//! The kernel distributes connections over the workers' sockets by a hash of their addresses. With
//! few long-lived clients, most connections may reach one worker. A worker that has clearly more
//! connections than another hands over what it has just accepted. The counts are written once for
//! each connection, never for a request.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use crossbeam_utils::CachePadded;
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::io::Socket;
use crate::observe::counter::WorkerId;

/// Connections that may wait for their worker; a worker with more is behind already.
const QUEUE_LIMIT: usize = 256;
/// A worker hands a connection over when it has more than the least loaded worker plus this fraction
/// (one eighth). Handing over costs two system calls and a wake-up, and clients come and go.
const SLACK: u32 = 8;
/// A listener is below its limit again when it has refused no client for this long.
const QUIET: Duration = Duration::from_secs(2);

/// Counts the connections of a listener, in sum and by worker.
pub struct ConnectionBalancer {
    /// The sum over all workers.
    open: CachePadded<AtomicU32>,
    workers: Box<[WorkerShare]>,
    refused: RefusedCount,
}

/// Connections refused since the listener was last below its limit.
struct RefusedCount {
    count: AtomicU64,
    /// When the last one was refused, in milliseconds since `begun`.
    last: AtomicU64,
    begun: Instant,
}

struct WorkerShare {
    open: CachePadded<AtomicU32>,
    handover: mpsc::Sender<HandedConnection>,
}

/// The connections that other workers have accepted for this one.
pub type HandoverQueue = mpsc::Receiver<HandedConnection>;

/// A connection on its way to its worker.
pub struct HandedConnection {
    pub slot: ConnectionSlot,
    pub peer: Option<SocketAddr>,
    socket: Bare,
}

/// A socket that belongs to no runtime.
enum Bare {
    Tcp(std::net::TcpStream),
    Unix(std::os::unix::net::UnixStream),
}

/// A connection's share of the listener's limit, at one of the workers. Released on drop.
pub struct ConnectionSlot {
    balancer: Arc<ConnectionBalancer>,
    worker: WorkerId,
}

impl ConnectionBalancer {
    /// Returns a handover queue for each worker, in their order.
    pub fn new(workers: usize) -> (Arc<Self>, Vec<HandoverQueue>) {
        let (workers, handovers) = (0..workers)
            .map(|_| {
                let (handover, receiver) = mpsc::channel(QUEUE_LIMIT);
                (WorkerShare { open: CachePadded::default(), handover }, receiver)
            })
            .unzip::<_, _, Vec<_>, _>();
        let refused = RefusedCount {
            count: AtomicU64::new(0),
            last: AtomicU64::new(0),
            begun: Instant::now(),
        };
        (
            Arc::new(Self { open: CachePadded::default(), workers: workers.into(), refused }),
            handovers,
        )
    }

    /// A slot for what `worker` has accepted: at `worker`, or at a worker with fewer connections.
    /// `None` at the limit.
    pub fn try_acquire(self: &Arc<Self>, worker: WorkerId, limit: u32) -> Option<ConnectionSlot> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= limit {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let worker = self.less_loaded_than(worker).unwrap_or(worker);
        self.workers[worker.0].open.fetch_add(1, Ordering::Relaxed);
        Some(ConnectionSlot { balancer: Arc::clone(self), worker })
    }

    /// Counts a client that was refused at the limit.
    pub fn refused(&self, now: Instant) {
        let RefusedCount { count, last, begun } = &self.refused;
        last.store(millis(now.saturating_duration_since(*begun)), Ordering::Relaxed);
        count.fetch_add(1, Ordering::Relaxed);
    }

    /// How many clients were refused, once the listener is below its limit again: a tenth of the
    /// limit is free, and no client was refused for [`QUIET`]. So a listener that keeps touching its
    /// limit does not report it again and again.
    pub fn recovered(&self, limit: u32, now: Instant) -> Option<u64> {
        let RefusedCount { count, last, begun } = &self.refused;
        if count.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let since = millis(now.saturating_duration_since(*begun))
            .saturating_sub(last.load(Ordering::Relaxed));
        let open = self.open.load(Ordering::Relaxed);
        if since < millis(QUIET) || open >= limit || open > limit - limit / 10 {
            return None;
        }
        // Several workers may get here; one of them reports it.
        Some(count.swap(0, Ordering::Relaxed)).filter(|count| *count > 0)
    }

    /// The worker with the fewest connections, if `worker` has clearly more.
    fn less_loaded_than(&self, worker: WorkerId) -> Option<WorkerId> {
        let open = |share: &WorkerShare| share.open.load(Ordering::Relaxed);
        let mine = open(&self.workers[worker.0]);
        let (at, least) =
            self.workers.iter().map(open).enumerate().min_by_key(|(_, open)| *open)?;
        (mine > least + least / SLACK).then_some(WorkerId(at))
    }

    /// Hands a connection to the worker that has its slot. Returns it if that is this worker, or if
    /// the other worker's queue is full or closed.
    pub fn hand_over(
        slot: ConnectionSlot,
        socket: Socket,
        peer: Option<SocketAddr>,
        here: WorkerId,
    ) -> io::Result<Option<(ConnectionSlot, Socket)>> {
        if slot.worker == here {
            return Ok(Some((slot, socket)));
        }
        let balancer = Arc::clone(&slot.balancer);
        let handover = &balancer.workers[slot.worker.0].handover;
        let Ok(permit) = handover.try_reserve() else {
            return Ok(Some((slot.moved_to(here), socket)));
        };
        permit.send(HandedConnection { slot, peer, socket: Bare::of(socket)? });
        Ok(None)
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

impl ConnectionSlot {
    fn moved_to(mut self, worker: WorkerId) -> Self {
        self.balancer.workers[worker.0].open.fetch_add(1, Ordering::Relaxed);
        self.balancer.workers[self.worker.0].open.fetch_sub(1, Ordering::Relaxed);
        self.worker = worker;
        self
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        self.balancer.open.fetch_sub(1, Ordering::Relaxed);
        self.balancer.workers[self.worker.0].open.fetch_sub(1, Ordering::Relaxed);
    }
}

impl HandedConnection {
    /// Registers the socket with this thread's runtime.
    pub fn unpack(self) -> io::Result<(ConnectionSlot, Socket, Option<SocketAddr>)> {
        let socket = match self.socket {
            Bare::Tcp(stream) => Socket::Tcp(TcpStream::from_std(stream)?),
            Bare::Unix(stream) => Socket::Unix(UnixStream::from_std(stream)?),
        };
        Ok((self.slot, socket, self.peer))
    }
}

impl Bare {
    fn of(socket: Socket) -> io::Result<Self> {
        match socket {
            Socket::Tcp(stream) => stream.into_std().map(Self::Tcp),
            Socket::Unix(stream) => stream.into_std().map(Self::Unix),
            Socket::Rewound(_) => Err(io::Error::other("bytes of it were read already")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NO_LIMIT: u32 = u32::MAX;

    fn spread(balancer: &ConnectionBalancer) -> Vec<u32> {
        balancer.workers.iter().map(|share| share.open.load(Ordering::Relaxed)).collect()
    }

    #[test]
    fn few_connections_are_dealt_out_one_by_one() {
        let (balancer, _handovers) = ConnectionBalancer::new(4);
        let slots: Vec<_> =
            (0..8).map(|_| balancer.try_acquire(WorkerId(0), NO_LIMIT).unwrap()).collect();
        assert_eq!(spread(&balancer), [2, 2, 2, 2]);
        drop(slots);
        assert_eq!(spread(&balancer), [0; 4]);
    }

    /// However the hash falls, no worker has a seventh more than its share.
    #[test]
    fn many_connections_are_spread_nearly_evenly() {
        let mut random = fastrand::Rng::with_seed(7);
        let (balancer, _handovers) = ConnectionBalancer::new(4);
        let mut handed = 0;
        let slots: Vec<_> = (0..4_000)
            .map(|_| {
                // Three of four come to one worker.
                let accepted_by = WorkerId(random.usize(..8).saturating_sub(4));
                let slot = balancer.try_acquire(accepted_by, NO_LIMIT).unwrap();
                handed += u32::from(slot.worker != accepted_by);
                slot
            })
            .collect();
        let most = spread(&balancer).into_iter().max().unwrap();
        assert!(most <= 1_000 * 8 / 7, "{:?}", spread(&balancer));
        assert!(handed < 2_000, "{handed} of {} were handed on", slots.len());
    }

    #[test]
    fn the_limit_is_one_for_all_workers() {
        let (balancer, _handovers) = ConnectionBalancer::new(2);
        let slots = [0, 1, 1].map(|worker| balancer.try_acquire(WorkerId(worker), 2));
        assert_eq!(slots.map(|slot| slot.is_some()), [true, true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_limit_is_left_when_there_is_room_and_no_client_was_refused_for_a_while() {
        let (balancer, _handovers) = ConnectionBalancer::new(1);
        let recovered = || balancer.recovered(20, Instant::now());
        let mut slots: Vec<_> =
            (0..20).map(|_| balancer.try_acquire(WorkerId(0), 20).unwrap()).collect();
        assert_eq!(recovered(), None, "no client was refused");
        assert!(balancer.try_acquire(WorkerId(0), 20).is_none());
        balancer.refused(Instant::now());
        balancer.refused(Instant::now());
        tokio::time::advance(QUIET).await;
        slots.pop();
        assert_eq!(recovered(), None, "too little room");
        slots.pop();
        balancer.refused(Instant::now());
        assert_eq!(recovered(), None, "too soon");
        tokio::time::advance(QUIET).await;
        assert_eq!(recovered(), Some(3));
        assert_eq!(recovered(), None, "reported once");
    }

    #[tokio::test]
    async fn a_connection_arrives_where_its_place_is_or_stays() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (balancer, mut handovers) = ConnectionBalancer::new(2);
        let mut clients = Vec::new();
        let mut accepted = async || {
            let (client, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
            clients.push(client.unwrap());
            let slot = balancer.try_acquire(WorkerId(0), NO_LIMIT).unwrap();
            let (stream, peer) = accepted.unwrap();
            ConnectionBalancer::hand_over(slot, Socket::Tcp(stream), Some(peer), WorkerId(0))
                .unwrap()
        };
        let first = accepted().await.expect("no worker has fewer");
        assert!(accepted().await.is_none());
        let (second, _, peer) = handovers[1].recv().await.unwrap().unpack().unwrap();
        assert!(peer.is_some());
        drop((first, second));
        assert_eq!(spread(&balancer), [0, 0]);
        handovers[1].close();
        let stay = [accepted().await, accepted().await];
        assert!(stay.iter().all(Option::is_some), "the other takes no more");
        assert_eq!(spread(&balancer), [2, 0]);
    }
}
