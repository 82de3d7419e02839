//! gRPC as bytes of HTTP/2: what a client is told when a call fails, and who is told to stop.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::harness::{Gate, Settings, observe, post, verdicts};

/// Longer than anything that is waited for; shorter than a test may hang.
const WITHIN: Duration = Duration::from_secs(10);
/// How long must nothing happen for something to count as quiet.
const QUIET: Duration = Duration::from_millis(700);

/// A message of this many bytes, with what stands before it.
fn message(length: usize) -> Bytes {
    let mut bytes = vec![0];
    bytes.extend_from_slice(&u32::try_from(length).unwrap().to_be_bytes());
    bytes.resize(5 + length, b'm');
    bytes.into()
}

/// A service that does this with each call.
async fn origin<F, R>(serve: F) -> SocketAddr
where
    F: Fn(Request<RecvStream>, SendResponse<Bytes>) -> R + Clone + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let serve = serve.clone();
            tokio::spawn(async move {
                let Ok(mut connection) = h2::server::handshake(stream).await else { return };
                while let Some(Ok((request, respond))) = connection.accept().await {
                    tokio::spawn(serve(request, respond));
                }
            });
        }
    });
    address
}

fn head() -> Response<()> {
    Response::builder().header("content-type", "application/grpc").body(()).unwrap()
}

/// Answers each call with its first message, then says that all is well.
async fn echo(request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let mut send = respond.send_response(head(), false).unwrap();
    let mut body = request.into_body();
    while let Some(Ok(data)) = body.data().await {
        body.flow_control().release_capacity(data.len()).unwrap();
        send.send_data(data, false).unwrap();
    }
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", "0".parse().unwrap());
    send.send_trailers(trailers).unwrap();
}

const H2C: &str = "protocol: http2";

async fn gate(settings: Settings, origin: SocketAddr) -> Gate {
    Gate::new(Settings { upstream: H2C, ..settings }, &[origin]).await
}

async fn connect(gate: &Gate) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(gate.address).await.unwrap();
    let (send, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    send
}

/// Begins a call with these fields.
async fn begin(gate: &Gate, fields: &[(&str, &str)]) -> (ResponseFuture, SendStream<Bytes>) {
    let mut request = Request::post("http://a.test/pkg.Service/Method")
        .header("te", "trailers")
        .header("content-type", "application/grpc");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let mut client = connect(gate).await.ready().await.unwrap();
    client.send_request(request.body(()).unwrap(), false).unwrap()
}

/// What came of a call: `status grpc-status: message`, then bytes of the body, then what the
/// trailers say or the code of a reset.
async fn outcome(response: ResponseFuture) -> String {
    let response = match timeout(WITHIN, response).await.unwrap() {
        Ok(response) => response,
        Err(error) => return format!("{:?}", error.reason()),
    };
    let mut told = response.status().as_u16().to_string();
    let say = |told: &mut String, map: &HeaderMap| {
        for name in ["grpc-status", "grpc-message"] {
            if let Some(value) = map.get(name) {
                told.push_str(&format!(" {}", value.to_str().unwrap()));
            }
        }
    };
    assert_eq!(response.headers()["content-type"], "application/grpc", "{response:?}");
    say(&mut told, response.headers());
    let mut body = response.into_body();
    let mut bytes = 0;
    loop {
        match timeout(WITHIN, body.data()).await.unwrap() {
            Some(Ok(data)) => {
                bytes += data.len();
                let _ = body.flow_control().release_capacity(data.len());
            }
            Some(Err(error)) => return format!("{told}, {bytes}, {:?}", error.reason()),
            None => break,
        }
    }
    match timeout(WITHIN, body.trailers()).await.unwrap() {
        Ok(Some(trailers)) => {
            told.push_str(&format!(", {bytes},"));
            say(&mut told, &trailers);
        }
        Ok(None) => assert_eq!(bytes, 0, "a body without trailers"),
        Err(error) => return format!("{told}, {bytes}, {:?}", error.reason()),
    }
    told
}

/// One call with one message.
async fn call(gate: &Gate, fields: &[(&str, &str)]) -> String {
    let (response, mut send) = begin(gate, fields).await;
    let _ = send.send_data(message(3), true);
    outcome(response).await
}

async fn silence(_: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
    let _ = std::future::poll_fn(|cx| respond.poll_reset(cx)).await;
}

