//! What a run plays on: origins, certificates, a name server, and the gateway among them.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio::time::{Instant, sleep};

use super::ChaosError;
use super::ledger::Ledger;
use super::load::Doors;
use super::metrics::Metrics;
use super::names::NameServer;
use super::origin::{Origin, Speaks, Witness};
use super::wish::Upstream;
use crate::ca::Authority;
use crate::client::{Tls, fetch};
use crate::process::Process;

/// For what has to happen, on a machine that does other things too.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);
pub(super) const POLL: Duration = Duration::from_millis(20);
const FILE: &str = "portcullis.yaml";
const NAME: &str = "chaos.example";
/// What origins under TLS are called.
const ORIGIN: &str = "origin.chaos.example";
/// Of each upstream.
const ORIGINS: usize = 2;

pub(super) struct Stage {
    pub(super) process: Process,
    pub(super) doors: Doors,
    pub(super) status: SocketAddr,
    pub(super) origins: Vec<(Upstream, Origin)>,
    pub(super) names: Option<NameServer>,
    pub(super) authority: Authority,
    /// Of the configuration that was written last.
    pub(super) generation: u32,
    /// How often the log was renamed.
    pub(super) rotations: u32,
}

impl Stage {
    pub(super) async fn set(gateway: &Path, ledger: &Arc<Ledger>) -> Result<Self, ChaosError> {
        let witness = Witness::new(ledger);
        let authority = Authority::root("chaos");
        let mut origins = Vec::new();
        for upstream in Upstream::ALL {
            let speaks = if upstream.speaks_http2() { Speaks::Http2 } else { Speaks::Http1 };
            for _ in 0..ORIGINS {
                let tls = upstream.is_secure().then(|| shown(&authority, speaks)).transpose()?;
                origins.push((upstream, Origin::start(speaks, tls, &witness).await?));
            }
        }
        let names = NameServer::start().await;
        let leaf = authority.server(NAME).issue();
        let resolver = names.as_ref().map(|names| format!("nameserver {}\n", names.address));
        let configuration = configuration(&origins, names.is_some(), 0);
        let files = [
            (FILE, configuration.as_str()),
            ("chaos.crt", &leaf.chain_pem()),
            ("chaos.key", &leaf.key_pem()),
            ("authority.crt", &authority.certificate_pem()),
            ("resolv.conf", resolver.as_deref().unwrap_or_default()),
        ];
        let gateway = gateway.display().to_string();
        let mut process = if names.is_some() {
            let script = "mount --bind resolv.conf /etc/resolv.conf && exec \"$0\" \"$@\"";
            let arguments = ["--mount", "sh", "-c", script, &gateway, "run", "--config", FILE];
            Process::start("unshare", arguments, &files)?
        } else {
            Process::start(&gateway, ["run", "--config", FILE], &files)?
        };
        let plain = address(&mut process, "plain").await?;
        let secure = address(&mut process, "secure").await?;
        let status = address(&mut process, "status").await?;
        let doors = Doors { plain, secure, tls: trusting(&authority)? };
        let (generation, rotations) = (0, 0);
        Ok(Self { process, doors, status, origins, names, authority, generation, rotations })
    }

    /// Writes a configuration with other routes than any before.
    pub(super) fn rewrite(&mut self) -> io::Result<()> {
        self.generation += 1;
        let text = configuration(&self.origins, self.names.is_some(), self.generation);
        self.process.replace_file(FILE, &text)
    }

    /// Writes one that cannot serve.
    pub(super) fn rewrite_badly(&self) -> io::Result<()> {
        self.process.replace_file(FILE, "version: v1\nroutes: [{nam: x}]\n")
    }

    /// Waits until the configuration that was written last serves.
    pub(super) async fn serves_newest(&self) -> Result<(), ChaosError> {
        let expected = self.generation.to_string();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = fetch(self.doors.plain, "GET", "/generation", &[]).await;
            let text = answer.map(|answer| answer.text()).unwrap_or_else(|error| error.to_string());
            if text == expected {
                return Ok(());
            }
            if Instant::now() > deadline {
                return Err(ChaosError::Late(format!("generation {expected} instead of {text}")));
            }
            sleep(POLL).await;
        }
    }

    pub(super) async fn metrics(&self) -> Result<Metrics, ChaosError> {
        let answer = fetch(self.status, "GET", "/metrics", &[]).await;
        let answer = answer.map_err(|error| ChaosError::Late(format!("/metrics: {error}")))?;
        Ok(Metrics::parse(&answer.text()))
    }

    /// Waits until nothing is under way and nothing is kept, then tells what the process holds.
    pub(super) async fn at_rest(&self) -> Result<Holding, ChaosError> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let busy = self.metrics().await?.busy();
            if busy.is_empty() {
                break;
            }
            if Instant::now() > deadline {
                return Err(ChaosError::Broken(format!("gauges do not return to zero: {busy:?}")));
            }
            sleep(POLL * 5).await;
        }
        // Workers give memory back when nothing has changed for a second, and look once in a while.
        sleep(Duration::from_secs(3)).await;
        self.holding()
    }

    pub(super) fn holding(&self) -> Result<Holding, ChaosError> {
        let (memory, descriptors) = (self.process.resident_bytes()?, self.process.descriptors()?);
        Ok(Holding { memory, descriptors })
    }
}

