//! What a run comes to: for people as a table, for programs as JSON.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde_json::{Value, json};

use crate::audit::books::Imbalance;
use crate::audit::visit::{Seen, Wrong};
use crate::customer::Visit;
use crate::documents::OrderState;
use crate::record::{CallRecord, Records};

/// Findings that are printed; the JSON has all that are kept.
const PRINTED: usize = 30;

/// What became of all orders.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Orders {
    pub(crate) placed: usize,
    pub(crate) confirmed: usize,
    /// Those that are cancelled, by their reasons.
    pub(crate) cancelled: BTreeMap<String, usize>,
    /// Neither confirmed nor cancelled.
    pub(crate) under_way: usize,
    pub(crate) declines: BTreeMap<String, usize>,
    pub(crate) complaints: u64,
    pub(crate) twice_at_once: u64,
    pub(crate) after_giving_up: u64,
    pub(crate) notifications: usize,
    pub(crate) feeds: usize,
    pub(crate) told_by_feeds: usize,
    pub(crate) reconnects: u64,
}

impl Orders {
    pub(crate) fn add(&mut self, visit: &Visit, seen: &Seen) {
        self.placed += visit.ledger.placed.len();
        self.twice_at_once += u64::from(visit.ledger.twice_at_once);
        self.after_giving_up += u64::from(visit.ledger.after_giving_up);
        if let Some(feed) = &visit.feed {
            self.feeds += 1;
            self.reconnects += u64::from(feed.reconnects());
        }
        self.see(seen);
    }

    fn see(&mut self, seen: &Seen) {
        for order in &seen.orders {
            self.complaints += u64::from(order.complaints);
            match order.state {
                OrderState::Confirmed => self.confirmed += 1,
                OrderState::Pending | OrderState::Cancelling => self.under_way += 1,
                OrderState::Cancelled => {
                    let reason = order.reason.as_deref().unwrap_or("unknown");
                    *self.cancelled.entry(reason.to_owned()).or_default() += 1;
                }
            }
        }
        for code in seen.payments.iter().filter_map(|payment| payment.decline_code.clone()) {
            *self.declines.entry(code).or_default() += 1;
        }
        self.notifications += seen.notifications.len();
        self.told_by_feeds += seen.feed.as_ref().map_or(0, Vec::len);
    }
}

/// Everything that does not balance.
#[derive(Debug, Clone, Default)]
pub(crate) struct Verdict {
    pub(crate) books: Vec<Imbalance>,
    /// With the number of its customer.
    pub(crate) visits: Vec<(u32, Wrong)>,
    /// Something that should have been read could not be: nothing follows from the rest.
    pub(crate) unread: bool,
}

/// The account of a run.
#[derive(Debug, Clone)]
pub(crate) struct Summary {
    pub(crate) seed: u64,
    pub(crate) customers: u32,
    /// From the first customer to the last, without the audit.
    pub(crate) elapsed: Duration,
    pub(crate) records: Records,
    pub(crate) orders: Orders,
    pub(crate) verdict: Verdict,
}

impl Summary {
    pub(crate) fn is_clean(&self) -> bool {
        let Verdict { books, visits, unread } = &self.verdict;
        self.records.found == 0 && books.is_empty() && visits.is_empty() && !unread
    }

    fn requests(&self) -> u64 {
        self.records.calls.values().map(|call| call.latency.len()).sum()
    }

    pub(crate) fn to_json(&self) -> Value {
        let calls: BTreeMap<&str, Value> = self
            .records
            .calls
            .iter()
            .map(|(call, record)| {
                let times = json!({
                    "count": record.latency.len(),
                    "again": record.again,
                    "p50_us": record.latency.value_at_quantile(0.5),
                    "p99_us": record.latency.value_at_quantile(0.99),
                    "max_us": record.latency.max(),
                });
                (call.label(), times)
            })
            .collect();
        let findings: Vec<String> = self.records.findings.iter().map(ToString::to_string).collect();
        let books: Vec<String> = self.verdict.books.iter().map(ToString::to_string).collect();
        let visits: Vec<String> =
            self.verdict.visits.iter().map(|(number, wrong)| of_visit(*number, wrong)).collect();
        let orders = &self.orders;
        json!({
            "clean": self.is_clean(),
            "seed": self.seed,
            "customers": self.customers,
            "elapsed_ms": u64::try_from(self.elapsed.as_millis()).unwrap_or(u64::MAX),
            "requests": self.requests(),
            "calls": calls,
            "orders": {
                "placed": orders.placed,
                "confirmed": orders.confirmed,
                "cancelled": orders.cancelled,
                "under_way": orders.under_way,
                "sent_twice_at_once": orders.twice_at_once,
                "sent_again_after_giving_up": orders.after_giving_up,
                "complaints": orders.complaints,
            },
            "declines": orders.declines,
            "notifications": orders.notifications,
            "feeds": {
                "held": orders.feeds,
                "told": orders.told_by_feeds,
                "reconnects": orders.reconnects,
            },
            "books": books,
            "visits": visits,
            "unread": self.verdict.unread,
            "found": self.records.found,
            "findings": findings,
        })
    }
}

