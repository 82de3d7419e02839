//! SIGTERM while requests keep coming and some are slow.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::{Intensity, SoakError, Verdict};
use crate::client::RawClient;
use crate::load::Outcome;
use crate::origin::Origin;
use crate::process::{Process, Signal};

/// A drain in the middle of a load.
pub struct SigtermDrain<'a> {
    pub intensity: Intensity,
    /// Of the gateway's listener.
    pub address: SocketAddr,
    /// What the load asks for.
    pub path: &'a str,
    /// Where requests end.
    pub origin: &'a Origin,
    /// A target that it delays, by less than the drain timeout.
    pub slow_path: &'a str,
    /// Slow requests in flight when the signal comes.
    pub slow_requests: usize,
    /// `shutdown.drainTimeout` of the configuration.
    pub drain_timeout: Duration,
}

/// Promises: every request whose first byte precedes the close is answered, none is cut short,
/// and the process ends with 0 within the drain timeout and a second.
pub async fn sigterm_drain(
    process: &mut Process,
    drain: &SigtermDrain<'_>,
) -> Result<Verdict, SoakError> {
    let load = drain.intensity.load(drain.address, drain.path);
    let half = load.scheduled() / 2;
    let running = load.start();
    let begun = Instant::now();
    running.ended(half).await;
    let request = format!("GET {} HTTP/1.1\r\nhost: load.example\r\n\r\n", drain.slow_path);
    let mut slow = Vec::new();
    for _ in 0..drain.slow_requests {
        let client = RawClient::connect(drain.address).await.map_err(std::io::Error::other)?;
        let mut client = client.with_deadline(drain.drain_timeout + Duration::from_secs(1));
        client.send(request.as_bytes()).await.map_err(std::io::Error::other)?;
        slow.push(client);
    }
    // They are in flight before the signal; a connection that is still in the backlog then is
    // another matter, which the load's connections show.
    drain.origin.delayed(drain.slow_requests).await;
    let signalled = begun.elapsed();
    process.signal(Signal::TERM)?;
    let mut cut = 0;
    let mut unannounced = 0;
    for client in &mut slow {
        match client.final_response().await {
            Ok(response) if response.status == 200 => {
                unannounced += usize::from(response.keep_alive())
            }
            _ => cut += 1,
        }
    }
    let status = process.exit(drain.drain_timeout + Duration::from_secs(1)).await?;
    let exited = begun.elapsed() - signalled;
    let mut verdict = Verdict::new("drain on SIGTERM", running.wait().await);
    verdict.note(format!("signalled after {signalled:?}, ended {exited:?} later with {status}"));
    verdict.expect(status.code() == Some(0), || format!("the process ended with {status}"));
    verdict.expect(cut == 0, || format!("{cut} slow requests in flight were not answered"));
    verdict.expect(unannounced == 0, || {
        format!("{unannounced} responses of the drain did not announce the close")
    });
    judge(&mut verdict, signalled);
    Ok(verdict)
}

/// After the signal a connection may be refused, and a request may meet a close that was on its
/// way; nothing else may fail, and before it nothing at all.
pub(super) fn judge(verdict: &mut Verdict, signalled: Duration) {
    let outcomes = verdict.report.outcomes.clone();
    for (outcome, count) in &outcomes {
        let allowed =
            matches!(outcome, Outcome::Ok(_) | Outcome::ConnectError | Outcome::CrossedClose);
        verdict.expect(allowed, || format!("{count} times: {outcome}"));
    }
    let early = verdict.report.failures.iter().filter(|failure| failure.ended < signalled).count();
    verdict.expect(early == 0, || format!("{early} requests failed before the signal"));
    verdict.expect(verdict.report.ok() > 0, || "no request was answered at all".to_owned());
}
