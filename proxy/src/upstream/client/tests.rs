use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use portcullis_config::location::{FileRef, Location};
use portcullis_config::model::{
    BalancePolicy, EndpointTarget, HttpProtocol, TlsVersion, TrustAnchors, Upstream,
    UpstreamProtocol, UpstreamTls,
};
use portcullis_testkit::ca::{Authority, PemDirectory};
use portcullis_testkit::origin::{Script, ScriptedOrigin};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::LocalSet;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::tls::ClientTls;
use crate::upstream::fixture::{local_over, upstream};

const MOST: usize = 1000;

/// Longer than anything here takes.
fn in_time() -> Limits {
    Limits { deadline: Instant::now() + Duration::from_secs(10), body: MOST }
}

fn get(target: &str) -> Request<Bytes> {
    Request::get(target).header("x-test", "1").body(Bytes::new()).unwrap()
}

fn post(target: &str, body: &'static str) -> Request<Bytes> {
    Request::post(target).body(Bytes::from(body)).unwrap()
}

/// An origin of one protocol that answers by the target of a request, and counts.
#[derive(Clone, Default)]
struct Origin {
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Origin {
    async fn start(self, http2: bool, tls: Option<TlsAcceptor>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                self.connections.fetch_add(1, Ordering::Relaxed);
                let (origin, tls) = (self.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        Some(tls) => origin.serve(http2, tls.accept(stream).await.unwrap()).await,
                        None => origin.serve(http2, stream).await,
                    }
                });
            }
        });
        address
    }

    async fn serve(self, http2: bool, stream: impl AsyncRead + AsyncWrite + Unpin) {
        if http2 { self.serve_http2(stream).await } else { self.serve_http1(stream).await }
    }

    /// Status and body, or nothing at all.
    fn answer(&self, method: &str, target: &str, body: &[u8]) -> Option<(u16, Vec<u8>)> {
        let seen = format!("{method} {target} {}", String::from_utf8_lossy(body));
        self.requests.lock().unwrap().push(seen.clone());
        match target {
            "/silent" => None,
            "/teapot" => Some((418, Vec::new())),
            "/much" => Some((200, vec![b'x'; MOST])),
            "/too-much" => Some((200, vec![b'x'; MOST + 1])),
            _ => Some((200, seen.into_bytes())),
        }
    }

    async fn serve_http1(self, mut stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut bytes = Vec::new();
        loop {
            let whole = |bytes: &[u8]| {
                let text = String::from_utf8_lossy(bytes).into_owned();
                let (head, body) = text.split_once("\r\n\r\n")?;
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: "));
                let length: usize = length.map_or(0, |length| length.parse().unwrap());
                (body.len() >= length).then(|| (head.to_owned(), body.to_owned()))
            };
            let (head, body) = loop {
                if let Some(whole) = whole(&bytes) {
                    break whole;
                }
                let mut room = [0; 1024];
                match stream.read(&mut room).await {
                    Ok(count) if count > 0 => bytes.extend_from_slice(&room[..count]),
                    _ => return,
                }
            };
            bytes.clear();
            let mut words = head.split(' ');
            let (method, target) = (words.next().unwrap(), words.next().unwrap());
            let Some((status, body)) = self.answer(method, target, body.as_bytes()) else {
                return std::future::pending().await;
            };
            let early = "HTTP/1.1 103 Early Hints\r\n\r\n";
            let head =
                format!("{early}HTTP/1.1 {status} x\r\ncontent-length: {}\r\n\r\n", body.len());
            stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
        }
    }

    async fn serve_http2(self, stream: impl AsyncRead + AsyncWrite + Unpin) {
        let mut connection = h2::server::handshake(stream).await.unwrap();
        let mut held = Vec::new();
        while let Some(Ok((request, mut respond))) = connection.accept().await {
            let (head, mut stream) = request.into_parts();
            if head.uri.path() == "/refused" {
                let first = !self.requests.lock().unwrap().iter().any(|it| it == "refused");
                self.requests.lock().unwrap().push("refused".to_owned());
                if first {
                    respond.send_reset(h2::Reason::REFUSED_STREAM);
                    continue;
                }
            }
            let mut body = Vec::new();
            while !stream.is_end_stream()
                && let Some(chunk) = stream.data().await
            {
                body.extend_from_slice(&chunk.unwrap());
            }
            match self.answer(head.method.as_str(), head.uri.path(), &body) {
                Some((status, body)) => {
                    let response = Response::builder().status(status).body(()).unwrap();
                    let mut stream = respond.send_response(response, false).unwrap();
                    stream.send_data(body.into(), true).unwrap();
                }
                None => held.push(respond),
            }
        }
    }
}

