//! `run`: serve a configuration until told to stop.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use portcullis_config::{Loader, Report, Sources};
use portcullis_proxy::control::fingerprint::{PolicyFiles, of_configuration};
use portcullis_proxy::control::reload::{Reloader, report};
use portcullis_proxy::server::{Control, Server, ShutdownOutcome, StartError};

use crate::allocator;

use super::{BAD_CONFIGURATION, FAILED, output};

pub(crate) fn serve(path: &Path) -> ExitCode {
    tracing::info!(version = env!("CARGO_PKG_VERSION"), config = %path.display(), "starting");
    let seen = of_configuration(path);
    let mut loader = Loader::new(path);
    let outcome = loader.load();
    let loaded = match outcome.result {
        Ok(loaded) => loaded,
        Err(failed) => return refuse(&failed.report, &failed.sources),
    };
    loader.commit();
    if !loaded.warnings.is_empty() {
        tracing::warn!("\n{}", loaded.warnings.render(&loaded.sources, false));
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .on_thread_start(stand_back)
        .thread_name("background")
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!(%error, "no runtime");
            return ExitCode::from(FAILED);
        }
    };
    let sources = loaded.sources;
    let config = Arc::new(loaded.config);
    let policies = PolicyFiles::of(&config);
    let result = runtime.block_on(async {
        let server = Server::start_with(config, allocator::give_back).await?;
        let reloader = Reloader::new(loader, seen, policies);
        let control = Control::new(server, reloader)?;
        Ok(control.run().await)
    });
    match result {
        Ok(ShutdownOutcome::Drained) => ExitCode::SUCCESS,
        Ok(ShutdownOutcome::Cut) => {
            tracing::warn!("the drain ended before everything in flight did");
            ExitCode::from(FAILED)
        }
        Err(StartError::World(faults)) => refuse(&report(&faults), &sources),
        Err(error) => {
            tracing::error!("{error}");
            ExitCode::from(FAILED)
        }
    }
}

/// Of the threads that build a new configuration and whatever else may take its time: they get
/// what the workers leave, so that a large reload on a busy core is not felt by requests.
fn stand_back() {
    // The least: the kernel gives each its share at one go, and a tenth of the time, nice 10, were
    // several milliseconds again and again in which requests wait. Where the workers leave
    // nothing at all, 19 still comes to an end, by a share of 1.5 %.
    if let Err(error) = rustix::process::setpriority_process(None, 19) {
        tracing::debug!(%error, "background work has the priority of requests");
    }
}

fn refuse(report: &Report, sources: &Sources) -> ExitCode {
    output::report(report, sources);
    ExitCode::from(BAD_CONFIGURATION)
}
