//! The upstream's side: caps and queues, TLS, Unix sockets, and what the proxy adds.

use std::sync::Arc;
use std::time::Duration;

use portcullis_testkit::ca::{Authority, PemDirectory};
use portcullis_testkit::client::{RawClient, Tls};
use portcullis_testkit::http::Request;
use portcullis_testkit::lateness::Control;
use portcullis_testkit::origin::{Origin, Script, ScriptedOrigin};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener, UnixStream};

use crate::harness::{Gate, Settings, always, get, observe, post, verdicts};

const WITHIN: Duration = Duration::from_secs(10);

/// One connection, many who want it: served in the order in which they came.
#[tokio::test]
async fn those_who_wait_are_served_in_order() {
    let held = Script::new().repeat(Script::new().request().hold().respond("ok"));
    let origin = ScriptedOrigin::start([held]).await.unwrap();
    let settings = Settings {
        upstream: "concurrency: {maxConnections: 1, maxPending: 20}",
        ..Settings::default()
    };
    let gate = Gate::new(settings, &[origin.address()]).await;
    let mut clients = Vec::new();
    for n in 0..12_u32 {
        let mut client = gate.client().await;
        client.send(get(&format!("/{n}"), &[]).as_bytes()).await.unwrap();
        // Each is in the queue before the next one comes, but for the first, which is ahead of it.
        assert!(origin.until(WITHIN, |all| !all.is_empty() && !all[0].requests.is_empty()).await);
        gate.metric_is("portcullis_upstream_pending_requests", &[], n.into()).await;
        clients.push(client);
    }
    origin.go_on();
    for client in &mut clients {
        assert_eq!(observe(client, false, 1).await, "200 ok, keep");
    }
    let order: Vec<_> = origin.requests().iter().map(|request| request.target.clone()).collect();
    let came: Vec<_> = (0..12).map(|n| format!("/{n}")).collect();
    assert_eq!(order, came);
    assert_eq!(origin.connections().len(), 1);
}

/// An idle connection that leads elsewhere does not stand in the way under the cap.
#[tokio::test]
async fn an_idle_connection_gives_its_place_to_another_endpoint() {
    let one = ScriptedOrigin::start([always("ok")]).await.unwrap();
    let two = ScriptedOrigin::start([always("ok")]).await.unwrap();
    let settings = Settings { upstream: "concurrency: {maxConnections: 1}", ..Settings::default() };
    let gate = Gate::new(settings, &[one.address(), two.address()]).await;
    let mut client = gate.client().await;
    for _ in 0..6 {
        client.send(get("/", &[]).as_bytes()).await.unwrap();
        assert_eq!(observe(&mut client, false, 1).await, "200 ok, keep");
    }
    assert_eq!((one.requests().len(), two.requests().len()), (3, 3));
}

#[tokio::test]
async fn a_queue_is_bounded_in_length_and_time() {
    let origin = ScriptedOrigin::start([Script::new().request().stall()]).await.unwrap();
    let settings = Settings {
        upstream: "concurrency: {maxConnections: 1, maxPending: 1}",
        route: "timeouts: {response: 3s, perTry: 3s}, retry: {retries: 0}",
        ..Settings::default()
    };
    let gate = Gate::new(settings, &[origin.address()]).await;
    let ask = get("/", &[]);
    let mut first = gate.client().await;
    first.send(ask.as_bytes()).await.unwrap();
    assert!(origin.until(WITHIN, |all| all.len() == 1 && all[0].requests.len() == 1).await);
    let mut second = gate.client().await;
    second.send(ask.as_bytes()).await.unwrap();
    gate.metric_is("portcullis_upstream_pending_requests", &[], 1.0).await;
    let mut third = gate.client().await;
    let control = Control::start();
    third.send(ask.as_bytes()).await.unwrap();
    assert_eq!(observe(&mut third, false, 1).await, "503 upstream-overflow, keep");
    assert!(control.taken() < Duration::from_millis(300), "{:?}", control.taken());
    assert_eq!(observe(&mut first, false, 1).await, "504 upstream-timeout, keep");
    // Its turn came when the first gave up, and its time ran on while it waited.
    let seen = observe(&mut second, false, 1).await;
    assert!(seen.starts_with("504 upstream-") || seen.starts_with("503 pool-timeout"), "{seen}");
    assert!(control.taken() < Duration::from_secs(5), "{:?}", control.taken());
}

