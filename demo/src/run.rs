//! The course of the demo, from the first process to the last file removed.

use std::cell::Cell;
use std::future::Future;
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::customer::Visit;
use crate::options::Options;
use crate::places::Places;
use crate::programs::Premises;
use crate::secret::Secret;
use crate::shop::Shop;
use crate::{access_log, crowd, hints, say};

/// The exit code of a program that a signal ended, as shells count: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        // Before anything exists that would have to be cleaned up.
        let mut interrupts = Interrupts::new()?;
        let folder = tempfile::Builder::new().prefix("portcullis-demo-").tempdir()?;
        let mut shop = Shop::default();
        let staying = Cell::new(false);
        let result = {
            let course = Box::pin(course(options, &mut shop, folder.path(), &staying));
            interrupts.unless_interrupted(course).await
        };
        let stopped = interrupts.unless_interrupted(shop.stop()).await;
        // Whatever a second Ctrl-C left running is killed here.
        drop(shop);
        folder.close().context("the demo's folder is left behind")?;
        let code = match result {
            Some(result) => result?,
            // The way that a demo which stays up is meant to end.
            None if staying.get() => ExitCode::SUCCESS,
            None => ExitCode::from(INTERRUPTED),
        };
        if let Some(stopped) = stopped {
            stopped?;
            say::line(format_args!("Everything is stopped and removed."));
        }
        Ok(code)
    })
}

async fn course(
    options: &Options,
    shop: &mut Shop,
    folder: &Path,
    staying: &Cell<bool>,
) -> anyhow::Result<ExitCode> {
    say::line(format_args!("The shop opens"));
    let places = Places::choose(&options.config, options.ports, folder)?;
    if let Some(note) = places.note {
        say::line(format_args!("  {note}"));
    }
    let premises = Premises { places: &places, folder, secret: Secret::random()? };
    shop.start(&premises).await?;

    say::line(format_args!("\nA customer comes to {}", places.url()));
    let visit = Visit::new(&places)?.run().await;
    say::line(format_args!("\nWhat the gateway wrote of it, in microseconds precise"));
    let mut failed = visit.failed + show_log(shop, visit.requests).await?;
    failed += crowd::comes(shop, &premises).await?;

    if failed > 0 {
        say::line(format_args!("\n✗ {failed} failed\n{}", shop.last_lines()));
        return Ok(ExitCode::FAILURE);
    }
    say::line(format_args!("\n✓ every step did what it should"));
    if options.once {
        return Ok(ExitCode::SUCCESS);
    }
    staying.set(true);
    hints::print(&premises)?;
    stay(shop).await
}

/// Prints the lines of the customer's requests; 1 if some are missing.
async fn show_log(shop: &mut Shop, requests: usize) -> anyhow::Result<usize> {
    let lines = access_log::of_customer(&mut shop.gateway()?.output, requests).await;
    access_log::print_heading();
    lines.iter().for_each(access_log::print);
    if lines.len() == requests {
        return Ok(0);
    }
    let found = lines.len();
    say::line(format_args!("✗ the access log has {found} lines of {requests} requests"));
    Ok(1)
}

/// Shows requests until interrupted from outside; ends by itself only if a program does.
async fn stay(shop: &mut Shop) -> anyhow::Result<ExitCode> {
    say::line(format_args!("Requests as they come, but for simulated customers':"));
    access_log::print_heading();
    loop {
        let line = tokio::select! {
            line = next_line(shop) => line?,
            () = tokio::time::sleep(std::time::Duration::from_millis(500)) => None,
        };
        if let Some(line) = line.as_deref().and_then(access_log::parse)
            && !access_log::is_simulated(&line)
        {
            access_log::print(&line);
        }
        shop.check()?;
    }
}

async fn next_line(shop: &mut Shop) -> anyhow::Result<Option<String>> {
    match shop.gateway()?.output.recv().await {
        Some(line) => Ok(Some(line)),
        // The gateway has closed its output: the check of processes will say why.
        None => std::future::pending().await,
    }
}

/// Signals that end the demo: Ctrl-C, kill, a closed terminal.
struct Interrupts([Signal; 3]);

impl Interrupts {
    fn new() -> std::io::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    /// The future's output, or nothing if a signal came first.
    async fn unless_interrupted<T>(&mut self, future: impl Future<Output = T>) -> Option<T> {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            biased;
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
            output = future => return Some(output),
        }
        say::line(format_args!("\nStopping"));
        None
    }
}
