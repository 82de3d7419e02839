//! What makes the comparison fair.

mod shop;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use portcullis_testkit::client::RawClient;
use portcullis_testkit::origin::Origin as EchoOrigin;

use super::*;
use crate::load::h2load::message;
use crate::load::wrk::Requests;
use crate::load::{Load, grpc, websocket};
use crate::setup::is_installed;
use crate::suite::ROWS;
use crate::{grpc_origin, origin};

fn is_present(engine: &Engine) -> bool {
    engine.need.map_or_else(|| program(engine.command[0]).is_ok(), is_installed)
}

/// What makes the comparison fair: all send on the same headers and log the same facts.
#[tokio::test]
async fn engines_add_the_same_headers_and_log_the_same_fields() {
    let base = tempfile::tempdir().unwrap();
    let origin = EchoOrigin::start("a").await.unwrap();
    let request = Requests { path: "/echo", connections: 1, body: 0 };
    let mut checked = 0;
    for engine in ENGINES.iter().filter(|engine| engine.log != Log::None) {
        // What is not installed or not built cannot be compared either.
        if !is_present(engine) {
            eprintln!("==> {} IS NOT CHECKED: it is not here", engine.name);
            continue;
        }
        let upstreams = Upstreams::One(origin.address());
        let mut running = engine.start(upstreams, Setting::PLAIN, base.path(), &[]).unwrap();
        let mut client = RawClient::connect(running.address).await.unwrap();
        for _ in 0..2 {
            client.send(&request.bytes()).await.unwrap();
            let response = client.final_response().await.unwrap();
            assert!(response.keep_alive(), "{}", engine.name);
            let echo = response.json();
            let headers: BTreeSet<String> = echo["headers"]
                .as_array()
                .unwrap()
                .iter()
                .map(|pair| pair[0].as_str().unwrap().to_ascii_lowercase())
                .collect();
            for name in ["x-forwarded-for", "x-forwarded-proto", "x-request-id", "host", "cookie"] {
                assert!(headers.contains(name), "{} sends no {name}: {headers:?}", engine.name);
            }
        }
        assert_eq!(origin.open_connections(), 1, "{} keeps one connection", engine.name);
        drop(client);
        running.stop();
        while origin.open_connections() > 0 {
            tokio::task::yield_now().await;
        }
        let missing = running.missing_lines(2);
        assert!(missing.is_none(), "{} logs every request: {missing:?}", engine.name);
        let text = match (&running.log_file, &running.sink) {
            (Some(file), _) => fs::read_to_string(file).unwrap(),
            (None, sink) => sink.as_ref().unwrap().tail(),
        };
        let line = text.lines().rev().find(|line| line.contains("/echo")).unwrap_or_default();
        // Caddy 2.6 cannot name the id that it sends on.
        let id = (engine.name != "caddy").then_some(r#""request_id":""#);
        for field in [r#""status":200"#, r#""method":"GET""#].into_iter().chain(id) {
            assert!(line.contains(field), "{}: {text}", engine.name);
        }
        checked += 1;
    }
    assert!(checked > 0, "no engine is installed: nothing was checked");
}

/// A row whose engine refuses its configuration would end the whole run.
#[tokio::test]
async fn every_contestant_of_every_row_starts_and_answers() {
    let base = tempfile::tempdir().unwrap();
    let plain = in_a_thread(|announce| origin::run(0, announce));
    let calls = in_a_thread(|announce| grpc_origin::run(0, announce));
    let grpc_echo = in_a_thread(|announce| grpc::echo::run(0, announce));
    let websocket_echo = in_a_thread(|announce| websocket::echo::run(0, announce));
    let mut seen = Vec::new();
    for row in ROWS {
        for contestant in row.contestants {
            let engine = Engine::find(contestant.engine).unwrap();
            let setting = contestant.setting(row.setting);
            let own = std::mem::discriminant(&row.load);
            // The floor reads no configuration, and its program is not this one of the tests.
            let is_skipped = engine.name == "floor" || !is_present(engine);
            if is_skipped || seen.contains(&(engine.name, setting, own)) {
                continue;
            }
            seen.push((engine.name, setting, own));
            let origin = match setting.origin {
                Origin::Http1 => plain,
                Origin::Grpc => calls,
                Origin::GrpcEcho => grpc_echo,
                Origin::WebSocketEcho => websocket_echo,
                // Has tests of its own, below.
                Origin::Shop => continue,
            };
            let running = engine.start(Upstreams::One(origin), setting, base.path(), &[]).unwrap();
            if is_of_this_program(&row.load) {
                let slice = row.load.apply(&running, Duration::from_millis(20)).unwrap();
                let all_went_well = slice.requests > 0 && slice.errors == 0;
                assert!(all_went_well, "{} of {}: {slice:?}", contestant.label(), row.name);
            } else if setting.listener == Listener::Http1 {
                let request = format!(
                    "GET {} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer x\r\ncookie: theme=dark\r\n\r\n",
                    running.target("/128"),
                    running.host()
                );
                let mut client = RawClient::connect(running.address).await.unwrap();
                client.send(request.as_bytes()).await.unwrap();
                let response = client.final_response().await.unwrap();
                assert_eq!(response.status, 200, "{} of {}", contestant.label(), row.name);
                assert_eq!(response.body.len(), 128, "{} of {}", contestant.label(), row.name);
            }
            if setting.origin == Origin::Grpc {
                let status = grpc_status(running.address).await;
                assert_eq!(status.as_deref(), Some("0"), "{} of {}", contestant.label(), row.name);
            }
        }
    }
}

/// Whether such a load can be tried out without another program.
fn is_of_this_program(load: &Load) -> bool {
    matches!(load, Load::Handshakes(_) | Load::WebSocket(_) | Load::GrpcStreams(_))
}

/// The generator looks at the status of HTTP alone.
async fn grpc_status(target: SocketAddr) -> Option<String> {
    let stream = tokio::net::TcpStream::connect(target).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post("http://shop.example.com/shop.Catalogue/Find")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap();
    let (response, mut body) = client.send_request(request, false).unwrap();
    body.send_data(message(8).into(), true).unwrap();
    let mut answer = response.await.unwrap().into_body();
    while answer.data().await.is_some() {}
    let trailers = answer.trailers().await.unwrap();
    trailers?.get("grpc-status").and_then(|status| status.to_str().ok()).map(str::to_owned)
}

/// Until the process ends.
fn in_a_thread(
    run: impl FnOnce(&dyn Fn(SocketAddr)) -> std::io::Result<()> + Send + 'static,
) -> SocketAddr {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || run(&|address| sender.send(address).unwrap()));
    receiver.recv().unwrap()
}
