//! The programs of the demo: started in order, awaited, ended in the opposite order.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

use anyhow::bail;
use portcullis_testkit::client::fetch;
use tokio::time::{Instant, sleep, timeout};

use crate::child::Child;
use crate::client::reachable;
use crate::programs::{GATEWAY, Premises, Program};
use crate::say;

/// From the start of a program until it is ready. Generous: the machine may be busy building.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Between two questions whether a program is ready.
const POLL: Duration = Duration::from_millis(20);
/// Between two looks whether all still run.
const LOOK: Duration = Duration::from_millis(500);
/// From SIGTERM to the end; then the program is killed.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// SIGTERM's number.
const TERMINATED: i32 = 15;

/// What runs so far. Dropping it kills what it holds.
#[derive(Default)]
pub(crate) struct Shop {
    children: Vec<Child>,
}

impl Shop {
    /// Starts everything. Interrupted at any await, what was started is in `self`.
    pub(crate) async fn start(&mut self, premises: &Premises<'_>) -> anyhow::Result<()> {
        let services = premises.services();
        for (program, _) in &services {
            self.add(program, premises)?;
        }
        // They have come up side by side: only the slowest is waited for.
        for (child, (_, rest)) in self.children.iter_mut().zip(&services) {
            child.line_after("listening on http://", READY_WITHIN).await?;
            ready(child, *rest).await?;
        }
        let gateway = self.add(&premises.gateway(), premises)?;
        ready(gateway, reachable(premises.places.status)).await
    }

    /// Runs a program to its end beside the others, none of which may end before it.
    pub(crate) async fn run(
        &mut self,
        program: &Program<'_>,
        premises: &Premises<'_>,
        mut show: impl FnMut(&str),
    ) -> anyhow::Result<ExitStatus> {
        self.add(program, premises)?;
        while let Some((last, others)) = self.children.split_last_mut() {
            match timeout(LOOK, last.output.recv()).await {
                Ok(Some(line)) => show(&line),
                Ok(None) => break,
                Err(_) => others.iter_mut().try_for_each(Child::still_runs)?,
            }
        }
        let Some(child) = self.children.last_mut() else { bail!("{} is gone", program.name) };
        let status = child.ended().await?;
        self.children.pop();
        Ok(status)
    }

    pub(crate) fn gateway(&mut self) -> anyhow::Result<&mut Child> {
        let found = self.children.iter_mut().find(|child| child.name == GATEWAY);
        found.ok_or_else(|| anyhow::anyhow!("the gateway does not run"))
    }

    /// Fails if any of them has ended, which none should.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        self.children.iter_mut().try_for_each(Child::still_runs)
    }

    /// The last words of every program, for a failure that has no other explanation.
    pub(crate) fn last_lines(&self) -> String {
        let parts = self
            .children
            .iter()
            .map(|child| format!("  {} said last:\n{}", child.name, child.last_lines()));
        parts.collect()
    }

    /// Ends all, the gateway first, so that nothing is asked of a service that is gone.
    pub(crate) async fn stop(&mut self) -> anyhow::Result<()> {
        let mut failed = Vec::new();
        while let Some(child) = self.children.last_mut() {
            let name = child.name;
            match child.stop(STOP_WITHIN).await {
                // One that was just started had no time to learn how to end in order.
                Ok(status) if status.success() || status.signal() == Some(TERMINATED) => {}
                Ok(status) => failed.push(format!("{name} ended with {status}")),
                Err(error) => failed.push(error.to_string()),
            }
            self.children.pop();
        }
        if failed.is_empty() { Ok(()) } else { bail!(failed.join("; ")) }
    }

    fn add(
        &mut self,
        program: &Program<'_>,
        premises: &Premises<'_>,
    ) -> anyhow::Result<&mut Child> {
        let child = Child::start(program, premises.folder)?;
        say::line(format_args!(
            "  {} started (process {})",
            child.name,
            child.id().unwrap_or_default()
        ));
        self.children.push(child);
        // Pushed a line above.
        let last = self.children.len() - 1;
        Ok(&mut self.children[last])
    }
}

/// Asks `/readyz` until it says yes.
async fn ready(child: &mut Child, address: SocketAddr) -> anyhow::Result<()> {
    let deadline = Instant::now() + READY_WITHIN;
    loop {
        child.still_runs()?;
        match fetch(address, "GET", "/readyz", &[]).await {
            Ok(response) if response.status == 200 => return Ok(()),
            _ if Instant::now() >= deadline => {
                bail!("{} is not ready after {READY_WITHIN:?}:\n{}", child.name, child.last_lines())
            }
            _ => sleep(POLL).await,
        }
    }
}
