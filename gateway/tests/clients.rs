//! Clients that others have written, through the real binary.
//!
//! `make test` installs what they need; without it they are skipped, except in CI.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use portcullis_testkit::ca::{Authority, PemDirectory};
use portcullis_testkit::process::Process;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::time::timeout;

const WITHIN: Duration = Duration::from_secs(30);
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

fn script(python: &Path, arguments: &[&str]) -> Child {
    Command::new(python)
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/clients/websocket.py"))
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

async fn line(lines: &mut Lines<BufReader<ChildStdout>>) -> String {
    timeout(WITHIN, lines.next_line()).await.unwrap().unwrap().expect("a line")
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
    let mut server = script(&python, &["serve"]);
    let mut said = BufReader::new(server.stdout.take().unwrap()).lines();
    let port = line(&mut said).await.split_off("port ".len());

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

    for arguments in [&[&*plain][..], &[&*secure, ca.to_str().unwrap()]] {
        let visit = script(&python, &[&["visit"], arguments].concat());
        let output = timeout(WITHIN, visit.wait_with_output()).await.unwrap().unwrap();
        let played = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{arguments:?} played {played}");
        let expected = "negotiated\nexchanged\nfragmented\npinged\nclosed by us\nclosed by them\n";
        assert_eq!(played, expected);
        assert_eq!(line(&mut said).await, "closed 4001", "the server heard the client's code");
    }
}