/// Settings, the origin, fields of the request, what the client sees, what the record says.
type Case<'a> = (Settings, SocketAddr, &'a [(&'a str, &'a str)], &'a str, &'a str);

#[tokio::test]
async fn what_the_proxy_answers_has_a_status_of_grpc() {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let silent = origin(silence).await;
    let times = "timeouts: {response: 200ms, perTry: 200ms}";
    let plain = Settings::default();
    let cases: [Case<'_>; 4] = [
        (
            Settings { route: "match: {path: {prefix: /other}}", ..plain },
            silent,
            &[],
            "200 12 No such resource (no-route)",
            "200 no-route",
        ),
        (
            plain,
            nobody,
            &[],
            "200 14 The service is unavailable (upstream-connect-failed)",
            "200 upstream-connect-failed",
        ),
        (
            Settings { route: times, ..plain },
            silent,
            &[],
            "200 4 The service did not answer in time (upstream-timeout)",
            "200 upstream-timeout",
        ),
        (
            Settings { listener: "requestLimits: {headers: 10}", ..plain },
            silent,
            &[
                ("a", "1"),
                ("b", "1"),
                ("c", "1"),
                ("d", "1"),
                ("e", "1"),
                ("f", "1"),
                ("g", "1"),
                ("h", "1"),
                ("i", "1"),
            ],
            "200 8 The request head is too large (head-too-large)",
            "200 head-too-large",
        ),
    ];
    for (settings, origin, fields, expected, record) in cases {
        let gate = gate(settings, origin).await;
        assert_eq!(call(&gate, fields).await, expected);
        let records = gate.records().await;
        assert_eq!(verdicts(&records), record);
        let status = records[0]["grpc_status"].as_u64().unwrap();
        assert!(expected.starts_with(&format!("200 {status} ")), "{status}: {expected}");
    }
}

#[tokio::test]
async fn the_same_over_http1() {
    let origin = origin(silence).await;
    let settings = Settings { route: "match: {path: {prefix: /other}}", ..Settings::default() };
    let gate = gate(settings, origin).await;
    let mut client = gate.client().await;
    let ask = post("/a.B/C", &["content-type: application/grpc+proto", "content-length: 0"], "");
    client.send(ask.as_bytes()).await.unwrap();
    let answer = client.response().await.unwrap();
    assert_eq!((answer.status, answer.body.len()), (200, 0));
    assert_eq!(answer.headers.first("content-type"), Some("application/grpc"));
    assert_eq!(answer.headers.first("grpc-status"), Some("12"));
    assert_eq!(answer.headers.first("grpc-message"), Some("No such resource (no-route)"));
    let ask = post("/a.B/C", &["content-length: 0"], "");
    client.send(ask.as_bytes()).await.unwrap();
    assert_eq!(observe(&mut client, false, 1).await, "404 no-route, keep");
}

/// A deadline ends a call wherever it stands, and the service hears of it.
#[tokio::test]
async fn a_deadline_ends_the_whole_call() {
    for begins in [false, true] {
        let (told, mut hears) = mpsc::unbounded_channel();
        let origin =
            origin(move |request: Request<RecvStream>, mut respond: SendResponse<Bytes>| {
                let told = told.clone();
                async move {
                    let given = request.headers().get("grpc-timeout").cloned();
                    told.send(format!("{:?}", given.unwrap())).unwrap();
                    let code = if begins {
                        let mut send = respond.send_response(head(), false).unwrap();
                        send.send_data(message(7), false).unwrap();
                        std::future::poll_fn(|cx| send.poll_reset(cx)).await
                    } else {
                        std::future::poll_fn(|cx| respond.poll_reset(cx)).await
                    };
                    told.send(format!("{:?}", code.unwrap())).unwrap();
                }
            })
            .await;
        let gate = gate(Settings::default(), origin).await;
        let (response, mut send) = begin(&gate, &[("grpc-timeout", "300m")]).await;
        send.send_data(message(3), false).unwrap();
        let expected = match begins {
            false => "200 4 The time of the call is over (deadline)",
            true => "200, 12, 4 The time of the call is over (deadline)",
        };
        assert_eq!(outcome(response).await, expected);
        let given = timeout(WITHIN, hears.recv()).await.unwrap().unwrap();
        let micros: u32 = given.trim_matches('"').strip_suffix('u').unwrap().parse().unwrap();
        assert!((1..=300_000).contains(&micros), "{given}");
        let code = timeout(WITHIN, hears.recv()).await.unwrap().unwrap();
        assert_eq!(code, format!("{:?}", Reason::CANCEL));
        drop(send);
        let records = gate.records().await;
        assert_eq!((&*verdicts(&records), &records[0]["grpc_status"]), ("200 deadline", &4.into()));
    }
}