#[tokio::test]
async fn a_place_is_free_again_when_its_client_has_gone() {
    let origin =
        ScriptedOrigin::start([Script::new().request().request(), always("ok")]).await.unwrap();
    let settings = Settings {
        upstream: "concurrency: {maxConnections: 1, maxPending: 4}",
        ..Settings::default()
    };
    let gate = Gate::new(settings, &[origin.address()]).await;
    let mut first = gate.client().await;
    first.send(get("/", &[]).as_bytes()).await.unwrap();
    assert!(origin.until(WITHIN, |all| all.len() == 1 && all[0].requests.len() == 1).await);
    let mut second = gate.client().await;
    second.send(get("/", &[]).as_bytes()).await.unwrap();
    gate.metric_is("portcullis_upstream_pending_requests", &[], 1.0).await;
    first.reset().unwrap();
    assert_eq!(observe(&mut second, false, 1).await, "200 ok, keep");
}

#[tokio::test]
async fn the_upstream_sees_what_the_proxy_says_of_the_client() {
    let origin = Origin::start("o").await.unwrap();
    origin.record();
    let settings = Settings {
        route: "requestHeaders: {set: [{name: x-channel, value: web}], add: [{name: x-more, value: two}], remove: [x-debug]}, \
                responseHeaders: {set: [{name: x-served, value: by-us}]}, rewrite: {prefix: /v1}, match: {path: {prefix: /api}}",
        ..Settings::default()
    };
    let gate = Gate::new(settings, &[origin.address()]).await;
    let mut client = gate.client().await;
    let claims = [
        "x-forwarded-for: 6.6.6.6",
        "X-Forwarded-Proto: https",
        "x-forwarded-host: evil.test",
        "forwarded: for=6.6.6.6",
        "x-real-ip: 6.6.6.6",
        "x-forwarded-client-cert: By=me",
        "x-request-id: mine",
        "x-debug: 1",
        "x-channel: app",
        "x-more: one",
        "connection: x-hop, keep-alive",
        "x-hop: 1",
        "keep-alive: timeout=9",
        "te: trailers, gzip",
        "accept: */*",
    ];
    client.send(get("/api/a%20b/../c?q=%2f", &claims).as_bytes()).await.unwrap();
    let response = client.response().await.unwrap();
    assert_eq!(response.status, 200, "{}", response.text());
    assert_eq!(response.headers.first("x-served"), Some("by-us"));
    assert!(response.headers.first("date").is_some());
    let request: Request = origin.recorded().remove(0);
    assert_eq!(request.target, "/v1/c?q=%2f");
    let all = |name: &str| request.headers.all(name).map(str::to_owned).collect::<Vec<_>>();
    for (name, values) in [
        ("host", &["a.test"][..]),
        ("x-forwarded-for", &["127.0.0.1"]),
        ("x-forwarded-proto", &["http"]),
        ("x-forwarded-host", &["a.test"]),
        ("forwarded", &[]),
        ("x-real-ip", &[]),
        ("x-forwarded-client-cert", &[]),
        ("x-debug", &[]),
        ("x-channel", &["web"]),
        ("x-more", &["one", "two"]),
        ("x-hop", &[]),
        ("keep-alive", &[]),
        ("te", &["trailers"]),
        ("connection", &["te"]),
        ("accept", &["*/*"]),
    ] {
        assert_eq!(all(name), values, "{name}");
    }
    let id = all("x-request-id");
    drop(client);
    let records = gate.records().await;
    assert_eq!(records[0]["request_id"], id[0].as_str());
    assert_eq!(id.len(), 1);
    assert_ne!(id[0], "mine");
}

#[tokio::test]
async fn answers_of_the_proxy_keep_the_connection() {
    let both = get("/a/b?c", &[]) + &get("/d", &[]);
    let gate = Gate::of(
        "listeners:\n  - {name: front, address: \"127.0.0.1:0\"}\n\
         routes:\n  - {name: away, match: {path: {prefix: /a}}, redirect: {scheme: https, host: b.test, status: 301}}\n  \
         - {name: here, match: {path: {prefix: /d}}, reply: {status: 418, body: teapot}}\n",
    )
    .await;
    let mut client = gate.client().await;
    client.send(both.as_bytes()).await.unwrap();
    let moved = client.response().await.unwrap();
    assert_eq!(
        (moved.status, moved.headers.first("location")),
        (301, Some("https://b.test/a/b?c"))
    );
    assert_eq!(observe(&mut client, false, 1).await, "418 teapot, keep");
    client
        .send(post("/d", &["content-length: 3", "expect: 100-continue"], "").as_bytes())
        .await
        .unwrap();
    assert_eq!(observe(&mut client, false, 1).await, "418 teapot, close");
    drop(client);
    assert_eq!(verdicts(&gate.records().await), "301 redirect, 418 reply, 418 reply");
}

