//! Calls as gRPC makes them: messages both ways on one HTTP/2 stream, and a verdict in trailers.

use std::time::Duration;

use bytes::Bytes;

use super::http2::{Body, Channel, cut_short, read, text, unanswered};
use super::problem;
use crate::chaos::ledger::Ending;
use crate::chaos::wish::{ECHO, RECEIVED, Wish, content, digest};

const MESSAGES: usize = 5;
/// Between two messages.
const PAUSE: Duration = Duration::from_millis(40);

pub(super) async fn make(channel: &Channel, wish: &Wish) -> Ending {
    let path = format!("/{}/stream/{}", wish.upstream.name(), wish.id);
    let (response, mut stream) = match channel.begin(wish, "POST", &path, false).await {
        Ok(begun) => begun,
        Err(ending) => return ending,
    };
    let messages = content(&wish.id, MESSAGES * 700);
    let talk = async {
        for message in messages.chunks(700) {
            // It fails when the answer was an early one, which is judged below.
            let _ = stream.send_data(Bytes::copy_from_slice(message), false);
            tokio::time::sleep(PAUSE).await;
        }
        let _ = stream.send_data(Bytes::new(), true);
    };
    let listen = async {
        let (head, body) = match response.await {
            Ok(response) => response.into_parts(),
            Err(error) => return unanswered(&error),
        };
        let (body, trailers) = match read(body).await {
            Body::Whole(body, trailers) => (body, trailers),
            Body::Broken(why) => return cut_short(wish, &head.headers, why),
        };
        if head.status != 200 {
            return problem(head.status.as_u16(), &body);
        }
        let Some(trailers) = trailers else {
            return Ending::Wrong("a call that ended well without trailers".to_owned());
        };
        let right = text(&head.headers, ECHO) == wish.id
            && body == messages
            && text(&trailers, "grpc-status") == "0"
            && text(&trailers, RECEIVED) == digest(&messages);
        if right {
            Ending::Right
        } else {
            Ending::Wrong(format!(
                "{} bytes came back, {:?} {trailers:?}",
                body.len(),
                head.headers
            ))
        }
    };
    tokio::join!(talk, listen).1
}