/// The log has what the service said behind its body, also where that is translated, and nothing
/// of requests that are no calls.
#[tokio::test]
async fn the_status_of_a_call_is_in_the_log() {
    let origin = origin(echo).await;
    let gate = gate(Settings { route: "grpcWeb: true", ..Settings::default() }, origin).await;
    assert_eq!(call(&gate, &[]).await, "200, 8, 0");
    let mut client = gate.client().await;
    for (content_type, body) in [("application/grpc-web+proto", 8), ("text/plain", 8)] {
        let head = [&format!("content-type: {content_type}")[..], "content-length: 8"];
        let mut ask = post("/a.B/C", &head, "").into_bytes();
        ask.extend_from_slice(&message(3)[..body]);
        client.send(&ask).await.unwrap();
        client.response().await.unwrap();
    }
    let records = gate.records().await;
    let told: Vec<_> = records.iter().map(|record| record.get("grpc_status")).collect();
    assert_eq!(told, [Some(&0.into()), Some(&0.into()), None], "{records:?}");
}

/// What is sent again is sent within the same time.
#[tokio::test]
async fn a_deadline_holds_over_all_attempts() {
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        listener.local_addr().unwrap()
    };
    let silent = origin(silence).await;
    let settings = Settings { upstream: H2C, route: "retry: {retries: 3}", ..Settings::default() };
    let gate = Gate::new(settings, &[nobody, silent]).await;
    let told = call(&gate, &[("grpc-timeout", "300m")]).await;
    assert_eq!(told, "200 4 The time of the call is over (deadline)");
    let told = call(&gate, &[("grpc-timeout", "0n")]).await;
    assert_eq!(told, "200 4 The time of the call is over (deadline)");
    let records = gate.records().await;
    assert_eq!(records[1]["attempts"], 0);
}

#[tokio::test]
async fn what_is_no_time_is_the_services_to_judge() {
    let origin = origin(async |request: Request<RecvStream>, mut respond: SendResponse<Bytes>| {
        let mut head = head();
        let given = request.headers()["grpc-timeout"].clone();
        head.headers_mut().insert("grpc-status", "13".parse().unwrap());
        head.headers_mut().insert("grpc-message", given);
        respond.send_response(head, true).unwrap();
    })
    .await;
    let gate = gate(Settings::default(), origin).await;
    for value in ["5", "soon", "123456789n", "1h"] {
        assert_eq!(call(&gate, &[("grpc-timeout", value)]).await, format!("200 13 {value}"));
    }
    let records = gate.records().await;
    assert!(records.iter().all(|record| record["grpc_status"] == 13), "{records:?}");
}

/// What a reset of the upstream says, the client reads as a status.
#[tokio::test]
async fn a_reset_is_told_by_its_code() {
    for (code, status) in [
        (Reason::CANCEL, 1),
        (Reason::ENHANCE_YOUR_CALM, 8),
        (Reason::INADEQUATE_SECURITY, 7),
        (Reason::INTERNAL_ERROR, 13),
    ] {
        for begins in [false, true] {
            let origin = origin(
                move |request: Request<RecvStream>, mut respond: SendResponse<Bytes>| async move {
                    let mut body = request.into_body();
                    let _ = body.data().await;
                    if begins {
                        let mut send = respond.send_response(head(), false).unwrap();
                        send.send_data(message(7), false).unwrap();
                        // Nothing is lost that was sent before: the client's next message says that
                        // it has come.
                        let _ = body.data().await;
                        send.send_reset(code);
                    } else {
                        respond.send_reset(code);
                    }
                },
            )
            .await;
            let gate = gate(Settings::default(), origin).await;
            let (response, mut send) = begin(&gate, &[]).await;
            send.send_data(message(3), false).unwrap();
            if begins {
                let response = timeout(WITHIN, response).await.unwrap().unwrap();
                let mut body = response.into_body();
                let data = timeout(WITHIN, body.data()).await.unwrap().unwrap().unwrap();
                assert_eq!(data.len(), 12);
                send.send_data(message(3), false).unwrap();
                assert!(timeout(WITHIN, body.data()).await.unwrap().is_none());
                let trailers = timeout(WITHIN, body.trailers()).await.unwrap().unwrap().unwrap();
                assert_eq!(trailers["grpc-status"], status.to_string());
                assert_eq!(
                    trailers["grpc-message"],
                    "The service closed the connection (upstream-truncated)"
                );
            } else {
                let expected =
                    format!("200 {status} The service closed the connection (upstream-reset)");
                assert_eq!(outcome(response).await, expected);
            }
        }
    }
}

