use super::*;

/// A frame as a peer would write it, whether or not it may.
fn frame(first: u8, masked: bool, length: u64) -> Vec<u8> {
    let mask = if masked { 0x80 } else { 0 };
    let mut bytes = vec![first];
    match length {
        0..=125 => bytes.push(mask | u8::try_from(length).unwrap()),
        126..=0xffff => {
            bytes.push(mask | 126);
            bytes.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
        _ => {
            bytes.push(mask | 127);
            bytes.extend_from_slice(&length.to_be_bytes());
        }
    }
    if masked {
        bytes.extend_from_slice(&[1, 2, 3, 4]);
    }
    bytes.resize(bytes.len() + usize::try_from(length).unwrap(), 0x88);
    bytes
}

/// Some of each kind: all that changes where a boundary lies, and what is not allowed beside it.
fn kinds() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("empty text", frame(0x81, false, 0)),
        ("empty text, masked", frame(0x81, true, 0)),
        ("short", frame(0x82, true, 5)),
        ("the longest short one", frame(0x82, false, 125)),
        ("the shortest of 16 bits", frame(0x82, true, 126)),
        ("16 bits", frame(0x82, false, 300)),
        ("64 bits", frame(0x82, true, 65_536)),
        ("a first fragment", frame(0x01, true, 3)),
        ("a last fragment", frame(0x80, true, 3)),
        ("a ping", frame(0x89, true, 4)),
        ("compressed", frame(0xc1, true, 7)),
        ("a reserved opcode", frame(0x83, true, 7)),
        ("a ping that is too long", frame(0x89, true, 200)),
        ("a pong in fragments", frame(0x0a, false, 2)),
    ]
}

/// Every boundary is found, whatever the pieces in which the bytes come.
#[test]
fn boundaries_do_not_depend_on_the_pieces() {
    for (what, first) in kinds() {
        let bytes = [first.clone(), frame(0x8a, true, 1)].concat();
        let ends = [first.len(), bytes.len()];
        // All offsets of what is short, and those around the header of what is long.
        let offsets = (0..=bytes.len()).filter(|at| *at < 400 || at + 20 > bytes.len());
        for at in offsets {
            let mut frames = Frames::default();
            frames.feed(&bytes[..at]);
            assert_eq!(frames.is_between(), at == 0 || ends.contains(&at), "{what} at {at}");
            let next = ends.iter().find(|end| **end >= at).unwrap();
            let rest = if frames.is_between() { 0 } else { next - at };
            assert_eq!(frames.rest_of(&bytes[at..]), rest, "{what} at {at}");
            frames.feed(&bytes[at..]);
            assert!(frames.is_between() && !frames.has_closed(), "{what} at {at}");
        }
    }
}

#[test]
fn every_byte_by_itself_is_like_all_at_once() {
    let all: Vec<_> = kinds().into_iter().flat_map(|(_, bytes)| bytes).collect();
    let mut frames = Frames::default();
    all.iter().for_each(|byte| frames.feed(&[*byte]));
    assert!(frames.is_between());
}

#[test]
fn a_close_is_seen_when_it_has_passed_whole() {
    for close in [frame(0x88, false, 0), frame(0x88, true, 0), frame(0x88, true, 20)] {
        let mut frames = Frames::default();
        frames.feed(&frame(0x81, true, 9));
        for byte in &close {
            assert!(!frames.has_closed());
            frames.feed(&[*byte]);
        }
        assert!(frames.has_closed());
    }
}

/// What looks like a Close within a payload is none.
#[test]
fn a_payload_is_not_read() {
    let mut frames = Frames::default();
    frames.feed(&frame(0x82, false, 5_000));
    assert!(!frames.has_closed());
}

#[test]
fn behind_an_impossible_length_nothing_is_known() {
    let mut frames = Frames::default();
    frames.feed(&[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 0]);
    frames.feed(&frame(0x88, false, 0));
    assert!(!frames.is_between() && !frames.has_closed());
    assert_eq!(frames.rest_of(b"more"), 4);
}

#[test]
fn the_longest_frame_is_no_overflow() {
    let mut frames = Frames::default();
    frames.feed(&[0x82, 0xff, 0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
    frames.feed(&[0; 64]);
    assert!(!frames.is_between());
}

#[test]
fn a_close_frame_of_our_own() {
    assert_eq!(close_frame(1001, None)[..], [0x88, 2, 0x03, 0xe9]);
    let masked = close_frame(1001, Some([0xff, 0x0f, 1, 2]));
    assert_eq!(masked[..], [0x88, 0x82, 0xff, 0x0f, 1, 2, 0x03 ^ 0xff, 0xe9 ^ 0x0f]);
    for bytes in [close_frame(1012, None), close_frame(1012, Some([9, 8, 7, 6]))] {
        let mut frames = Frames::default();
        frames.feed(&bytes);
        assert!(frames.is_between() && frames.has_closed());
    }
}
