//! The account of a run: every request ends once, and only in a way that somebody answers for.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use super::plan::Fault;
use super::wish::Upstream;
use crate::lateness::Lateness;

/// How long after its slot a fault still excuses: what it broke has to be noticed first.
const AFTERMATH: Duration = Duration::from_secs(1);
/// The gateway's deadlines as the run's configuration has them, by the reason that each gives.
const DEADLINES: [(&str, Duration); 5] = [
    ("head-timeout", Duration::from_secs(3)),
    ("body-timeout", Duration::from_secs(3)),
    ("upstream-connect-timeout", Duration::from_secs(2)),
    ("upstream-timeout", Duration::from_secs(3)),
    ("upstream-idle", Duration::from_secs(3)),
];
/// More requests than this are not remembered one by one.
const REMEMBERED: usize = 500_000;

/// How a request ended, as its client saw it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// The one right answer.
    Right,
    /// An answer that the proxy made, with its reason.
    Reason { status: u16, reason: String },
    /// The answer broke off, and the client was told so.
    Cut(String),
    /// The connection could not be made, or ended without an answer.
    Connection(String),
    /// Anything else: the run is over.
    Wrong(String),
}

impl Ending {
    /// The word under which it is counted.
    fn word(&self) -> &str {
        match self {
            Self::Right => "right",
            Self::Reason { reason, .. } => reason,
            Self::Cut(_) => "cut short",
            Self::Connection(_) => "connection lost",
            Self::Wrong(_) => "wrong",
        }
    }
}

/// While a fault lasts.
#[derive(Debug, Clone)]
struct Window {
    fault: Fault,
    /// Only requests to it are excused.
    target: Option<Upstream>,
    begin: Instant,
    end: Option<Instant>,
}

#[derive(Debug, Default)]
struct Book {
    sent: u64,
    excused: u64,
    counts: BTreeMap<String, u64>,
    endings: BTreeMap<String, Ending>,
    windows: Vec<Window>,
}

/// Shared by all that send.
#[derive(Debug)]
pub(super) struct Ledger {
    book: Mutex<Book>,
    pub(super) lateness: Lateness,
    violation: watch::Sender<Option<String>>,
}

/// What was counted up to now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    pub sent: u64,
    /// Deadlines of the gateway that this side met too late itself; they have their word, too.
    pub excused: u64,
    /// Endings by their word; `right` is one of them.
    pub by_word: BTreeMap<String, u64>,
}

impl Counts {
    pub fn right(&self) -> u64 {
        self.by_word.get("right").copied().unwrap_or(0)
    }

    pub fn ended(&self) -> u64 {
        self.by_word.values().sum()
    }

    pub(super) fn since(&self, before: &Self) -> Self {
        let difference = |(word, count): (&String, &u64)| {
            let old = before.by_word.get(word).copied().unwrap_or(0);
            (count > &old).then(|| (word.clone(), count - old))
        };
        let by_word = self.by_word.iter().filter_map(difference).collect();
        let (sent, excused) = (self.sent - before.sent, self.excused - before.excused);
        Self { sent, excused, by_word }
    }

    /// Declared errors, in one line.
    pub(super) fn errors(&self) -> String {
        let errors = self.by_word.iter().filter(|(word, _)| *word != "right");
        let texts: Vec<_> = errors.map(|(word, count)| format!("{word} {count}")).collect();
        if texts.is_empty() { "none".to_owned() } else { texts.join(", ") }
    }
}

impl Ledger {
    pub(super) fn new() -> Self {
        let (book, lateness) = (Mutex::default(), Lateness::default());
        Self { book, lateness, violation: watch::Sender::new(None) }
    }

    pub(super) fn sent(&self) {
        self.book().sent += 1;
    }

    /// Books the end of a request; what nobody excuses ends the run.
    pub(super) fn ended(&self, id: &str, upstream: Upstream, sent: Instant, ending: Ending) {
        let mut book = self.book();
        if !book.excuses(upstream, sent, &ending, &self.lateness) {
            let late = self.lateness.between(sent.into_std(), Instant::now().into_std());
            if explains(late, &ending) {
                book.excused += 1;
            } else {
                let upstream = upstream.name();
                self.violate(format!("{id} to {upstream}: {ending:?}, this side late by {late:?}"));
            }
        }
        *book.counts.entry(ending.word().to_owned()).or_insert(0) += 1;
        if book.endings.len() < REMEMBERED && book.endings.insert(id.to_owned(), ending).is_some() {
            self.violate(format!("{id} ended twice"));
        }
    }

    /// Breaks the run off, unless something else has.
    pub(super) fn violate(&self, text: String) {
        self.violation.send_if_modified(|first| {
            let fresh = first.is_none();
            first.get_or_insert(text);
            fresh
        });
    }

    /// Ends when a promise was broken, and never otherwise.
    pub(super) async fn violation(&self) -> String {
        let mut seen = self.violation.subscribe();
        match seen.wait_for(Option::is_some).await.ok().and_then(|text| text.clone()) {
            Some(text) => text,
            None => std::future::pending().await,
        }
    }

    pub(super) fn open_window(&self, fault: Fault, target: Option<Upstream>) {
        self.book().windows.push(Window { fault, target, begin: Instant::now(), end: None });
    }

