//! Who is let in, and what opens the tunnel.

use portcullis_testkit::client::RawClient;
use portcullis_testkit::websocket::{
    Frame, KEY, Peer, TEXT, WebSocketOrigin, connect, key_of, request, switching, upgrade,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::Ends;
use crate::harness::{Gate, Settings, check, get, line, observe, post, verdicts};

/// The right answer to the key of [`request`].
fn right() -> String {
    switching(KEY)
}

fn ask() -> String {
    request("/live", &[])
}

#[tokio::test]
async fn the_upstream_is_asked_for_websocket_and_nothing_else() {
    let ends = Ends::of("requestHeaders: {set: [{name: x-channel, value: live}]}").await;
    let mut client = ends.gate.client().await;
    let lines = ["origin: https://a.test", "sec-websocket-protocol: chat", "x-channel: mine"];
    let request = request("/live?room=1", &lines).replace("websocket\r\n", "h2c, WebSocket\r\n");
    client.send(request.as_bytes()).await.unwrap();
    let (mut stream, head) = ends.origin.asked().await.unwrap();
    assert!(head.starts_with("GET /live?room=1 HTTP/1.1\r\nhost: a.test\r\n"), "{head}");
    let all = |name: &str| -> Vec<_> {
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines.filter(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, it)| it).collect()
    };
    assert_eq!(all("upgrade"), ["websocket"], "{head}");
    assert_eq!(all("connection"), ["upgrade"]);
    assert_eq!((all("sec-websocket-version"), key_of(&head)), (vec!["13"], KEY));
    assert_eq!(
        (all("origin"), all("sec-websocket-protocol")),
        (vec!["https://a.test"], vec!["chat"])
    );
    assert_eq!((all("x-channel"), all("x-forwarded-for")), (vec!["live"], vec!["127.0.0.1"]));
    let answer =
        right().replace("\r\n\r\n", "\r\nsec-websocket-protocol: chat\r\nset-cookie: a=b\r\n\r\n");
    stream.write_all(answer.as_bytes()).await.unwrap();
    let response = client.response().await.unwrap();
    assert_eq!((response.status, response.headers.first("upgrade")), (101, Some("websocket")));
    assert_eq!(response.headers.first("connection"), Some("upgrade"));
    assert_eq!(response.headers.first("sec-websocket-protocol"), Some("chat"));
    assert_eq!(response.headers.first("set-cookie"), Some("a=b"));
}

#[tokio::test]
async fn only_the_right_answer_opens_the_tunnel() {
    let wrong = |what, answer: String| {
        line(what, ask())
            .answers(answer)
            .sees("502 upstream-protocol, keep")
            .records("502 upstream-protocol")
    };
    check(vec![
        wrong("the accept of another key", switching("AAAAAAAAAAAAAAAAAAAAAA==")),
        wrong("no accept", right().replace("sec-websocket-accept", "x-accept")),
        wrong("another protocol", right().replace("upgrade: websocket", "upgrade: h2c")),
        wrong("no connection option", right().replace("connection: Upgrade\r\n", "")),
        wrong("HTTP/1.0", right().replace("HTTP/1.1", "HTTP/1.0")),
        line("nobody asked", get("/", &[]))
            .answers(right())
            .sees("502 upstream-protocol, keep")
            .records("502 upstream-protocol"),
        line("another was asked for", get("/", &["connection: upgrade", "upgrade: h2c"]))
            .answers(right())
            .sees("502 upstream-protocol, keep")
            .records("502 upstream-protocol"),
        line(
            "asked in a POST without a body",
            post("/", &["content-length: 0", "upgrade: websocket"], ""),
        )
        .answers(right())
        .sees("502 upstream-protocol, keep")
        .records("502 upstream-protocol"),
    ])
    .await;
}

