//! The account at the end: what the metrics, the log and the process say against the ledger.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use super::ChaosError;
use super::ledger::{Ending, Ledger};
use super::metrics::Metrics;
use super::stage::{Holding, PATIENCE, Stage};
use crate::process::Signal;

/// `shutdown.drainTimeout` and a second.
const DRAIN: Duration = Duration::from_secs(6);
/// How much a run may leave behind, beside a twentieth: pages that are partly in use, and those of
/// code that was not run before; descriptors that a scrape or a watcher may hold for the moment.
const MEMORY_ALLOWANCE: u64 = 2 * 1024 * 1024;
const DESCRIPTOR_ALLOWANCE: usize = 4;

/// One record of the access log.
struct Record {
    status: u64,
    reason: Option<String>,
}

/// Compares what is held now with what was held after the warm-up.
pub(super) fn compare(before: Holding, after: Holding) -> Result<(), ChaosError> {
    let memory = before.memory + before.memory / 20 + MEMORY_ALLOWANCE;
    let descriptors = before.descriptors + before.descriptors / 20 + DESCRIPTOR_ALLOWANCE;
    if after.memory > memory || after.descriptors > descriptors {
        return Err(ChaosError::Broken(format!("it holds {after:?} after {before:?}")));
    }
    Ok(())
}

/// Ends the gateway and settles all accounts. `metrics` were read when nothing happened any more.
pub(super) async fn settle(
    stage: &mut Stage,
    ledger: &Ledger,
    metrics: &Metrics,
) -> Result<u64, ChaosError> {
    stage.process.signal(Signal::TERM)?;
    let begun = Instant::now();
    let status = stage.process.exit(PATIENCE).await?;
    let taken = begun.elapsed().saturating_sub(ledger.lateness.between(begun, Instant::now()));
    require(status.code() == Some(0), || format!("the drain ended with {status}"))?;
    require(taken <= DRAIN, || format!("the drain took {taken:?}"))?;
    quiet(stage)?;
    let (lines, records) = read_log(stage)?;
    let finished = metrics.sum("portcullis_requests_total", "");
    let written = metrics.sum("portcullis_access_log_lines_total", "");
    let dropped = metrics.sum("portcullis_access_log_dropped_lines_total", "");
    let internal = metrics.sum("portcullis_request_reasons_total", "reason=\"internal\"");
    require(dropped == 0, || format!("{dropped} lines of the log were dropped"))?;
    require(internal == 0, || format!("{internal} requests ended with `internal`"))?;
    require(finished == written && written == lines, || {
        format!("{finished} requests finished, {written} lines handed over, {lines} in the log")
    })?;
    let counts = ledger.counts();
    require(counts.sent == counts.ended(), || {
        format!("{} requests were sent and {} ended", counts.sent, counts.ended())
    })?;
    for (id, ending) in ledger.endings() {
        match records.get(&id).map(Vec::as_slice) {
            Some([record]) if agrees(record, &ending) => {}
            Some([record]) => {
                let Record { status, reason } = record;
                return Err(ChaosError::Broken(format!(
                    "{id} ended as {ending:?}, but the log says {status} {reason:?}"
                )));
            }
            other => {
                let count = other.map_or(0, <[Record]>::len);
                return Err(ChaosError::Broken(format!("{id} has {count} records in the log")));
            }
        }
    }
    Ok(lines)
}

/// Nothing in the output tells of a panic.
pub(super) fn quiet(stage: &Stage) -> Result<(), ChaosError> {
    let panic = stage.process.lines().into_iter().find(|line| line.contains("panicked"));
    panic.map_or(Ok(()), |line| Err(ChaosError::Broken(line)))
}

fn agrees(record: &Record, ending: &Ending) -> bool {
    match ending {
        Ending::Right => matches!(record.status, 101 | 200) && record.reason.is_none(),
        Ending::Reason { status, reason } => {
            record.status == u64::from(*status) && record.reason.as_ref() == Some(reason)
        }
        // Of a tunnel the proxy knows bytes: an end without a goodbye is an end like any other.
        Ending::Cut(_) => record.reason.is_some() || record.status == 101,
        Ending::Connection(_) | Ending::Wrong(_) => false,
    }
}

/// How many lines there are, and the records by the last segment of their path.
fn read_log(stage: &Stage) -> Result<(u64, HashMap<String, Vec<Record>>), ChaosError> {
    let (mut lines, mut records) = (0, HashMap::<String, Vec<Record>>::new());
    for entry in std::fs::read_dir(stage.process.directory())? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with("access.log") {
            continue;
        }
        for line in std::fs::read_to_string(entry.path())?.lines() {
            lines += 1;
            let value: serde_json::Value = serde_json::from_str(line)
                .map_err(|error| ChaosError::Broken(format!("{error} in the log: {line}")))?;
            let id = value["path"].as_str().and_then(|path| path.rsplit('/').next());
            let reason = value["reason"].as_str().map(str::to_owned);
            let status = value["status"].as_u64().unwrap_or(0);
            if let Some(id) = id.filter(|id| !id.is_empty()) {
                records.entry(id.to_owned()).or_default().push(Record { status, reason });
            }
        }
    }
    Ok((lines, records))
}

/// The records of the log whose request an error names.
pub(super) fn mentions(stage: &Stage, error: &str) -> Vec<String> {
    let Some(id) = error.split(' ').find(|word| word.starts_with("load-")) else {
        return Vec::new();
    };
    let end = format!("/{id}\"");
    let files = std::fs::read_dir(stage.process.directory()).into_iter().flatten().flatten();
    let logs = files.filter(|file| file.file_name().to_string_lossy().starts_with("access.log"));
    let texts = logs.filter_map(|file| std::fs::read_to_string(file.path()).ok());
    let of_request = |text: String| -> Vec<String> {
        text.lines().filter(|line| line.contains(&end)).map(str::to_owned).collect()
    };
    texts.flat_map(of_request).collect()
}

fn require(holds: bool, broken: impl FnOnce() -> String) -> Result<(), ChaosError> {
    if holds { Ok(()) } else { Err(ChaosError::Broken(broken())) }
}
