//! How long faults of an upstream may take to be told, and how many words an upstream has.

use std::time::Duration;

use portcullis_testkit::lateness::Control;
use portcullis_testkit::origin::{Script, ScriptedOrigin};

use crate::harness::{Gate, Settings, check, get, line, observe, verdicts};

#[tokio::test]
async fn a_refused_connection_is_told_within_fifty_milliseconds() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let gate = Gate::new(Settings::default(), &[gone]).await;
    let mut client = gate.client().await;
    let mut times = Vec::new();
    for _ in 0..9 {
        let control = Control::start();
        client.send(get("/", &[]).as_bytes()).await.unwrap();
        assert_eq!(observe(&mut client, false, 1).await, "503 upstream-connect-failed, keep");
        times.push(control.taken());
    }
    times.sort();
    assert!(times[4] <= Duration::from_millis(50), "{times:?}");
}

#[tokio::test]
async fn a_slow_upstream_is_cut_within_a_tenth_of_its_time() {
    let origin = ScriptedOrigin::start([Script::new().request().stall()]).await.unwrap();
    let settings = Settings { route: "timeouts: {response: 2s, perTry: 2s}", ..Default::default() };
    let gate = Gate::new(settings, &[origin.address()]).await;
    let mut client = gate.client().await;
    let control = Control::start();
    client.send(get("/", &[]).as_bytes()).await.unwrap();
    assert_eq!(observe(&mut client, false, 1).await, "504 upstream-timeout, keep");
    let (elapsed, taken) = (control.elapsed(), control.taken());
    assert!(elapsed.as_millis() >= 1_800, "after {elapsed:?} already");
    assert!(taken.as_millis() <= 2_200, "after {taken:?}");
    drop(client);
    assert_eq!(verdicts(&gate.records().await), "504 upstream-timeout");
}

#[tokio::test]
async fn a_thousand_interim_responses_are_cut_at_sixteen() {
    let early = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>\r\n\r\n";
    let last = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
    check([line("a thousand", get("/", &[]))
        .answers(early.repeat(1_000) + last)
        .sees("103, 103, 103, 103, 103, 103, 103, 103, 103, 103, 103, 103, 103, 103, 103, 103, 502 upstream-protocol, keep")
        .records("502 upstream-protocol")])
    .await;
}
