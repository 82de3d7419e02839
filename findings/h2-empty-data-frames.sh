#!/usr/bin/env bash
# h2 0.4.20 (Rust): a client counts the empty DATA frames that end nothing over the whole life of a
# connection, across all its streams, and breaks the connection off at the 101st.
#
# RFC 9113, section 6.1, allows an empty DATA frame anywhere in a body; servers that flush without new
# data send one. Seen here: a server answers one request after the other, each response with a body of
# 5 bytes and 12 empty frames before it. Eight responses arrive whole. The ninth request fails, though
# no stream ever had more than 12 such frames, and every later request on that connection fails too.
# The error's is_go_away() is true though the server sent no GOAWAY: the client sends one itself, with
# the code ENHANCE_YOUR_CALM. Frames with data in between do not set the count back.
#
# Run: findings/h2-empty-data-frames.sh (needs cargo; about a minute). It fails if this has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "seen"
version = "0.0.0"
edition = "2021"
[dependencies]
h2 = "=0.4.20"
http = "1"
bytes = "1"
tokio = { version = "1", features = ["rt", "macros", "io-util"] }
TOML
cat >src/main.rs <<'RUST'
use bytes::Bytes;

const EMPTY: usize = 12;

async fn serve(io: tokio::io::DuplexStream) -> Result<(), h2::Error> {
    let mut connection = h2::server::handshake(io).await?;
    while let Some(request) = connection.accept().await {
        let (_, mut respond) = request?;
        tokio::spawn(async move {
            let Ok(mut body) = respond.send_response(http::Response::new(()), false) else { return };
            for _ in 0..EMPTY {
                let _ = body.send_data(Bytes::new(), false);
                tokio::task::yield_now().await;
            }
            let _ = body.send_data(Bytes::from_static(b"whole"), true);
        });
    }
    Ok(())
}

async fn ask(client: &h2::client::SendRequest<Bytes>) -> Result<usize, h2::Error> {
    let mut client = client.clone().ready().await?;
    let request = http::Request::get("http://a.test/").body(()).unwrap();
    let (response, _) = client.send_request(request, true)?;
    let mut body = response.await?.into_body();
    let mut length = 0;
    while let Some(data) = body.data().await {
        let data = data?;
        length += data.len();
        body.flow_control().release_capacity(data.len())?;
    }
    Ok(length)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let (near, far) = tokio::io::duplex(1 << 16);
    tokio::spawn(serve(far));
    let (client, connection) = h2::client::handshake(near).await.unwrap();
    let driver = tokio::spawn(connection);
    for number in 1..=10 {
        match ask(&client).await {
            Ok(length) => println!("request {number}: {length} bytes"),
            Err(error) => println!(
                "request {number}: {error}; of the server: {}, connection: {}",
                error.is_remote(),
                error.is_go_away()
            ),
        }
    }
    println!("connection: {:?}", driver.await.unwrap().err().and_then(|error| error.reason()));
}
RUST
cargo run --quiet 2>&1 | tee seen.txt
test "$(grep -c 'bytes$' seen.txt)" = 8 || { echo "changed: not eight whole responses"; exit 1; }
grep -q '^request 9: .*of the server: false' seen.txt || { echo "changed: the ninth request"; exit 1; }
grep -q '^request 10: ' seen.txt || exit 1
grep -q 'connection: Some(ENHANCE_YOUR_CALM)' seen.txt || { echo "changed: the code"; exit 1; }
echo "as described"
