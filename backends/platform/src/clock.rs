//! The time of day, injected: whatever expires is tested without waiting for it.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Where a service reads the time of day.
pub trait Clock: Send + Sync + 'static {
    fn now(&self) -> UnixTime;
}

/// A moment as milliseconds since 1970-01-01T00:00:00Z. Prints as RFC 3339, to the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

impl UnixTime {
    pub fn from_seconds(seconds: u64) -> Self {
        Self(seconds.saturating_mul(1000))
    }

    pub fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// Whole seconds, rounded down: the unit of the claims in a token.
    pub fn seconds(self) -> u64 {
        self.0 / 1000
    }

    pub fn millis(self) -> u64 {
        self.0
    }

    /// From `earlier` to here; zero when `earlier` is the later one.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(millis(duration)))
    }

    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(millis(duration)))
    }
}

impl fmt::Display for UnixTime {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.seconds();
        let (year, month, day) = civil_from_days(seconds / 86_400);
        let (hour, minute, second) = (seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
        write!(formatter, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> UnixTime {
        // A clock set before 1970 reads as 1970: every token then looks unexpired, none is minted
        // with a negative time, and the operator has larger worries.
        UnixTime(millis(SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()))
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    pub fn at(now: UnixTime) -> Self {
        Self(AtomicU64::new(now.millis()))
    }

    pub fn advance(&self, duration: Duration) {
        self.0.fetch_add(millis(duration), Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixTime {
        UnixTime(self.0.load(Ordering::Relaxed))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The proleptic Gregorian date of a day counted from 1970-01-01: years of 400 begin in March, so
/// that the leap day is the last of its year (H. Hinnant, "chrono-compatible low-level date
/// algorithms").
fn civil_from_days(days: u64) -> (u64, u64, u64) {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    (year_of_era + era * 400 + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_print_as_rfc_3339() {
        let check = |seconds, expected: &str| {
            assert_eq!(UnixTime::from_seconds(seconds).to_string(), expected);
        };
        check(0, "1970-01-01T00:00:00Z");
        check(951_782_399, "2000-02-28T23:59:59Z");
        check(951_782_400, "2000-02-29T00:00:00Z");
        check(1_709_164_800, "2024-02-29T00:00:00Z");
        check(1_735_689_599, "2024-12-31T23:59:59Z");
        check(4_107_542_400, "2100-03-01T00:00:00Z");
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        let start = UnixTime::from_seconds(5);
        assert_eq!(start.minus(Duration::from_secs(9)), UnixTime::from_seconds(0));
        assert_eq!(start.since(UnixTime::from_seconds(9)), Duration::ZERO);
        assert_eq!(start.plus(Duration::MAX).millis(), u64::MAX);
    }
}
