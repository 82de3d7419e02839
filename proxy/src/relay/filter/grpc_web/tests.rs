use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::http2::fields::trailer_map;
use crate::relay::filter::Stack;
use crate::relay::filter::testing::{cut, run};

const LINES: &[u8] = b"grpc-status: 0\r\ngrpc-message: \r\n";

fn from_text() -> Stack {
    Stack::default().with(FromText::default())
}

fn to_web(text: bool) -> Stack {
    if text { Stack::default().with(ToText::default()) } else { Stack::default().with(ToBinary) }
}

fn body(messages: &[Vec<u8>]) -> Vec<u8> {
    let mut body = Vec::new();
    for message in messages {
        body.push(0);
        body.extend_from_slice(&u32::try_from(message.len()).unwrap().to_be_bytes());
        body.extend_from_slice(message);
    }
    body
}

/// What a client of gRPC-Web reads: base64, padded anywhere.
fn read_text(text: &[u8]) -> Vec<u8> {
    run(from_text(), &[text], None).unwrap().0
}

proptest! {
    #[test]
    fn any_cut_of_a_request_gives_the_same(
        messages in vec(vec(any::<u8>(), 0..40), 0..6),
        together in any::<bool>(),
        cuts in vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let whole = body(&messages);
        let text = if together {
            STANDARD.encode(&whole)
        } else {
            messages.iter().map(|one| STANDARD.encode(body(std::slice::from_ref(one)))).collect()
        };
        let pieces = cut(text.as_bytes(), &cuts);
        prop_assert_eq!(run(from_text(), &pieces, None), Ok((whole, None)));
    }

    #[test]
    fn any_cut_of_a_response_gives_the_same(
        messages in vec(vec(any::<u8>(), 0..40), 0..6),
        cuts in vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let whole = body(&messages);
        let mut expected = whole.clone();
        expected.extend_from_slice(&frame(trailer_map(LINES)));
        let pieces = cut(&whole, &cuts);
        let text = run(to_web(true), &pieces, trailer_map(LINES)).unwrap().0;
        let one = run(to_web(true), &[&whole], trailer_map(LINES)).unwrap().0;
        prop_assert_eq!(&text, &one);
        prop_assert_eq!(read_text(&text), &expected[..]);
        let binary = run(to_web(false), &pieces, trailer_map(LINES)).unwrap().0;
        prop_assert_eq!(binary, expected);
    }

    /// Whatever comes, the verdict does not depend on how it was cut.
    #[test]
    fn garbage_is_refused_however_it_is_cut(
        text in vec(prop::sample::select(&b"AQ=\n+"[..]), 0..12),
        cuts in vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let whole = run(from_text(), &[&text], None);
        prop_assert_eq!(run(from_text(), &cut(&text, &cuts), None), whole);
    }
}

#[test]
fn each_message_leaves_whole() {
    let mut filter = ToText::default();
    let mut out = Vec::new();
    filter.feed(&body(&[b"a".to_vec()]), &mut out).unwrap();
    assert_eq!(read_text(&out), body(&[b"a".to_vec()]));
}

#[test]
fn trailers_are_the_last_frame() {
    let (frame, behind) = run(to_web(false), &[], trailer_map(LINES)).unwrap();
    assert_eq!(frame[..5], [0x80, 0, 0, 0, 32]);
    assert_eq!((&frame[5..], behind), (LINES, None));
    assert_eq!(run(to_web(false), &[b"x"], None), Ok((b"x".to_vec(), None)));
}

#[test]
fn what_is_no_base64_is_refused() {
    for text in ["A", "AAA", "A===", "====", "AA==A", "AAAA\n", "AA=A", "A-_A", "AB=="] {
        let out = run(from_text(), &[text.as_bytes()], None);
        assert_eq!(out, Err(Rule::WebBase64.in_request()), "{text}");
    }
}