#[tokio::test]
async fn any_other_answer_is_an_ordinary_response() {
    check(vec![
        line("200", ask()),
        line("401", ask())
            .answers("HTTP/1.1 401 Unauthorized\r\ncontent-length: 2\r\n\r\nno")
            .sees("401 no, keep")
            .records("401"),
        line("426", ask())
            .answers(
                "HTTP/1.1 426 Upgrade Required\r\nupgrade: websocket\r\ncontent-length: 0\r\n\r\n",
            )
            .sees("426, keep")
            .records("426"),
        line("an interim one before", ask())
            .answers("HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 403 No\r\ncontent-length: 0\r\n\r\n")
            .sees("103, 403, keep")
            .records("403"),
        // What came behind the request may be frames, and is never read as a request.
        line("bytes that came early", ask() + &get("/smuggled", &[]))
            .sees("200 ok, close")
            .origin_sees("GET /live"),
    ])
    .await;
}

#[tokio::test]
async fn a_handshake_in_bad_form_goes_nowhere() {
    let refused = |what, send: String| {
        line(what, send)
            .sees("400 websocket-handshake, keep")
            .records("400 websocket-handshake")
            .origin_sees("nothing")
    };
    check(vec![
        refused("no key", ask().replace("sec-websocket-key", "x-key")),
        refused("a short key", ask().replace(KEY, "c2hvcnQ=")),
        refused("a POST", ask().replace("GET /", "POST /")),
        line("a body", ask().replace("\r\n\r\n", "\r\ncontent-length: 3\r\n\r\nabc"))
            .sees("400 websocket-handshake, close")
            .records("400 websocket-handshake")
            .origin_sees("nothing"),
        line("version 8", ask().replace("version: 13", "version: 8"))
            .sees("400 websocket-version, keep")
            .records("400 websocket-version")
            .origin_sees("nothing"),
    ])
    .await;
    let ends = Ends::of("").await;
    let mut client = ends.gate.client().await;
    client.send(ask().replace("version: 13", "version: 8").as_bytes()).await.unwrap();
    let response = client.response().await.unwrap();
    assert_eq!(response.headers.first("sec-websocket-version"), Some("13"));
}

/// It goes on as if it had not asked, so no answer can open a tunnel.
#[tokio::test]
async fn where_no_upgrade_is_allowed_none_is_passed_on() {
    let none = |send: String| line("upgrades: []", send).listener("upgrades: []");
    check(vec![
        none(ask()),
        none(ask().replace("version: 13", "version: 8")),
        none(ask())
            .answers(right())
            .sees("502 upstream-protocol, keep")
            .records("502 upstream-protocol"),
    ])
    .await;
    let ends = Ends::new(Settings { listener: "upgrades: []", ..Settings::default() }).await;
    let mut client = ends.gate.client().await;
    client.send(ask().as_bytes()).await.unwrap();
    let (_, head) = ends.origin.asked().await.unwrap();
    let lower = head.to_ascii_lowercase();
    assert!(!lower.contains("upgrade"), "{head}");
}

/// They are kept while the upstream thinks, and are the first thing that it reads afterwards.
#[tokio::test]
async fn bytes_that_come_early_are_passed_after_the_switch() {
    let ends = Ends::of("").await;
    let mut client = TcpStream::connect(ends.gate.address).await.unwrap();
    let first = Frame::text("first").masked().to_bytes();
    client.write_all(&[ask().as_bytes(), &first].concat()).await.unwrap();
    let (mut server, _) = ends.origin.asked().await.unwrap();
    // More than any buffer of the proxy's: the rest waits in the socket.
    let second = Frame::new(TEXT, vec![b'x'; 200_000]).masked().to_bytes();
    let sending = tokio::spawn(async move {
        client.write_all(&second).await.unwrap();
        client
    });
    let mut byte = [0];
    let early = tokio::time::timeout(std::time::Duration::from_millis(200), server.read(&mut byte));
    assert!(early.await.is_err(), "something came before the 101");
    server.write_all(right().as_bytes()).await.unwrap();
    let mut server = Peer::server(server);
    assert_eq!(server.expect().await.unwrap().payload, b"first");
    assert_eq!(server.expect().await.unwrap().payload.len(), 200_000);
    drop(sending.await.unwrap());
}

