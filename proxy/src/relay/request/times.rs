//! Whose time it is while a body is on its way: the same for clients of HTTP/1 and HTTP/2.

use std::rc::Rc;

use bytes::Bytes;
use portcullis_testkit::patience::slowly;
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};

use super::tests::HEAD;
use super::*;
use crate::buffer::BufferPool;
use crate::deadline::Deadline;
use crate::http1::body::Side;
use crate::io::testing::pair;
use crate::message::Framing;
use crate::relay::reader::{Http1Body, Http2Body};
use crate::relay::writer::{Http1Writing, Wire};

const PER_TRY: Duration = Duration::from_secs(5);
const RESPONSE: Duration = Duration::from_secs(15);

/// A body: pieces with so many seconds before each.
type Body = &'static [(u64, usize)];

/// The stream of a request with such a body, on a connection that tasks drive.
async fn http2(body: Body) -> h2::RecvStream {
    async fn serve(io: DuplexStream, out: tokio::sync::oneshot::Sender<h2::RecvStream>) {
        let mut connection = h2::server::handshake(io).await.unwrap();
        let (request, _respond) = connection.accept().await.unwrap().unwrap();
        out.send(request.into_body()).unwrap();
        while connection.accept().await.is_some() {}
    }
    let (ours, theirs) = duplex(1 << 20);
    let (out, stream) = tokio::sync::oneshot::channel();
    tokio::spawn(serve(ours, out));
    let (send, connection) = h2::client::handshake(theirs).await.unwrap();
    tokio::spawn(connection);
    let mut send = send.ready().await.unwrap();
    let request = http::Request::post("http://a/").body(()).unwrap();
    let (response, mut sending) = send.send_request(request, false).unwrap();
    tokio::spawn(async move {
        for (pause, size) in body {
            if *pause > 0 {
                slowly(Duration::from_secs(*pause)).await;
            }
            sending.send_data(Bytes::from(vec![b'x'; *size]), false).unwrap();
        }
        sending.send_data(Bytes::new(), true).unwrap();
        let _ = response.await;
    });
    stream.await.unwrap()
}

/// How long the upstream has for its answer, in seconds since the attempt began, once such a
/// body has been sent. The attempt began so many seconds behind the request.
async fn answer_until(http2_client: bool, behind: u64, body: Body) -> u64 {
    let length = body.iter().map(|(_, size)| *size as u64).sum();
    let framing = Framing::Length(length);
    let (client, mut client_end) = pair().await;
    let (upstream, _upstream_end) = pair().await;
    let mut pinned = None;
    let reading = if http2_client {
        let reading = Reading::Http2(Box::new(Http2Body::new(http2(body).await, Side::Request)));
        // What has come, has come with the head.
        tokio::task::yield_now().await;
        reading
    } else {
        let mut buffer = BufferPool::default().take();
        let first = if body[0].0 == 0 { body[0].1 } else { 0 };
        buffer.spare()[..HEAD.len()].copy_from_slice(HEAD);
        buffer.commit(HEAD.len() + first);
        pinned = Some(buffer.pin_head(HEAD.len()));
        let late = if first > 0 { &body[1..] } else { body };
        tokio::spawn(async move {
            for (pause, size) in late {
                if *pause > 0 {
                    slowly(Duration::from_secs(*pause)).await;
                }
                client_end.write_all(&vec![b'x'; *size]).await.unwrap();
            }
            // The connection stays until the test is over.
            std::future::pending::<()>().await;
        });
        Reading::Pinned { io: &client, body: Http1Body::new(framing, Side::Request) }
    };
    let started = Instant::now();
    let answer_by = started + RESPONSE - Duration::from_secs(behind);
    let rules = UploadRules {
        limit: u64::MAX,
        patience: Duration::from_secs(30),
        idle: Duration::from_secs(60),
        call: false,
        answer_patience: PER_TRY,
        started,
        answer_by,
        held_back: false,
    };
    let writing = Http1Writing::new(Wire::Upstream(Rc::new(upstream)), HEAD.to_vec(), framing);
    let pipes = PipePool::default();
    let mut upload = Upload::new(reading, Writing::Http1(writing), &pipes, rules);
    let deadline = Deadline::at(answer_by.min(started + PER_TRY));
    let watch = Watch::new(&deadline, None);
    let counters = UploadCounters::default();
    let sent = std::future::poll_fn(|cx| upload.poll(cx, &mut pinned, &watch, &counters)).await;
    assert!(sent.is_ok() && counters.complete.get(), "{sent:?}");
    assert_eq!((counters.body.get(), watch.stage.get()), (length, WaitStage::ResponseHead));
    deadline.wanted().duration_since(started).as_secs()
}

#[tokio::test(start_paused = true)]
async fn the_time_that_a_client_takes_is_not_the_upstreams() {
    let check = async |what: &str, behind, body: Body, expected| {
        for http2 in [false, true] {
            let until = answer_until(http2, behind, body).await;
            assert_eq!(until, expected, "{what}, HTTP/2: {http2}");
        }
    };
    check("there from the start", 0, &[(0, 500)], 5).await;
    check("slow", 0, &[(0, 500), (20, 500)], 25).await;
    check("late", 0, &[(2, 500)], 7).await;
    check("another attempt", 12, &[(0, 500)], 3).await;
    check("another attempt, of which the rest was awaited", 12, &[(0, 500), (2, 500)], 5).await;
    check("another attempt, early", 2, &[(0, 500), (2, 500)], 7).await;
}