fn config(addresses: &[SocketAddr]) -> Upstream {
    let targets = addresses.iter().map(|address| (EndpointTarget::Address(*address), 1));
    upstream(BalancePolicy::RoundRobin, targets)
}

/// An origin, and the upstream that leads there.
async fn start(http2: bool, tls: bool) -> (Origin, LocalUpstream) {
    let origin = Origin::default();
    if !tls {
        let address = origin.clone().start(http2, None).await;
        let mut config = config(&[address]);
        if http2 {
            config.protocol = UpstreamProtocol::Http2;
        }
        return (origin, local_over(&config, None));
    }
    let authority = Authority::root("test");
    let leaf = authority.server("127.0.0.1").issue();
    let directory = PemDirectory::create();
    let location = || {
        let file: Arc<Path> = Path::new("test.yaml").into();
        Location { file, line: 1, column: 1, start: 0, end: 0 }
    };
    let ca = directory.write("ca.pem", authority.certificate_pem());
    let alpn = if http2 { "h2" } else { "http/1.1" };
    let settings = UpstreamTls {
        alpn: vec![alpn.to_owned()],
        location: location(),
        ca: TrustAnchors::File(FileRef { path: ca, location: location() }),
        client_certificate: None,
        server_name: None,
        identities: Vec::new(),
        min_version: TlsVersion::V12,
        max_version: TlsVersion::V13,
    };
    let mut problems = Vec::new();
    let client = ClientTls::build(&settings, &mut problems).unwrap();
    crate::tls::install_provider();
    let mut server = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(leaf.chain_der(), leaf.key_der())
        .unwrap();
    server.alpn_protocols = vec![alpn.as_bytes().to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(server));
    let address = origin.clone().start(http2, Some(acceptor)).await;
    let mut config = config(&[address]);
    config.tls = Some(settings);
    (origin, local_over(&config, Some(Arc::new(client))))
}

/// What came of a call, in short.
fn verdict(answer: Result<Response<Bytes>, CallError>) -> String {
    match answer {
        Ok(answer) => {
            let body = String::from_utf8_lossy(answer.body()).replace(&"x".repeat(MOST), "much");
            format!("{} {body}", answer.status().as_u16())
        }
        Err(error) => format!("{error}"),
    }
}

const BOTH: [bool; 2] = [false, true];

/// Over both protocols, plain and under TLS, all of it over one connection.
#[tokio::test]
async fn a_call_has_an_answer() {
    let test = async {
        for (http2, tls) in BOTH.iter().flat_map(|http2| BOTH.map(|tls| (*http2, tls))) {
            let (origin, upstream) = start(http2, tls).await;
            for (request, expected) in [
                (get("/a?b=1"), if http2 { "200 GET /a " } else { "200 GET /a?b=1 " }),
                (post("/b", "body"), "200 POST /b body"),
                (post("/c", ""), "200 POST /c "),
                (get("/teapot"), "418 "),
                (get("/much"), "200 much"),
            ] {
                let seen = verdict(upstream.call(&request, in_time()).await);
                assert_eq!(seen, expected, "HTTP/2: {http2}, TLS: {tls}");
            }
            assert_eq!(origin.connections.load(Ordering::Relaxed), 1, "{http2} {tls}");
            let agreed = upstream.multiplex.learned();
            assert_eq!(agreed == Some(HttpProtocol::Http2), http2);
        }
    };
    LocalSet::new().run_until(test).await;
}

