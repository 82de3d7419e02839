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

    /// RFC 3339 with milliseconds: what events say, where the second is too coarse.
    pub fn precise(self) -> String {
        let whole = self.to_string();
        format!("{}.{:03}Z", whole.trim_end_matches('Z'), self.0 % 1000)
    }

    /// Reads RFC 3339, with or without a fraction, in any offset; from 1970 on. What is finer
    /// than a millisecond is dropped.
    pub fn parse(text: &str) -> Option<Self> {
        let (date, time) = text.split_once(['T', 't'])?;
        let zone = time.find(['Z', 'z', '+', '-'])?;
        let (time, zone) = time.split_at(zone);
        let (whole, fraction) = time.split_once('.').unwrap_or((time, "0"));
        let [year, month, day] = numbers(date, '-', [4, 2, 2])?;
        let [hour, minute, second] = numbers(whole, ':', [2, 2, 2])?;
        // A leap second is read as the second after it.
        if hour > 23 || minute > 59 || second > 60 {
            return None;
        }
        let seconds = days_from_civil(year, month, day)?.checked_mul(86_400)?;
        let seconds = seconds + hour * 3600 + minute * 60 + second;
        let (ahead, offset) = offset_seconds(zone)?;
        let seconds =
            if ahead { seconds.checked_sub(offset)? } else { seconds.checked_add(offset)? };
        Some(Self(seconds.checked_mul(1000)?.checked_add(millis_of_fraction(fraction)?)?))
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

/// The days from 1970-01-01 to a date: the reverse of [`civil_from_days`].
fn days_from_civil(year: u64, month: u64, day: u64) -> Option<u64> {
    let leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let last = match month {
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        1..=12 => 31,
        _ => return None,
    };
    if !(1..=last).contains(&day) || year < 1970 {
        return None;
    }
    let year = year - u64::from(month <= 2);
    let (era, year_of_era) = (year / 400, year % 400);
    let month_from_march = if month > 2 { month - 3 } else { month + 9 };
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    (era * 146_097 + day_of_era).checked_sub(719_468)
}

/// Three numbers of exactly these widths.
fn numbers(text: &str, separator: char, widths: [usize; 3]) -> Option<[u64; 3]> {
    let mut found = [0; 3];
    let mut parts = text.split(separator);
    for (slot, width) in found.iter_mut().zip(widths) {
        *slot = digits(parts.next().filter(|part| part.len() == width)?)?;
    }
    parts.next().is_none().then_some(found)
}

fn digits(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

fn millis_of_fraction(text: &str) -> Option<u64> {
    digits(text)?;
    let padded = format!("{text:0<3}");
    digits(padded.get(..3)?)
}

/// Whether the zone is ahead of UTC, and by how much.
fn offset_seconds(zone: &str) -> Option<(bool, u64)> {
    if zone.eq_ignore_ascii_case("Z") {
        return Some((true, 0));
    }
    let (hours, minutes) = zone.get(1..)?.split_once(':')?;
    if hours.len() != 2 || minutes.len() != 2 {
        return None;
    }
    let (hours, minutes) = (digits(hours)?, digits(minutes)?);
    let known = hours <= 23 && minutes <= 59;
    known.then_some((zone.starts_with('+'), hours * 3600 + minutes * 60))
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
    fn rfc_3339_is_read_back() {
        let check = |text: &str, millis: Option<u64>| {
            assert_eq!(UnixTime::parse(text).map(UnixTime::millis), millis, "{text}");
        };
        check("1970-01-01T00:00:00Z", Some(0));
        check("2000-02-29T00:00:00.125Z", Some(951_782_400_125));
        check("2024-02-29t00:00:00.1z", Some(1_709_164_800_100));
        check("2024-02-29T00:00:00.123456789Z", Some(1_709_164_800_123));
        check("2024-02-29T01:30:00+01:30", Some(1_709_164_800_000));
        check("2024-02-28T19:00:00-05:00", Some(1_709_164_800_000));
        check("2100-03-01T00:00:00Z", Some(4_107_542_400_000));
        for text in [
            "",
            "2024-02-29",
            "2024-02-30T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "1969-12-31T23:59:59Z",
            "2024-02-29T24:00:00Z",
            "2024-02-29T00:00:00",
            "2024-2-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-02-29T00:00:00.Z.",
            "2024-02-29T00:00:00+1:00",
            "1970-01-01T00:00:00+01:00",
            "2024-02-29T00:00:00.1x5Z",
            "+024-02-29T00:00:00Z",
            "2024-02-29T00:00:00ZZ",
        ] {
            check(text, None);
        }
        for millis in [0, 1, 999, 951_782_399_999, 1_735_689_599_070] {
            let time = UnixTime::from_millis(millis);
            assert_eq!(UnixTime::parse(&time.precise()), Some(time), "{}", time.precise());
        }
    }

    #[test]
    fn arithmetic_stops_at_the_ends() {
        let start = UnixTime::from_seconds(5);
        assert_eq!(start.minus(Duration::from_secs(9)), UnixTime::from_seconds(0));
        assert_eq!(start.since(UnixTime::from_seconds(9)), Duration::ZERO);
        assert_eq!(start.plus(Duration::MAX).millis(), u64::MAX);
    }
}
