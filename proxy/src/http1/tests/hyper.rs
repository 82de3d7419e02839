//! Our verdicts beside hyper's, with the places where they differ on record: a new version of
//! hyper that changes its mind, or a rule of ours that weakens, shows up here.

use std::convert::Infallible;

use http_body_util::{BodyExt, Empty, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::judge::{self, CodecOutcome};

/// How we stand to hyper over one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    BothPass,
    BothRefuse,
    /// We refuse what hyper takes.
    Stricter,
    /// We take what hyper refuses.
    Laxer,
}

use Verdict::{BothPass, BothRefuse, Laxer, Stricter};

fn verdict(ours: CodecOutcome, hyper_passes: bool) -> Verdict {
    match (ours == CodecOutcome::Whole, hyper_passes) {
        (true, true) => BothPass,
        (false, false) => BothRefuse,
        (false, true) => Stricter,
        (true, false) => Laxer,
    }
}

fn check(found: Vec<(&str, Verdict, Verdict)>) {
    let wrong: Vec<_> = found.into_iter().filter(|(_, wanted, found)| wanted != found).collect();
    assert!(wrong.is_empty(), "message, expected, found: {wrong:#?}");
}

/// Whether hyper's server hands the request to its service, and the service can read the body.
async fn server_passes(bytes: &[u8]) -> bool {
    let (mut client, server) = tokio::io::duplex(64 << 10);
    let serve = tokio::spawn(async move {
        let service = service_fn(|request: Request<Incoming>| async move {
            let intact = request.into_body().collect().await.is_ok();
            let mut response = Response::new(Full::new(Bytes::new()));
            if !intact {
                *response.status_mut() = hyper::StatusCode::BAD_REQUEST;
            }
            Ok::<_, Infallible>(response)
        });
        // All bytes are there before the answer is read.
        let mut builder = hyper::server::conn::http1::Builder::new();
        builder.half_close(true);
        // How it ends shows in what it writes.
        let _ = builder.serve_connection(TokioIo::new(server), service).await;
    });
    client.write_all(bytes).await.unwrap();
    client.shutdown().await.unwrap();
    let mut answer = Vec::new();
    let _ = client.read_to_end(&mut answer).await;
    serve.await.unwrap();
    answer.starts_with(b"HTTP/1.1 200") || answer.starts_with(b"HTTP/1.0 200")
}

/// Whether hyper's client takes the response, body and all.
async fn client_passes(bytes: &[u8]) -> bool {
    let (mut server, client) = tokio::io::duplex(64 << 10);
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(client)).await.unwrap();
    let drive = tokio::spawn(connection);
    let request = Request::get("/").header("host", "a").body(Empty::<Bytes>::new()).unwrap();
    let answer = async {
        let response = sender.send_request(request).await.ok()?;
        response.into_body().collect().await.ok()
    };
    let script = async {
        let mut seen = Vec::new();
        while !seen.ends_with(b"\r\n\r\n") {
            server.read_buf(&mut seen).await.unwrap();
        }
        server.write_all(bytes).await.unwrap();
        server.shutdown().await.unwrap();
    };
    let (passed, ()) = tokio::join!(answer, script);
    drop(sender);
    let _ = drive.await;
    passed.is_some()
}

