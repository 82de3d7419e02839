use super::*;
use crate::client::{ClientError, End, RawClient};

const LONG: Duration = Duration::from_secs(10);
const GET: &[u8] = b"GET /a HTTP/1.1\r\nhost: x\r\n\r\n";

async fn client(origin: &ScriptedOrigin) -> RawClient {
    let mut client = RawClient::connect(origin.address()).await.unwrap();
    client.send(GET).await.unwrap();
    client
}

#[tokio::test]
async fn scripts_go_to_connections_in_order_and_the_last_one_stays() {
    let scripts = ["one", "two"].map(|body| Script::new().request().respond(body));
    let origin = ScriptedOrigin::start(scripts).await.unwrap();
    for expected in ["one", "two", "two"] {
        assert_eq!(client(&origin).await.response().await.unwrap().text(), expected);
    }
    let ended = |connections: &[Connection]| connections.iter().all(|one| one.ended);
    assert!(origin.until(LONG, ended).await);
    assert_eq!(origin.connections().len(), 3);
    assert!(origin.connections().iter().all(|one| one.bytes == GET));
    assert_eq!(origin.requests().iter().filter(|request| request.target == "/a").count(), 3);
}

#[tokio::test]
async fn each_ending_is_seen_as_what_it_is() {
    let cut = Script::new().request().send("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc");
    let scripts = [
        Script::new().request().close(),
        Script::new().request().reset(),
        Script::new().close(),
        cut.clone().close(),
        cut.reset(),
    ];
    let origin = ScriptedOrigin::start(scripts).await.unwrap();
    let response = client(&origin).await.response().await;
    assert!(matches!(response, Err(ClientError::Closed(_))), "{response:?}");
    let response = client(&origin).await.response().await;
    assert!(matches!(response, Err(ClientError::Reset(_))), "{response:?}");
    // What is closed before it was read: in order or by a reset, as the bytes came in time.
    let mut early = RawClient::connect(origin.address()).await.unwrap();
    assert!(early.response().await.is_err());
    let response = client(&origin).await.response().await;
    assert!(matches!(response, Err(ClientError::Malformed { .. })), "{response:?}");
    let response = client(&origin).await.response().await;
    assert!(matches!(response, Err(ClientError::Reset(_))), "{response:?}");
}

#[tokio::test]
async fn early_answers_and_informational_ones() {
    let script = Script::new()
        .head()
        .send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n")
        .respond("early")
        .request()
        .respond("late");
    let origin = ScriptedOrigin::start([script]).await.unwrap();
    let mut client = RawClient::connect(origin.address()).await.unwrap();
    client.send(b"POST /b HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\n").await.unwrap();
    assert_eq!(client.response().await.unwrap().status, 100);
    assert_eq!(client.final_response().await.unwrap().text(), "early");
    assert_eq!(origin.requests()[0].body, b"");
    client.send(b"body").await.unwrap();
    assert_eq!(client.final_response().await.unwrap().text(), "late");
    assert_eq!(origin.requests().len(), 1);
    assert_eq!(origin.requests()[0].body, b"body");
}

#[tokio::test]
async fn drips_half_closes_and_repeats() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\n";
    let drip = Script::new().request().send(head).drip("abcdef", 2, Duration::from_millis(1));
    let half = Script::new().half_close().request();
    let repeat = Script::new().repeat(Script::new().head().respond("again"));
    let origin = ScriptedOrigin::start([drip, half, repeat]).await.unwrap();
    assert_eq!(client(&origin).await.response().await.unwrap().text(), "abcdef");
    let mut second = client(&origin).await;
    assert_eq!(second.read_to_end().await.unwrap(), (Vec::new(), End::Closed));
    assert!(origin.until(LONG, |connections| connections[1].requests.len() == 1).await);
    drop(second);
    let mut third = client(&origin).await;
    for _ in 0..3 {
        assert_eq!(third.response().await.unwrap().text(), "again");
        third.send(GET).await.unwrap();
    }
    assert_eq!(third.response().await.unwrap().text(), "again");
    assert_eq!(origin.connections()[2].requests.len(), 4);
}

#[tokio::test]
async fn silence_and_nonsense() {
    let scripts = [Script::new().stall(), Script::new().request().send("no http at all\r\n\r\n")];
    let origin = ScriptedOrigin::start(scripts).await.unwrap();
    let mut silent = client(&origin).await.with_deadline(Duration::from_millis(30));
    assert!(matches!(silent.response().await, Err(ClientError::Deadline(_))));
    assert!(matches!(client(&origin).await.response().await, Err(ClientError::Malformed { .. })));
    let mut wrong = RawClient::connect(origin.address()).await.unwrap();
    wrong.send(b"GET / HTTP/1.1\nhost: x\r\n\r\n").await.unwrap();
    let noted =
        |connections: &[Connection]| connections.get(2).is_some_and(|one| one.malformed.is_some());
    assert!(origin.until(LONG, noted).await);
}
