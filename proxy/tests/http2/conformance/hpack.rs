//! Header compression: h2spec's generic section 5 and its sections of RFC 7541.

use portcullis_testkit::h2::frame::{WHOLE, get, headers, integer, text};

use super::{CODE, Case, case, connection};

/// Each representation behind a common head, by what is sent.
fn representations() -> Vec<(&'static str, Vec<u8>)> {
    // `:method: GET`, `:scheme: http` and `:path: /` of the static table.
    let indexed = vec![0x82, 0x86, 0x84];
    // One literal: its first byte, a name by index or as text, a value, Huffman coded or not.
    let literal = |first: u8, name: Option<&[u8]>, value: &[u8]| {
        let mut bytes = vec![first];
        bytes.extend_from_slice(name.unwrap_or(&[]));
        bytes.extend_from_slice(value);
        bytes
    };
    let plain = |word: &str| {
        let mut bytes = Vec::new();
        text(&mut bytes, word.as_bytes());
        bytes
    };
    // `custom-key` and `custom-value` of RFC 7541, appendix C.4.3; `no-cache` of C.4.2.
    let key = [0x88, 0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xa9, 0x7d, 0x7f];
    let value = [0x89, 0x25, 0xa8, 0x49, 0xe9, 0x5b, 0xb8, 0xe8, 0xb4, 0xbf];
    let no_cache = [0x86, 0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf];
    let (name, word) = (plain("custom-key"), plain("custom-value"));
    let mut resized = Vec::new();
    integer(&mut resized, 5, 0x20, 128);
    integer(&mut resized, 5, 0x20, 4096);
    let with = |more: Vec<u8>| [indexed.clone(), more].concat();
    let added = literal(0x40, Some(&name), &word);
    vec![
        ("5/1 indexed", indexed.clone()),
        // `cache-control` is 24 of the static table.
        ("5/2 kept, its name indexed", with(literal(0x40 | 24, None, &plain("no-cache")))),
        ("5/3 kept, its name indexed, Huffman", with(literal(0x40 | 24, None, &no_cache))),
        ("5/4 kept, a new name", with(added.clone())),
        ("5/5 kept, a new name, Huffman", with(literal(0x40, Some(&key), &value))),
        (
            "5/6 not kept, its name indexed",
            with(literal(0x0f, Some(&[24 - 15]), &plain("no-cache"))),
        ),
        (
            "5/7 not kept, its name indexed, Huffman",
            with(literal(0x0f, Some(&[24 - 15]), &no_cache)),
        ),
        ("5/8 not kept, a new name", with(literal(0, Some(&name), &word))),
        ("5/9 not kept, a new name, Huffman", with(literal(0, Some(&key), &value))),
        (
            "5/10 never kept, its name indexed",
            with(literal(0x1f, Some(&[24 - 15]), &plain("no-cache"))),
        ),
        (
            "5/11 never kept, its name indexed, Huffman",
            with(literal(0x1f, Some(&[24 - 15]), &no_cache)),
        ),
        ("5/12 never kept, a new name", with(literal(0x10, Some(&name), &word))),
        ("5/13 never kept, a new name, Huffman", with(literal(0x10, Some(&key), &value))),
        ("5/14 indexed in the table that was just filled", with([added, vec![0x80 | 62]].concat())),
        ("5/15 two new sizes of the table", [resized, indexed].concat()),
    ]
}

pub(super) fn cases() -> impl Iterator<Item = Case> {
    let authority = get("/", &[]);
    let good = representations().into_iter().map(move |(name, block)| {
        // The authority of the usual head behind it.
        let at = authority.windows(10).position(|bytes| bytes == b":authority").unwrap() - 2;
        let host = &authority[at..];
        let mut block = block;
        // Pseudo headers come first: what stands behind the first three goes last.
        let start = block.windows(3).position(|bytes| bytes == [0x82, 0x86, 0x84]).unwrap() + 3;
        block.splice(start..start, host.iter().copied());
        case(name, vec![headers(1, WHOLE, block)], "200, alive")
    });
    let behind = |bytes: &[u8]| vec![headers(1, WHOLE, [&get("/", &[]), bytes].concat())];
    let mut too_large = Vec::new();
    integer(&mut too_large, 5, 0x20, 4097);
    let bad = [
        ("2.3.3/1 an index that is none", behind(&[0xc6])),
        ("2.3.3/2 a name's index that is none", behind(&[0x7f, 0x07, 0x01, b'a'])),
        ("4.2/1 a new size behind fields", behind(&[0x3f, 0x01])),
        ("5.2/1 Huffman padding of a whole byte", behind(&[0x00, 0x81, 0x1f, 0x82, 0x1f, 0xff])),
        ("5.2/2 Huffman padding of zeros", behind(&[0x00, 0x81, 0x1f, 0x81, 0x18])),
        (
            "5.2/3 the end of Huffman code in a text",
            behind(&[0x00, 0x81, 0x1f, 0x84, 0xff, 0xff, 0xff, 0xff]),
        ),
        ("6.1/1 index 0", behind(&[0x80])),
        (
            "6.3/1 a table larger than allowed",
            vec![headers(1, WHOLE, [&too_large, &get("/", &[])[..]].concat())],
        ),
    ];
    let bad = bad.into_iter().map(move |(name, send)| {
        case(name, send, connection("COMPRESSION_ERROR")).ours("goaway PROTOCOL_ERROR, close", CODE)
    });
    good.chain(bad)
}
