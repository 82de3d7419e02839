//! What the times of reloads and of peace say about the promises.
//!
//! It knows nothing of how load and reloads come about.

use std::time::Duration;

use super::storm::Period;
use super::{Reloads, Seen};
use crate::load::open::{Ended, Report};
use crate::numbers::as_float;
use crate::results::{Counts, Figures, Judged, Outcome, Ratio, Verdict};
use crate::stats::median;

/// Both times side by side, and memory.
pub(super) struct Findings {
    calm: Report,
    reloading: Report,
    memory: Option<Memory>,
}

/// Resident MiB early and at the end.
struct Memory {
    /// After so many reloads.
    after: usize,
    early: f64,
    late: f64,
}

impl Findings {
    pub(super) fn of(seen: &Seen) -> Self {
        let during = |periods: &[Period]| -> Report {
            let within = |request: &&Ended| {
                let after = periods.partition_point(|period| period.end < request.due);
                periods.get(after).is_some_and(|period| period.begin <= request.due)
            };
            seen.requests.iter().filter(within).map(|request| request.outcome).collect()
        };
        Self {
            calm: during(&seen.weather.calm),
            reloading: during(&seen.weather.reloads),
            memory: Memory::of(&seen.weather.resident),
        }
    }

    pub(super) fn outcome(&self, row: &Reloads, seen: &Seen, quick: bool) -> Outcome {
        let to_reloading = p99(&self.calm) / p99(&self.reloading);
        Outcome {
            name: row.name.to_owned(),
            group: row.group.to_owned(),
            title: row.title.to_owned(),
            unit: "us".to_owned(),
            rounds: seen.weather.reloads.len(),
            contestants: vec![
                figures("portcullis reloading", &self.reloading, None),
                figures("portcullis without reloads", &self.calm, Some(told(to_reloading))),
            ],
            verdicts: self.verdicts(row, seen, quick),
            notes: self.notes(seen),
            warnings: warnings(row, seen, quick),
        }
    }

    /// Each by the figure itself: rounds that would give a bound there are none.
    fn verdicts(&self, row: &Reloads, seen: &Seen, quick: bool) -> Vec<Judged> {
        let judged = |of: &str, against: Option<&str>, found: f64, at_most: f64| Judged {
            of: of.to_owned(),
            against: against.map(str::to_owned),
            at_most: Some(at_most),
            found: told(found),
            verdict: match found <= at_most {
                _ if quick => Verdict::TooFewRounds,
                true => Verdict::Met,
                false => Verdict::NotMet,
            },
        };
        let slower = p99(&self.reloading) / p99(&self.calm);
        let mut verdicts = vec![
            judged("failed requests", None, as_float(seen.load.failed()), 0.0),
            judged("p99 reloading", Some("p99 without reloads"), slower, row.slower),
        ];
        verdicts.extend(self.memory.as_ref().map(|memory| {
            let early = format!("memory after {} reloads", memory.after);
            judged("memory at the end", Some(&early), memory.late / memory.early, row.larger)
        }));
        verdicts
    }

    fn notes(&self, seen: &Seen) -> Vec<String> {
        let lengths: Vec<f64> =
            seen.weather.reloads.iter().map(|period| period.length().as_secs_f64() * 1e3).collect();
        let longest = lengths.iter().copied().fold(0.0, f64::max);
        let (count, usual) = (lengths.len(), median(&lengths));
        let mut notes = vec![
            format!(
                "{count} reloads, half of them within {usual:.1} ms, all within {longest:.1} ms"
            ),
            format!("{} requests answered, {} failed", seen.load.answered(), seen.load.failed()),
        ];
        notes.extend(self.memory.as_ref().map(|Memory { after, early, late }| {
            format!(
                "resident memory after {after} reloads {early:.1} MiB, at the end {late:.1} MiB"
            )
        }));
        notes
    }
}

impl Memory {
    /// Medians of a few reloads from an early one on and of the last ones.
    fn of(resident: &[u64]) -> Option<Self> {
        const FEW: usize = 5;
        // Until then memory is still finding its size; where there are few, the middle has to do.
        const EARLY: usize = 50;
        let mib = |part: &[u64]| {
            median(&part.iter().map(|bytes| as_float(*bytes) / 1024.0 / 1024.0).collect::<Vec<_>>())
        };
        let after = resident.len().div_ceil(2).min(EARLY);
        let begin = after.checked_sub(1)?;
        let (first, last) = (resident.get(begin..begin + FEW)?, resident.last_chunk::<FEW>()?);
        Some(Self { after, early: mib(first), late: mib(last) })
    }
}

fn warnings(row: &Reloads, seen: &Seen, quick: bool) -> Vec<String> {
    let mut warnings = Vec::new();
    let (done, asked) = (seen.weather.reloads.len(), row.count(quick));
    if done < asked as usize {
        let minutes = row.time.as_secs() / 60;
        warnings.push(format!("only {done} of {asked} reloads fitted into {minutes} minutes"));
    }
    if seen.load.fell_behind() {
        warnings.push("the generator fell behind; latencies are rather its own".to_owned());
    }
    warnings
}

fn figures(label: &str, report: &Report, to_first: Option<Ratio>) -> Figures {
    Figures {
        label: label.to_owned(),
        engine: "portcullis".to_owned(),
        figure: p99(report),
        to_first,
        user_share: None,
        requests_per_second: None,
        counts: Counts::default(),
        samples: Vec::new(),
    }
}

/// In microseconds.
fn p99(report: &Report) -> f64 {
    let latency: Duration = report.latency(0.99);
    latency.as_secs_f64() * 1e6
}

fn told(median: f64) -> Ratio {
    Ratio { median, upper: None }
}

#[cfg(test)]
mod tests;
