use super::connection::{Connection, Stir};
use super::*;
use crate::client::RawClient;
use crate::origin::{Origin, Script, ScriptedOrigin};

/// Few requests, fast, on one connection.
fn load(target: SocketAddr, count: u32) -> Load {
    Load {
        connections: 1,
        timeout: Duration::from_secs(10),
        ..Load::get(target, "/", 1000.0, Duration::from_millis(u64::from(count)))
    }
}

fn outcomes(report: &Report) -> Vec<(Outcome, u64)> {
    report.outcomes.iter().map(|(outcome, count)| (outcome.clone(), *count)).collect()
}

/// Plays the script to every connection of a load of four requests.
async fn check(script: Script, expected: Outcome) -> Report {
    let origin = ScriptedOrigin::start([script]).await.unwrap();
    let report = load(origin.address(), 4).run().await;
    assert_eq!(outcomes(&report), [(expected, 4)], "{report}");
    report
}

fn answering() -> Script {
    Script::new().repeat(Script::new().request().respond("ok"))
}

#[tokio::test]
async fn answers_on_a_kept_connection() {
    let report = check(answering(), Outcome::Ok(200)).await;
    assert_eq!((report.connects, report.failed()), (1, 0));
    assert_eq!((report.latency.len(), report.service.len()), (4, 4));
}

#[tokio::test]
async fn each_fault_has_its_own_name() {
    let request = || Script::new().request();
    check(request().close(), Outcome::Unanswered).await;
    check(request().reset(), Outcome::Unanswered).await;
    check(Script::new().head().half_close(), Outcome::Unanswered).await;
    let cut = "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc";
    check(request().send(cut).close(), Outcome::Truncated).await;
    check(request().send(cut).reset(), Outcome::Truncated).await;
    check(request().send("HTTP/1.1 2").close(), Outcome::Truncated).await;
    check(request().send("HTTP/1.1 100 Continue\r\n\r\n").close(), Outcome::Truncated).await;
    check(request().send("SSH-2.0-x\r\n\r\n"), Outcome::Invalid).await;
    let two = "HTTP/1.1 204 A\r\n\r\nHTTP/1.1 204 B\r\n\r\n";
    check(request().send(two).stall(), Outcome::Invalid).await;
    let error = "HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n";
    let failing = Script::new().repeat(request().send(error));
    let report = check(failing, Outcome::UnexpectedStatus(503)).await;
    assert_eq!(report.connects, 1, "an error response does not cost the connection");
}

#[tokio::test]
async fn silence_times_out() {
    let origin = ScriptedOrigin::start([Script::new().stall()]).await.unwrap();
    let load =
        Load { timeout: Duration::from_millis(30), connections: 4, ..load(origin.address(), 4) };
    let report = load.run().await;
    assert_eq!(outcomes(&report), [(Outcome::Timeout, 4)], "{report}");
}

#[tokio::test]
async fn a_body_that_drips_past_the_deadline_times_out() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n";
    let drip = Script::new().request().send(head).drip([b'x'; 1000], 1, Duration::from_millis(5));
    let origin = ScriptedOrigin::start([drip]).await.unwrap();
    let load = Load { timeout: Duration::from_millis(40), ..load(origin.address(), 1) };
    assert_eq!(outcomes(&load.run().await), [(Outcome::Timeout, 1)]);
}

#[tokio::test]
async fn what_no_connection_could_take_is_not_sent() {
    let origin = ScriptedOrigin::start([Script::new().stall()]).await.unwrap();
    let load = Load { timeout: Duration::from_millis(20), ..load(origin.address(), 40) };
    let report = load.run().await;
    let (late, not_sent) = (report.count(&Outcome::Timeout), report.count(&Outcome::NotSent));
    assert!(late >= 1 && not_sent >= 1, "{report}");
    assert_eq!(late + not_sent, 40);
}

#[tokio::test]
async fn refused_connections() {
    let address = crate::process::free_address().unwrap();
    let report = load(address, 3).run().await;
    assert_eq!(outcomes(&report), [(Outcome::ConnectError, 3)], "{report}");
}

#[tokio::test]
async fn a_close_that_is_announced_or_comes_between_requests_costs_nothing() {
    let announced = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let report = check(Script::new().request().send(announced), Outcome::Ok(200)).await;
    assert_eq!((report.connects, report.announced_closes, report.idle_closes), (4, 4, 0));
    let until_close = Script::new().request().send("HTTP/1.1 200 OK\r\n\r\nbody");
    let report = check(until_close, Outcome::Ok(200)).await;
    assert_eq!((report.connects, report.announced_closes), (4, 4));

    // Slow enough that the close surely comes in the pause.
    let origin = ScriptedOrigin::start([Script::new().request().respond("x")]).await.unwrap();
    let slow =
        Load { rate: 20.0, duration: Duration::from_millis(150), ..load(origin.address(), 3) };
    let report = slow.run().await;
    assert_eq!(outcomes(&report), [(Outcome::Ok(200), 3)], "{report}");
    assert_eq!((report.connects, report.announced_closes), (3, 0));
    assert_eq!(report.idle_closes, 3 - u64::from(report.idle_closes == 2), "{report}");
}