#[tokio::test]
async fn an_upstream_without_endpoints_is_told() {
    let gate = Gate::with_endpoints(Settings::default(), "{dns: nowhere.invalid, port: 80}").await;
    let mut client = gate.client().await;
    client.send(get("/", &[]).as_bytes()).await.unwrap();
    assert_eq!(observe(&mut client, false, 1).await, "503 no-endpoint, keep");
    drop(client);
    assert_eq!(verdicts(&gate.records().await), "503 no-endpoint");
}

#[tokio::test]
async fn a_cookie_leads_back_to_its_endpoint() {
    let (one, two) = (Origin::start("one").await.unwrap(), Origin::start("two").await.unwrap());
    let settings = Settings { route: "sticky: {cookie: where}", ..Settings::default() };
    let gate = Gate::new(settings, &[one.address(), two.address()]).await;
    let mut client = gate.client().await;
    client.send(get("/x", &[]).as_bytes()).await.unwrap();
    let first = client.response().await.unwrap();
    let cookie =
        first.headers.first("set-cookie").expect("a cookie").split(';').next().unwrap().to_owned();
    assert!(cookie.starts_with("where="), "{cookie}");
    let stays = first.json()["origin"].clone();
    for _ in 0..6 {
        client.send(get("/x", &[&format!("cookie: {cookie}")]).as_bytes()).await.unwrap();
        assert_eq!(client.response().await.unwrap().json()["origin"], stays);
    }
}

#[tokio::test]
async fn unix_sockets_serve_on_both_sides() {
    let gate = {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("origin.sock");
        let listener = UnixListener::bind(&path).unwrap();
        tokio::spawn(async move {
            let _kept = directory;
            while let Ok((mut stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let mut bytes = Vec::new();
                    while stream.read_buf(&mut bytes).await.unwrap_or(0) > 0 {
                        if bytes.ends_with(b"\r\n\r\n") {
                            bytes.clear();
                            stream
                                .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")
                                .await
                                .unwrap();
                        }
                    }
                });
            }
        });
        Gate::of(&format!(
            "listeners:\n  - {{name: front, address: \"unix:DIRECTORY/gate.sock\"}}\n\
             upstreams:\n  - {{name: back, endpoints: [{{address: \"unix:{}\"}}]}}\n\
             routes:\n  - {{name: all, backends: [{{upstream: back}}]}}\n",
            path.display()
        ))
        .await
    };
    let mut stream = UnixStream::connect(gate.path("gate.sock")).await.unwrap();
    for _ in 0..3 {
        stream.write_all(get("/", &[]).as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        while !bytes.ends_with(b"\r\n\r\nok") {
            assert!(stream.read_buf(&mut bytes).await.unwrap() > 0);
        }
    }
    drop(stream);
    let records = gate.records().await;
    assert_eq!(verdicts(&records), "200, 200, 200");
    assert_eq!(records[0]["client"], "unix");
}

pub(crate) struct Secure {
    pub(crate) files: PemDirectory,
    pub(crate) authority: Authority,
    pub(crate) client: Tls,
}

pub(crate) fn secure() -> Secure {
    portcullis_proxy::tls::install_provider();
    let authority = Authority::root("the test's");
    let files = PemDirectory::create();
    files.write_leaf("a", &authority.server("a.test").issue());
    files.write_leaf("b", &authority.server("b.test").issue());
    files.write("ca.pem", authority.certificate_pem());
    let mut roots = rustls::RootCertStore::empty();
    roots.add(authority.certificate_der()).unwrap();
    let config =
        rustls::ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let name = "a.test".try_into().unwrap();
    Secure { files, authority, client: Tls { name, config: Arc::new(config) } }
}

