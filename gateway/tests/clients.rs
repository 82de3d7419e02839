//! Clients that others have written, through the real binary.
//!
//! `make test` installs what they need; without it they are skipped, except in CI.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use portcullis_testkit::ca::{Authority, PemDirectory};
use portcullis_testkit::patience::found;
use portcullis_testkit::process::Process;
use tokio::process::Command;
use tokio::time::timeout;

/// A browser takes its time to start where others are busy.
const WITHIN: Duration = Duration::from_secs(60);
const BINARY: &str = env!("CARGO_BIN_EXE_portcullis-gateway");

/// The Python of `tools/python.sh`, below the build's directory.
fn python() -> Option<PathBuf> {
    let target = Path::new(BINARY).ancestors().nth(2).unwrap();
    let python = target.join("python/bin/python");
    if python.exists() {
        return Some(python);
    }
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{} is missing", python.display());
    eprintln!("SKIPPED: `make test` installs {}", python.display());
    None
}

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/websocket.py");

/// A WebSocket server that others wrote, and its port.
async fn server(python: &Path) -> (Process, String) {
    let mut server = Process::start(python, ["-u", SCRIPT, "serve"], &[]).unwrap();
    let line = server.line(WITHIN, |line| line.starts_with("port ")).await.unwrap();
    (server, line["port ".len()..].to_owned())
}

/// The server heard the code with which this visit was closed.
async fn heard(server: &mut Process, visit: usize) {
    let start = format!("visit {visit}: ");
    let line = server.line(WITHIN, |line| line.starts_with(&start)).await.unwrap();
    assert_eq!(line, format!("{start}closed 4001"));
}

/// The browser that `make test` installs.
fn browser() -> Option<&'static str> {
    const PROGRAM: &str = "/usr/bin/chromium-headless-shell";
    if Path::new(PROGRAM).exists() {
        return Some(PROGRAM);
    }
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{PROGRAM} is missing");
    eprintln!("SKIPPED: `make test` installs {PROGRAM}");
    None
}

async fn address(gateway: &mut Process, listener: &str) -> String {
    let named = format!("listener=\"{listener}\"");
    let says = |line: &str| line.contains("listening") && line.contains(&named);
    let line = gateway.line(WITHIN, says).await.unwrap();
    let (_, address) = line.split_once("address=").unwrap();
    address.split(' ').next().unwrap().to_owned()
}

/// Compression, subprotocols, fragments, pings and close codes are agreed on by two that the
/// gateway only carries.
#[tokio::test]
async fn a_python_client_and_server_speak_websocket_plain_and_under_tls() {
    let Some(python) = python() else { return };
    let (mut server, port) = server(&python).await;

    let authority = Authority::root("the test's");
    let files = PemDirectory::create();
    files.write_leaf("server", &authority.server("localhost").issue());
    let ca = files.write("ca.pem", authority.certificate_pem());
    let place = files.path().display();
    let configuration = format!(
        r#"version: v1
workers: 1
listeners:
  - {{name: plain, address: "127.0.0.1:0"}}
  - name: secure
    address: "127.0.0.1:0"
    tls: {{certificates: [{{certFile: {place}/server.crt, keyFile: {place}/server.key}}]}}
upstreams:
  - {{name: origin, endpoints: [{{address: "127.0.0.1:{port}"}}]}}
routes:
  - {{name: live, backends: [{{upstream: origin}}]}}
accessLog: {{path: access.log}}
"#
    );
    let mut gateway =
        Process::start(BINARY, ["run", "--config", "a.yaml"], &[("a.yaml", &configuration)])
            .unwrap();
    let plain = format!("ws://{}/live", address(&mut gateway, "plain").await);
    let secure = format!("wss://{}/live", address(&mut gateway, "secure").await);

    let visits = [&[&*plain][..], &[&*secure, ca.to_str().unwrap()]];
    for (number, arguments) in visits.into_iter().enumerate() {
        let mut visit = Command::new(&python);
        visit.args([SCRIPT, "visit"]).args(arguments).stdin(Stdio::null()).kill_on_drop(true);
        let output = timeout(WITHIN, visit.output()).await.unwrap().unwrap();
        let played = String::from_utf8(output.stdout).unwrap();
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?} played {played}, then {complaint}");
        let expected = "negotiated\nexchanged\nfragmented\npinged\nclosed by us\nclosed by them\n";
        assert_eq!(played, expected);
        heard(&mut server, number + 1).await;
    }
}

