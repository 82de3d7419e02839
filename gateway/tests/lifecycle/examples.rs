//! Examples as somebody runs them who has nothing else yet.

use portcullis_testkit::process::{Process, Signal};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::gateway::{BINARY, Gateway, LONG};

/// Runs a copy, with what cannot stand in two places at a time replaced.
fn run(name: &str, replaced: &[(&str, String)]) -> Gateway {
    let path = format!("{}/../config/examples/{name}", env!("CARGO_MANIFEST_DIR"));
    let mut text = std::fs::read_to_string(path).unwrap();
    for (from, to) in replaced {
        assert!(text.contains(from), "{from} is not in {name}");
        text = text.replace(from, to);
    }
    let process = Process::start(BINARY, ["run", "--config", name], &[(name, &text)]).unwrap();
    Gateway { process }
}

#[tokio::test]
async fn the_one_of_unix_sockets_needs_no_preparation() {
    let mut gateway = run("unix.yaml", &[]);
    gateway.says(&["listening", "listener=\"local\""]).await;
    gateway.says(&["listening", "listener=\"admin\""]).await;
    let mut stream = UnixStream::connect(gateway.path("gateway.sock")).await.unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\nhost: users.internal\r\n\r\n").await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains(" 503 ") && answer.contains("upstream-connect"), "{answer}");
    gateway.signal(Signal::TERM);
    gateway.ends(LONG, 0).await;
}
