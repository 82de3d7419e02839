//! Drain: asks the connections of one worker to end.
//!
//! A connection registers once and is woken when its listener retires, the whole worker drains
//! or its peer is dismissed; between these events it costs nothing. Single-threaded: the worker's own.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use ahash::AHashMap;
use slab::Slab;

use crate::deadline::Deadline;
use crate::tls::PeerIdentity;

/// How long a connection that is not kept may still begin a request.
const PRESSED_GRACE: Duration = Duration::from_secs(1);

/// The open connections of one listener on one worker.
#[derive(Default)]
pub struct Connections {
    draining: Cell<bool>,
    /// Connections are not kept between requests for now.
    pressed: Cell<bool>,
    grace: Cell<Duration>,
    patience: Cell<Option<Duration>>,
    lingering: Cell<usize>,
    places: RefCell<Slab<RegisteredTask>>,
    /// Who is on the other side, where a certificate says so: apart, so that connections without
    /// one do not pay for it.
    peers: RefCell<AHashMap<usize, RegisteredPeer>>,
}

/// What is kept of a connection: how it can be reached.
#[derive(Default)]
struct RegisteredTask {
    waker: Option<Waker>,
    /// Its timer, of those that are cut when memory is over its limit.
    deadline: Option<Rc<Deadline>>,
}

#[derive(Clone)]
struct RegisteredPeer {
    identity: Rc<PeerIdentity>,
    dismissed: bool,
}

impl Connections {
    pub fn register(self: &Rc<Self>) -> Registration {
        let key = self.places.borrow_mut().insert(RegisteredTask::default());
        Registration { connections: Rc::clone(self), key, lingers: Cell::new(false) }
    }

    /// Asks every connection to end, and wakes idle ones. Within
    /// `grace` one may still begin a request, so that a client learns from a response that the
    /// connection is going away.
    pub fn drain(&self, grace: Duration) {
        self.draining.set(true);
        self.grace.set(grace);
        self.wake_all();
    }

    fn wake_all(&self) {
        for (_, place) in self.places.borrow_mut().iter_mut() {
            place.wake();
        }
    }

    /// From now on connections end with their next response, idle ones at once: as long as this
    /// holds, and without a word to tunnels, which a drain would end.
    pub fn press(&self, pressed: bool) {
        if self.pressed.replace(pressed) != pressed && pressed {
            self.wake_all();
        }
    }

    /// Cuts connections that made no progress over `looks` calls, and returns how many.
    pub fn shed(&self, looks: u8) -> usize {
        let mut shed = 0;
        for (_, place) in self.places.borrow_mut().iter_mut() {
            if let Some(deadline) = &place.deadline
                && deadline.look() >= looks
            {
                deadline.cut();
                place.wake();
                shed += 1;
            }
        }
        shed
    }

    /// Asks connections to end whose peer must not be served any more, and returns how many.
    /// They have no grace: what is under way is their last request.
    pub fn dismiss(&self, unwanted: impl Fn(&PeerIdentity) -> bool) -> usize {
        let mut dismissed = 0;
        let mut places = self.places.borrow_mut();
        for (key, peer) in self.peers.borrow_mut().iter_mut() {
            if !peer.dismissed && unwanted(&peer.identity) {
                peer.dismissed = true;
                if let Some(place) = places.get_mut(*key) {
                    place.wake();
                }
                dismissed += 1;
            }
        }
        dismissed
    }

    /// The drain waits at most this long for the connections. Call it before the drain.
    pub fn limit(&self, patience: Duration) {
        self.patience.set(Some(patience));
    }

    pub fn is_draining(&self) -> bool {
        self.draining.get()
    }

    pub fn count(&self) -> usize {
        self.places.borrow().len()
    }

    /// Keeps room for those that are here, not for as many as there ever were.
    pub fn shrink(&self) {
        self.places.borrow_mut().shrink_to_fit();
        self.peers.borrow_mut().shrink_to_fit();
    }

    /// Of these, the ones that have said everything and only wait for the client to hear it.
    pub fn lingering(&self) -> usize {
        self.lingering.get()
    }
}

impl RegisteredTask {
    fn wake(&mut self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }
}

/// One connection's place in the register; dropping it leaves.
pub struct Registration {
    connections: Rc<Connections>,
    key: usize,
    lingers: Cell<bool>,
}

impl Registration {
    /// Says who is on the other side.
    pub fn identify(&self, peer: Rc<PeerIdentity>) {
        let peer = RegisteredPeer { identity: peer, dismissed: false };
        self.connections.peers.borrow_mut().insert(self.key, peer);
    }

    /// From now on the connection may be cut by its timer.
    pub fn expose(&self, deadline: &Rc<Deadline>) {
        if let Some(place) = self.connections.places.borrow_mut().get_mut(self.key) {
            place.deadline = Some(Rc::clone(deadline));
        }
    }

    pub fn is_draining(&self) -> bool {
        self.connections.is_draining() || self.is_dismissed()
    }

    /// Whether the request under way is the connection's last one, for whatever reason.
    pub fn is_ending(&self) -> bool {
        self.connections.pressed.get() || self.is_draining()
    }

    /// Whether not even a request that has come already is to be taken.
    pub fn is_dismissed(&self) -> bool {
        self.connections.peers.borrow().get(&self.key).is_some_and(|peer| peer.dismissed)
    }

