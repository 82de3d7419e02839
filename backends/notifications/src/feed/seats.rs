//! Who listens: one seat for each open feed, so many for an account and in total, and what each
//! account's listeners know of its latest message.
//!
//! It holds no messages: a listener reads them from the database, in its own time.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use prometheus::IntGauge;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

/// Feeds that one account may have open: its devices, with some to spare.
pub(crate) const ACCOUNT_LIMIT: usize = 10;

#[derive(Debug)]
pub(crate) struct Seats {
    /// No more accounts than seats.
    accounts: Mutex<HashMap<Uuid, Account>>,
    limit: usize,
    taken: watch::Sender<usize>,
    stopping: watch::Sender<bool>,
    news: Notify,
    gauge: IntGauge,
}

#[derive(Debug)]
struct Account {
    seats: usize,
    /// The place of its latest message, as far as we have heard. It only grows.
    latest: watch::Sender<i64>,
    /// Whether someone said that there is more.
    news: bool,
}

/// Why there is no seat.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// The account has [`ACCOUNT_LIMIT`] already.
    Account,
    /// All of them are taken.
    Total,
    Stopping,
}

/// A place in the audience, given back on drop.
#[derive(Debug)]
pub(crate) struct Seat {
    seats: Arc<Seats>,
    pub(crate) account: Uuid,
    pub(crate) latest: watch::Receiver<i64>,
}

impl Seats {
    pub(crate) fn new(limit: usize, gauge: IntGauge) -> Self {
        Self {
            accounts: Mutex::default(),
            limit,
            taken: watch::Sender::new(0),
            stopping: watch::Sender::new(false),
            news: Notify::new(),
            gauge,
        }
    }

    pub(crate) fn take(self: &Arc<Self>, account: Uuid) -> Result<Seat, Full> {
        let mut accounts = self.accounts();
        if *self.stopping.borrow() {
            return Err(Full::Stopping);
        }
        if *self.taken.borrow() >= self.limit {
            return Err(Full::Total);
        }
        let entry = accounts.entry(account).or_insert_with(|| Account {
            seats: 0,
            latest: watch::Sender::new(0),
            news: false,
        });
        if entry.seats >= ACCOUNT_LIMIT {
            return Err(Full::Account);
        }
        entry.seats += 1;
        let latest = entry.latest.subscribe();
        self.taken.send_modify(|taken| *taken += 1);
        self.gauge.inc();
        Ok(Seat { seats: Arc::clone(self), account, latest })
    }

    /// Says that an account may have a new message: whoever listens is told soon.
    pub(crate) fn announce(&self, account: Uuid) {
        if let Some(entry) = self.accounts().get_mut(&account) {
            entry.news = true;
            self.news.notify_one();
        }
    }

    /// Resolves when something was announced since the last time.
    pub(crate) async fn announced(&self) {
        self.news.notified().await;
    }

    /// The accounts of which something was announced since the last time.
    pub(crate) fn take_announced(&self) -> Vec<Uuid> {
        let mut accounts = self.accounts();
        let with_news = accounts
            .iter_mut()
            .filter_map(|(account, entry)| std::mem::take(&mut entry.news).then_some(*account));
        with_news.collect()
    }

    /// All accounts that have a listener.
    pub(crate) fn listening(&self) -> Vec<Uuid> {
        self.accounts().keys().copied().collect()
    }

    /// Tells an account's listeners the place of its latest message.
    pub(crate) fn tell(&self, account: Uuid, latest: i64) {
        if let Some(entry) = self.accounts().get(&account) {
            entry.latest.send_if_modified(|known| {
                let newer = latest > *known;
                *known = latest.max(*known);
                newer
            });
        }
    }

    /// From here on there are no seats, and whoever has one is asked to leave.
    pub(crate) fn stop(&self) {
        // Under the lock, so that no seat is taken beside it.
        let _accounts = self.accounts();
        self.stopping.send_replace(true);
    }

    pub(crate) async fn stopped(&self) {
        // The sender lives as long as `self`.
        drop(self.stopping.subscribe().wait_for(|stopping| *stopping).await);
    }

    /// Resolves when no more than `count` listen.
    pub(crate) async fn at_most(&self, count: usize) {
        drop(self.taken.subscribe().wait_for(|taken| *taken <= count).await);
    }

    pub(crate) fn taken(&self) -> usize {
        *self.taken.borrow()
    }

    fn accounts(&self) -> MutexGuard<'_, HashMap<Uuid, Account>> {
        // No code that could panic halfway runs under the lock.
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Seat {
    /// Tells this account's listeners, this one included, the place of its latest message.
    pub(crate) fn tell(&self, latest: i64) {
        self.seats.tell(self.account, latest);
    }

    pub(crate) async fn stopped(&self) {
        self.seats.stopped().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut accounts = self.seats.accounts();
        if let Entry::Occupied(mut entry) = accounts.entry(self.account) {
            entry.get_mut().seats -= 1;
            if entry.get().seats == 0 {
                entry.remove();
            }
        }
        self.seats.taken.send_modify(|taken| *taken -= 1);
        self.seats.gauge.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seats(limit: usize) -> Arc<Seats> {
        Arc::new(Seats::new(limit, IntGauge::new("feeds", "Feeds").unwrap()))
    }

    #[test]
    fn seats_end_for_an_account_and_for_all() {
        let seats = seats(ACCOUNT_LIMIT + 1);
        let (ada, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let mut taken: Vec<Seat> = (0..ACCOUNT_LIMIT).map(|_| seats.take(ada).unwrap()).collect();
        assert_eq!(seats.take(ada).err(), Some(Full::Account));
        let last = seats.take(bob).unwrap();
        assert_eq!(seats.take(bob).err(), Some(Full::Total));
        assert_eq!(seats.take(Uuid::from_u128(3)).err(), Some(Full::Total));
        drop(taken.pop());
        drop(last);
        assert_eq!(seats.listening(), [ada], "an account without a seat is forgotten");
        taken.push(seats.take(ada).unwrap());
        assert_eq!((seats.taken(), seats.gauge.get()), (ACCOUNT_LIMIT, 10));
        drop(taken);
        assert_eq!((seats.taken(), seats.gauge.get()), (0, 0));
        assert!(seats.listening().is_empty());
    }

    #[test]
    fn a_listener_hears_of_its_account_and_of_nothing_older() {
        let seats = seats(10);
        let (ada, bob) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let (mut one, two) = (seats.take(ada).unwrap(), seats.take(bob).unwrap());
        seats.tell(ada, 7);
        assert!(one.latest.has_changed().unwrap() && !two.latest.has_changed().unwrap());
        assert_eq!(*one.latest.borrow_and_update(), 7);
        seats.tell(ada, 6);
        seats.tell(ada, 7);
        assert!(!one.latest.has_changed().unwrap());
        seats.announce(bob);
        seats.announce(Uuid::from_u128(3));
        assert_eq!(seats.take_announced(), [bob]);
        assert!(seats.take_announced().is_empty());
    }

    #[tokio::test]
    async fn after_the_stop_the_seats_empty_and_stay_so() {
        let seats = seats(10);
        let seat = seats.take(Uuid::from_u128(1)).unwrap();
        let gone = tokio::spawn({
            let seats = Arc::clone(&seats);
            async move { seats.at_most(0).await }
        });
        seats.stop();
        seat.stopped().await;
        assert_eq!(seats.take(Uuid::from_u128(1)).err(), Some(Full::Stopping));
        assert!(!gone.is_finished());
        drop(seat);
        gone.await.unwrap();
    }
}
