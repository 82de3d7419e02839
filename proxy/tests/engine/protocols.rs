//! HTTP/1 and HTTP/2 on either side: the same exchanges through all four combinations.
//!
//! Client and origin are hyper's, so that neither end shares code with the proxy's HTTP/1.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use hyper::body::{Body as _, Bytes, Frame, Incoming};
use hyper::header::{HeaderMap, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::{Gate, Settings};

type Body = BoxBody<Bytes, std::io::Error>;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Http {
    One,
    Two,
}

const COMBINATIONS: [(Http, Http); 4] = [
    (Http::One, Http::One),
    (Http::One, Http::Two),
    (Http::Two, Http::One),
    (Http::Two, Http::Two),
];

fn whole(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed()
}

fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

/// A body in pieces, of unknown length, with a trailer.
fn pieces(count: usize, size: usize) -> Body {
    let letter = |n: usize| b"abcdefghijklmnopqrstuvwxyz"[n % 26];
    let data = (0..count).map(move |n| Ok(Frame::data(vec![letter(n); size].into())));
    let mut trailers = HeaderMap::new();
    trailers.insert("x-check", HeaderValue::from_static("done"));
    let frames = data.chain([Ok(Frame::trailers(trailers))]);
    BodyExt::boxed(StreamBody::new(Frames(frames)))
}

/// An iterator of frames as a stream that is always ready.
struct Frames<I>(I);

impl<I: Iterator + Unpin> futures_core::Stream for Frames<I> {
    type Item = I::Item;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<I::Item>> {
        std::task::Poll::Ready(self.0.next())
    }
}

/// What the origin does is said by the path.
async fn answer(request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
    let (parts, body) = request.into_parts();
    let respond = |status: u16, body| {
        Response::builder()
            .status(status)
            .header("x-seen", parts.method.as_str())
            .body(body)
            .unwrap()
    };
    Ok(match parts.uri.path() {
        "/echo" => {
            let mut response = respond(200, body.map_err(std::io::Error::other).boxed());
            response.headers_mut().insert("trailer", HeaderValue::from_static("x-check"));
            response
        }
        "/count" => {
            let collected = body.collect().await;
            let text = match collected {
                Ok(body) => {
                    let check = body.trailers().and_then(|it| it.get("x-check")).cloned();
                    format!("{} {check:?}", body.to_bytes().len())
                }
                Err(error) => format!("{error:?}"),
            };
            respond(200, whole(text))
        }
        "/pieces" => {
            let mut response = respond(200, pieces(40, 5000));
            response.headers_mut().insert("trailer", HeaderValue::from_static("x-check"));
            response
        }
        "/empty" => respond(200, empty()),
        "/no-content" => respond(204, empty()),
        "/not-modified" => respond(304, empty()),
        "/early" => respond(413, whole("enough")),
        "/broken" => {
            let frames =
                [Ok(Frame::data(Bytes::from_static(b"half"))), Err(std::io::Error::other("cut"))];
            respond(200, BodyExt::boxed(StreamBody::new(Frames(frames.into_iter()))))
        }
        "/never" => std::future::pending().await,
        _ => respond(200, whole("hello")),
    })
}

/// An origin that counts its connections.
struct Origin {
    address: SocketAddr,
    connections: Arc<AtomicUsize>,
}

impl Origin {
    async fn start(http: Http) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&connections);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counted.fetch_add(1, Ordering::Relaxed);
                let (io, service) = (TokioIo::new(stream), service_fn(answer));
                // How a connection ended is seen by the proxy and by its client.
                tokio::spawn(async move {
                    match http {
                        Http::One => {
                            let _ = hyper::server::conn::http1::Builder::new()
                                .serve_connection(io, service)
                                .await;
                        }
                        Http::Two => {
                            let _ = hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                                .serve_connection(io, service)
                                .await;
                        }
                    }
                });
            }
        });
        Self { address, connections }
    }
}