fn of_visit(number: u32, wrong: &Wrong) -> String {
    format!("customer {number}: {wrong}")
}

impl fmt::Display for Summary {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (requests, seconds) = (self.requests(), self.elapsed.as_secs_f64());
        writeln!(
            out,
            "{} customers, {seconds:.1} s, {requests} requests, seed {}\n",
            self.customers, self.seed
        )?;
        self.write_calls(out)?;
        self.write_orders(out)?;
        self.write_verdict(out)
    }
}

impl Summary {
    fn write_calls(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            out,
            "{:<20}{:>9}{:>9}{:>11}{:>11}{:>11}",
            "", "answered", "again", "p50 ms", "p99 ms", "max ms"
        )?;
        for (call, CallRecord { latency, again }) in &self.records.calls {
            let at = |quantile| millis(latency.value_at_quantile(quantile));
            let (half, most, all) = (at(0.5), at(0.99), millis(latency.max()));
            let (label, count) = (call.label(), latency.len());
            writeln!(out, "{label:<20}{count:>9}{again:>9}{half:>11}{most:>11}{all:>11}")?;
        }
        Ok(())
    }

    fn write_orders(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let orders = &self.orders;
        let cancelled: usize = orders.cancelled.values().sum();
        writeln!(
            out,
            "\norders     {} placed: {} confirmed, {cancelled} cancelled{}",
            orders.placed,
            orders.confirmed,
            listed(&orders.cancelled)
        )?;
        if orders.under_way > 0 {
            writeln!(out, "           {} under way", orders.under_way)?;
        }
        writeln!(
            out,
            "           {} sent twice at once, {} again after giving up, {} complaints",
            orders.twice_at_once, orders.after_giving_up, orders.complaints
        )?;
        let declined: usize = orders.declines.values().sum();
        writeln!(out, "payments   {declined} declined{}", listed(&orders.declines))?;
        writeln!(
            out,
            "news       {} notifications; {} feeds told {}, with {} reconnects",
            orders.notifications, orders.feeds, orders.told_by_feeds, orders.reconnects
        )
    }

    fn write_verdict(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { books, visits, unread } = &self.verdict;
        writeln!(out)?;
        if *unread {
            writeln!(out, "✗ not everything could be read: the audit is not whole")?;
        }
        let fine = books.is_empty() && !unread;
        let say = |fine: bool, good: &str, bad: &str| {
            if fine { format!("✓ {good}") } else { format!("✗ {bad}") }
        };
        let balance = say(
            fine,
            "the books balance: stock + reserved + sold = supplied, money taken = orders confirmed",
            "the books do not balance",
        );
        writeln!(out, "{balance}")?;
        write_some(out, books.iter().map(ToString::to_string))?;
        let once = say(
            visits.is_empty() && !unread,
            "no order is lost or doubled, every event was applied once",
            "orders or events are lost, doubled or wrong",
        );
        writeln!(out, "{once}")?;
        write_some(out, visits.iter().map(|(number, wrong)| of_visit(*number, wrong)))?;
        let found = self.records.found;
        let findings = say(found == 0, "no findings", &format!("{found} findings"));
        writeln!(out, "{findings}")?;
        write_some(out, self.records.findings.iter().map(ToString::to_string))
    }
}

fn write_some(
    out: &mut fmt::Formatter<'_>,
    lines: impl ExactSizeIterator<Item = String>,
) -> fmt::Result {
    let rest = lines.len().saturating_sub(PRINTED);
    for line in lines.take(PRINTED) {
        writeln!(out, "    {line}")?;
    }
    if rest > 0 {
        writeln!(out, "    and {rest} more")?;
    }
    Ok(())
}

/// `: 3 customer, 2 out_of_stock`
fn listed(counts: &BTreeMap<String, usize>) -> String {
    if counts.is_empty() {
        return String::new();
    }
    let counts: Vec<String> =
        counts.iter().map(|(name, count)| format!("{count} {name}")).collect();
    format!(": {}", counts.join(", "))
}

fn millis(micros: u64) -> String {
    format!("{}.{}", micros / 1000, micros % 1000 / 100)
}

#[cfg(test)]
mod tests;