#[tokio::test]
async fn requests_beside_hyper() {
    let cases = [
        ("GET / HTTP/1.1\r\nhost: a\r\n\r\n", BothPass),
        ("GET / HTTP/1.0\r\n\r\n", BothPass),
        ("GET http://b/ HTTP/1.1\r\nhost: a\r\n\r\n", BothPass),
        ("OPTIONS * HTTP/1.1\r\nhost: a\r\n\r\n", BothPass),
        ("GET / HTTP/1.1\r\nhost: a\r\nx:\r\n\r\n", BothPass),
        ("GET / HTTP/1.1\r\nhost: a\r\nx: \u{e4}\r\n\r\n", BothPass),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\n\r\nx", BothPass),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 001\r\n\r\nx", BothPass),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: Chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n",
            BothPass,
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1;e\r\nx\r\n0\r\nt: 1\r\n\r\n",
            BothPass,
        ),
        // Lines.
        ("GET / HTTP/1.1\nhost: a\n\n", Stricter),
        ("GET / HTTP/1.1\r\nhost: a\n\r\n", Stricter),
        ("GET / HTTP/1.1\r\nhost: a\r\n\n", Stricter),
        ("\n\nGET / HTTP/1.1\r\nhost: a\r\n\r\n", Stricter),
        ("GET / HTTP/1.1\r\rhost: a\r\n\r\n", BothRefuse),
        ("GET  / HTTP/1.1\r\nhost: a\r\n\r\n", BothRefuse),
        ("GET /  HTTP/1.1\r\nhost: a\r\n\r\n", BothRefuse),
        ("GET\t/ HTTP/1.1\r\nhost: a\r\n\r\n", BothRefuse),
        ("GET / HTTP/1.1 \r\nhost: a\r\n\r\n", BothRefuse),
        ("GET / HTTP/0.9\r\nhost: a\r\n\r\n", BothRefuse),
        ("GET / HTTP/1.2\r\nhost: a\r\n\r\n", BothRefuse),
        ("GET / HTTP/2.0\r\nhost: a\r\n\r\n", BothRefuse),
        ("GET /\r\n\r\n", BothRefuse),
        ("GET /#f HTTP/1.1\r\nhost: a\r\n\r\n", Stricter),
        ("GET /\u{e4} HTTP/1.1\r\nhost: a\r\n\r\n", Stricter),
        ("GET * HTTP/1.1\r\nhost: a\r\n\r\n", Stricter),
        ("GET a:80 HTTP/1.1\r\nhost: a\r\n\r\n", Stricter),
        ("GET ftp://a/ HTTP/1.1\r\nhost: a\r\n\r\n", Stricter),
        ("GET http://u@a/ HTTP/1.1\r\nhost: a\r\n\r\n", Stricter),
        ("CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n\r\n", Stricter),
        // Hosts.
        ("GET / HTTP/1.1\r\n\r\n", Stricter),
        ("GET / HTTP/1.1\r\nhost:\r\n\r\n", Stricter),
        ("GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n", Stricter),
        ("GET / HTTP/1.1\r\nhost: a b\r\n\r\n", Stricter),
        ("GET / HTTP/1.1\r\nhost: a:x\r\n\r\n", Stricter),
        // Fields.
        ("GET / HTTP/1.1\r\nhost: a\r\nx : y\r\n\r\n", BothRefuse),
        ("GET / HTTP/1.1\r\nhost: a\r\n x: y\r\n\r\n", BothRefuse),
        ("GET / HTTP/1.1\r\nhost: a\r\nx: y\r\n z\r\n\r\n", BothRefuse),
        ("GET / HTTP/1.1\r\nhost: a\r\n: y\r\n\r\n", BothRefuse),
        ("GET / HTTP/1.1\r\nhost: a\r\nx\r\n\r\n", BothRefuse),
        ("GET / HTTP/1.1\r\nhost: a\r\nx: \0\r\n\r\n", BothRefuse),
        ("GET / HTTP/1.1\r\nhost: a\r\nx: a\rb\r\n\r\n", BothRefuse),
        ("GET / HTTP/1.1\r\nhost: a\r\nx: \u{1}\r\n\r\n", BothRefuse),
        ("GET / HTTP/1.1\r\nhost: a\r\nx_y: z\r\n\r\n", Stricter),
        ("GET / HTTP/1.1\r\nhost: a\r\nx: y\nz: w\r\n\r\n", Stricter),
        // Framing.
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx", Stricter),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxy",
            BothRefuse,
        ),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1, 1\r\n\r\nx", BothRefuse),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: +1\r\n\r\nx", BothRefuse),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 0x1\r\n\r\nx", BothRefuse),
        ("POST / HTTP/1.1\r\nhost: a\r\ncontent-length:\r\n\r\n", BothRefuse),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            Stricter,
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n",
            Stricter,
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            Stricter,
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            Stricter,
        ),
        ("POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: identity\r\n\r\n0\r\n\r\n", BothRefuse),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity\r\n\r\n0\r\n\r\n",
            BothRefuse,
        ),
        ("POST / HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", BothRefuse),
        // Chunks.
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1 \r\nx\r\n0\r\n\r\n",
            Stricter,
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\nx\r\n0\r\n\r\n",
            BothRefuse,
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\n0\r\n\r\n",
            BothRefuse,
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0x1\r\nx\r\n0\r\n\r\n",
            BothRefuse,
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n1;\nx\r\n0\r\n\r\n",
            BothRefuse,
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n10000000000000001\r\nx\r\n0\r\n\r\n",
            BothRefuse,
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n00000000000000001\r\nx\r\n0\r\n\r\n",
            Stricter,
        ),
        (
            "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n0\r\nt : 1\r\n\r\n",
            BothRefuse,
        ),
    ];
    let mut found = Vec::new();
    for (text, wanted) in cases {
        let passes = server_passes(text.as_bytes()).await;
        found.push((text, wanted, verdict(judge::request(text.as_bytes()), passes)));
    }
    check(found);
}

