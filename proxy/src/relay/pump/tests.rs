//! Bodies over real sockets that give and take as little as they like.

use proptest::collection::vec;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;
use crate::buffer::BufferPool;
use crate::http1::body::{BodyDecoder, Side};
use crate::http1::chunked::{write_chunk, write_last_chunk};
use crate::io::Socket;
use crate::message::Framing;
use crate::relay::filter::testing::{Holding, Tee};
use crate::relay::filter::{Filtered, Stack};
use crate::relay::reader::Http1Body;
use crate::relay::writer::{Http1Writing, Wire};

/// Counts what passes, and never waits.
#[derive(Default)]
struct Counts {
    body: u64,
    left: usize,
}

impl PumpHooks for Counts {
    fn took(&mut self, data: &[u8]) -> Result<(), Cause> {
        self.body += data.len() as u64;
        Ok(())
    }

    fn passed(&mut self, count: usize) {
        self.body += count as u64;
    }

    fn left(&mut self, count: usize) {
        self.left += count;
    }

    fn moved(&self) -> u64 {
        self.body
    }

    fn wait(&mut self, _: Wait) {}
}

/// Both ends of a socket with little room.
fn narrow() -> (Io, UnixStream) {
    let (ours, theirs) = UnixStream::pair().unwrap();
    for stream in [&ours, &theirs] {
        socket2::SockRef::from(stream).set_send_buffer_size(1).unwrap();
    }
    (Io::plain(Socket::Unix(ours)), theirs)
}

/// What the far end gets of `bytes`, which come in pieces of these sizes, and are read in pieces
/// of those; with what was counted.
async fn moved(
    bytes: &[u8],
    framings: (Framing, Framing),
    stack: Stack,
    sizes: (&[usize], &[usize]),
) -> (Vec<u8>, Counts) {
    let ((from, mut source), (to, mut sink)) = (narrow(), narrow());
    let mut reading = Reading::Lent {
        io: Wire::Client(&from),
        pool: BufferPool::default(),
        buffer: None,
        body: Http1Body::new(framings.0, Side::Response),
    };
    if !stack.is_empty() {
        reading = Reading::Filtered(Box::new(Filtered::new(reading, stack)));
    }
    let writing = Http1Writing::new(Wire::Client(&to), b"head".to_vec(), framings.1);
    let pipes = PipePool::default();
    let mut pump = Pump::new(reading, Writing::Http1(writing), &pipes);
    let mut counts = Counts::default();
    let give = async {
        let (mut rest, mut sizes) = (bytes, sizes.0.iter().cycle());
        while !rest.is_empty() {
            let (now, later) = rest.split_at(rest.len().min(*sizes.next().unwrap()));
            source.write_all(now).await.unwrap();
            rest = later;
            tokio::task::yield_now().await;
        }
        source.shutdown().await.unwrap();
    };
    let take = async {
        let (mut got, mut sizes) = (Vec::new(), sizes.1.iter().cycle());
        let mut room = vec![0; 64 * 1024];
        loop {
            match sink.read(&mut room[..*sizes.next().unwrap()]).await.unwrap() {
                0 => return got,
                count => got.extend_from_slice(&room[..count]),
            }
            tokio::task::yield_now().await;
        }
    };
    let pass = async {
        std::future::poll_fn(|cx| pump.poll(cx, &mut None, &mut counts)).await.unwrap();
        std::future::poll_fn(|cx| pump.writing.poll_close(cx, &mut |_| {})).await.unwrap();
    };
    let ((), (), got) = tokio::join!(give, pass, take);
    (got, counts)
}

fn encoded(body: &[u8], framing: Framing) -> Vec<u8> {
    if framing != Framing::Chunked {
        return body.to_vec();
    }
    let mut bytes = Vec::new();
    body.chunks(700).for_each(|piece| write_chunk(&mut bytes, piece));
    write_last_chunk(&mut bytes, b"");
    bytes
}

fn decoded(mut bytes: &[u8], framing: Framing) -> Vec<u8> {
    let mut body = Vec::new();
    let mut decoder = BodyDecoder::new(framing, Side::Response);
    while !bytes.is_empty() {
        let decoded = decoder.decode(bytes).unwrap();
        assert!(decoded.consumed > 0, "there is something behind the body");
        body.extend_from_slice(&bytes[decoded.data]);
        bytes = &bytes[decoded.consumed..];
    }
    assert!(decoder.finish_on_eof().is_ok());
    body
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever the source gives at a time, whatever the sink takes, and whatever is done to it.
    #[test]
    fn every_byte_arrives_once(
        body in vec(any::<u8>(), 0..40_000),
        kinds in (0..3_u8, 0..3_u8),
        group in proptest::option::of(2..40_usize),
        gives in vec(1..9_000_usize, 1..4),
        takes in vec(1..9_000_usize, 1..4),
    ) {
        let framing = |kind| match kind {
            0 => Framing::Length(body.len() as u64),
            1 => Framing::Chunked,
            _ => Framing::UntilClose,
        };
        let framings = (framing(kinds.0), framing(kinds.1));
        let tee = Tee::default();
        let (stack, add) = match group {
            Some(group) => (Stack::default().with(tee.clone()).with(Holding::new(group, 3)), 3),
            None => (Stack::default(), 0),
        };
        let bytes = encoded(&body, framings.0);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (got, counts) = runtime.block_on(moved(&bytes, framings, stack, (&gives, &takes)));
        prop_assert_eq!((counts.left, counts.body), (got.len(), body.len() as u64));
        let got = decoded(got.strip_prefix(b"head").unwrap(), framings.1);
        let expected: Vec<u8> = body.iter().map(|byte| byte.wrapping_add(add)).collect();
        prop_assert!(got == expected, "{} bytes of {}", got.len(), expected.len());
        if group.is_some() {
            prop_assert!(*tee.seen.borrow() == body);
        }
    }
}
