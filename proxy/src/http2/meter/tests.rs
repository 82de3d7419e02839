use std::time::Duration;

use super::*;

fn frame(kind: u8, flags: u8, length: u32) -> Vec<u8> {
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend_from_slice(&[kind, flags, 0, 0, 0, 1]);
    // What stands behind a header may look like one.
    bytes.extend((0..length).map(|at| if at % 3 == 0 { 0 } else { 3 }));
    bytes
}

fn meter() -> Meter {
    let mut meter = Meter::new(Instant::now());
    meter.receive(crate::http2::PREFACE, Instant::now);
    meter
}

/// What is left after the client's bytes and, behind them, the proxy's.
fn left(from_client: &[u8], to_client: &[u8], cut: usize) -> u32 {
    let mut meter = meter();
    // Enough is gone to see what is earned, and not so much that time is counted.
    meter.left = FULL - 1000;
    let now = meter.income.counted;
    for (bytes, receives) in [(from_client, true), (to_client, false)] {
        let (first, second) = bytes.split_at(cut.min(bytes.len()));
        for bytes in [first, second] {
            match receives {
                true => _ = meter.receive(bytes, || now),
                false => meter.send(bytes),
            }
        }
    }
    meter.left
}

#[test]
fn every_frame_has_its_price_however_the_bytes_are_cut() {
    let check = |name: &str, from_client: &[Vec<u8>], to_client: &[Vec<u8>], expected: i64| {
        let (from_client, to_client) = (from_client.concat(), to_client.concat());
        for cut in 0..=from_client.len().max(to_client.len()) {
            let change = i64::from(left(&from_client, &to_client, cut)) - i64::from(FULL - 1000);
            assert_eq!(change, expected, "{name}, cut at {cut}");
        }
    };
    check("nothing", &[], &[], 0);
    check("a ping", &[frame(6, 0, 8)], &[], -2);
    check("settings", &[frame(4, 0, 36)], &[], -20);
    check("a request", &[frame(1, 5, 40)], &[], -1);
    check("a window", &[frame(8, 0, 4)], &[], -1);
    check("a priority", &[frame(2, 0, 5)], &[], -1);
    check("a cancelled request", &[frame(1, 5, 40), frame(3, 0, 4)], &[], -51);
    check("a head in pieces", &[frame(1, 1, 9), frame(9, 0, 0), frame(9, 4, 1)], &[], -21);
    check("an unknown frame", &[frame(16, 0, 7)], &[], -5);
    check("a body", &[frame(0, 0, 640)], &[], 10);
    check("an empty body", &[frame(0, 1, 0)], &[], 0);
    check("an answered request", &[frame(1, 5, 40)], &[frame(1, 4, 20), frame(0, 1, 100)], 67);
    check("an answer that is its head", &[frame(1, 5, 40)], &[frame(1, 5, 20)], 59);
    check("a message of a stream", &[frame(8, 0, 4)], &[frame(0, 0, 10)], 4);
    check("a single byte", &[frame(8, 0, 4)], &[frame(0, 0, 1)], -1);
    check("our own settings and pings", &[], &[frame(4, 1, 0), frame(6, 1, 8)], 0);
    check("our own reset", &[], &[frame(3, 1, 4)], 0);
}

#[test]
fn a_flood_ends_and_stays_ended() {
    let check = |name: &str, flood: &[Vec<u8>], rounds: u32| {
        let mut meter = meter();
        let (now, bytes) = (meter.income.counted, flood.concat());
        let survived = (0..).take_while(|_| meter.receive(&bytes, || now)).count();
        assert_eq!(survived, rounds as usize, "{name}");
        meter.send(&frame(0, 1, 100));
        let later = now + Duration::from_secs(3600);
        assert!(!meter.receive(&frame(0, 0, 1), || later), "{name}: it is over");
    };
    check("rapid reset", &[frame(1, 5, 4), frame(3, 0, 4)], 196);
    check("settings", &[frame(4, 0, 0)], 499);
    check("pings", &[frame(6, 0, 8)], 4999);
    check("priorities", &[frame(2, 0, 5)], 9999);
    check("all in one read", &[frame(3, 0, 4).repeat(1000)], 0);
}

#[test]
fn what_is_useful_or_slow_goes_on_for_ever() {
    let check = |name: &str, sent: &[Vec<u8>], answers: &[Vec<u8>], apart: Duration| {
        let mut meter = meter();
        let mut now = meter.income.counted;
        for _ in 0..100_000 {
            assert!(meter.receive(&sent.concat(), || now), "{name}");
            meter.send(&answers.concat());
            now += apart;
        }
    };
    let (at_once, second) = (Duration::ZERO, Duration::from_secs(1));
    let answered = [frame(1, 4, 9), frame(0, 1, 5)];
    check("requests", &[frame(1, 5, 9)], &answered, at_once);
    check(
        "every other is cancelled",
        &[frame(1, 5, 9), frame(1, 5, 9), frame(3, 0, 4)],
        &answered,
        at_once,
    );
    check(
        "a download",
        &[frame(8, 0, 4), frame(8, 0, 4), frame(6, 0, 8)],
        &[frame(0, 0, 16)],
        at_once,
    );
    check("an upload", &[frame(0, 0, 16_384), frame(6, 0, 8)], &[], at_once);
    check("a ping a second", &[frame(6, 0, 8)], &[], second);
    check("a cancelled request a second", &[frame(1, 5, 9), frame(3, 0, 4)], &[], second);
}

#[test]
fn a_head_in_pieces_has_an_end() {
    const PIECE: u32 = 16 * 1024;
    let now = Instant::now();
    let mut meter = meter();
    for flags in [END_HEADERS, 0] {
        assert!(meter.receive(&frame(1, END_STREAM, PIECE), || now));
        assert!(meter.receive(&frame(9, 0, PIECE), || now));
        assert!(meter.receive(&frame(9, 0, PIECE), || now));
        assert!(meter.receive(&frame(9, flags, PIECE), || now), "as much as there may be");
    }
    assert!(!meter.receive(&frame(9, END_HEADERS, 1), || now), "one byte more");
}
