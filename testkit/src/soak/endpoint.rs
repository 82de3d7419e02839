//! One of two endpoints dies as a process does, under load.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::time::Instant;

use super::{Intensity, SoakError, Verdict};
use crate::load::Outcome;
use crate::origin::Origin;

/// The death of an endpoint in the middle of a load.
pub struct KillEndpoint<'a> {
    pub intensity: Intensity,
    /// Of the gateway's listener.
    pub address: SocketAddr,
    /// What the load asks for: a route to an upstream of both endpoints.
    pub path: &'a str,
}

/// How long after the death a request may still be lost to it: one that was being sent.
const AFTERMATH: Duration = Duration::from_millis(250);

/// Promises: only requests that were on a connection of the dead endpoint fail, each with an
/// answer of the gateway, and none that comes later.
pub async fn kill_endpoint(
    kill: &KillEndpoint<'_>,
    doomed: Origin,
    other: &Origin,
) -> Result<Verdict, SoakError> {
    let load = kill.intensity.load(kill.address, kill.path);
    let half = load.scheduled() / 2;
    let running = load.start();
    let begun = Instant::now();
    running.ended(half).await;
    let served = doomed.requests();
    let died = begun.elapsed();
    let killed = doomed.kill().await;
    let dead = begun.elapsed();
    let before = other.requests();
    let mut verdict = Verdict::new("death of an endpoint", running.wait().await);
    verdict.note(format!(
        "it had answered {served} requests and had {} in flight, {} idle connections",
        killed.in_flight, killed.idle
    ));
    let failed = verdict.report.failed();
    // A request may have been written to an idle connection while that was being reset: its bytes
    // left, so that it may not be sent again.
    let allowed = u64::try_from(killed.in_flight + killed.idle).unwrap_or(u64::MAX);
    verdict.expect(failed <= allowed, || {
        format!("{failed} requests failed, with {allowed} connections to the dead endpoint")
    });
    let outcomes = verdict.report.outcomes.clone();
    for (outcome, count) in &outcomes {
        let answered = matches!(outcome, Outcome::Ok(_) | Outcome::UnexpectedStatus(502..=504));
        verdict.expect(answered, || format!("{count} times: {outcome}"));
    }
    let strays = verdict
        .report
        .failures
        .iter()
        .filter(|failure| failure.ended < died || failure.sent > dead + AFTERMATH);
    let strays = strays.count();
    verdict.expect(strays == 0, || format!("{strays} requests failed that were never in danger"));
    verdict.expect(served > 0, || "the endpoint had served nothing: nothing was tested".to_owned());
    verdict.expect(other.requests() > before, || "the other endpoint took nothing over".to_owned());
    Ok(verdict)
}
