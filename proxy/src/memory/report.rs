//! What the process log says of memory: each change of its level, and what is refused for it.
//!
//! Knows the measurements, and not what takes memory. Lines are few, however the level moves.

use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::time::Instant;

use super::{Level, Memory};

/// A fall of the level is logged no sooner than this after the last line; a rise immediately.
const SETTLED: Duration = Duration::from_secs(5);
/// How often a line says that requests are refused or connections cut.
const REPEAT: Duration = Duration::from_secs(10);

/// What was logged last.
#[derive(Default)]
pub(super) struct Report {
    level: Option<(Level, Instant)>,
    refusals: Option<Instant>,
    refused: u64,
    cut: u64,
}

/// What there is to say.
#[derive(Debug, PartialEq, Eq)]
enum News {
    Level(Level),
    /// Requests refused and connections cut since this was said last.
    Refusals {
        refused: u64,
        cut: u64,
    },
}

impl Report {
    /// Writes what there is to say after a measurement.
    pub(super) fn look(&mut self, memory: &Memory, now: Instant) {
        let (resident, limit) = (memory.resident(), memory.limit());
        if let Some(News::Level(level)) = self.level(memory.level(), now) {
            let word = level.word();
            match level {
                Level::Enough => tracing::info!(resident, limit, "there is enough memory again"),
                _ => {
                    let effect = effect(level);
                    tracing::warn!(resident, limit, level = word, effect, "memory is short");
                }
            }
        }
        let (refused, cut) = (memory.refused.load(Relaxed), memory.cut.load(Relaxed));
        if let Some(News::Refusals { refused, cut }) = self.refusals(refused, cut, now) {
            let level = memory.level().word();
            let cause = match memory.level() {
                Level::Full | Level::Over => "the process is near its limit",
                // A burst is counted by what its requests may take.
                Level::Enough | Level::Tight => {
                    "more requests begin together than there is room for below the limit"
                }
            };
            tracing::warn!(
                resident,
                limit,
                level,
                refused,
                cut,
                cause,
                "requests are refused, or connections cut, for want of memory"
            );
        }
    }

    fn level(&mut self, level: Level, now: Instant) -> Option<News> {
        let (reported, at) = match self.level {
            Some((reported, at)) => (reported, Some(at)),
            None => (Level::Enough, None),
        };
        let settled = at.is_none_or(|at| now.saturating_duration_since(at) >= SETTLED);
        if level > reported || (level < reported && settled) {
            self.level = Some((level, now));
            return Some(News::Level(level));
        }
        None
    }

    fn refusals(&mut self, refused: u64, cut: u64, now: Instant) -> Option<News> {
        let new = News::Refusals { refused: refused - self.refused, cut: cut - self.cut };
        let is_due = |at: Instant| now.saturating_duration_since(at) >= REPEAT;
        if (new == News::Refusals { refused: 0, cut: 0 }) || !self.refusals.is_none_or(is_due) {
            return None;
        }
        (self.refused, self.cut, self.refusals) = (refused, cut, Some(now));
        Some(new)
    }
}

/// What a level means for clients.
fn effect(level: Level) -> &'static str {
    match level {
        Level::Enough => "none",
        Level::Tight => "connections are not kept between requests",
        Level::Full => "requests are refused with 503, and connections that stand still are cut",
        Level::Over => "new connections are closed, and those that stand still are cut",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rise_is_logged_at_once_and_a_fall_when_it_has_settled() {
        let begin = Instant::now();
        let mut report = Report::default();
        let mut reported = Vec::new();
        for (millis, level) in [
            (0, Level::Enough),
            (10, Level::Tight),
            (20, Level::Full),
            (30, Level::Tight),
            (40, Level::Full),
            (50, Level::Enough),
            (60, Level::Over),
            (70, Level::Full),
            (5_050, Level::Full),
            (5_060, Level::Full),
            (5_070, Level::Enough),
            (10_060, Level::Enough),
            (10_061, Level::Enough),
        ] {
            if report.level(level, begin + Duration::from_millis(millis)).is_some() {
                reported.push((millis, level));
            }
        }
        let expected = [
            (10, Level::Tight),
            (20, Level::Full),
            (60, Level::Over),
            (5_060, Level::Full),
            (10_060, Level::Enough),
        ];
        assert_eq!(reported, expected);
    }

    #[test]
    fn refusals_are_logged_at_once_and_then_with_their_number() {
        let begin = Instant::now();
        let mut report = Report::default();
        let mut at = |seconds, refused, cut| match report.refusals(
            refused,
            cut,
            begin + Duration::from_secs(seconds),
        ) {
            Some(News::Refusals { refused, cut }) => Some((refused, cut)),
            _ => None,
        };
        assert_eq!(at(0, 0, 0), None);
        assert_eq!(at(1, 1, 0), Some((1, 0)));
        assert_eq!(at(2, 500, 3), None);
        assert_eq!(at(11, 700, 3), Some((699, 3)));
        assert_eq!(at(30, 700, 3), None);
    }
}
