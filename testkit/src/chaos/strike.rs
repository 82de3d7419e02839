//! One slot: a fault begins, lasts and ends, and had the effect that it is meant to have.

use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::ChaosError;
use super::hostile;
use super::origin::Mode;
use super::plan::{Fault, Slot};
use super::stage::{PATIENCE, POLL, Stage};
use crate::client::Stream;
use crate::process::Signal;

const RELOAD_PAUSE: Duration = Duration::from_millis(50);
/// Each of so many rewritten files is one that cannot serve.
const BROKEN: u32 = 7;
const RENEWAL_PAUSE: Duration = Duration::from_millis(700);
const ROTATION_PAUSE: Duration = Duration::from_millis(500);
/// Connections wait for descriptors no longer than this: a part of the load's patience.
const LONGEST_CAP: Duration = Duration::from_secs(4);

/// Lets a fault come, last and go.
pub(super) async fn strike(
    stage: &mut Stage,
    slot: &Slot,
    duration: Duration,
) -> Result<(), ChaosError> {
    let end = Instant::now() + duration;
    let mut clients = JoinSet::new();
    let name = format!("slot{}", slot.number);
    match slot.fault {
        Fault::UpstreamReset => mode(stage, slot, Mode::Reset, end).await,
        Fault::BlackHole => mode(stage, slot, Mode::BlackHole, end).await,
        Fault::Truncated => mode(stage, slot, Mode::Truncate, end).await,
        Fault::UpstreamAway => away(stage, slot, end).await?,
        Fault::NameServerLost => {
            names(stage, false);
            sleep_until(end).await;
            names(stage, true);
        }
        Fault::ReloadStorm => reloads(stage, end).await?,
        Fault::CertificatesRenewed => renewals(stage, end).await?,
        Fault::DescriptorCap => cap(stage, end).await?,
        Fault::LogRotation => rotations(stage, end).await?,
        Fault::SlowClients => hostile::slow(&mut clients, &stage.doors, &name),
        Fault::RapidReset => hostile::rapid_reset(&mut clients, &stage.doors, name),
        Fault::Garbage => hostile::garbage(&mut clients, &stage.doors, slot.random.clone()),
        Fault::IdleFlood => hostile::idle_flood(&mut clients, &stage.doors),
    }
    sleep_until(end).await;
    clients.shutdown().await;
    Ok(())
}

/// Turns the first origin of the target, or all of them.
async fn mode(stage: &Stage, slot: &Slot, mode: Mode, end: Instant) {
    let most = if slot.all { usize::MAX } else { 1 };
    let of_target = stage.origins.iter().filter(|(of, _)| *of == slot.target).take(most);
    let struck: Vec<_> = of_target.map(|(_, origin)| origin).collect();
    for origin in &struck {
        origin.turn(mode);
    }
    sleep_until(end).await;
    for origin in &struck {
        origin.turn(Mode::Well);
    }
}

async fn away(stage: &mut Stage, slot: &Slot, end: Instant) -> Result<(), ChaosError> {
    let most = if slot.all { usize::MAX } else { 1 };
    let of_target = stage.origins.iter_mut().filter(|(of, _)| *of == slot.target).take(most);
    let mut struck: Vec<_> = of_target.map(|(_, origin)| origin).collect();
    for origin in &mut struck {
        origin.go_away().await;
    }
    sleep_until(end).await;
    for origin in &mut struck {
        origin.come_back().await?;
    }
    Ok(())
}

fn names(stage: &Stage, answer: bool) {
    if let Some(names) = &stage.names {
        names.answer(answer);
    }
}

async fn reloads(stage: &mut Stage, end: Instant) -> Result<(), ChaosError> {
    let mut written = 0;
    while Instant::now() < end {
        written += 1;
        if written % BROKEN == 0 {
            stage.rewrite_badly()?;
        } else {
            stage.rewrite()?;
        }
        // Whoever watches files waits until they are quiet; a signal does not.
        stage.process.signal(Signal::HUP)?;
        sleep(RELOAD_PAUSE).await;
    }
    stage.rewrite()?;
    stage.serves_newest().await
}

async fn renewals(stage: &Stage, end: Instant) -> Result<(), ChaosError> {
    let newest = loop {
        let leaf = stage.authority.server("chaos.example").issue();
        stage.process.replace_file("chaos.key", &leaf.key_pem())?;
        stage.process.replace_file("chaos.crt", &leaf.chain_pem())?;
        sleep(RENEWAL_PAUSE).await;
        if Instant::now() >= end {
            break leaf;
        }
    };
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline {
        let stream = Stream::connect(stage.doors.secure, Some(&stage.doors.tls)).await?;
        let Stream::Tls(stream) = stream else { break };
        let shown = stream.get_ref().1.peer_certificates().and_then(|chain| chain.first());
        if shown == newest.chain_der().first() {
            return Ok(());
        }
        sleep(POLL).await;
    }
    Err(ChaosError::Late("the newest certificate is not shown".to_owned()))
}

/// What is open stays open; nothing more can be opened.
async fn cap(stage: &Stage, end: Instant) -> Result<(), ChaosError> {
    let pid = i32::try_from(stage.process.pid()).ok().and_then(Pid::from_raw);
    let open = u64::try_from(stage.process.descriptors()?).unwrap_or(u64::MAX);
    let before = rustix::process::getrlimit(Resource::Nofile);
    let capped = Rlimit { current: Some(open), ..before };
    let before = prlimit(pid, Resource::Nofile, capped).map_err(std::io::Error::from)?;
    // Some more who want to come in, so that the cap is felt.
    let mut waiting = Vec::new();
    for _ in 0..20 {
        waiting.push(Stream::connect(stage.doors.plain, None).await?);
    }
    sleep_until(end.min(Instant::now() + LONGEST_CAP)).await;
    prlimit(pid, Resource::Nofile, before).map_err(std::io::Error::from)?;
    Ok(())
}

async fn rotations(stage: &mut Stage, end: Instant) -> Result<(), ChaosError> {
    let log = stage.process.directory().join("access.log");
    while Instant::now() < end {
        stage.rotations += 1;
        std::fs::rename(&log, log.with_extension(format!("log.{}", stage.rotations)))?;
        stage.process.signal(Signal::USR1)?;
        let deadline = Instant::now() + PATIENCE;
        while !log.exists() {
            if Instant::now() > deadline {
                return Err(ChaosError::Late("no new access log after SIGUSR1".to_owned()));
            }
            sleep(POLL).await;
        }
        sleep(ROTATION_PAUSE).await;
    }
    Ok(())
}