    pub(super) fn close_window(&self) {
        if let Some(window) = self.book().windows.last_mut() {
            window.end = Some(Instant::now());
        }
    }

    pub(super) fn counts(&self) -> Counts {
        let book = self.book();
        Counts { sent: book.sent, excused: book.excused, by_word: book.counts.clone() }
    }

    /// Every request that is remembered, with its end.
    pub(super) fn endings(&self) -> BTreeMap<String, Ending> {
        self.book().endings.clone()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Whether a fault that was there while the request was under way answers for its end.
    fn excuses(
        &self,
        upstream: Upstream,
        sent: Instant,
        ending: &Ending,
        lateness: &Lateness,
    ) -> bool {
        let excuses = |window: &Window| match ending {
            Ending::Right => true,
            Ending::Wrong(_) | Ending::Connection(_) => false,
            Ending::Cut(_) => window.fault.excuses_cuts(),
            Ending::Reason { reason, .. } => {
                window.fault.excused_reasons().contains(&reason.as_str())
            }
        };
        let concerned = |window: &&Window| {
            window.target.is_none_or(|target| target == upstream)
                && window.end.is_none_or(|end| {
                    // What noticed it may have been late itself.
                    let late = lateness.between(end.into_std(), sent.into_std());
                    sent < end + AFTERMATH + late
                })
                && window.begin <= Instant::now()
        };
        *ending == Ending::Right || self.windows.iter().rev().filter(concerned).any(excuses)
    }
}

/// Whether this side was late enough to miss the deadline that the gateway names: for half of it
/// nothing here ran, and an answer takes several turns of client and origin.
fn explains(late: Duration, ending: &Ending) -> bool {
    let Ending::Reason { reason, .. } = ending else { return false };
    let deadline = DEADLINES.iter().find(|(of, _)| of == reason);
    deadline.is_some_and(|(_, deadline)| late >= *deadline / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lateness::tests::stall;

    fn reason(reason: &str) -> Ending {
        Ending::Reason { status: 502, reason: reason.to_owned() }
    }

    async fn check(ending: Ending, upstream: Upstream, late: u64) -> bool {
        let ledger = Ledger::new();
        ledger.open_window(Fault::UpstreamReset, Some(Upstream::One));
        ledger.close_window();
        let sent = Instant::now() + Duration::from_millis(late);
        ledger.ended("a-1", upstream, sent, ending);
        ledger.violation.borrow().is_none()
    }

    #[tokio::test]
    async fn a_fault_answers_for_its_own_upstream_and_time_alone() {
        assert!(check(reason("upstream-reset"), Upstream::One, 900).await);
        assert!(check(Ending::Cut(String::new()), Upstream::One, 900).await);
        assert!(check(Ending::Right, Upstream::Two, 5000).await);
        assert!(!check(reason("upstream-reset"), Upstream::One, 1100).await);
        assert!(!check(reason("upstream-reset"), Upstream::Two, 0).await);
        assert!(!check(reason("internal"), Upstream::One, 0).await);
        assert!(!check(Ending::Connection(String::new()), Upstream::One, 0).await);
        assert!(!check(Ending::Wrong(String::new()), Upstream::One, 0).await);
    }

    /// What becomes of a request that was sent two seconds ago, beside a stall of its time.
    fn check_late(ending: Ending, begun: u64, lasts: u64) -> (bool, u64) {
        let ledger = Ledger::new();
        let now = Instant::now();
        let ago = |millis| now.checked_sub(Duration::from_millis(millis)).unwrap();
        stall(&ledger.lateness, ago(begun).into_std(), Duration::from_millis(lasts));
        ledger.ended("a-1", Upstream::One, ago(2000), ending);
        (ledger.violation.borrow().is_none(), ledger.counts().excused)
    }

    #[tokio::test]
    async fn a_deadline_is_excused_by_a_stall_of_its_own_time_alone() {
        assert_eq!(check_late(reason("upstream-timeout"), 1900, 1600), (true, 1));
        assert_eq!(check_late(reason("upstream-connect-timeout"), 1900, 1100), (true, 1));
        assert_eq!(check_late(Ending::Right, 1900, 1600), (true, 0));
        assert_eq!(check_late(reason("upstream-timeout"), 1900, 1400), (false, 0));
        assert_eq!(check_late(reason("upstream-timeout"), 3700, 1600), (false, 0));
        assert_eq!(check_late(reason("upstream-reset"), 1900, 1600), (false, 0));
        assert_eq!(check_late(Ending::Wrong(String::new()), 1900, 1600), (false, 0));
        assert_eq!(check_late(Ending::Cut(String::new()), 1900, 1600), (false, 0));
    }

    #[tokio::test]
    async fn nothing_ends_twice_and_the_first_word_stands() {
        let ledger = Ledger::new();
        for _ in 0..2 {
            ledger.sent();
            ledger.ended("a-1", Upstream::One, Instant::now(), Ending::Right);
        }
        ledger.violate("later".to_owned());
        assert_eq!(ledger.violation().await, "a-1 ended twice");
        assert_eq!((ledger.counts().sent, ledger.counts().right()), (2, 2));
    }
}
