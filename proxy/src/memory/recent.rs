//! Counts the requests that a worker has begun recently: their memory is not measured yet.

use std::cell::Cell;

/// A request counts as recent for this many turns, including the one in which it began: on a busy
/// machine upstreams answer slowly, and only then are buffers filled.
const TURNS: u32 = 4;

/// Recent requests in flight, by the turn in which they began.
#[derive(Default)]
pub struct RecentRequests {
    now: Cell<u32>,
    counts: [Cell<u32>; TURNS as usize],
}

impl RecentRequests {
    /// Counts a request that begins.
    pub fn begin(&self) -> RecentRequest<'_> {
        let turn = self.now.get();
        let count = self.count_of(turn);
        count.set(count.get() + 1);
        RecentRequest { of: self, turn }
    }

    /// Begins a turn. Requests that began [`TURNS`] turns ago no longer count: their memory is measured.
    pub fn turn(&self) {
        let turn = self.now.get().wrapping_add(1);
        self.now.set(turn);
        self.count_of(turn).set(0);
    }

    pub fn count(&self) -> u32 {
        self.counts.iter().map(Cell::get).sum()
    }

    fn count_of(&self, turn: u32) -> &Cell<u32> {
        &self.counts[(turn % TURNS) as usize]
    }
}

/// A request that has begun. Drop it when the request has ended.
pub struct RecentRequest<'a> {
    of: &'a RecentRequests,
    turn: u32,
}

impl Drop for RecentRequest<'_> {
    fn drop(&mut self) {
        if self.of.now.get().wrapping_sub(self.turn) < TURNS {
            let count = self.of.count_of(self.turn);
            count.set(count.get() - 1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_recent_for_some_turns() {
        let recent_requests = RecentRequests::default();
        let first = recent_requests.begin();
        let second = recent_requests.begin();
        assert_eq!(recent_requests.count(), 2);
        drop(first);
        assert_eq!(recent_requests.count(), 1);
        (1..TURNS).for_each(|_| recent_requests.turn());
        let third = recent_requests.begin();
        assert_eq!(recent_requests.count(), 2);
        recent_requests.turn();
        assert_eq!(recent_requests.count(), 1);
        drop(second);
        assert_eq!(recent_requests.count(), 1);
        drop(third);
        assert_eq!(recent_requests.count(), 0);
        (0..2 * TURNS).for_each(|_| recent_requests.turn());
        assert_eq!(recent_requests.count(), 0);
    }
}
