//! A client against a server whose every byte the test writes: connections kept, lost, given up.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use super::super::dial::Trust;
use super::*;

/// Generous, for machines that are busy.
const LONG: Duration = Duration::from_secs(30);

/// A server whose every byte the test writes, and a client of it.
async fn pair() -> (TcpListener, Client) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let dialer = Dialer::try_new(url.parse().unwrap(), Trust::Nobody).unwrap();
    (listener, Client::new(Arc::new(dialer)))
}

/// The head of the next request.
async fn asked(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(LONG, stream.read_u8()).await.unwrap().unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn answer(stream: &mut TcpStream, text: &str) {
    stream.write_all(text.as_bytes()).await.unwrap();
}

const HELLO: &str = "HTTP/1.1 200 OK\r\nx-request-id: r-1\r\ncontent-length: 5\r\n\r\nhello";

#[tokio::test]
async fn a_connection_is_kept_for_the_next_request() {
    let (listener, client) = pair().await;
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let first = asked(&mut stream).await;
        answer(&mut stream, HELLO).await;
        let second = asked(&mut stream).await;
        answer(&mut stream, "HTTP/1.1 503 Busy\r\nretry-after: 2\r\ncontent-length: 0\r\n\r\n")
            .await;
        (first, second)
    };
    let asks = async {
        let first = client.send(&Request::get("/one").token("t")).await.unwrap();
        let second = client.send(&Request::post("/two").key("k")).await.unwrap();
        (first, second)
    };
    let ((first, second), (hello, busy)) = tokio::join!(server, asks);
    assert!(first.starts_with("GET /one HTTP/1.1\r\n"), "{first}");
    assert!(first.contains("authorization: Bearer t\r\n"), "{first}");
    assert!(second.starts_with("POST /two HTTP/1.1\r\n"), "{second}");
    assert!(second.contains("idempotency-key: \"k\"\r\n"), "{second}");
    assert_eq!((hello.status.as_u16(), &hello.body[..]), (200, &b"hello"[..]));
    assert_eq!(hello.request_id(), "r-1");
    assert_eq!((busy.status.as_u16(), busy.retry_after()), (503, Some(Duration::from_secs(2))));
}

#[tokio::test]
async fn two_at_once_take_two_connections() {
    let (listener, client) = pair().await;
    let server = async {
        let (mut one, _) = listener.accept().await.unwrap();
        let (mut two, _) = listener.accept().await.unwrap();
        for stream in [&mut one, &mut two] {
            asked(stream).await;
            answer(stream, HELLO).await;
        }
    };
    let request = Request::get("/");
    let (_, one, two) = tokio::join!(server, client.send(&request), client.send(&request));
    assert_eq!([one, two].map(|reply| reply.unwrap().status.as_u16()), [200, 200]);
}

#[tokio::test]
async fn what_is_lost_says_whether_the_connection_was_used_before() {
    let (listener, client) = pair().await;
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        asked(&mut stream).await;
        answer(&mut stream, HELLO).await;
        asked(&mut stream).await;
        drop(stream);
        let (mut stream, _) = listener.accept().await.unwrap();
        asked(&mut stream).await;
        answer(&mut stream, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhel").await;
    };
    let request = Request::get("/");
    let asks = async {
        client.send(&request).await.unwrap();
        let reused = client.send(&request).await.unwrap_err();
        let cut = client.send(&request).await.unwrap_err();
        (reused.outcome(), cut.outcome())
    };
    let (_, (reused, cut)) = tokio::join!(server, asks);
    assert_eq!(reused, Outcome::Lost { reused: true });
    assert_eq!(cut, Outcome::Lost { reused: false });
}

#[tokio::test]
async fn a_request_that_is_given_up_closes_its_connection() {
    let (listener, client) = pair().await;
    let request = Request::get("/slow");
    let mut sent = Box::pin(client.send(&request));
    let mut stream = tokio::select! {
        accepted = listener.accept() => accepted.unwrap().0,
        _ = &mut sent => panic!("nobody answered"),
    };
    tokio::select! {
        _ = asked(&mut stream) => {}
        _ = &mut sent => panic!("nobody answered"),
    }
    drop(sent);
    let end = timeout(LONG, stream.read(&mut [0; 1])).await.unwrap();
    assert!(matches!(end, Ok(0) | Err(_)), "{end:?}");
}

#[tokio::test]
async fn nobody_there_is_no_connection() {
    let (listener, client) = pair().await;
    drop(listener);
    let error = client.send(&Request::get("/")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotConnected);
}
