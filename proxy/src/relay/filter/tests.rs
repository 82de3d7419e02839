use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use proptest::collection::vec;
use proptest::prelude::*;

use super::testing::{Holding, Tee, cut, run};
use super::*;
use crate::buffer::{BufferPool, HeadBuffer};
use crate::http1::body::Side;
use crate::http2::fields::trailer_map;
use crate::io::testing::pair;
use crate::io::{Io, Socket};
use crate::relay::reader::{Http1Body, Piece, Reading, Trailers};

const HEAD: &[u8] = b"POST / HTTP/1.1\r\n\r\n";
const END: &[u8] = b"0\r\nfirst: 1\r\n\r\n";

/// What a step of a test does to a body that is read through filters.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// This many bytes come from the client.
    Come(usize),
    /// This many bytes of the current piece are taken.
    Take(usize),
    /// The reader finds that nothing more is here.
    Dry,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        (1..40_usize).prop_map(Step::Come),
        (1..40_usize).prop_map(Step::Take),
        Just(Step::Dry),
    ];
    vec(step, 0..60)
}

/// A body in chunks, into which what comes of the client is put by hand.
struct Source<'c> {
    reading: Reading<'c>,
    pinned: Option<HeadBuffer>,
    left: &'c [u8],
    out: Vec<u8>,
}

impl<'c> Source<'c> {
    fn new(io: &'c Io, stack: Stack, bytes: &'c [u8]) -> Self {
        let body = Http1Body::new(Framing::Chunked, Side::Request);
        let inner = Reading::Pinned { io, body };
        let mut buffer = BufferPool::default().take();
        buffer.spare()[..HEAD.len()].copy_from_slice(HEAD);
        buffer.commit(HEAD.len());
        Self {
            reading: Reading::Filtered(Box::new(Filtered::new(inner, stack))),
            pinned: Some(buffer.pin_head(HEAD.len())),
            left: bytes,
            out: Vec::new(),
        }
    }

    fn come(&mut self, count: usize) {
        let (now, later) = self.left.split_at(count.min(self.left.len()));
        let buffer = self.pinned.as_mut().unwrap();
        buffer.compact();
        buffer.spare()[..now.len()].copy_from_slice(now);
        buffer.commit(now.len());
        self.left = later;
    }

    /// Takes some of what is shown; the trailers at the end.
    fn take(&mut self, most: usize) -> Option<Option<HeaderMap>> {
        let count = match self.reading.piece(&mut self.pinned).unwrap() {
            Piece::Starved => return None,
            Piece::End(Trailers::Map(map)) => return Some(Some(map.clone())),
            Piece::End(_) => return Some(None),
            Piece::Data(data) => {
                let part = &data.as_slice()[..most.min(data.as_slice().len())];
                self.out.extend_from_slice(part);
                part.len()
            }
        };
        self.reading.take(&mut self.pinned, count);
        None
    }

    /// Takes all that is here, and finds that nothing comes: what was held back shows itself.
    fn dry(&mut self) {
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            while matches!(self.reading.piece(&mut self.pinned), Ok(Piece::Data(_))) {
                self.take(usize::MAX);
            }
            if matches!(self.reading.piece(&mut self.pinned), Ok(Piece::End(_))) {
                return;
            }
            if self.reading.poll_fill(&mut cx, &mut self.pinned).is_pending() {
                return;
            }
        }
    }

    fn finish(mut self) -> (Vec<u8>, Option<HeaderMap>) {
        self.come(usize::MAX);
        loop {
            if let Some(trailers) = self.take(usize::MAX) {
                assert!(self.reading.is_done());
                return (self.out, trailers);
            }
        }
    }
}

