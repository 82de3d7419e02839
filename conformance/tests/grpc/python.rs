//! grpcio, the client of C++ and Python, through the same listeners. `client.py` makes the calls.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use tokio::process::Command;
use tokio::time::timeout;

use crate::harness::{Back, Front, Gate};

const PATIENCE: std::time::Duration = std::time::Duration::from_secs(120);

#[tokio::test]
async fn grpcio_calls_through_every_way() {
    let Some(python) = python().await else { return };
    for back in [Back::Clear, Back::Tls] {
        let mut gate = Gate::with(back, "", "timeouts: {idle: 30s}").await;
        let files = tempfile::tempdir().unwrap();
        let authority = files.path().join("ca.pem");
        std::fs::write(&authority, gate.authority()).unwrap();
        for front in [Front::Clear, Front::Tls] {
            let mut command = Command::new(&python);
            command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/grpc/client.py"));
            command.arg(gate.address(front).to_string());
            if matches!(front, Front::Tls) {
                command.arg(&authority);
            }
            run(command, &format!("grpcio over {front:?} to {back:?}")).await.unwrap();
            // What passed its deadline, the service was told of.
            assert_eq!(gate.hears().await, "began");
            assert_eq!(gate.hears().await, "silence", "{front:?} {back:?}");
        }
    }
}

/// The Python of `tools/python.sh`, below the build's directory.
async fn python() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let python = target.join("python/bin/python");
    let mut knows = Command::new(&python);
    knows.args(["-c", "import grpc"]);
    if run(knows, "grpcio").await.is_ok() {
        return Some(python);
    }
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{} lacks grpcio", python.display());
    eprintln!("SKIPPED: `make test` installs {} with grpcio", python.display());
    None
}

async fn run(mut command: Command, what: &str) -> Result<(), String> {
    command.stdin(Stdio::null()).kill_on_drop(true);
    let output = match timeout(PATIENCE, command.output()).await {
        Ok(Ok(output)) => output,
        Ok(Err(error)) => return Err(format!("{what}: {error}")),
        Err(_) => return Err(format!("{what} takes too long")),
    };
    if output.status.success() {
        return Ok(());
    }
    let text = [output.stdout, output.stderr].concat();
    Err(format!("{what}: {}\n{}", output.status, String::from_utf8_lossy(&text)))
}
