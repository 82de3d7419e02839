//! The time of day for logs and `date` fields, at the price of the monotonic clock alone.
//!
//! Each worker has a clock of its own. The wall time is read once a second and carried forward by
//! the monotonic readings that requests take anyway; texts are made once a second. A step of
//! the system's clock shows within that second.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::rc::Rc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A worker's clock.
#[derive(Debug)]
pub struct Clock {
    source: TimeSource,
    anchor: Cell<Anchor>,
    texts: RefCell<Texts>,
}

impl Clock {
    /// The system's clocks. The monotonic one is tokio's, so a paused test pauses it too.
    pub fn system() -> Self {
        Self::of(TimeSource::System)
    }

    /// Moves only when a test advances it.
    pub fn manual(time: Rc<ManualTime>) -> Self {
        Self::of(TimeSource::Manual(time))
    }

    /// Reads the monotonic clock.
    pub fn now(&self) -> Instant {
        self.source.instant()
    }

    /// RFC 3339 in UTC with milliseconds: `2026-11-23T04:33:47.012Z`.
    pub fn timestamp(&self, at: Instant) -> [u8; 24] {
        let since_epoch = self.since_epoch(at);
        let mut text = self.texts_of(since_epoch.as_secs(), |texts| texts.timestamp);
        let millis = since_epoch.subsec_millis();
        for (place, divisor) in [(20, 100), (21, 10), (22, 1)] {
            text[place] = digit(millis / divisor % 10);
        }
        text
    }

    /// The value of a `date` field (RFC 9110, section 5.6.7): `Mon, 23 Nov 2026 04:33:47 GMT`.
    pub fn http_date(&self, at: Instant) -> [u8; 29] {
        self.texts_of(self.since_epoch(at).as_secs(), |texts| texts.http_date)
    }

    fn of(source: TimeSource) -> Self {
        let anchor = Cell::new(Anchor::read(&source));
        Self { source, anchor, texts: RefCell::new(Texts::of(0)) }
    }

    fn since_epoch(&self, at: Instant) -> Duration {
        let anchor = self.anchor.get();
        match at.checked_duration_since(anchor.instant) {
            Some(later) if later < Duration::from_secs(1) => anchor.carried_on(later),
            Some(_) => {
                let anchor = Anchor::read(&self.source);
                self.anchor.set(anchor);
                anchor.to(at)
            }
            None => anchor.to(at),
        }
    }

    fn texts_of<T>(&self, second: u64, take: impl Fn(&Texts) -> T) -> T {
        let mut texts = self.texts.borrow_mut();
        if texts.second != second {
            *texts = Texts::of(second);
        }
        take(&texts)
    }
}

/// RFC 3339 in UTC, of a second since 1970: `2026-11-23T04:33:47Z`. What lies outside of the
/// years 1970 to 9999 is shown as their first or last second.
pub fn rfc3339(second: i64) -> String {
    let texts = Texts::of(u64::try_from(second).unwrap_or(0));
    let seconds = texts.timestamp.iter().take(19).map(|byte| char::from(*byte));
    seconds.chain(['Z']).collect()
}

/// A time that tests move.
#[derive(Debug)]
pub struct ManualTime {
    instant: Cell<Instant>,
    wall: Cell<SystemTime>,
}

impl ManualTime {
    pub fn new(wall: SystemTime) -> Rc<Self> {
        Rc::new(Self { instant: Cell::new(Instant::now()), wall: Cell::new(wall) })
    }

    pub fn advance(&self, by: Duration) {
        self.instant.set(self.instant.get() + by);
        self.wall.set(self.wall.get() + by);
    }

    /// Sets the time of day alone, as an administrator or NTP would.
    pub fn step_wall(&self, wall: SystemTime) {
        self.wall.set(wall);
    }
}

#[derive(Debug)]
enum TimeSource {
    System,
    Manual(Rc<ManualTime>),
}

impl TimeSource {
    fn instant(&self) -> Instant {
        match self {
            Self::System => tokio::time::Instant::now().into_std(),
            Self::Manual(time) => time.instant.get(),
        }
    }

    fn wall(&self) -> SystemTime {
        match self {
            Self::System => SystemTime::now(),
            Self::Manual(time) => time.wall.get(),
        }
    }
}

/// One moment on both clocks.
#[derive(Debug, Clone, Copy)]
struct Anchor {
    instant: Instant,
    since_epoch: Duration,
}

impl Anchor {
    fn read(source: &TimeSource) -> Self {
        let instant = source.instant();
        // A clock before 1970 is a broken one: it must not stop the proxy.
        let since_epoch = source.wall().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { instant, since_epoch }
    }

    fn carried_on(self, by: Duration) -> Duration {
        self.since_epoch.saturating_add(by)
    }

    fn to(self, at: Instant) -> Duration {
        match at.checked_duration_since(self.instant) {
            Some(later) => self.carried_on(later),
            None => self.since_epoch.saturating_sub(self.instant - at),
        }
    }
}

