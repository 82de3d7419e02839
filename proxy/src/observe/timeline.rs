//! When the stages of one request were reached, as offsets of microseconds.
//!
//! Marks are given from outside: this module reads no clock, and it does not know what a stage
//! does. Offsets are 32 bits: a mark after 71 minutes stays at the greatest offset.

use std::time::{Duration, Instant};

/// A stage that was completed, in the order of a request's life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// The connection was accepted. Only the first request of a connection has it.
    Accept,
    /// The TLS handshake was done. Only the first request of a connection has it.
    Tls,
    /// The first byte of the request's head arrived.
    Start,
    /// The head was complete.
    Head,
    /// A route was chosen and every policy asked.
    Route,
    /// A connection to the upstream could be used or opened: the end of any queueing.
    Wait,
    /// A new connection to the upstream stood, TLS included; not marked when one was reused.
    Connect,
    /// The first byte of the response's head arrived, or the proxy made its own.
    FirstByte,
    /// The last byte of the response was handed to the client's socket.
    LastByte,
}

impl Stage {
    pub const ALL: [Self; 9] = [
        Self::Accept,
        Self::Tls,
        Self::Start,
        Self::Head,
        Self::Route,
        Self::Wait,
        Self::Connect,
        Self::FirstByte,
        Self::LastByte,
    ];
}

/// The marks of one request. Marking a stage again (another attempt) replaces its mark.
#[derive(Debug, Clone, Copy)]
pub struct Timeline {
    origin: Instant,
    marks: [u32; Stage::ALL.len()],
}

const UNMARKED: u32 = u32::MAX;

impl Timeline {
    /// Of the first request of a connection: offsets count from the accept.
    pub fn of_connection(accepted: Instant) -> Self {
        let mut timeline = Self { origin: accepted, marks: [UNMARKED; Stage::ALL.len()] };
        timeline.mark(Stage::Accept, accepted);
        timeline
    }

    /// Of a later request: offsets count from the first byte of its head.
    pub fn of_request(started: Instant) -> Self {
        let mut timeline = Self { origin: started, marks: [UNMARKED; Stage::ALL.len()] };
        timeline.mark(Stage::Start, started);
        timeline
    }

    pub fn mark(&mut self, stage: Stage, at: Instant) {
        let micros = at.saturating_duration_since(self.origin).as_micros();
        self.marks[stage as usize] = u32::try_from(micros).unwrap_or(UNMARKED).min(UNMARKED - 1);
    }

    /// Forgets what a failed attempt marked and the next one may not.
    pub fn unmark(&mut self, stage: Stage) {
        self.marks[stage as usize] = UNMARKED;
    }

    /// Microseconds from the origin, when the stage was reached.
    pub fn at(&self, stage: Stage) -> Option<u32> {
        let mark = self.marks[stage as usize];
        (mark != UNMARKED).then_some(mark)
    }

    /// When the head of the request was complete; of one that came whole, its first byte.
    pub fn head_complete(&self) -> Instant {
        match self.at(Stage::Head) {
            Some(micros) => self.origin + Duration::from_micros(u64::from(micros)),
            None => self.started(),
        }
    }

    /// The first byte of the request, or the accept when none came.
    pub fn started(&self) -> Instant {
        self.origin + Duration::from_micros(u64::from(self.at(Stage::Start).unwrap_or(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_offsets_from_the_accept_or_the_first_byte() {
        let origin = Instant::now();
        let after = |micros| origin + Duration::from_micros(micros);
        let mut first = Timeline::of_connection(origin);
        first.mark(Stage::Start, after(250));
        first.mark(Stage::Head, after(300));
        assert_eq!(first.at(Stage::Accept), Some(0));
        assert_eq!(first.at(Stage::Tls), None);
        assert_eq!(first.at(Stage::Head), Some(300));
        assert_eq!(first.started(), after(250));

        let later = Timeline::of_request(after(900));
        assert_eq!(later.at(Stage::Accept), None);
        assert_eq!(later.at(Stage::Start), Some(0));
        assert_eq!(later.started(), after(900));
    }

    #[test]
    fn offsets_saturate_at_both_ends() {
        let origin = Instant::now() + Duration::from_secs(10);
        let mut timeline = Timeline::of_request(origin);
        timeline.mark(Stage::Head, origin - Duration::from_secs(1));
        timeline.mark(Stage::LastByte, origin + Duration::from_secs(100_000));
        assert_eq!(timeline.at(Stage::Head), Some(0));
        assert_eq!(timeline.at(Stage::LastByte), Some(u32::MAX - 1));
    }

    #[test]
    fn another_attempt_replaces_or_forgets_a_mark() {
        let origin = Instant::now();
        let mut timeline = Timeline::of_request(origin);
        timeline.mark(Stage::Connect, origin + Duration::from_micros(5));
        timeline.mark(Stage::Connect, origin + Duration::from_micros(9));
        assert_eq!(timeline.at(Stage::Connect), Some(9));
        timeline.unmark(Stage::Connect);
        assert_eq!(timeline.at(Stage::Connect), None);
    }

    #[test]
    fn stages_index_their_marks() {
        for (at, stage) in Stage::ALL.into_iter().enumerate() {
            assert_eq!(stage as usize, at);
        }
        assert!(size_of::<Timeline>() <= 56);
    }
}
