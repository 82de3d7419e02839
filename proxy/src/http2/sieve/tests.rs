use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// Stream 1; what stands behind the header looks like an empty frame itself.
fn frame(kind: u8, flags: u8, stream: u32, length: u32) -> Vec<u8> {
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags]);
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend((0..length).map(|at| u8::from(at % 9 == 8)));
    bytes
}

fn idle() -> Vec<u8> {
    frame(DATA, 0, 1, 0)
}

/// What goes on of pieces that are read one after another, with so much room each time.
fn sifted(sieve: &mut Sieve, pieces: &[&[u8]], room: usize, now: Instant) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces.iter().flat_map(|piece| piece.chunks(room)) {
        let mut rest = piece.to_vec();
        while !rest.is_empty() {
            let missing = sieve.missing().min(rest.len());
            if missing > 0 {
                let bytes: Vec<_> = rest.drain(..missing).collect();
                sieve.add(&bytes, || now);
                while let Some(bytes) = sieve.take(room) {
                    out.extend_from_slice(bytes);
                }
                continue;
            }
            let kept = sieve.sift(&mut rest, || now);
            out.extend_from_slice(&rest[..kept]);
            break;
        }
    }
    out
}

fn check(name: &str, frames: &[Vec<u8>], expected: &[Vec<u8>]) {
    let (bytes, expected) = (frames.concat(), expected.concat());
    let now = Instant::now();
    for cut in 0..=bytes.len() {
        let (first, second) = bytes.split_at(cut);
        let passed = sifted(&mut Sieve::new(now), &[first, second], usize::MAX, now);
        assert_eq!(passed, expected, "{name}, cut at {cut}");
    }
    for room in 1..=20 {
        let passed = sifted(&mut Sieve::new(now), &[&bytes], room, now);
        assert_eq!(passed, expected, "{name}, {room} at a time");
    }
}

#[test]
fn only_what_says_nothing_is_taken_out() {
    let stays = |name, frames: &[Vec<u8>]| check(name, frames, frames);
    check("one", &[idle()], &[]);
    check("flags that mean nothing", &[frame(DATA, !(END_STREAM | PADDED), 1, 0)], &[]);
    check("a reserved bit", &[frame(DATA, 0, 1 | 1 << 31, 0)], &[]);
    let (head, data) = (frame(HEADERS, END_HEADERS, 1, 20), frame(DATA, 0, 1, 30));
    let mixed = [head.clone(), idle(), data.clone(), idle(), idle(), data.clone(), idle()];
    check("between others", &mixed, &[head, data.clone(), data]);
    stays("an end", &[frame(DATA, END_STREAM, 1, 0)]);
    stays("padding", &[frame(DATA, PADDED, 1, 5), frame(DATA, PADDED, 1, 1)]);
    stays("padding that is not there", &[frame(DATA, PADDED, 1, 0)]);
    stays("of no stream", &[frame(DATA, 0, 0, 0)]);
    stays("other frames", &[frame(4, 0, 0, 0), frame(9, 4, 1, 0), frame(1, 5, 1, 0)]);
    let torn = [frame(HEADERS, 0, 1, 3), idle(), frame(CONTINUATION, END_HEADERS, 1, 3)];
    stays("in a head", &torn);
    check("behind a head in pieces", &[torn[0].clone(), torn[2].clone(), idle()], &{
        [torn[0].clone(), torn[2].clone()]
    });
}

#[test]
fn the_end_of_a_stream_tears_nothing_away() {
    for length in 1..HEADER {
        let (now, header) = (Instant::now(), idle());
        let mut sieve = Sieve::new(now);
        assert_eq!(sieve.sift(&mut header[..length].to_vec(), || now), 0);
        sieve.add(&[], || now);
        assert_eq!(sieve.take(HEADER), Some(&header[..length]));
        assert_eq!((sieve.missing(), sieve.take(HEADER)), (0, None));
    }
}

#[test]
fn a_flood_is_left_to_the_library() {
    let (mut now, data) = (Instant::now(), frame(DATA, 0, 1, 1));
    let mut sieve = Sieve::new(now);
    let mut passed = |frames: &[Vec<u8>], now| {
        sifted(&mut sieve, &[&frames.concat()], usize::MAX, now).len() / HEADER
    };
    for _ in 0..100_000 {
        assert_eq!(passed(&[idle(), data.clone()], now), 1, "one with every message");
    }
    let flood = vec![idle(); 12_000];
    assert_eq!(passed(&flood, now), 2_000);
    assert_eq!(passed(&flood, now), 12_000, "it is over");
    now += Duration::from_millis(1_500);
    assert_eq!(passed(&flood, now), 10_500, "time pays");
    for _ in 0..100 {
        now += Duration::from_secs(1);
        assert_eq!(passed(&vec![idle(); 1_000], now), 0, "a thousand a second are none");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn frames_pass_unchanged_however_they_are_cut(
        frames in proptest::collection::vec(
            (0_u8..10, prop_oneof![Just(0_u8), Just(END_STREAM), Just(END_HEADERS), Just(PADDED)],
             0_u32..3, prop_oneof![Just(0_u32), 0_u32..40]),
            0..16,
        ),
    ) {
        let mut in_head = false;
        let mut expected = Vec::new();
        let mut all = Vec::new();
        for (kind, flags, stream, length) in frames {
            let bytes = frame(kind, flags, stream, length);
            let idle = bytes[..5] == [0, 0, 0, 0, flags] && flags & 9 == 0 && stream > 0;
            if !idle || in_head {
                expected.push(bytes.clone());
            }
            if matches!(kind, 1 | 5 | 9) {
                in_head = flags & END_HEADERS == 0;
            }
            all.push(bytes);
        }
        check("any", &all, &expected);
    }
}