/// A client on one connection.
enum Client {
    One(hyper::client::conn::http1::SendRequest<Body>),
    Two(hyper::client::conn::http2::SendRequest<Body>),
}

impl Client {
    async fn connect(http: Http, address: SocketAddr) -> Self {
        let io = TokioIo::new(TcpStream::connect(address).await.unwrap());
        match http {
            Http::One => {
                let (send, connection) = hyper::client::conn::http1::handshake(io).await.unwrap();
                tokio::spawn(connection);
                Self::One(send)
            }
            Http::Two => {
                let (send, connection) =
                    hyper::client::conn::http2::handshake(TokioExecutor::new(), io).await.unwrap();
                tokio::spawn(connection);
                Self::Two(send)
            }
        }
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Body,
    ) -> hyper::Result<Response<Incoming>> {
        let mut request = Request::builder().method(method).header("te", "trailers");
        if body.size_hint().exact().is_none() {
            request = request.header("trailer", "x-check");
        }
        match self {
            Self::One(send) => {
                send.ready().await?;
                let request = request.uri(path).header("host", "a.example");
                send.send_request(request.body(body).unwrap()).await
            }
            Self::Two(send) => {
                send.ready().await?;
                let request = request.uri(format!("http://a.example{path}"));
                send.send_request(request.body(body).unwrap()).await
            }
        }
    }
}

async fn gate(upstream: Http, origin: &Origin) -> Gate {
    let upstream = match upstream {
        Http::One => "protocol: http1",
        Http::Two => "protocol: http2",
    };
    Gate::new(Settings { upstream, ..Settings::default() }, &[origin.address]).await
}

/// Status, length and trailer of a response.
async fn summary(response: hyper::Result<Response<Incoming>>) -> String {
    let response = match response {
        Ok(response) => response,
        Err(error) => return format!("no response: {error}"),
    };
    let status = response.status().as_u16();
    match response.into_body().collect().await {
        Ok(body) => {
            let check = body.trailers().and_then(|it| it.get("x-check")).is_some();
            let bytes = body.to_bytes();
            let text = if bytes.len() < 50 {
                String::from_utf8_lossy(&bytes).into_owned()
            } else {
                String::new()
            };
            format!("{status} {} {text}{}", bytes.len(), if check { " +trailer" } else { "" })
        }
        Err(_) => format!("{status} broken off"),
    }
}

#[tokio::test]
async fn the_same_exchanges_through_all_combinations() {
    for (client_speaks, origin_speaks) in COMBINATIONS {
        let origin = Origin::start(origin_speaks).await;
        let gate = gate(origin_speaks, &origin).await;
        let cases: [(Method, &str, Body, &str); 14] = [
            (Method::GET, "/", empty(), "200 5 hello"),
            (Method::HEAD, "/", empty(), "200 0 "),
            (Method::GET, "/empty", empty(), "200 0 "),
            (Method::GET, "/no-content", empty(), "204 0 "),
            (Method::GET, "/not-modified", empty(), "304 0 "),
            (Method::GET, "/pieces", empty(), "200 200000  +trailer"),
            (Method::POST, "/count", whole("hello"), "200 6 5 None"),
            (Method::POST, "/count", whole(vec![b'x'; 3_000_000]), "200 12 3000000 None"),
            (Method::POST, "/count", pieces(40, 5000), "200 19 200000 Some(\"done\")"),
            (Method::POST, "/echo", whole("hello"), "200 5 hello"),
            (Method::POST, "/echo", whole(vec![b'x'; 3_000_000]), "200 3000000 "),
            (Method::POST, "/echo", pieces(200, 5000), "200 1000000  +trailer"),
            (Method::POST, "/count", empty(), "200 6 0 None"),
            (Method::GET, "/", empty(), "200 5 hello"),
        ];
        for (number, (method, path, body, expected)) in cases.into_iter().enumerate() {
            let mut client = Client::connect(client_speaks, gate.address).await;
            let response = client.send(method.clone(), path, body).await;
            let seen = summary(response).await;
            assert_eq!(
                seen, expected,
                "{client_speaks:?} to {origin_speaks:?}: {number} {method} {path}"
            );
        }
        let records = gate.records().await;
        assert_eq!(records.len(), 14);
        let protocol = if client_speaks == Http::One { "HTTP/1.1" } else { "HTTP/2" };
        assert!(records.iter().all(|record| record["protocol"] == protocol));
        assert!(records.iter().all(|record| record["reason"].is_null()), "{records:#?}");
        if origin_speaks == Http::Two {
            assert_eq!(origin.connections.load(Ordering::Relaxed), 1, "one connection is enough");
        }
    }
}