fn in_chunks(body: &[u8], cuts: &[prop::sample::Index]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for piece in cut(body, cuts).into_iter().filter(|piece| !piece.is_empty()) {
        bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
        bytes.extend_from_slice(piece);
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(END);
    bytes
}

/// A connection on which nothing ever comes.
async fn silent() -> (Io, Io) {
    let (ours, theirs) = pair().await;
    (ours, Io::plain(Socket::Tcp(theirs)))
}

fn with_runtime<R>(test: impl AsyncFnOnce() -> R) -> R {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(test())
}

fn added(body: &[u8], add: u8) -> Vec<u8> {
    body.iter().map(|byte| byte.wrapping_add(add)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// However the body is cut, whatever is taken when, and whenever the source is dry.
    #[test]
    fn every_way_through_the_filters_gives_the_same(
        body in vec(any::<u8>(), 0..300),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
        steps in steps(),
        groups in (1..9_usize, 1..9_usize),
    ) {
        let bytes = in_chunks(&body, &cuts);
        let (first, last) = (Tee::default(), Tee::default());
        let stack = Stack::default()
            .with(first.clone())
            .with(Holding::new(groups.0, 3))
            .with(Holding::new(groups.1, 5))
            .with(last.clone());
        let (out, trailers) = with_runtime(async || {
            let (io, _peer) = silent().await;
            let mut source = Source::new(&io, stack, &bytes);
            for step in steps {
                match step {
                    Step::Come(count) => source.come(count),
                    Step::Take(count) => drop(source.take(count)),
                    Step::Dry => source.dry(),
                }
            }
            source.finish()
        });
        prop_assert_eq!(&out, &added(&body, 8));
        prop_assert_eq!(&*first.seen.borrow(), &body);
        prop_assert_eq!(&*last.seen.borrow(), &out);
        let expected = trailer_map(b"first: 1\r\nadded: 3\r\nadded: 5\r\n");
        prop_assert_eq!(trailers, expected);
    }

    #[test]
    fn a_stack_is_the_composition_of_its_filters(
        body in vec(any::<u8>(), 0..300),
        cuts in vec(any::<prop::sample::Index>(), 0..6),
        filters in vec((1..9_usize, any::<u8>()), 0..5),
    ) {
        let pieces = cut(&body, &cuts);
        let mut stack = Stack::default();
        let (mut expected, mut behind) = (body.clone(), None);
        for (group, add) in filters {
            stack.push(Holding::new(group, add));
            let one = Stack::default().with(Holding::new(group, add));
            (expected, behind) = run(one, &[&expected], behind).unwrap();
        }
        prop_assert_eq!(run(stack, &pieces, None), Ok((expected, behind)));
    }
}

/// A reader that waits for more has been given all that is here, through every filter.
#[tokio::test]
async fn nothing_is_held_back_while_the_source_is_dry() {
    let (io, _peer) = silent().await;
    let stack = Stack::default().with(Holding::new(8, 1)).with(Holding::new(5, 1));
    let bytes = in_chunks(b"abcdefghijk", &[]);
    let mut source = Source::new(&io, stack, &bytes);
    source.come(bytes.len() - END.len());
    while matches!(source.reading.piece(&mut source.pinned), Ok(Piece::Data(_))) {
        source.take(usize::MAX);
    }
    assert_eq!(source.out, b"cdefg", "what makes no whole group is held back");
    source.dry();
    assert_eq!(source.out, b"cdefghijklm");
    let mut cx = Context::from_waker(Waker::noop());
    let again = source.reading.poll_fill(&mut cx, &mut source.pinned);
    assert!(matches!(again, Poll::Pending), "it is asked for once");
    assert_eq!(source.finish().0, b"cdefghijklm");
}

/// What only looks on costs no copy: the reader is shown the very bytes.
#[tokio::test]
async fn what_passes_unchanged_is_not_copied() {
    let (io, _peer) = silent().await;
    let tee = Tee::default();
    let bytes = in_chunks(b"abc", &[]);
    let mut source = Source::new(&io, Stack::default().with(tee.clone()), &bytes);
    source.come(usize::MAX);
    let address = source.pinned.as_ref().unwrap().body().as_ptr();
    let Ok(Piece::Data(data)) = source.reading.piece(&mut source.pinned) else { panic!("no data") };
    // Behind the size of the chunk.
    assert_eq!(data.as_slice().as_ptr(), address.wrapping_add(3));
    assert_eq!(source.finish().0, b"abc");
    assert_eq!(*Rc::clone(&tee.seen).borrow(), b"abc");
}

#[test]
fn a_filter_that_changes_the_length_says_so() {
    let keeps = || Stack::default().with(Tee::default()).with(Holding::new(2, 1));
    let changes = || keeps().with(grpc_web::ToBinary);
    for (stack, framing, expected) in [
        (Stack::default(), Framing::Length(5), Framing::Length(5)),
        (keeps(), Framing::Length(5), Framing::Length(5)),
        (changes(), Framing::Length(5), Framing::Chunked),
        (changes(), Framing::Length(0), Framing::Length(0)),
        (changes(), Framing::None, Framing::None),
        (changes(), Framing::UntilClose, Framing::Chunked),
    ] {
        assert_eq!(stack.framing(framing), expected, "{framing:?}");
    }
}