#[tokio::test]
async fn responses_beside_hyper() {
    let cases = [
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nx", BothPass),
        ("HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", BothPass),
        ("HTTP/1.0 200 OK\r\n\r\nx", BothPass),
        ("HTTP/1.1 200 OK\r\n\r\nx", BothPass),
        ("HTTP/1.1 204 No Content\r\n\r\n", BothPass),
        ("HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\n\r\n", BothPass),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nt: 1\r\n\r\n",
            BothPass,
        ),
        ("HTTP/1.1 599 Odd\r\ncontent-length: 0\r\n\r\n", BothPass),
        ("HTTP/1.1 200 OK\ncontent-length: 0\n\n", Stricter),
        ("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\n", Stricter),
        ("HTTP/1.1  200 OK\r\ncontent-length: 0\r\n\r\n", BothRefuse),
        ("HTTP/1.1 20 OK\r\ncontent-length: 0\r\n\r\n", BothRefuse),
        ("HTTP/1.1 2000 OK\r\ncontent-length: 0\r\n\r\n", BothRefuse),
        ("HTTP/1.1 099 OK\r\ncontent-length: 0\r\n\r\n", BothRefuse),
        ("HTTP/1.2 200 OK\r\ncontent-length: 0\r\n\r\n", BothRefuse),
        ("HTTP/2 200\r\ncontent-length: 0\r\n\r\n", BothRefuse),
        ("ICY 200 OK\r\ncontent-length: 0\r\n\r\n", BothRefuse),
        ("\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", Stricter),
        ("HTTP/1.1 200 OK\r\nx : y\r\ncontent-length: 0\r\n\r\n", BothRefuse),
        ("HTTP/1.1 200 OK\r\nx: y\r\n z\r\ncontent-length: 0\r\n\r\n", BothRefuse),
        ("HTTP/1.1 200 OK\r\nx: \0\r\ncontent-length: 0\r\n\r\n", BothRefuse),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\nx", Stricter),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nx", BothRefuse),
        ("HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\nx", BothRefuse),
        ("HTTP/1.1 200 OK\r\ncontent-length: 1, 1\r\n\r\nx", Stricter),
        (
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            Stricter,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
            Stricter,
        ),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n", Stricter),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nx", Stricter),
        ("HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", BothRefuse),
        ("HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n", Stricter),
        ("HTTP/1.1 204 No Content\r\ntransfer-encoding: chunked\r\n\r\n", Stricter),
        ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nx", BothRefuse),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n", BothRefuse),
        ("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1 \r\nx\r\n0\r\n\r\n", Stricter),
    ];
    let mut found = Vec::new();
    for (text, wanted) in cases {
        let passes = client_passes(text.as_bytes()).await;
        found.push((text, wanted, verdict(judge::response(text.as_bytes(), b"GET"), passes)));
    }
    check(found);
}
