//! How often a password may be guessed: a bucket of attempts for each email address.
//!
//! Every attempt is charged before its password is looked at, so that guesses made at once count
//! too, and a login that succeeds clears the account. Addresses without an account are charged
//! alike: the throttle tells nobody which exist.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use shop_platform::UnixTime;

/// Attempts that may be made in a row.
const BURST: u32 = 10;
/// After that, one more each time this has passed.
const REFILL: Duration = Duration::from_secs(30);
/// Addresses that are remembered.
const CAPACITY: usize = 10_000;

/// The generic cell rate algorithm: of each address only the moment at which its bucket will be
/// full again is kept (ITU-T I.371, annex A).
#[derive(Debug)]
pub(crate) struct Throttle {
    full_again: Mutex<HashMap<String, UnixTime>>,
    capacity: usize,
}

impl Default for Throttle {
    fn default() -> Self {
        Self::with_capacity(CAPACITY)
    }
}

impl Throttle {
    fn with_capacity(capacity: usize) -> Self {
        Self { full_again: Mutex::default(), capacity }
    }

    /// Charges one attempt, or says how long until the next is free.
    pub(crate) fn charge(&self, key: &str, now: UnixTime) -> Result<(), Duration> {
        let mut table = self.full_again.lock().unwrap_or_else(PoisonError::into_inner);
        let full_again = table.get(key).copied().unwrap_or(now).max(now).plus(REFILL);
        let over = full_again.since(now).saturating_sub(REFILL * BURST);
        if !over.is_zero() {
            return Err(over);
        }
        if table.len() >= self.capacity && !table.contains_key(key) {
            make_room(&mut table, now);
        }
        table.insert(key.to_owned(), full_again);
        Ok(())
    }

    /// Forgets what was charged: whoever knew the password was no guesser.
    pub(crate) fn clear(&self, key: &str) {
        self.full_again.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// Drops the buckets that are full, or else the fullest one: a flood of addresses must not wash
/// out the one that is being guessed at. Each scan is paid for by a password hash that takes a
/// hundred times as long.
fn make_room(table: &mut HashMap<String, UnixTime>, now: UnixTime) {
    let before = table.len();
    table.retain(|_, full_again| *full_again > now);
    if table.len() == before {
        let fullest = table.iter().min_by_key(|(_, full_again)| **full_again);
        if let Some(key) = fullest.map(|(key, _)| key.clone()) {
            table.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_seconds(NOW + seconds)
    }

    #[test]
    fn ten_attempts_pass_and_then_one_in_thirty_seconds() {
        let throttle = Throttle::default();
        for attempt in 0..10 {
            assert_eq!(throttle.charge("a", at(0)), Ok(()), "{attempt}");
        }
        assert_eq!(throttle.charge("a", at(0)), Err(Duration::from_secs(30)));
        assert_eq!(throttle.charge("a", at(20)), Err(Duration::from_secs(10)));
        assert_eq!(throttle.charge("b", at(20)), Ok(()), "others are not affected");
        assert_eq!(throttle.charge("a", at(30)), Ok(()));
        assert!(throttle.charge("a", at(30)).is_err());
        let tomorrow = 86_400;
        let passed = (0..50).filter(|_| throttle.charge("a", at(tomorrow)).is_ok()).count();
        assert_eq!(passed, 10, "rest does not add up beyond the burst");
    }

    #[test]
    fn a_login_clears_the_account() {
        let throttle = Throttle::default();
        while throttle.charge("a", at(0)).is_ok() {}
        throttle.clear("a");
        assert_eq!(throttle.charge("a", at(0)), Ok(()));
    }

    #[test]
    fn a_flood_of_addresses_stays_bounded_and_keeps_the_guessed_one() {
        let throttle = Throttle::with_capacity(100);
        while throttle.charge("victim", at(0)).is_ok() {}
        for other in 0..10_000 {
            assert_eq!(throttle.charge(&other.to_string(), at(0)), Ok(()));
            assert!(throttle.full_again.lock().unwrap().len() <= 100);
        }
        assert!(throttle.charge("victim", at(0)).is_err());
        assert_eq!(throttle.charge("late", at(1000)), Ok(()));
        assert_eq!(throttle.full_again.lock().unwrap().len(), 1, "rested buckets are dropped");
    }
}