/// The connection of such an answer is not used again, and the next call has its own.
#[tokio::test]
async fn a_bound_and_a_deadline_hold() {
    let test = async {
        for http2 in BOTH {
            let (origin, upstream) = start(http2, false).await;
            let too_much = verdict(upstream.call(&get("/too-much"), in_time()).await);
            assert_eq!(too_much, "the answer's body has more than 1000 bytes", "{http2}");
            let deadline = Instant::now() + Duration::from_millis(100);
            let limits = Limits { deadline, ..in_time() };
            let late = verdict(upstream.call(&get("/silent"), limits).await);
            assert_eq!(late, "there was no whole answer in time", "{http2}");
            assert!(Instant::now() >= deadline);
            assert_eq!(verdict(upstream.call(&get("/"), in_time()).await), "200 GET / ");
            let connections = if http2 { 1 } else { 3 };
            assert_eq!(origin.connections.load(Ordering::Relaxed), connections, "{http2}");
            assert_eq!(origin.requests.lock().unwrap().len(), 3, "none was sent twice");
        }
    };
    LocalSet::new().run_until(test).await;
}

/// Only what surely did nothing is tried again.
#[tokio::test]
async fn a_call_is_sent_again_only_if_it_was_not_sent() {
    let whole = || Script::new().request().respond("ok");
    let reset = || Script::new().request().reset();
    for (what, scripts, expected, requests) in [
        ("a kept connection that is closed", vec![whole().close(), whole()], "200 ok", 2),
        (
            "a kept connection that dies under the request",
            vec![whole().request().reset(), whole()],
            "the connection broke",
            2,
        ),
        ("half a head", vec![whole().request().send("HTTP/1.1 2").close()], "the connection", 2),
        ("no HTTP", vec![whole().request().send("SSH-2.0\r\n\r\n")], "the answer breaks", 2),
        ("a reset at once", vec![whole().close(), reset(), whole()], "the connection broke", 2),
    ] {
        let origin = ScriptedOrigin::start(scripts).await.unwrap();
        let upstream = local_over(&config(&[origin.address()]), None);
        assert_eq!(verdict(upstream.call(&get("/1"), in_time()).await), "200 ok", "{what}");
        let closes = expected == "200 ok" || what == "a reset at once";
        if closes {
            let ended = |all: &[portcullis_testkit::origin::Connection]| all[0].ended;
            assert!(origin.until(Duration::from_secs(10), ended).await, "{what}");
        }
        let seen = verdict(upstream.call(&get("/2"), in_time()).await);
        assert!(seen.starts_with(expected), "{what}: {seen}");
        assert_eq!(origin.requests().len(), requests, "{what}");
    }
}

#[tokio::test]
async fn another_endpoint_is_tried_where_one_cannot_be_reached() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let address = Origin::default().start(false, None).await;
    let upstream = local_over(&config(&[nobody, address]), None);
    for _ in 0..4 {
        assert_eq!(verdict(upstream.call(&get("/"), in_time()).await), "200 GET / ");
    }
    let nowhere = local_over(&config(&[nobody]), None);
    let seen = verdict(nowhere.call(&get("/"), in_time()).await);
    assert!(seen.contains("refused or cannot be reached"), "{seen}");
    let none = verdict(local_over(&config(&[]), None).call(&get("/"), in_time()).await);
    assert_eq!(none, "the upstream has no endpoint");
}

#[tokio::test]
async fn a_refused_stream_is_tried_again() {
    let test = async {
        let (origin, upstream) = start(true, false).await;
        let seen = verdict(upstream.call(&post("/refused", "body"), in_time()).await);
        assert_eq!(seen, "200 POST /refused body");
        assert_eq!(origin.connections.load(Ordering::Relaxed), 1);
    };
    LocalSet::new().run_until(test).await;
}
