//! What is remembered of a run: how often each call was made and how long it took, and everything
//! that should not have happened.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use hdrhistogram::Histogram;

/// Findings that are kept with their circumstances; all are counted.
const KEPT: usize = 200;

/// What is asked of the shop.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Call {
    Register,
    LogIn,
    AddCard,
    Browse,
    Search,
    LookAtProduct,
    LookAtStock,
    PlaceOrder,
    /// Includes the time that the shop was asked to wait.
    FollowOrder,
    ListOrders,
    CancelOrder,
    Complain,
    ListNotifications,
    ReadNotification,
    Feed,
    /// The shop's own: tokens, books, supply.
    Backoffice,
    /// A customer's things, looked at once more behind it.
    Audit,
}

impl Call {
    pub(crate) fn label(self) -> &'static str {
        match self {
            Self::Register => "register",
            Self::LogIn => "log in",
            Self::AddCard => "add card",
            Self::Browse => "browse",
            Self::Search => "search",
            Self::LookAtProduct => "look at product",
            Self::LookAtStock => "look at stock",
            Self::PlaceOrder => "place order",
            Self::FollowOrder => "follow order",
            Self::ListOrders => "list orders",
            Self::CancelOrder => "cancel order",
            Self::Complain => "complain",
            Self::ListNotifications => "list notifications",
            Self::ReadNotification => "read notification",
            Self::Feed => "feed",
            Self::Backoffice => "backoffice",
            Self::Audit => "audit",
        }
    }
}

/// Something that should not have happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// `None`: the shop's own, or of nobody in particular.
    pub(crate) customer: Option<u32>,
    pub(crate) call: Call,
    pub(crate) what: String,
    /// By which logs can be searched.
    pub(crate) request_id: Option<String>,
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(customer) = self.customer {
            write!(out, "customer {customer}, ")?;
        }
        write!(out, "{}: {}", self.call.label(), self.what)?;
        match &self.request_id {
            Some(id) => write!(out, " (request {id})"),
            None => Ok(()),
        }
    }
}

/// What became of one kind of call.
#[derive(Debug, Clone)]
pub(crate) struct CallRecord {
    /// Microseconds of the tries that were answered as expected.
    pub(crate) latency: Histogram<u64>,
    /// Tries that were followed by another one.
    pub(crate) again: u64,
}

impl Default for CallRecord {
    fn default() -> Self {
        #[expect(clippy::expect_used, reason = "bounds that the library documents as valid")]
        let latency = Histogram::new_with_bounds(1, 600_000_000, 3).expect("valid bounds");
        Self { latency, again: 0 }
    }
}

/// The account of a run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Records {
    pub(crate) calls: BTreeMap<Call, CallRecord>,
    /// The first of them.
    pub(crate) findings: Vec<Finding>,
    /// All of them.
    pub(crate) found: u64,
}

/// Shared by all customers.
#[derive(Debug, Default)]
pub(crate) struct Recorder(Mutex<Records>);

impl Recorder {
    pub(crate) fn answered(&self, call: Call, latency: Duration) {
        let micros = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        self.records().calls.entry(call).or_default().latency.saturating_record(micros);
    }

    pub(crate) fn again(&self, call: Call) {
        self.records().calls.entry(call).or_default().again += 1;
    }

    pub(crate) fn find(&self, finding: Finding) {
        let mut records = self.records();
        records.found += 1;
        if records.findings.len() < KEPT {
            records.findings.push(finding);
        }
    }

    pub(crate) fn take(&self) -> Records {
        std::mem::take(&mut *self.records())
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        // No code that could panic halfway runs under the lock.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_are_counted_beyond_those_kept() {
        let recorder = Recorder::default();
        let finding = Finding {
            customer: Some(3),
            call: Call::PlaceOrder,
            what: "status 500 internal".to_owned(),
            request_id: Some("r-1".to_owned()),
        };
        for _ in 0..KEPT + 5 {
            recorder.find(finding.clone());
        }
        recorder.again(Call::PlaceOrder);
        recorder.answered(Call::PlaceOrder, Duration::from_millis(2));
        let records = recorder.take();
        assert_eq!((records.found, records.findings.len()), (KEPT as u64 + 5, KEPT));
        let call = &records.calls[&Call::PlaceOrder];
        assert_eq!((call.again, call.latency.len()), (1, 1));
        assert!((1990..2010).contains(&call.latency.max()), "{}", call.latency.max());
        assert_eq!(
            finding.to_string(),
            "customer 3, place order: status 500 internal (request r-1)"
        );
        assert_eq!(recorder.take().found, 0);
    }
}