    /// A place beside this one, for a task of its own on the same connection.
    pub fn another(&self) -> Self {
        let another = self.connections.register();
        let mut peers = self.connections.peers.borrow_mut();
        if let Some(peer) = peers.get(&self.key).cloned() {
            peers.insert(another.key, peer);
        }
        drop(peers);
        another
    }

    /// How long a drain waits; `None` if there is none.
    pub fn patience(&self) -> Option<Duration> {
        self.connections.patience.get()
    }

    pub fn grace(&self) -> Duration {
        match self.connections.is_draining() {
            _ if self.is_dismissed() => Duration::ZERO,
            true => self.connections.grace.get(),
            // Only pressed: as long as a new client may take for its request.
            false => PRESSED_GRACE,
        }
    }

    /// Nothing more will be sent: a drain need not wait for this connection at any price.
    pub fn linger(&self) {
        if !self.lingers.replace(true) {
            self.connections.lingering.set(self.connections.lingering.get() + 1);
        }
    }

    /// Ends when the end has been announced.
    pub async fn draining(&self) {
        std::future::poll_fn(|cx| match self.poll_draining(cx) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        })
        .await;
    }

    /// Ends when the end was announced and the time is over in which something may begin.
    pub async fn drained(&self) {
        self.draining().await;
        tokio::time::sleep(self.grace()).await;
    }

    /// Whether the end has been announced; if not, the task is woken when it is.
    pub fn poll_draining(&self, cx: &Context<'_>) -> bool {
        self.heard(self.is_draining(), cx)
    }

    /// The same of [`Self::is_ending`].
    pub fn poll_ending(&self, cx: &Context<'_>) -> bool {
        self.heard(self.is_ending(), cx)
    }

    fn heard(&self, announced: bool, cx: &Context<'_>) -> bool {
        if !announced {
            self.listen(cx);
        }
        announced
    }

    /// Ends when the peer is not to be served any more, whatever else was announced.
    pub async fn dismissed(&self) {
        std::future::poll_fn(|cx| {
            if self.is_dismissed() {
                return Poll::Ready(());
            }
            self.listen(cx);
            Poll::Pending
        })
        .await;
    }

    /// The task is woken at the next announcement, and when it is cut.
    pub fn listen(&self, cx: &Context<'_>) {
        let mut places = self.connections.places.borrow_mut();
        if let Some(place) = places.get_mut(self.key)
            && !place.waker.as_ref().is_some_and(|waker| waker.will_wake(cx.waker()))
        {
            place.waker = Some(cx.waker().clone());
        }
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.connections.places.borrow_mut().try_remove(self.key);
        self.connections.peers.borrow_mut().remove(&self.key);
        if self.lingers.get() {
            self.connections.lingering.set(self.connections.lingering.get() - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_waiting_connection_hears_of_the_drain() {
        let connections = Rc::new(Connections::default());
        let registration = connections.register();
        tokio::join!(registration.draining(), async { connections.drain(Duration::ZERO) });
        assert!(registration.is_draining());
    }

    #[tokio::test]
    async fn memory_that_is_short_ends_connections_and_no_tunnels() {
        let connections = Rc::new(Connections::default());
        let registration = connections.register();
        let ending = std::future::poll_fn(|cx| match registration.poll_ending(cx) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        tokio::join!(ending, async { connections.press(true) });
        assert!(registration.is_ending() && !registration.is_draining());
        assert_eq!(registration.grace(), PRESSED_GRACE);
        connections.press(false);
        assert!(!registration.is_ending());
    }

    #[tokio::test]
    async fn only_who_stands_still_is_shed() {
        let connections = Rc::new(Connections::default());
        let places = [(); 3].map(|()| connections.register());
        let long = tokio::time::Instant::now() + Duration::from_secs(60);
        let deadlines = [(); 2].map(|()| Rc::new(Deadline::at(long)));
        places[0].expose(&deadlines[0]);
        places[1].expose(&deadlines[1]);
        assert_eq!(connections.shed(1), 0);
        deadlines[0].moves();
        assert_eq!(connections.shed(2), 0);
        deadlines[0].moves();
        assert_eq!(connections.shed(2), 1);
        assert!(!deadlines[0].is_cut() && deadlines[1].is_cut());
    }

    /// One place wakes one task: tasks that share a connection need one each.
    #[tokio::test]
    async fn two_tasks_of_one_connection_both_hear_of_the_drain() {
        let connections = Rc::new(Connections::default());
        let first = connections.register();
        let second = first.another();
        assert_eq!((connections.count(), second.patience()), (2, None));
        tokio::join!(first.draining(), second.draining(), async {
            connections.limit(Duration::from_secs(4));
            connections.drain(Duration::ZERO);
        });
        assert_eq!(second.patience(), Some(Duration::from_secs(4)));
    }

    #[test]
    fn leaving_frees_the_place() {
        let connections = Rc::new(Connections::default());
        let registration = connections.register();
        registration.linger();
        registration.linger();
        assert_eq!((connections.count(), connections.lingering()), (1, 1));
        drop(registration);
        assert_eq!((connections.count(), connections.lingering()), (0, 0));
    }

    #[test]
    fn a_register_follows_the_tide() {
        let connections = Rc::new(Connections::default());
        let stays = connections.register();
        let many: Vec<_> = (0..1000).map(|_| connections.register()).collect();
        drop(many);
        connections.shrink();
        assert!(connections.places.borrow().capacity() < 10);
        assert_eq!((connections.count(), stays.is_draining()), (1, false));
        assert_ne!(connections.register().key, stays.key);
    }
}
