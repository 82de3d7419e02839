//! What one client's flood costs the others in time: the times of two victims at the gateway that
//! is flooded, beside their times while another gateway on the same machine is. What remains is
//! what the gateway makes of it, not what attacker and victims take from each other's processors.
//!
//! For a quiet machine; `gateway/tests/abuse/victims.rs` counts the same on any.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::ensure;
use portcullis_testkit::client::RawClient;
use portcullis_testkit::h2::H2Client;
use portcullis_testkit::h2::frame::{
    END_HEADERS, WHOLE, get, headers, request, reset, window_update,
};
use portcullis_testkit::origin::Origin;
use portcullis_testkit::process::{Process, free_address, workspace_binary};
use tokio::task::JoinHandle;

/// Streams of an attack on one connection; the gateway hangs up long before the last of them.
const STREAMS: u32 = 10_000;
/// Connections of an attack.
const CONNECTIONS: usize = 10;
/// Requests of each victim in a window, at least.
const REQUESTS: usize = 150;
const READY: Duration = Duration::from_secs(20);
const FILE: &str = "portcullis.yaml";

#[derive(clap::Args)]
pub(crate) struct Options {
    /// Windows of each kind, in turn.
    #[arg(long, default_value_t = 7)]
    rounds: usize,
    /// The gateway; the default is the one built beside this program.
    #[arg(long)]
    gateway: Option<PathBuf>,
}

pub(crate) fn run(options: &Options) -> anyhow::Result<ExitCode> {
    ensure!(options.rounds > 0, "without rounds there is nothing to compare");
    let gateway = match &options.gateway {
        Some(path) => std::path::absolute(path)?,
        None => workspace_binary("portcullis-gateway")?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(compare(&gateway, options.rounds))?;
    Ok(ExitCode::SUCCESS)
}

async fn compare(gateway: &Path, rounds: usize) -> anyhow::Result<()> {
    let origin = Origin::start("o").await?;
    let (_attacked, here) = start(gateway, origin.address()).await?;
    let (_beside, elsewhere) = start(gateway, origin.address()).await?;
    println!("median over {rounds} windows of the 99th percentile of a victim's times:");
    for (name, frames) in floods() {
        let (mut beside, mut under) = (Vec::new(), Vec::new());
        // Windows in turn, so that whatever else the machine does meets both.
        for _ in 0..rounds {
            for (target, windows) in [(elsewhere, &mut beside), (here, &mut under)] {
                let attack = tokio::spawn(attack(target, frames.clone()));
                windows.push(window(here, &attack).await?);
                attack.await??;
            }
        }
        for (at, victim) in ["HTTP/1", "HTTP/2"].iter().enumerate() {
            let (under, beside) = (median(&under, at), median(&beside, at));
            println!("{name}, {victim}: {under:?}; {beside:?} while another gateway is flooded");
        }
    }
    Ok(())
}

async fn start(gateway: &Path, origin: SocketAddr) -> anyhow::Result<(Process, SocketAddr)> {
    let address = free_address()?;
    let configuration = format!(
        "version: v1\nworkers: 1\nlisteners: [{{name: public, address: \"{address}\"}}]\n\
         upstreams: [{{name: back, endpoints: [{{address: \"{origin}\"}}]}}]\n\
         routes: [{{name: all, backends: [{{upstream: back}}]}}]\n\
         accessLog: {{path: access.log}}\n"
    );
    let arguments = ["run", "--config", FILE];
    let mut process = Process::start(gateway, arguments, &[(FILE, &configuration)])?;
    process.listening(address, READY).await?;
    Ok((process, address))
}

fn floods() -> [(&'static str, Vec<u8>); 2] {
    let rapid_reset = (0..STREAMS)
        .flat_map(|at| [headers(2 * at + 1, WHOLE, get("/delay/9000", &[])), reset(2 * at + 1, 8)]);
    let made_you_reset = (0..STREAMS).flat_map(|at| {
        let head = headers(2 * at + 1, END_HEADERS, request("POST", "/delay/9000", &[]));
        [head, window_update(2 * at + 1, 0x7fff_ffff)]
    });
    [
        ("rapid reset", rapid_reset.flatten().collect()),
        ("made you reset", made_you_reset.flatten().collect()),
    ]
}

/// Floods one connection after another.
async fn attack(address: SocketAddr, frames: Vec<u8>) -> anyhow::Result<()> {
    for _ in 0..CONNECTIONS {
        let mut client = H2Client::open(address, None, &[]).await?;
        // The gateway hangs up before all is sent, and may do so by a reset.
        let _ = client.send(&frames).await;
        let _ = client.until_end().await;
    }
    Ok(())
}

/// The 99th percentile of each victim's times: over as long as the attack goes on, and so many
/// requests.
async fn window(
    address: SocketAddr,
    attack: &JoinHandle<anyhow::Result<()>>,
) -> anyhow::Result<[Duration; 2]> {
    let mut one = RawClient::connect(address).await?;
    let mut two = H2Client::open(address, None, &[]).await?;
    let (mut of_one, mut of_two) = (Vec::new(), Vec::new());
    for stream in (1..).step_by(2) {
        if attack.is_finished() && of_one.len() >= REQUESTS {
            break;
        }
        let begun = Instant::now();
        one.send(b"GET /bytes/100 HTTP/1.1\r\nhost: a\r\n\r\n").await?;
        let status = one.response().await?.status;
        ensure!(status == 200, "{status} for a victim");
        of_one.push(begun.elapsed());
        let begun = Instant::now();
        two.send(&headers(stream, WHOLE, get("/bytes/100", &[]))).await?;
        two.until(|seen| seen.ended() == Some(stream)).await?;
        of_two.push(begun.elapsed());
    }
    Ok([of_one, of_two].map(|mut times| {
        times.sort();
        times[times.len() * 99 / 100]
    }))
}

/// Of one victim, over the windows.
fn median(windows: &[[Duration; 2]], victim: usize) -> Duration {
    let mut times: Vec<_> = windows.iter().map(|window| window[victim]).collect();
    times.sort();
    times[times.len() / 2]
}
