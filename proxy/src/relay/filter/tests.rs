use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::http2::fields::trailer_map;

const LINES: &[u8] = b"grpc-status: 0\r\ngrpc-message: \r\n";

fn run(mut filter: Filter, pieces: &[&[u8]], trailers: Trailers<'_>) -> Result<Vec<u8>, Cause> {
    let mut out = Vec::new();
    for piece in pieces {
        filter.feed(piece, &mut out)?;
    }
    filter.finish(trailers, &mut out)?;
    Ok(out)
}

/// `data` cut behind each of these places.
fn cut<'a>(data: &'a [u8], cuts: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(data.len() + 1)).collect();
    places.extend([0, data.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &data[pair[0]..pair[1]]).collect()
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
    run(Filter::from_text(), &[text], Trailers::None).unwrap()
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
        prop_assert_eq!(run(Filter::from_text(), &pieces, Trailers::None), Ok(whole));
    }

    #[test]
    fn any_cut_of_a_response_gives_the_same(
        messages in vec(vec(any::<u8>(), 0..40), 0..6),
        cuts in vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let whole = body(&messages);
        let mut expected = whole.clone();
        expected.extend_from_slice(&frame(Trailers::Lines(LINES)));
        let pieces = cut(&whole, &cuts);
        let text = run(Filter::to_web(true), &pieces, Trailers::Lines(LINES)).unwrap();
        let one = run(Filter::to_web(true), &[&whole], Trailers::Lines(LINES)).unwrap();
        prop_assert_eq!(&text, &one);
        prop_assert_eq!(read_text(&text), &expected[..]);
        let binary = run(Filter::to_web(false), &pieces, Trailers::Lines(LINES)).unwrap();
        prop_assert_eq!(binary, expected);
    }

    /// Whatever comes, the verdict does not depend on how it was cut.
    #[test]
    fn garbage_is_refused_however_it_is_cut(
        text in vec(prop::sample::select(&b"AQ=\n+"[..]), 0..12),
        cuts in vec(any::<prop::sample::Index>(), 0..4),
    ) {
        let whole = run(Filter::from_text(), &[&text], Trailers::None);
        prop_assert_eq!(run(Filter::from_text(), &cut(&text, &cuts), Trailers::None), whole);
    }
}

#[test]
fn each_message_leaves_whole() {
    let mut filter = Filter::to_web(true);
    let mut out = Vec::new();
    filter.feed(&body(&[b"a".to_vec()]), &mut out).unwrap();
    assert_eq!(read_text(&out), body(&[b"a".to_vec()]));
}

#[test]
fn trailers_are_the_last_frame() {
    let map = trailer_map(LINES).unwrap();
    let lines = run(Filter::to_web(false), &[], Trailers::Lines(LINES)).unwrap();
    assert_eq!(lines, run(Filter::to_web(false), &[], Trailers::Map(&map)).unwrap());
    assert_eq!(lines[..5], [0x80, 0, 0, 0, 32]);
    assert_eq!(&lines[5..], LINES);
}

#[test]
fn what_is_no_base64_is_refused() {
    for text in ["A", "AAA", "A===", "====", "AA==A", "AAAA\n", "AA=A", "A-_A", "AB=="] {
        let out = run(Filter::from_text(), &[text.as_bytes()], Trailers::None);
        assert_eq!(out, Err(Rule::WebBase64.in_request()), "{text}");
    }
}