/// A page of the gateway's own opens WebSockets where it came from: by upgrade where only HTTP/1
/// is spoken, by extended CONNECT on the page's own connection where HTTP/2 is. What it has seen
/// is the last thing that it asks for.
#[tokio::test]
async fn a_browser_speaks_websocket_by_upgrade_and_over_http2() {
    let (Some(python), Some(browser)) = (python(), browser()) else { return };
    let (mut server, port) = server(&python).await;
    let page = include_str!("clients/page.html").replace('\n', "\n        ");
    let configuration = format!(
        r#"version: v1
workers: 1
listeners:
  - {{name: upgrade, address: "127.0.0.1:0", protocols: [http1], tls: {{selfSigned: true}}}}
  - {{name: connect, address: "127.0.0.1:0", protocols: [http2], tls: {{selfSigned: true}}}}
upstreams:
  - {{name: origin, endpoints: [{{address: "127.0.0.1:{port}"}}]}}
routes:
  - {{name: live, match: {{path: {{exact: /live}}}}, backends: [{{upstream: origin}}]}}
  - {{name: done, match: {{path: {{prefix: /done}}}}, reply: {{status: 204}}}}
  - name: page
    match: {{path: {{exact: /}}}}
    reply:
      status: 200
      contentType: text/html
      body: |
        {page}
accessLog: {{path: access.log}}
"#
    );
    let mut gateway =
        Process::start(BINARY, ["run", "--config", "a.yaml"], &[("a.yaml", &configuration)])
            .unwrap();
    let visits = [("upgrade", "HTTP/1.1", 101), ("connect", "HTTP/2", 200)];
    for (number, (listener, protocol, status)) in visits.into_iter().enumerate() {
        let address = address(&mut gateway, listener).await;
        let page = format!("https://{address}/");
        let arguments = [
            "--no-sandbox",
            "--ignore-certificate-errors",
            "--remote-debugging-port=0",
            "--user-data-dir={dir}/profile",
            &page,
        ];
        // A script on some systems: its browser, and what that starts, end by their group.
        let window = Process::start(browser, arguments, &[]).unwrap();
        heard(&mut server, number + 1).await;
        let records = records_of(&gateway, listener).await;
        let done = records.iter().find(|record| record["route"] == "done").unwrap();
        assert_eq!(done["path"], "/done/echo/pieces/ponged/4321", "{listener}");
        let live = records.iter().filter(|record| record["route"] == "live");
        let live: Vec<_> = live.map(|record| (&record["protocol"], &record["status"])).collect();
        assert_eq!(live, [(&protocol.into(), &status.into()); 2], "{listener}");
        window.end(WITHIN).await.unwrap();
    }
}

/// The listener's records, once the page has said that it is done.
async fn records_of(gateway: &Process, listener: &str) -> Vec<serde_json::Value> {
    let log = gateway.directory().join("access.log");
    found(async || {
        let text = std::fs::read_to_string(&log).unwrap_or_default();
        let records = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        let records: Vec<serde_json::Value> =
            records.filter(|record: &serde_json::Value| record["listener"] == listener).collect();
        let ended = |route| records.iter().filter(|record| record["route"] == route).count();
        if ended("done") > 0 && ended("live") == 2 { Ok(records) } else { Err(records) }
    })
    .await
}