#[tokio::test]
async fn stray_bytes_are_told() {
    let script =
        Script::new().request().respond("x").delay(Duration::from_millis(20)).send("stray");
    let origin = ScriptedOrigin::start([script.stall()]).await.unwrap();
    let slow =
        Load { rate: 10.0, duration: Duration::from_millis(200), ..load(origin.address(), 2) };
    let report = slow.run().await;
    assert_eq!((report.ok(), report.unasked >= 1), (2, true), "{report}");
}

#[tokio::test]
async fn the_validator_judges_bodies_and_headers() {
    let origin = Origin::start("a").await.unwrap();
    let mut load = load(origin.address(), 10);
    load.requests = vec![LoadRequest::get("/bytes/10"), LoadRequest::post("/x", b"payload")];
    load.validator = Some(Arc::new(|request, response| {
        let get = request.bytes.starts_with(b"GET");
        if get == (response.body.len() == 10) { Ok(()) } else { Err("other length".to_owned()) }
    }));
    let report = load.clone().run().await;
    assert_eq!(outcomes(&report), [(Outcome::Ok(200), 10)], "{report}");
    load.validator = Some(Arc::new(|_, response| match response.headers.first("x-origin") {
        Some("a") => Err("not this one".to_owned()),
        _ => Ok(()),
    }));
    let report = load.run().await;
    assert_eq!(outcomes(&report), [(Outcome::Invalid, 10)], "{report}");
    assert_eq!(report.failures[0].detail, "not this one");
}

/// The kernel's account tells a request that crossed a close from one that was dropped.
#[tokio::test]
async fn a_request_that_crosses_the_close_is_told_apart() {
    let script = Script::new().request().respond("x").half_close().close();
    let origin = ScriptedOrigin::start([script]).await.unwrap();
    let request = LoadRequest::get("/");
    let mut connection = Connection::open(origin.address(), None).await.unwrap();
    connection.exchange(&request).await.unwrap();
    let closed = |connections: &[crate::origin::Connection]| connections[0].ended;
    assert!(origin.until(Duration::from_secs(10), closed).await);
    // The close is here, and nobody looked.
    assert!(connection.is_closed());
    let (outcome, detail) = connection.exchange(&request).await.unwrap_err();
    assert_eq!(outcome, Outcome::CrossedClose, "{detail}");

    let mut idle = Connection::open(origin.address(), None).await.unwrap();
    assert!(!idle.is_closed());
    idle.exchange(&request).await.unwrap();
    assert_eq!(idle.stir().await, Stir::Closed);
}

#[tokio::test]
async fn a_request_dropped_after_others_on_its_connection_is_unanswered() {
    for end in [Script::new().request().close(), Script::new().request().half_close().close()] {
        let mut script = Script::new();
        for _ in 0..3 {
            script = script.request().respond("x");
        }
        let origin = ScriptedOrigin::start([script.repeat(end)]).await.unwrap();
        let request = LoadRequest::get("/");
        let mut connection = Connection::open(origin.address(), None).await.unwrap();
        for _ in 0..3 {
            connection.exchange(&request).await.unwrap();
        }
        let (outcome, detail) = connection.exchange(&request).await.unwrap_err();
        assert_eq!(outcome, Outcome::Unanswered, "{detail}");
    }
}

/// A server that stalls once must show in every request that fell due meanwhile.
#[tokio::test]
async fn latency_counts_from_the_due_time() {
    let stall = Duration::from_millis(100);
    let script = Script::new()
        .request()
        .delay(stall)
        .respond("x")
        .repeat(Script::new().request().respond("x"));
    let origin = ScriptedOrigin::start([script]).await.unwrap();
    let report = load(origin.address(), 50).run().await;
    assert_eq!(report.ok(), 50);
    // Due within 50 ms and answered after 100 ms at the earliest, although each but the first
    // was served at once when its turn came.
    assert!(report.latency.min() >= 50_000, "{report}");
    assert!(report.service.value_at_percentile(50.0) < 50_000, "{report}");
}

#[tokio::test]
async fn progress_is_visible_while_it_runs() {
    let origin = Origin::start("a").await.unwrap();
    let running = load(origin.address(), 200).start();
    running.ended(20).await;
    assert!(running.so_far().0 >= 20);
    let report = running.wait().await;
    assert_eq!((report.scheduled, report.ok()), (200, 200));
    drop(RawClient::connect(origin.address()).await.unwrap());
}