/// What a process holds of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Holding {
    /// Resident bytes.
    pub memory: u64,
    pub descriptors: usize,
}

async fn address(process: &mut Process, listener: &str) -> Result<SocketAddr, ChaosError> {
    let listener = format!("listener=\"{listener}\"");
    let says = |line: &str| line.contains("listening") && line.contains(&listener);
    let line = process.line(PATIENCE, says).await?;
    let address = line.split_once("address=").and_then(|(_, rest)| rest.split(' ').next());
    address
        .and_then(|address| address.parse().ok())
        .ok_or_else(|| ChaosError::Late(format!("no address in {line:?}")))
}

fn trusting(authority: &Authority) -> Result<Tls, ChaosError> {
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate_der()).map_err(io::Error::other)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    // A resumed session would show the certificate of the first one.
    config.resumption = rustls::client::Resumption::disabled();
    let name = ServerName::try_from(NAME).map_err(io::Error::other)?;
    Ok(Tls { name, config: Arc::new(config) })
}

/// How an origin lets the proxy in.
fn shown(authority: &Authority, speaks: Speaks) -> Result<Arc<ServerConfig>, ChaosError> {
    let leaf = authority.server(ORIGIN).issue();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(io::Error::other)?
        .with_no_client_auth()
        .with_single_cert(leaf.chain_der(), leaf.key_der())
        .map_err(io::Error::other)?;
    let agreed: &[u8] = if speaks == Speaks::Http2 { b"h2" } else { b"http/1.1" };
    config.alpn_protocols = vec![agreed.to_vec()];
    Ok(Arc::new(config))
}

/// Timeouts are short beside the load's own patience, so that it is the proxy which ends a wait.
fn configuration(origins: &[(Upstream, Origin)], named: bool, generation: u32) -> String {
    let mut text = r#"version: v1
workers: 2
defaults:
  connectTimeout: 2s
  timeouts: {response: 3s, perTry: 3s, idle: 3s}
  keepAlive: {idleTimeout: 2s}
listeners:
  - {name: plain, address: "127.0.0.1:0", timeouts: {head: 3s, handshake: 5s}}
  - name: secure
    address: "127.0.0.1:0"
    timeouts: {head: 3s, handshake: 5s}
    tls: {certificates: [{certFile: chaos.crt, keyFile: chaos.key}]}
  - {name: status, address: "127.0.0.1:0", kind: status}
accessLog: {path: access.log}
shutdown: {drainTimeout: 5s}
upstreams:
"#
    .to_owned();
    for upstream in Upstream::ALL {
        let endpoints = origins.iter().filter(|(of, _)| *of == upstream).map(|(_, origin)| {
            if named && upstream == Upstream::Named {
                format!("{{dns: {ORIGIN}, port: {}}}", origin.address.port())
            } else {
                format!("{{address: \"{}\"}}", origin.address)
            }
        });
        let endpoints = endpoints.collect::<Vec<_>>().join(", ");
        let rest = match upstream {
            Upstream::One | Upstream::Named => "protocol: http1".to_owned(),
            Upstream::Two => "protocol: http2".to_owned(),
            Upstream::SecureOne | Upstream::SecureTwo => {
                format!("tls: {{caFile: authority.crt, serverName: {ORIGIN}}}")
            }
        };
        let name = upstream.name();
        text.push_str(&format!("  - {{name: {name}, {rest}, endpoints: [{endpoints}]}}\n"));
    }
    text.push_str(&format!(
        "routes:\n  - {{name: generation, match: {{path: {{exact: /generation}}}}, \
         reply: {{status: 200, body: \"{generation}\"}}}}\n"
    ));
    for upstream in Upstream::ALL {
        let name = upstream.name();
        text.push_str(&format!(
            "  - {{name: {name}, match: {{path: {{prefix: /{name}}}}}, \
             backends: [{{upstream: {name}}}]}}\n"
        ));
    }
    for index in 0..generation % 9 {
        text.push_str(&format!(
            "  - {{name: changing-{generation}-{index}, match: {{hosts: [host-{generation}.example], \
             path: {{prefix: /{generation}/{index}}}}}, backends: [{{upstream: one}}]}}\n"
        ));
    }
    text
}
