//! What leaves at once, over sockets that take little or nothing.

use std::time::Duration;

use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::io::Socket;

const HEAD: &[u8] = b"POST / HTTP/1.1\r\ncontent-length: ?\r\n\r\n";

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (ours, theirs) = tokio::join!(TcpStream::connect(address), listener.accept());
    (ours.unwrap(), theirs.unwrap().0)
}

fn writing(stream: TcpStream, length: usize) -> Http1Writing<'static> {
    let io = Rc::new(Io::plain(Socket::Tcp(stream)));
    Http1Writing::new(Wire::Upstream(io), HEAD.to_vec(), Framing::Length(length as u64))
}

/// Whatever part the kernel takes at first, the reader has every byte once.
#[tokio::test]
async fn the_rest_of_what_left_at_once_follows_it() {
    let mut in_parts = 0;
    for length in [0, 1, COPY_BELOW, COPY_BELOW + 1, 40_000, 400_000] {
        let (stream, mut peer) = pair().await;
        socket2::SockRef::from(&stream).set_send_buffer_size(1).unwrap();
        let body: Vec<u8> = (0..=250).cycle().take(length).collect();
        let mut writing = writing(stream, length);
        let left = writing.leave_at_once(&body);
        assert!(left.any, "an empty socket takes something");
        assert_eq!(left.whole, left.body == length && writing.out.is_empty());
        in_parts += u32::from(!left.whole);
        let mut writing = Writing::Http1(writing);
        let mut rest = &body[left.body..];
        let send = std::future::poll_fn(|cx| {
            while !rest.is_empty() {
                let count = ready!(writing.poll_data(cx, Data::Slice(rest), &mut |_| {}))?;
                rest = &rest[count..];
            }
            writing.poll_close(cx, &mut |_| {})
        });
        let mut seen = Vec::new();
        let (sent, read) = tokio::join!(send, peer.read_to_end(&mut seen));
        assert!(sent.is_ok() && read.is_ok());
        assert!(seen == [HEAD, &body[..]].concat(), "{length}: {left:?}");
    }
    assert!(in_parts > 0, "every socket took everything");
}

/// What a dead connection did not take can go over another one.
#[tokio::test]
async fn of_what_a_dead_connection_was_offered_nothing_has_left() {
    let (stream, peer) = pair().await;
    peer.set_zero_linger().unwrap();
    drop(peer);
    tokio::time::timeout(Duration::from_secs(5), stream.readable()).await.unwrap().unwrap();
    let mut writing = writing(stream, 4);
    assert_eq!(writing.leave_at_once(b"body"), Left { any: false, whole: false, body: 0 });
    assert_eq!(writing.take_out(), HEAD, "the head alone waits for another attempt");
}
