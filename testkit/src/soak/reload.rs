//! A storm of reloads, each with other routes, while requests keep coming.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::{Instant, timeout};

use super::{Intensity, SoakError, Verdict};
use crate::client::fetch;
use crate::process::{Process, Signal};

/// The configuration of the n-th reload.
pub type StormConfiguration<'a> = dyn Fn(u32) -> String + 'a;

/// What is reloaded how often under which load.
pub struct ReloadStorm<'a> {
    pub intensity: Intensity,
    pub reloads: u32,
    /// Of the gateway's listener.
    pub address: SocketAddr,
    /// What the load asks for: a route that every configuration has.
    pub path: &'a str,
    /// Asked after each reload until it answers with the number of the reload as its body, so
    /// that every one is known to have taken effect. A route that every configuration has.
    pub generation_path: &'a str,
    /// The name of the file within the directory of the process.
    pub file: &'a str,
    pub configuration: &'a StormConfiguration<'a>,
    /// How much resident memory may grow after the first fifth of the reloads, as a share.
    pub growth: f64,
}

/// How long one reload may take.
const RELOAD: Duration = Duration::from_secs(10);

/// Promises: no request fails, every reload takes effect, memory stays flat.
pub async fn reload_storm(
    process: &Process,
    storm: &ReloadStorm<'_>,
) -> Result<Verdict, SoakError> {
    let running = storm.intensity.load(storm.address, storm.path).start();
    let start = Instant::now();
    let mut memory = Vec::new();
    let mut slowest = Duration::ZERO;
    for reload in 1..=storm.reloads {
        // Spread over the load; one that is late makes the next ones come at once.
        let due =
            storm.intensity.duration.mul_f64(f64::from(reload) / f64::from(storm.reloads + 1));
        tokio::time::sleep_until(start + due).await;
        let asked = Instant::now();
        process.replace_file(storm.file, &(storm.configuration)(reload))?;
        process.signal(Signal::HUP)?;
        applied(storm, reload).await?;
        slowest = slowest.max(asked.elapsed());
        memory.push(process.resident_bytes()?);
    }
    let mut verdict = Verdict::new("reload storm", running.wait().await);
    let failed = verdict.report.failed();
    verdict.expect(failed == 0, || format!("{failed} requests failed"));
    let stray = verdict.report.unasked;
    verdict
        .expect(stray == 0, || format!("{stray} connections carried bytes that nobody asked for"));
    let took = start.elapsed().as_secs_f64();
    verdict.note(format!("{} reloads in {took:.1} s, the slowest in {slowest:?}", storm.reloads));
    if let Some((early, late)) = drift(&memory) {
        let mib = |bytes: f64| bytes / 1024.0 / 1024.0;
        verdict.note(format!("resident memory {:.1} MiB, then {:.1} MiB", mib(early), mib(late)));
        verdict.expect(late <= early * (1.0 + storm.growth), || {
            format!("resident memory grew by {:.1} %", (late / early - 1.0) * 100.0)
        });
    }
    Ok(verdict)
}

async fn applied(storm: &ReloadStorm<'_>, reload: u32) -> Result<(), SoakError> {
    let expected = reload.to_string();
    let deadline = Instant::now() + RELOAD;
    let mut seen;
    loop {
        let answer = timeout(RELOAD, fetch(storm.address, "GET", storm.generation_path, &[])).await;
        seen = match answer {
            Ok(Ok(response)) if response.text().trim() == expected => return Ok(()),
            Ok(Ok(response)) => format!("{} {:?}", response.status, response.text()),
            Ok(Err(error)) => error.to_string(),
            Err(_) => "no answer".to_owned(),
        };
        if Instant::now() >= deadline {
            return Err(SoakError::ReloadLost { reload, within: RELOAD, seen });
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Mean of the second fifth and of the last: the first one fills pools and caches.
pub(super) fn drift(samples: &[u64]) -> Option<(f64, f64)> {
    let fifth = samples.len() / 5;
    if fifth == 0 {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "bytes of memory stay far below 2^52")]
    let mean = |part: &[u64]| part.iter().sum::<u64>() as f64 / part.len() as f64;
    Some((mean(&samples[fifth..2 * fifth]), mean(&samples[samples.len() - fifth..])))
}
