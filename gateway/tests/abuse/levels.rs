//! What each level of memory means for clients: the limit is moved around what the gateway takes.

use std::time::Duration;

use portcullis_testkit::client::{End, RawClient};
use portcullis_testkit::h2::frame::{
    END_HEADERS, INITIAL_WINDOW_SIZE, WHOLE, block, data, get, headers, request,
};
use portcullis_testkit::h2::{H2Client, Seen};
use portcullis_testkit::origin::Origin;
use portcullis_testkit::patience::{found, until};
use portcullis_testkit::procfs;
use tokio::time::timeout;

use crate::ALONE;
use crate::gateway::Gateway;

const OWN: &[u8] = b"GET /own HTTP/1.1\r\nhost: a\r\n\r\n";
const DELAYED: &[u8] = b"GET /delay/30000 HTTP/1.1\r\nhost: a\r\n\r\n";
const UPLOAD: &[u8] = b"POST /up HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf";

/// Moves the limit to where the gateway takes so many percent of it; again, if the gateway has given
/// memory back or taken more before the limit was in force.
async fn at(gateway: &Gateway, percent: u64, level: u64) {
    found(async || {
        let resident = procfs::resident_bytes(gateway.pid()).unwrap();
        gateway.change(&format!("limits: {{memory: {}}}\n", resident / percent * 100));
        let reached = gateway.reaches("portcullis_memory_level", |now| now == level);
        let reached = timeout(Duration::from_secs(2), reached).await;
        reached.map_err(|_| format!("not at level {level} with {resident} bytes"))
    })
    .await;
}

async fn another(gateway: &Gateway, bytes: &[u8]) -> RawClient {
    let mut client = RawClient::connect(gateway.address).await.unwrap();
    client.send(bytes).await.unwrap();
    client
}

async fn served(gateway: &Gateway) -> RawClient {
    let mut client = another(gateway, OWN).await;
    assert!(client.response().await.unwrap().keep_alive());
    client
}

/// A stream of a connection of its own.
async fn stream(gateway: &Gateway, frames: &[u8]) -> H2Client {
    let mut client = gateway.client(&[(INITIAL_WINDOW_SIZE, 9)]).await;
    client.send(frames).await.unwrap();
    client
}

async fn status(client: &mut H2Client) -> String {
    let seen = client.until(|seen| seen.status().is_some()).await.unwrap();
    seen.status().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_level_takes_more_from_clients() {
    let _beside = ALONE.read().await;
    let origin = Origin::start("o").await.unwrap();
    let gateway = Gateway::with(origin.address(), "", "", "limits: {memory: disabled}\n").await;
    let mut idle = served(&gateway).await;
    let mut idle_streams = stream(&gateway, &headers(1, WHOLE, get("/own", &[]))).await;
    assert_eq!(status(&mut idle_streams).await, "200");
    let mut delayed = another(&gateway, DELAYED).await;
    let mut upload = another(&gateway, UPLOAD).await;
    let mut head = another(&gateway, b"GET /own HTTP/1.1\r\n").await;
    let half = [headers(1, END_HEADERS, request("POST", "/up", &[])), data(1, 0, "half")].concat();
    let mut upload_stream = stream(&gateway, &half).await;
    until("what is under way is at the origin", async || origin.connections() >= 3).await;

    at(&gateway, 85, 1).await;
    assert_eq!(idle.read_to_end().await.unwrap(), (Vec::new(), End::Closed), "an idle one");
    idle_streams.until(|seen| matches!(seen, Seen::GoAway { code: 0, .. })).await.unwrap();
    let mut last = another(&gateway, OWN).await;
    let answer = last.response().await.unwrap();
    assert_eq!((answer.status, answer.keep_alive()), (200, false));
    let mut streams = stream(&gateway, &headers(1, WHOLE, get("/own", &[]))).await;
    let seen = streams.until_end().await.unwrap();
    assert_eq!(seen.iter().find_map(Seen::status), Some("200"));
    assert!(seen.iter().any(|seen| matches!(seen, Seen::GoAway { code: 0, .. })), "{seen:?}");

    at(&gateway, 95, 2).await;
    let answer = another(&gateway, DELAYED).await.response().await.unwrap();
    let reason = &answer.json()["reason"];
    assert_eq!((answer.status, answer.keep_alive()), (503, false));
    assert_eq!(reason, "memory-limit");
    let mut refused = stream(&gateway, &headers(1, WHOLE, get("/own", &[]))).await;
    assert_eq!(status(&mut refused).await, "503");
    let call = [
        (":method", "POST"),
        (":scheme", "http"),
        (":path", "/a.B/C"),
        (":authority", "a"),
        ("content-type", "application/grpc"),
        ("te", "trailers"),
    ];
    let mut call = stream(&gateway, &headers(1, WHOLE, block(&call))).await;
    let seen = call.until(|seen| seen.status().is_some()).await.unwrap();
    let Seen::Headers { fields, .. } = &seen else { panic!("{seen:?}") };
    let unavailable = ("grpc-status".to_owned(), "14".to_owned());
    assert!(fields.contains(&unavailable), "{fields:?}");
    // Whoever has not said what it wants does not go on to say it.
    head.send(b"host: ").await.unwrap();
    assert_eq!(head.response().await.unwrap().status, 503);

    // Whoever stood still until now is cut; nobody else comes in.
    at(&gateway, 110, 3).await;
    assert_eq!(delayed.response().await.unwrap().json()["reason"], "memory-limit");
    assert_eq!(upload.response().await.unwrap().json()["reason"], "memory-limit");
    upload_stream.until_end().await.unwrap();
    let before = gateway.metric(REFUSED).await;
    let mut late = RawClient::connect(gateway.address).await.unwrap();
    assert!(late.read_to_end().await.unwrap().0.is_empty());
    assert!(gateway.metric(REFUSED).await > before);

    let lines = gateway.process.lines();
    let says =
        |parts: &[&str]| lines.iter().any(|line| parts.iter().all(|part| line.contains(part)));
    for (level, effect) in [
        ("tight", "connections are not kept"),
        ("full", "requests are refused"),
        ("over", "new connections are closed"),
    ] {
        let level = format!("level=\"{level}\"");
        assert!(says(&["memory is short", "resident=", "limit=", &level, effect]), "{lines:#?}");
    }
    assert!(says(&["requests are refused, or connections cut", "refused=", "cut="]), "{lines:#?}");
    assert!(says(&["a connection was refused", "memory-limit", "client="]), "{lines:#?}");

    gateway.change("limits: {memory: disabled}\n");
    gateway.reaches("portcullis_memory_level", |now| now == 0).await;
    // Workers hear of it a moment later.
    until("connections are kept again", async || {
        another(&gateway, OWN).await.response().await.is_ok_and(|answer| answer.keep_alive())
    })
    .await;
    let told = |records: &[serde_json::Value]| {
        records.iter().filter(|record| record["reason"] == "memory-limit").count()
    };
    found(async || {
        let records = gateway.records();
        if told(&records) >= 7 { Ok(()) } else { Err(records) }
    })
    .await;
}

const REFUSED: &str =
    "portcullis_listener_refused_connections_total{listener=\"public\",reason=\"memory-limit\"}";
