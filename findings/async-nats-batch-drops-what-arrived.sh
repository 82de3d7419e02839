#!/usr/bin/env bash
# async-nats 0.51.0 (Rust) with nats-server 2.9: a JetStream pull batch ends a fixed time after it was
# asked for, whatever has arrived, and events that it holds by then are dropped without an error.
#
# The time is `expires` and five seconds more, counted from the question and not from the last event.
# Seen here: six events wait on the server; a batch asks for all six with `expires` of one second, and
# the server sends them at once. The reader takes 1.6 s for each and acknowledges it. It gets four. Then
# the stream ends as if there were no more: no error, no event. The server says that two events are
# delivered and not acknowledged, so they come again only when their lease (`ack_wait`) is over, late,
# behind newer ones, and with one of their deliveries used up. With the default `expires` of 30 s the
# same happens to a batch that takes 35 s. What arrived is safe only if it is read faster than that.
#
# Run: findings/async-nats-batch-drops-what-arrived.sh (needs cargo and root for apt; about a minute).
# It fails if this has changed.
set -euo pipefail
command -v nats-server >/dev/null || { apt-get update -qq && apt-get install -y -qq nats-server; }
folder=$(mktemp -d)
server=
trap 'if [ -n "$server" ]; then kill "$server"; fi; rm -rf "$folder"' EXIT
cd "$folder"
nats-server --version
port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
nats-server -a 127.0.0.1 -p "$port" -js -sd "$folder/store" >nats.log 2>&1 &
server=$!
mkdir src
cat >Cargo.toml <<'TOML'
[package]
name = "seen"
version = "0.0.0"
edition = "2021"
[dependencies]
async-nats = { version = "=0.51.0", default-features = false, features = ["ring", "jetstream"] }
futures-util = "0.3"
tokio = { version = "1", features = ["rt", "macros", "time"] }
TOML
cat >src/main.rs <<'RUST'
use std::time::Duration;

use async_nats::jetstream::{self, consumer::pull, consumer::AckPolicy, stream};
use futures_util::StreamExt;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let url = std::env::args().nth(1).unwrap();
    let context = jetstream::new(async_nats::connect(url).await.unwrap());
    let config = stream::Config { name: "seen".into(), subjects: vec!["seen".into()], ..Default::default() };
    let stream = context.create_stream(config).await.unwrap();
    for number in 1..=6 {
        context.publish("seen", format!("event {number}").into()).await.unwrap().await.unwrap();
    }
    let config = pull::Config {
        durable_name: Some("reader".into()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: Duration::from_secs(60),
        ..Default::default()
    };
    let mut consumer = stream.create_consumer(config).await.unwrap();
    let batch = consumer.batch().max_messages(6).expires(Duration::from_secs(1));
    let mut batch = batch.messages().await.unwrap();
    let mut count = 0;
    while let Some(message) = batch.next().await {
        let message = message.expect("an error would be seen here");
        tokio::time::sleep(Duration::from_millis(1600)).await;
        message.double_ack().await.unwrap();
        count += 1;
    }
    let info = consumer.info().await.unwrap();
    println!("read {count}, delivered and not acknowledged {}", info.num_ack_pending);
}
RUST
cargo build --quiet
until grep -q 'Server is ready' nats.log; do kill -0 "$server"; done
target/debug/seen "nats://127.0.0.1:$port" | tee seen.txt
grep -qx 'read 4, delivered and not acknowledged 2' seen.txt || { echo "changed"; exit 1; }
echo "as described"
