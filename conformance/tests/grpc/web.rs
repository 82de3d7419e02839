//! gRPC-Web as a browser's client sends it, over HTTP/1 and HTTP/2, in bytes and in base64.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use portcullis_testkit::client::RawClient;
use prost::Message as _;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tonic::Code;

use crate::harness::{Back, Front, Gate, WITHIN};
use crate::service::{Word, word};

fn framed(word: &Word) -> Vec<u8> {
    let message = word.encode_to_vec();
    let mut bytes = vec![0];
    bytes.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
    bytes.extend_from_slice(&message);
    bytes
}

/// Words and trailers of a response.
fn read(mut bytes: &[u8]) -> (Vec<Word>, String) {
    let (mut words, mut trailers) = (Vec::new(), String::new());
    while !bytes.is_empty() {
        let length = u32::from_be_bytes(bytes[1..5].try_into().unwrap()) as usize;
        let (message, rest) = bytes[5..].split_at(length);
        match bytes[0] {
            0 => words.push(Word::decode(message).unwrap()),
            0x80 => trailers = String::from_utf8(message.to_vec()).unwrap(),
            other => panic!("a frame of kind {other}"),
        }
        bytes = rest;
    }
    (words, trailers)
}

/// Base64 of several messages, each padded.
fn from_text(text: &[u8]) -> Vec<u8> {
    assert_eq!(text.len() % 4, 0);
    text.chunks(4).flat_map(|group| STANDARD.decode(group).unwrap()).collect()
}

struct Answer {
    status: u16,
    content_type: String,
    grpc_status: Option<String>,
    body: Vec<u8>,
}

async fn over_http1(gate: &Gate, method: &str, content_type: &str, body: &[u8]) -> Answer {
    let mut client = RawClient::connect(gate.address(Front::Clear)).await.unwrap();
    let head = format!(
        "POST /conformance.Echo/{method} HTTP/1.1\r\nhost: a.test\r\ncontent-type: {content_type}\r\n\
         accept: {content_type}\r\nx-grpc-web: 1\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    client.send(&[head.as_bytes(), body].concat()).await.unwrap();
    let response = client.response().await.unwrap();
    let field = |name| response.headers.first(name).map(str::to_owned);
    Answer {
        status: response.status,
        content_type: field("content-type").unwrap_or_default(),
        grpc_status: field("grpc-status"),
        body: response.body.clone(),
    }
}

async fn over_http2(gate: &Gate, method: &str, content_type: &str, body: &[u8]) -> Answer {
    let stream = TcpStream::connect(gate.address(Front::Clear)).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = Request::post(format!("http://a.test/conformance.Echo/{method}"))
        .header("content-type", content_type)
        .body(())
        .unwrap();
    let mut client = client.ready().await.unwrap();
    let (response, mut send) = client.send_request(request, false).unwrap();
    // In pieces that fit nothing.
    for piece in body.chunks(3) {
        send.send_data(Bytes::copy_from_slice(piece), false).unwrap();
    }
    send.send_data(Bytes::new(), true).unwrap();
    let response = timeout(WITHIN, response).await.unwrap().unwrap();
    let field = |name: &str| Some(response.headers().get(name)?.to_str().unwrap().to_owned());
    let (status, content_type) = (response.status().as_u16(), field("content-type").unwrap());
    let grpc_status = field("grpc-status");
    let mut received = response.into_body();
    let mut body = Vec::new();
    while let Some(data) = timeout(WITHIN, received.data()).await.unwrap() {
        let data = data.unwrap();
        received.flow_control().release_capacity(data.len()).unwrap();
        body.extend_from_slice(&data);
    }
    assert!(received.trailers().await.unwrap().is_none(), "a browser would never see them");
    Answer { status, content_type, grpc_status, body }
}

async fn ask(gate: &Gate, http2: bool, text: bool, method: &str, asked: &Word) -> Answer {
    let bytes = framed(asked);
    let (content_type, body) = match text {
        false => ("application/grpc-web+proto", bytes),
        true => ("application/grpc-web-text+proto", STANDARD.encode(bytes).into_bytes()),
    };
    let mut answer = match http2 {
        false => over_http1(gate, method, content_type, &body).await,
        true => over_http2(gate, method, content_type, &body).await,
    };
    assert_eq!((answer.status, answer.content_type.as_str()), (200, content_type));
    if text {
        answer.body = from_text(&answer.body);
    }
    answer
}

const EVERY: [(bool, bool); 4] = [(false, false), (false, true), (true, false), (true, true)];

#[tokio::test]
async fn calls_and_streams_are_translated() {
    for back in [Back::Clear, Back::Tls] {
        let gate = Gate::with(back, "", "grpcWeb: true").await;
        for (http2, text) in EVERY {
            let answer = ask(&gate, http2, text, "Unary", &word("hello")).await;
            let (words, trailers) = read(&answer.body);
            assert_eq!(words, [word("hello")]);
            assert_eq!(trailers, "grpc-status: 0\r\n");
            let asked = Word { count: 300, ..word(&"w".repeat(1001)) };
            let answer = ask(&gate, http2, text, "Down", &asked).await;
            let (words, trailers) = read(&answer.body);
            assert_eq!((words.len(), &words[299].text), (300, &asked.text));
            assert_eq!(trailers, "grpc-status: 0\r\n");
        }
    }
}

#[tokio::test]
async fn failures_are_told_where_a_browser_can_read_them() {
    let gate = Gate::with(Back::Clear, "", "grpcWeb: true, timeouts: {response: 300ms}").await;
    for (http2, text) in EVERY {
        let asked = Word { count: Code::NotFound as i32, ..word("") };
        let answer = ask(&gate, http2, text, "Fail", &asked).await;
        assert_eq!((answer.grpc_status.as_deref(), answer.body.len()), (Some("5"), 0));
        let asked = Word { text: "first".to_owned(), ..asked };
        let answer = ask(&gate, http2, text, "Fail", &asked).await;
        let (words, trailers) = read(&answer.body);
        assert_eq!(words.len(), 1);
        assert!(trailers.contains("grpc-status: 5\r\n"), "{trailers}");
        // By the proxy itself.
        let answer = ask(&gate, http2, text, "Silence", &word("")).await;
        assert_eq!((answer.grpc_status.as_deref(), answer.body.len()), (Some("4"), 0));
    }
    let text = "application/grpc-web-text";
    let answer = over_http1(&gate, "Unary", text, b"this is no base64").await;
    assert_eq!((answer.status, answer.grpc_status.as_deref()), (200, Some("13")));
}

/// Without the key it is a request like any other, which the service itself may understand.
#[tokio::test]
async fn only_where_the_route_says_so() {
    let gate = Gate::new(Back::Clear).await;
    let body = framed(&word("hello"));
    let answer = over_http1(&gate, "Unary", "application/grpc-web+proto", &body).await;
    // This one answers with gRPC, whose trailers are no part of the body.
    assert_eq!(answer.content_type, "application/grpc");
    assert_eq!(read(&answer.body), (vec![word("hello")], String::new()));
}
