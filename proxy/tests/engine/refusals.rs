//! HTTP/2 upstreams that refuse a stream or say goodbye: what surely was not done is done again.

use std::net::SocketAddr;

use h2::server::SendResponse;
use hyper::body::Bytes;
use portcullis_testkit::http::Response;
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::harness::{Gate, Settings};

/// What the origin does with a request.
#[derive(Debug, Clone, Copy)]
enum Act {
    /// Reads the body, then says that nothing was done.
    Refuse,
    /// Answers with the body that it got.
    Echo,
    /// The same, and takes no other request on this connection.
    EchoAndLeave,
    /// Breaks the stream off after the body, as if half was done.
    Fail,
}

/// An origin that acts by a list, one act for each request; tells the number of each request's
/// connection.
async fn origin(acts: &[Act]) -> (SocketAddr, mpsc::UnboundedReceiver<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (seen, requests) = mpsc::unbounded_channel();
    let acts = std::sync::Arc::new(std::sync::Mutex::new(acts.to_vec().into_iter()));
    tokio::spawn(async move {
        for number in 0.. {
            let Ok((stream, _)) = listener.accept().await else { return };
            let (acts, seen) = (std::sync::Arc::clone(&acts), seen.clone());
            tokio::spawn(async move {
                let mut connection = h2::server::handshake(stream).await.unwrap();
                while let Some(Ok((request, respond))) = connection.accept().await {
                    let act = acts.lock().unwrap().next().unwrap_or(Act::Echo);
                    seen.send(number).unwrap();
                    if matches!(act, Act::EchoAndLeave) {
                        connection.graceful_shutdown();
                    }
                    tokio::spawn(obey(act, request.into_body(), respond));
                }
            });
        }
    });
    (address, requests)
}

async fn obey(act: Act, mut body: h2::RecvStream, mut respond: SendResponse<Bytes>) {
    let mut got = Vec::new();
    while let Some(Ok(data)) = body.data().await {
        got.extend_from_slice(&data);
        body.flow_control().release_capacity(data.len()).unwrap();
    }
    match act {
        Act::Refuse => respond.send_reset(h2::Reason::REFUSED_STREAM),
        Act::Fail => respond.send_reset(h2::Reason::INTERNAL_ERROR),
        Act::Echo | Act::EchoAndLeave => {
            let mut stream = respond.send_response(http::Response::new(()), false).unwrap();
            stream.send_data(got.into(), true).unwrap();
        }
    }
}

const SETTINGS: Settings = Settings { listener: "", upstream: "protocol: http2", route: "" };

async fn send(gate: &Gate, body: &str) -> Response {
    let request =
        format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {}\r\n\r\n{body}", body.len());
    let mut client = gate.client().await;
    client.send(request.as_bytes()).await.unwrap();
    client.final_response().await.unwrap()
}

#[tokio::test]
async fn a_refused_stream_is_tried_again_with_its_whole_body() {
    let (address, mut requests) = origin(&[Act::Refuse, Act::Echo]).await;
    let gate = Gate::new(SETTINGS, &[address]).await;
    let response = send(&gate, "hello").await;
    assert_eq!((response.status, &response.body[..]), (200, &b"hello"[..]));
    assert_eq!((requests.recv().await, requests.recv().await), (Some(0), Some(0)));
    let records = gate.records().await;
    assert_eq!(records[0]["attempts"], 2);
}

#[tokio::test]
async fn what_may_have_run_is_not_tried_again() {
    let (address, _requests) = origin(&[Act::Fail]).await;
    let gate = Gate::new(SETTINGS, &[address]).await;
    let response = send(&gate, "hello").await;
    assert_eq!(response.status, 502);
    let records = gate.records().await;
    assert_eq!((&records[0]["attempts"], &records[0]["reason"]), (&1.into(), &"upstream-reset".into()));
}

#[tokio::test]
async fn behind_a_goodbye_another_connection_is_opened() {
    let (address, mut requests) = origin(&[Act::EchoAndLeave]).await;
    let gate = Gate::new(SETTINGS, &[address]).await;
    for number in 0..3 {
        let response = send(&gate, "hello").await;
        assert_eq!((response.status, &response.body[..]), (200, &b"hello"[..]), "{number}");
    }
    let connections = [requests.recv().await, requests.recv().await, requests.recv().await];
    assert_eq!(connections, [Some(0), Some(1), Some(1)]);
}