/// The first frame may come in the packet of the 101.
#[tokio::test]
async fn what_the_upstream_says_with_its_101_arrives() {
    let ends = Ends::of("").await;
    let client = TcpStream::connect(ends.gate.address).await.unwrap();
    let server = async {
        let (mut stream, head) = ends.origin.asked().await.unwrap();
        let both = [switching(key_of(&head)).as_bytes(), &Frame::text("hello").to_bytes()].concat();
        stream.write_all(&both).await.unwrap();
        stream
    };
    let asked = ask();
    let (client, _server) = tokio::join!(upgrade(client, &asked), server);
    assert_eq!(client.unwrap().0.expect().await.unwrap(), Frame::text("hello"));
}

/// Whatever came of it: a connection that was asked to switch carries nothing else.
#[tokio::test]
async fn the_upstreams_connection_is_never_lent_again() {
    let ends = Ends::of("").await;
    let mut client = ends.gate.client().await;
    for _ in 0..2 {
        client.send(ask().as_bytes()).await.unwrap();
        let (mut stream, _) = ends.origin.asked().await.unwrap();
        stream.write_all(b"HTTP/1.1 404 No\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        assert_eq!(observe(&mut client, false, 1).await, "404, keep");
        assert_eq!(stream.read(&mut [0]).await.unwrap(), 0, "it is closed");
    }
    let (client, server) = ends.open().await;
    drop((client, server));
    let mut client: RawClient = ends.gate.client().await;
    client.send(get("/", &["connection: close"]).as_bytes()).await.unwrap();
    let (mut stream, _) = ends.origin.asked().await.unwrap();
    stream.write_all(b"HTTP/1.1 204 No\r\n\r\n").await.unwrap();
    assert_eq!(observe(&mut client, false, 1).await, "204, close");
}

#[tokio::test]
async fn a_route_that_answers_itself_upgrades_nothing() {
    let gate = Gate::of(
        "listeners:\n  - {name: front, address: \"127.0.0.1:0\"}\n\
         routes:\n  - {name: here, reply: {status: 200, body: hello}}\n",
    )
    .await;
    let refused = connect(gate.address, "/").await.unwrap_err().to_string();
    assert!(refused.starts_with("HTTP/1.1 200 "), "{refused}");
    assert_eq!(verdicts(&gate.records().await), "200 reply");
}

/// The blocks of a kind between the fences of the manual's page.
fn blocks(kind: &str) -> Vec<String> {
    let page = include_str!("../../../../docs/websocket.md");
    let fence = format!("```{kind}\n");
    let after = page.split(&fence).skip(1);
    after.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn the_example_of_the_manual_is_what_happens() {
    let example = include_str!("../../../../config/examples/websocket.yaml");
    let route = blocks("yaml").remove(0);
    assert!(example.ends_with(&route), "{route}");
    let [sent, got] = blocks("http").try_into().unwrap();
    let origin = WebSocketOrigin::start().await.unwrap();
    let gate = Gate::of(&format!(
        "listeners:\n  - {{name: front, address: \"127.0.0.1:0\"}}\n\
         upstreams:\n  - {{name: chat, endpoints: [{{address: \"{}\"}}]}}\nroutes:\n{route}",
        origin.address().unwrap()
    ))
    .await;
    let client = TcpStream::connect(gate.address).await.unwrap();
    let request = format!("{sent}\n").replace('\n', "\r\n");
    let (client, server) = tokio::join!(upgrade(client, &request), origin.accept());
    let sorted = |head: &str| {
        let lines = head.trim_end().lines().filter(|line| !line.starts_with("date: "));
        let mut lines: Vec<_> = lines.map(str::to_owned).collect();
        lines.sort();
        lines
    };
    assert_eq!(sorted(&client.unwrap().1), sorted(&got));
    assert!(server.unwrap().1.contains("origin: https://shop.example.com\r\n"));
}

/// Frames need a connection of their own, so they go by HTTP/1 whatever is spoken otherwise.
#[tokio::test]
async fn an_upstream_of_http2_is_asked_by_http1() {
    let settings = Settings { upstream: "protocol: http2", ..Settings::default() };
    let ends = Ends::new(settings).await;
    let (mut client, mut server) = ends.open().await;
    client.send(&Frame::text("hello")).await.unwrap();
    assert_eq!(server.expect().await.unwrap().payload, b"hello");
}