#[tokio::test]
async fn a_response_that_breaks_off_never_ends_cleanly() {
    for (client_speaks, origin_speaks) in COMBINATIONS {
        let origin = Origin::start(origin_speaks).await;
        let gate = gate(origin_speaks, &origin).await;
        let mut client = Client::connect(client_speaks, gate.address).await;
        let seen = summary(client.send(Method::GET, "/broken", empty()).await).await;
        // Where even the head did not leave the origin, there is something better to say.
        let right = seen == "200 broken off" || seen.starts_with("502 ");
        assert!(right, "{client_speaks:?} to {origin_speaks:?}: {seen}");
        drop(client);
        let records = gate.records().await;
        let reason = records[0]["reason"].as_str();
        assert!(matches!(reason, Some("upstream-truncated" | "upstream-reset")), "{reason:?}");
    }
}

#[tokio::test]
async fn an_early_answer_arrives_whole() {
    for (client_speaks, origin_speaks) in COMBINATIONS {
        let origin = Origin::start(origin_speaks).await;
        let gate = gate(origin_speaks, &origin).await;
        let mut client = Client::connect(client_speaks, gate.address).await;
        let body = whole(vec![b'x'; 3_000_000]);
        let seen = summary(client.send(Method::POST, "/early", body).await).await;
        assert_eq!(seen, "413 6 enough", "{client_speaks:?} to {origin_speaks:?}");
    }
}

/// A client that goes away takes its request with it: the upstream's stream or connection ends.
/// (In HTTP/1 the end of a client's sending is no goodbye: it may still be reading.)
#[tokio::test]
async fn a_client_that_leaves_ends_its_request() {
    for origin_speaks in [Http::One, Http::Two] {
        let origin = Origin::start(origin_speaks).await;
        let gate = gate(origin_speaks, &origin).await;
        let mut client = Client::connect(Http::Two, gate.address).await;
        let waiting = client.send(Method::GET, "/never", empty());
        assert!(tokio::time::timeout(Duration::from_millis(200), waiting).await.is_err());
        gate.metric_is("portcullis_endpoint_requests_in_flight", &["back"], 1.0).await;
        drop(client);
        gate.metric_is("portcullis_endpoint_requests_in_flight", &["back"], 0.0).await;
        let records = gate.records().await;
        assert_eq!(records[0]["reason"], "client-aborted", "{origin_speaks:?}");
    }
}

/// Many clients share one connection to an HTTP/2 upstream, also while it is being opened.
#[tokio::test]
async fn requests_share_a_connection_to_an_http2_upstream() {
    let origin = Origin::start(Http::Two).await;
    let gate = gate(Http::Two, &origin).await;
    let clients = (0..20).map(|_| {
        let address = gate.address;
        tokio::spawn(async move {
            let mut client = Client::connect(Http::Two, address).await;
            let mut seen = Vec::new();
            for _ in 0..5 {
                seen.push(client.send(Method::GET, "/", empty()).await.unwrap().status());
            }
            seen
        })
    });
    let clients: Vec<_> = clients.collect();
    for client in clients {
        assert_eq!(client.await.unwrap(), [StatusCode::OK; 5]);
    }
    assert_eq!(origin.connections.load(Ordering::Relaxed), 1);
}