#[tokio::test]
async fn the_same_passes_under_tls() {
    let secure = secure();
    let place = secure.files.path().display();
    let origin = Origin::start("o").await.unwrap();
    let gate = Gate::of(&format!(
        "listeners:\n  - name: front\n    address: \"127.0.0.1:0\"\n    timeouts: {{body: 2s, idle: 2s}}\n    \
         tls: {{certificates: [{{certFile: {place}/a.crt, keyFile: {place}/a.key}}, {{certFile: {place}/b.crt, keyFile: {place}/b.key}}]}}\n\
         upstreams:\n  - {{name: back, endpoints: [{{address: \"{}\"}}]}}\n\
         routes:\n  - {{name: all, backends: [{{upstream: back}}]}}\n",
        origin.address()
    ))
    .await;
    let mut client = RawClient::connect_tls(gate.address, &secure.client).await.unwrap();
    let body = "z".repeat(1 << 20);
    let length = format!("content-length: {}", body.len());
    let many = post("/1", &[&length], &body)
        + &post(
            "/2",
            &["transfer-encoding: chunked"],
            &format!("{:x}\r\n{body}\r\n0\r\n\r\n", body.len()),
        )
        + &get("/bytes/1048576", &[])
        + &get("/chunked/1048576", &[])
        + &get("/bytes/0", &[]);
    client.send(many.as_bytes()).await.unwrap();
    for target in ["/1", "/2"] {
        let echoed = client.response().await.unwrap().json();
        assert_eq!(echoed["target"], target);
        assert_eq!(echoed["body"].as_str().map(str::len), Some(body.len()));
    }
    for length in [1 << 20, 1 << 20, 0] {
        assert_eq!(client.response().await.unwrap().body.len(), length);
    }
    let other = get("/", &[]).replace("a.test", "b.test");
    client.send(other.as_bytes()).await.unwrap();
    let seen = observe(&mut client, false, 1).await;
    assert!(seen.starts_with("421 misdirected"), "{seen}");
    // The end of an idle connection is said, not only done.
    let mut idle = RawClient::connect_tls(gate.address, &secure.client).await.unwrap();
    idle.send(get("/bytes/1", &[]).as_bytes()).await.unwrap();
    assert_eq!(idle.response().await.unwrap().body.len(), 1);
    assert_eq!(idle.read_to_end().await.unwrap().1, portcullis_testkit::client::End::Closed);
    // So is that of one whose client said goodbye first.
    let mut polite = RawClient::connect_tls(gate.address, &secure.client).await.unwrap();
    polite.send(get("/bytes/1", &[]).as_bytes()).await.unwrap();
    polite.half_close().await.unwrap();
    assert_eq!(polite.response().await.unwrap().body.len(), 1);
    assert_eq!(polite.read_to_end().await.unwrap().1, portcullis_testkit::client::End::Closed);
}

#[tokio::test]
async fn an_upstream_under_tls_is_verified_and_kept() {
    let secure = secure();
    let config = rustls::ServerConfig::builder().with_no_client_auth();
    let leaf = secure.authority.server("a.test").issue();
    let config = config.with_single_cert(leaf.chain_der(), leaf.key_der()).unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let accepted = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = Arc::clone(&accepted);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            counter.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut bytes = Vec::new();
                while stream.read_buf(&mut bytes).await.unwrap_or(0) > 0 {
                    while let Some(at) = bytes.windows(4).position(|it| it == b"\r\n\r\n") {
                        bytes.drain(..at + 4);
                        let body = vec![b'u'; 1 << 20];
                        stream
                            .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1048576\r\n\r\n")
                            .await
                            .unwrap();
                        stream.write_all(&body).await.unwrap();
                        stream.flush().await.unwrap();
                    }
                }
            });
        }
    });
    let place = secure.files.path().display();
    for (name, see) in [("a.test", 200), ("c.test", 502)] {
        let gate = Gate::of(&format!(
            "listeners:\n  - {{name: front, address: \"127.0.0.1:0\"}}\n\
             upstreams:\n  - {{name: back, endpoints: [{{address: \"{address}\"}}], tls: {{caFile: {place}/ca.pem, serverName: {name}}}}}\n\
             routes:\n  - {{name: all, backends: [{{upstream: back}}], retry: {{retries: 0}}}}\n",
        ))
        .await;
        let mut client = gate.client().await;
        for _ in 0..3 {
            client.send(get("/", &[]).as_bytes()).await.unwrap();
            let response = client.response().await.unwrap();
            assert_eq!(response.status, see, "{}", response.text());
            assert!(see != 200 || response.body.len() == 1 << 20);
        }
        drop(client);
        let verdict = if see == 200 {
            "200, 200, 200"
        } else {
            "502 upstream-tls-failed, 502 upstream-tls-failed, 502 upstream-tls-failed"
        };
        assert_eq!(verdicts(&gate.records().await), verdict);
        if see == 200 {
            assert_eq!(
                accepted.load(std::sync::atomic::Ordering::Relaxed),
                1,
                "one connection for three"
            );
        }
    }
}
