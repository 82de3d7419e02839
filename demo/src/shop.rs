//! The three programs of the demo: started in order, awaited, ended in the opposite order.

use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::time::Duration;

use anyhow::bail;
use portcullis_testkit::client::fetch;
use tokio::time::{Instant, sleep};

use crate::child::Child;
use crate::client::reachable;
use crate::places::Places;
use crate::say;

/// From the start of a program until it is ready. Generous: the machine may be busy building.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// Between two questions whether a program is ready.
const POLL: Duration = Duration::from_millis(20);
/// From SIGTERM to the end; then the program is killed.
const STOP_WITHIN: Duration = Duration::from_secs(10);

/// SIGTERM's number.
const TERMINATED: i32 = 15;

pub(crate) const GATEWAY: &str = "portcullis-gateway";

/// What runs so far. Dropping it kills what it holds.
#[derive(Default)]
pub(crate) struct Shop {
    children: Vec<Child>,
}

impl Shop {
    /// Starts everything. Interrupted at any await, what was started is in `self`.
    pub(crate) async fn start(&mut self, places: &Places, folder: &Path) -> anyhow::Result<()> {
        let folder_text = folder.display();
        for (name, address) in [("shop-users", places.users), ("shop-products", places.products)] {
            let listen = address.to_string();
            let database = format!("sqlite:{folder_text}/{name}.db");
            let arguments = ["--listen", &listen, "--database", &database, "--log-level", "warn"];
            let child = self.add(Child::start(name, &arguments, folder)?);
            child.line_after("listening on http://", READY_WITHIN).await?;
            ready(child, address).await?;
        }
        let config = places.config.display().to_string();
        let gateway = self.add(Child::start(GATEWAY, &["run", "--config", &config], folder)?);
        ready(gateway, reachable(places.status)).await
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

    fn add(&mut self, child: Child) -> &mut Child {
        say::line(format_args!(
            "  {} started (process {})",
            child.name,
            child.id().unwrap_or_default()
        ));
        self.children.push(child);
        // Pushed a line above.
        let last = self.children.len() - 1;
        &mut self.children[last]
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