/// What one second looks like.
#[derive(Debug)]
struct Texts {
    second: u64,
    timestamp: [u8; 24],
    http_date: [u8; 29],
}

/// 31 December 9999, 23:59:59: later years have no IMF-fixdate, and the library panics at them.
const LAST_SECOND: u64 = 253_402_300_799;

const MONTHS: &[u8; 36] = b"JanFebMarAprMayJunJulAugSepOctNovDec";

impl Texts {
    fn of(second: u64) -> Self {
        let time = UNIX_EPOCH + Duration::from_secs(second.min(LAST_SECOND));
        let mut http_date = [b' '; 29];
        // The form has exactly 29 bytes, so that writing it into an array cannot fail.
        let _ = write!(&mut http_date[..], "{}", httpdate::HttpDate::from(time));

        // Both texts come from one calendar: `Mon, 23 Nov 2026 04:33:47 GMT` holds every field.
        let month = MONTHS.chunks(3).zip(1u32..).find(|(name, _)| *name == &http_date[8..11]);
        let month = month.map_or(0, |(_, number)| number);
        let mut timestamp = *b"0000-00-00T00:00:00.000Z";
        timestamp[0..4].copy_from_slice(&http_date[12..16]);
        timestamp[5] = digit(month / 10);
        timestamp[6] = digit(month % 10);
        timestamp[8..10].copy_from_slice(&http_date[5..7]);
        timestamp[11..19].copy_from_slice(&http_date[17..25]);
        Self { second, timestamp, http_date }
    }
}

fn digit(value: u32) -> u8 {
    b"0123456789"[value as usize % 10]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_second_is_written_without_its_fractions() {
        assert_eq!(rfc3339(1_795_408_427), "2026-11-23T04:33:47Z");
        assert_eq!(rfc3339(-1), "1970-01-01T00:00:00Z");
        assert_eq!(rfc3339(i64::MAX), "9999-12-31T23:59:59Z");
    }

    fn check(second: u64, millis: u64, timestamp: &str, http_date: &str) {
        let time = ManualTime::new(
            UNIX_EPOCH + Duration::from_secs(second) + Duration::from_millis(millis),
        );
        let clock = Clock::manual(time);
        let now = clock.now();
        assert_eq!(std::str::from_utf8(&clock.timestamp(now)).unwrap(), timestamp);
        assert_eq!(std::str::from_utf8(&clock.http_date(now)).unwrap(), http_date);
    }

    #[test]
    fn moments_are_written_in_both_forms() {
        check(0, 0, "1970-01-01T00:00:00.000Z", "Thu, 01 Jan 1970 00:00:00 GMT");
        check(784_111_777, 7, "1994-11-06T08:49:37.007Z", "Sun, 06 Nov 1994 08:49:37 GMT");
        check(951_827_696, 89, "2000-02-29T12:34:56.089Z", "Tue, 29 Feb 2000 12:34:56 GMT");
        check(1_798_761_599, 999, "2026-12-31T23:59:59.999Z", "Thu, 31 Dec 2026 23:59:59 GMT");
        check(LAST_SECOND, 0, "9999-12-31T23:59:59.000Z", "Fri, 31 Dec 9999 23:59:59 GMT");
        check(LAST_SECOND + 9, 0, "9999-12-31T23:59:59.000Z", "Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn a_request_that_began_earlier_keeps_its_own_second() {
        let time = ManualTime::new(UNIX_EPOCH + Duration::from_secs(1_000));
        let clock = Clock::manual(Rc::clone(&time));
        let began = clock.now();
        time.advance(Duration::from_millis(61_500));
        assert_eq!(&clock.timestamp(clock.now()), b"1970-01-01T00:17:41.500Z");
        assert_eq!(&clock.timestamp(began), b"1970-01-01T00:16:40.000Z");
        assert_eq!(&clock.timestamp(clock.now()), b"1970-01-01T00:17:41.500Z");
    }

    #[test]
    fn a_step_of_the_system_clock_is_seen_within_a_second() {
        let time = ManualTime::new(UNIX_EPOCH + Duration::from_secs(1_000));
        let clock = Clock::manual(Rc::clone(&time));
        time.step_wall(UNIX_EPOCH + Duration::from_secs(5_000));
        time.advance(Duration::from_secs(1));
        assert_eq!(&clock.timestamp(clock.now()), b"1970-01-01T01:23:21.000Z");
    }

    #[test]
    fn a_time_before_the_epoch_is_the_epoch() {
        let clock = Clock::manual(ManualTime::new(UNIX_EPOCH - Duration::from_secs(5)));
        assert_eq!(&clock.timestamp(clock.now()), b"1970-01-01T00:00:00.000Z");
    }

    #[tokio::test(start_paused = true)]
    async fn the_system_clock_follows_paused_time() {
        let clock = Clock::system();
        let before = clock.now();
        tokio::time::advance(Duration::from_secs(7)).await;
        assert_eq!(clock.now() - before, Duration::from_secs(7));
    }
}
