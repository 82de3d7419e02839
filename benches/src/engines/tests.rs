//! What makes the comparison fair.

use std::collections::BTreeSet;

use portcullis_testkit::client::RawClient;
use portcullis_testkit::origin::Origin;

use super::*;
use crate::load::wrk::Requests;
use crate::setup::is_installed;

fn is_present(engine: &Engine) -> bool {
    engine.need.map_or_else(|| program(engine.command[0]).is_ok(), is_installed)
}

/// What makes the comparison fair: all send on the same headers and log the same facts.
#[tokio::test]
async fn engines_add_the_same_headers_and_log_the_same_fields() {
    let base = tempfile::tempdir().unwrap();
    let origin = Origin::start("a").await.unwrap();
    let request = Requests { path: "/echo", connections: 1, body: 0 };
    let mut checked = 0;
    for engine in ENGINES.iter().filter(|engine| engine.log != Log::None) {
        // What is not installed or not built cannot be compared either.
        if !is_present(engine) {
            eprintln!("==> {} IS NOT CHECKED: it is not here", engine.name);
            continue;
        }
        let mut running = engine.start(origin.address(), Setting::PLAIN, base.path(), &[]).unwrap();
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
        for field in [r#""status":200"#, r#""method":"GET""#, r#""request_id":""#] {
            assert!(line.contains(field), "{}: {text}", engine.name);
        }
        checked += 1;
    }
    assert!(checked > 0, "no engine is installed: nothing was checked");
}
