//! The open loop against origins that behave, stall, leave and refuse.

use std::net::TcpListener;

use portcullis_testkit::origin::{Origin, Script, ScriptedOrigin};

use super::*;
use crate::load::wrk;

/// Runs it beside the runtime that has the origin.
async fn run(load: OpenLoop) -> (Report, Vec<Ended>) {
    let work = move || {
        let mut ended = Vec::new();
        let stop = AtomicBool::new(false);
        let report = load.run_until(Instant::now, &stop, |request| ended.push(request)).unwrap();
        (report, ended)
    };
    tokio::task::spawn_blocking(work).await.unwrap()
}

fn request(path: &'static str) -> Vec<u8> {
    wrk::Requests { path, connections: 1, body: 0 }.bytes()
}

fn load(target: SocketAddr, path: &'static str, rate: f64) -> OpenLoop {
    let duration = Duration::from_millis(200);
    OpenLoop {
        arrivals: Arrivals::Constant,
        connections: 4,
        ..OpenLoop::new(target, request(path), rate, duration)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_request_that_falls_due_is_answered_and_told() {
    let origin = Origin::start("a").await.unwrap();
    let (report, ended) = run(load(origin.address(), "/bytes/20000", 1_000.0)).await;
    assert_eq!((report.answered(), report.failed()), (199, 0), "{report}");
    assert_eq!(origin.requests(), 199);
    assert_eq!(ended.len(), 199);
    let due: Duration = ended.iter().map(|request| request.due).max().unwrap();
    assert_eq!(due, Duration::from_millis(199));
    assert!(ended.iter().all(|request| request.outcome.is_ok()));
}

/// A closed loop would send four requests here and call each 300 ms long.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_stall_is_charged_to_all_that_it_held_back() {
    let origin = Origin::start("a").await.unwrap();
    let mut load = load(origin.address(), "/delay/300/x", 100.0);
    load.connections = 1;
    load.duration = Duration::from_millis(45);
    let (report, ended) = run(load).await;
    assert_eq!((report.answered(), report.failed()), (4, 0), "{report}");
    for (place, request) in ended.iter().enumerate() {
        let place = u32::try_from(place + 1).unwrap();
        // Due 10 ms apart, answered 300 ms apart.
        let least = Duration::from_millis(290) * place;
        assert!(request.outcome.unwrap() >= least, "{place}: {:?}", request.outcome);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn what_finds_no_room_to_wait_fails_at_once() {
    let origin = Origin::start("a").await.unwrap();
    let mut load = load(origin.address(), "/delay/400/x", 100.0);
    load.queue = 5;
    let (report, _) = run(load).await;
    assert_eq!((report.answered(), report.failed_by(Failure::QueueFull)), (9, 10), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_connection_that_says_close_is_opened_anew() {
    let script = || {
        Script::new()
            .head()
            .send("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
    };
    let origin = ScriptedOrigin::start([script().close()]).await.unwrap();
    let (report, _) = run(load(origin.address(), "/", 100.0)).await;
    assert_eq!((report.answered(), report.failed()), (19, 0), "{report}");
    assert!(origin.connections().len() >= 19);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn failures_are_told_apart() {
    let broken = ScriptedOrigin::start([Script::new().head().send("HTTP/1.1 2").close()]).await;
    let refused = "HTTP/1.1 503 no\r\ncontent-length: 0\r\n\r\n";
    let refuses = Script::new().repeat(Script::new().head().send(refused));
    let refuses = ScriptedOrigin::start([refuses]).await;
    let silent = ScriptedOrigin::start([Script::new().head().stall()]).await;
    for (origin, failure) in
        [(broken, Failure::Broken), (refuses, Failure::Status), (silent, Failure::Deadline)]
    {
        let mut load = load(origin.as_ref().unwrap().address(), "/", 50.0);
        load.deadline = Duration::from_millis(50);
        let (report, _) = run(load).await;
        assert_eq!((report.answered(), report.failed_by(failure)), (0, 9), "{failure:?} {report}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn an_engine_that_dies_fails_requests_and_ends_nothing_else() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let target = listener.local_addr().unwrap();
    let mut load = load(target, "/", 50.0);
    load.connections = 1;
    let engine = tokio::task::spawn_blocking(move || drop((listener.accept(), listener)));
    let (report, _) = run(load).await;
    engine.await.unwrap();
    assert_eq!((report.answered(), report.failed_by(Failure::Broken)), (0, 9), "{report}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_load_that_is_told_to_stop_ends_what_is_under_way() {
    let origin = Origin::start("a").await.unwrap();
    let mut load = load(origin.address(), "/bytes/1", 1_000.0);
    load.duration = Duration::from_secs(3600);
    load.queue = 20;
    let under_way = load.connections + load.queue;
    let work = move || {
        let stop = AtomicBool::new(false);
        let mut count = 0;
        let observe = |_| {
            count += 1;
            // Answers come in batches: the flag stays set for those behind the fiftieth.
            if count >= 50 {
                stop.store(true, Ordering::Release);
            }
        };
        let report = load.run_until(Instant::now, &stop, observe);
        (report, count)
    };
    let (report, count) = tokio::task::spawn_blocking(work).await.unwrap();
    let report = report.unwrap();
    // One more had its time drawn before.
    assert!((50..=50 + under_way + 1).contains(&count), "{count}: {report}");
    // A machine that stood still for a moment lets more fall due than may wait.
    assert_eq!(report.failed(), report.failed_by(Failure::QueueFull), "{report}");
}