#[tokio::test]
async fn a_client_that_cancels_is_heard_upstream() {
    let (told, mut hears) = mpsc::unbounded_channel();
    let origin = origin(move |_: Request<RecvStream>, mut respond: SendResponse<Bytes>| {
        let told = told.clone();
        async move {
            let mut send = respond.send_response(head(), false).unwrap();
            let code = std::future::poll_fn(|cx| send.poll_reset(cx)).await;
            told.send(code.unwrap()).unwrap();
        }
    })
    .await;
    let gate = gate(Settings::default(), origin).await;
    let (response, mut send) = begin(&gate, &[]).await;
    let response = timeout(WITHIN, response).await.unwrap().unwrap();
    send.send_reset(Reason::CANCEL);
    assert_eq!(timeout(WITHIN, hears.recv()).await.unwrap(), Some(Reason::CANCEL));
    drop(response);
    assert_eq!(verdicts(&gate.records().await), "200 client-aborted");
}

/// Neither the patience for bodies nor a pace ends a stream that is quiet: the route's idle time
/// does, and any byte of either side begins it anew.
#[tokio::test]
async fn a_quiet_stream_lives_by_the_idle_time_of_its_route() {
    let listener = "timeouts: {body: 100ms}";
    let patient = Settings {
        listener,
        route: "timeouts: {response: 100ms, perTry: 100ms, idle: 30s}",
        ..Settings::default()
    };
    // Before and after the head.
    let late = origin(async |request: Request<RecvStream>, respond: SendResponse<Bytes>| {
        let (parts, mut body) = request.into_parts();
        let first = body.data().await;
        assert!(first.is_some());
        echo(Request::from_parts(parts, body), respond).await;
    })
    .await;
    let gate_of_late = gate(patient, late).await;
    let (mut response, mut send) = begin(&gate_of_late, &[]).await;
    assert!(timeout(QUIET, &mut response).await.is_err());
    send.send_data(message(1), false).unwrap();
    let mut body = timeout(WITHIN, response).await.unwrap().unwrap().into_body();
    assert!(timeout(QUIET, body.data()).await.is_err());
    send.send_data(message(2), true).unwrap();
    let data = timeout(WITHIN, body.data()).await.unwrap().unwrap().unwrap();
    assert_eq!(data, message(2));
    assert!(body.data().await.is_none());
    let trailers = timeout(WITHIN, body.trailers()).await.unwrap().unwrap().unwrap();
    assert_eq!(trailers["grpc-status"], "0");

    let impatient = Settings { route: "timeouts: {idle: 300ms}", ..patient };
    let gate = gate(impatient, origin(echo).await).await;
    let (response, send) = begin(&gate, &[]).await;
    let told = outcome(response).await;
    assert_eq!(told, "200, 0, 4 The service did not answer in time (upstream-idle)");
    drop(send);
}

/// The limit of a body is that of each message of a stream.
#[tokio::test]
async fn a_stream_may_be_longer_than_a_body() {
    let settings = Settings { listener: "requestLimits: {body: 1KiB}", ..Settings::default() };
    let gate = gate(settings, origin(echo).await).await;
    let (response, mut send) = begin(&gate, &[]).await;
    for left in (0..100).rev() {
        send.send_data(message(1024), left == 0).unwrap();
    }
    assert_eq!(outcome(response).await, format!("200, {}, 0", 100 * 1029));
    let (response, mut send) = begin(&gate, &[]).await;
    send.send_data(message(1025), true).unwrap();
    let told = outcome(response).await;
    assert!(told.ends_with(" 8 The request body is too large (body-too-large)"), "{told}");
}
