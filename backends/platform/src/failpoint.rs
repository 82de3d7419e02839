//! Places where a test may kill the process: around everything that leaves a mark elsewhere.
//!
//! `SHOP_FAILPOINT=before:commit:orders.place` kills the process, with no chance to clean up, when
//! it gets there. `SHOP_FAILPOINT=trace:FILE` appends each place's name to FILE when it is first
//! reached: the list of places to kill at. Without the variable a failpoint is a branch.

use std::collections::HashSet;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::process::{Signal, getpid, kill_process};

const VARIABLE: &str = "SHOP_FAILPOINT";
/// A service has some dozens; names made from foreign input must not grow the set for ever.
const TRACED_LIMIT: usize = 4096;

/// What to do where. A clone does the same.
#[derive(Debug, Clone, Default)]
pub struct Failpoints(Option<Arc<Armed>>);

/// What kind of step a failpoint stands at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A commit of the service's own database.
    Commit,
    /// An event handed to the broker.
    Publish,
    /// A call of another service.
    Call,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no failpoint: write before:KIND:STEP, after:KIND:STEP or trace:FILE")]
pub struct FailpointError(String);

#[derive(Debug)]
enum Armed {
    Kill(String),
    Trace { file: Mutex<File>, seen: Mutex<HashSet<String>> },
}

impl Failpoints {
    /// As `SHOP_FAILPOINT` says; one that cannot be meant is logged and does nothing.
    pub fn from_environment() -> Self {
        let Ok(text) = std::env::var(VARIABLE) else { return Self::default() };
        Self::parse(&text).unwrap_or_else(|error| {
            tracing::error!(%error, "the failpoint is not understood");
            Self::default()
        })
    }

    pub fn parse(text: &str) -> Result<Self, FailpointError> {
        let wrong = || FailpointError(text.to_owned());
        if text.is_empty() {
            return Ok(Self::default());
        }
        if let Some(path) = text.strip_prefix("trace:") {
            let file = OpenOptions::new().create(true).append(true).open(path);
            let file = Mutex::new(file.map_err(|_| wrong())?);
            return Ok(Self(Some(Arc::new(Armed::Trace { file, seen: Mutex::default() }))));
        }
        let mut parts = text.splitn(3, ':');
        let known = matches!(parts.next(), Some("before" | "after"))
            && matches!(parts.next(), Some("commit" | "publish" | "call"))
            && parts.next().is_some_and(|step| !step.is_empty());
        known.then(|| Self(Some(Arc::new(Armed::Kill(text.to_owned()))))).ok_or_else(wrong)
    }

    pub fn before(&self, kind: Kind, step: &str) {
        self.reach("before", kind, step);
    }

    pub fn after(&self, kind: Kind, step: &str) {
        self.reach("after", kind, step);
    }

    fn reach(&self, side: &str, kind: Kind, step: &str) {
        let Some(armed) = &self.0 else { return };
        let name = format!("{side}:{}:{step}", kind.name());
        match &**armed {
            Armed::Kill(at) if *at == name => die(),
            Armed::Kill(_) => {}
            Armed::Trace { file, seen } => trace(file, seen, name),
        }
    }
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Commit => "commit",
            Self::Publish => "publish",
            Self::Call => "call",
        }
    }
}

/// As a power cut would: no destructor runs, no socket is closed in good order.
fn die() -> ! {
    let _ = kill_process(getpid(), Signal::KILL);
    // The signal ends this thread before it would get here.
    std::process::abort()
}

fn trace(file: &Mutex<File>, seen: &Mutex<HashSet<String>>, name: String) {
    let line = format!("{name}\n");
    {
        let mut seen = seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.len() >= TRACED_LIMIT || !seen.insert(name) {
            return;
        }
    }
    // One write of a line in append mode: several processes may share the file.
    let written = file.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
    if let Err(error) = written {
        tracing::error!(%error, "the trace of failpoints cannot be written");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let check = |text: &str, known: bool| {
            assert_eq!(Failpoints::parse(text).is_ok(), known, "{text:?}");
        };
        check("", true);
        check("before:commit:orders.place", true);
        check("after:publish:order.placed", true);
        check("before:call:products.reserve", true);
        check("before:commit:consume:orders:payment.captured", true);
        check("before:commit:", false);
        check("before:commit", false);
        check("during:commit:a", false);
        check("before:wait:a", false);
        check("trace:/no/such/directory/file", false);
        check("trace:", false);
    }

    #[test]
    fn a_trace_names_each_place_once_and_in_order() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("trace");
        let failpoints = Failpoints::parse(&format!("trace:{}", path.display())).unwrap();
        for _ in 0..2 {
            failpoints.before(Kind::Commit, "a");
            failpoints.after(Kind::Commit, "a");
            failpoints.clone().before(Kind::Call, "b");
        }
        let text = std::fs::read_to_string(&path).unwrap();
        assert_eq!(text, "before:commit:a\nafter:commit:a\nbefore:call:b\n");
    }

    #[test]
    fn an_unset_or_other_failpoint_does_nothing() {
        Failpoints::default().before(Kind::Commit, "a");
        let armed = Failpoints::parse("before:commit:a").unwrap();
        armed.after(Kind::Commit, "a");
        armed.before(Kind::Publish, "a");
        armed.before(Kind::Commit, "ab");
    }
}
