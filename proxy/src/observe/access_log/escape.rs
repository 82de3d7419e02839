//! Any bytes as the inside of a JSON string (RFC 8259, section 7).
//!
//! What is not UTF-8 becomes U+FFFD, as `String::from_utf8_lossy` has it. Beyond what JSON asks,
//! the controls DEL and U+0080 to U+009F are escaped: a log is read in terminals, which obey them.

/// Appends the bytes, escaped, without quotation marks.
pub(super) fn escape(out: &mut Vec<u8>, mut bytes: &[u8]) {
    loop {
        let (plain, from_special) = bytes.split_at(plain_prefix(bytes));
        out.extend_from_slice(plain);
        if from_special.is_empty() {
            return;
        }
        if from_special[0].is_ascii() {
            escape_ascii(out, from_special[0]);
            bytes = &from_special[1..];
        } else {
            let run = from_special.iter().position(u8::is_ascii).unwrap_or(from_special.len());
            escape_beyond_ascii(out, &from_special[..run]);
            bytes = &from_special[run..];
        }
    }
}

/// At most `limit` bytes of the input, cut where no character is split; `true` when cut.
pub(super) fn escape_at_most(out: &mut Vec<u8>, bytes: &[u8], limit: usize) -> bool {
    if bytes.len() <= limit {
        escape(out, bytes);
        return false;
    }
    // A continuation byte at the cut belongs to a character before it, at most three bytes back.
    let is_continuation = |at: &usize| bytes[*at] & 0b1100_0000 == 0b1000_0000;
    let end = (limit.saturating_sub(3)..=limit).rev().find(|at| !is_continuation(at));
    escape(out, &bytes[..end.unwrap_or(limit)]);
    true
}

/// Whether all of it stands for itself.
pub(super) fn is_plain(bytes: &[u8]) -> bool {
    plain_prefix(bytes) == bytes.len()
}

/// How many bytes at the start stand for themselves. Most values are plain to their end, so that
/// eight bytes are judged at once until one of them is not.
fn plain_prefix(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    let words = words.iter().take_while(|word| is_plain_word(u64::from_ne_bytes(**word))).count();
    let rest = &bytes[words * 8..];
    words * 8 + rest.iter().position(|byte| !PLAIN[usize::from(*byte)]).unwrap_or(rest.len())
}

/// Whether all eight bytes are plain. By the classic test for a zero byte (Mycroft), whose borrow
/// can only reach past a byte that was found already.
fn is_plain_word(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH: u64 = ONES * 0x80;
    let less = |word: u64, than: u64| word.wrapping_sub(ONES * than) & !word;
    let equal = |to: u64| less(word ^ (ONES * to), 1);
    let special = word | less(word, 0x20) | equal(0x22) | equal(0x5c) | equal(0x7f);
    special & HIGH == 0
}

/// Bytes that stand for themselves.
const PLAIN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0x20;
    while byte < 0x7f {
        table[byte] = byte != b'"' as usize && byte != b'\\' as usize;
        byte += 1;
    }
    table
};

const HEX: &[u8; 16] = b"0123456789abcdef";

fn escape_ascii(out: &mut Vec<u8>, byte: u8) {
    match byte {
        b'"' => out.extend_from_slice(b"\\\""),
        b'\\' => out.extend_from_slice(b"\\\\"),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        _ => escape_control(out, byte),
    }
}

fn escape_control(out: &mut Vec<u8>, byte: u8) {
    let digits = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 0xf)]];
    out.extend_from_slice(b"\\u00");
    out.extend_from_slice(&digits);
}

fn escape_beyond_ascii(out: &mut Vec<u8>, bytes: &[u8]) {
    for chunk in bytes.utf8_chunks() {
        let mut valid = chunk.valid().as_bytes();
        // U+0080 to U+009F are C2 80 to C2 9F, and C2 begins nothing in the middle of another.
        while let Some(at) = valid.windows(2).position(|pair| pair[0] == 0xc2 && pair[1] < 0xa0) {
            out.extend_from_slice(&valid[..at]);
            escape_control(out, valid[at + 1]);
            valid = &valid[at + 2..];
        }
        out.extend_from_slice(valid);
        if !chunk.invalid().is_empty() {
            out.extend_from_slice("\u{fffd}".as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn escaped(bytes: &[u8]) -> String {
        let mut out = Vec::new();
        escape(&mut out, bytes);
        String::from_utf8(out).unwrap()
    }

    fn check(bytes: &[u8], expected: &str) {
        assert_eq!(escaped(bytes), expected, "{}", bytes.escape_ascii());
    }

    #[test]
    fn each_kind_of_byte() {
        check(b"", "");
        check(b"/orders?id=5&x=<a>'", "/orders?id=5&x=<a>'");
        check(b"say \"hi\" \\ bye", r#"say \"hi\" \\ bye"#);
        check(b"a\nb\rc\td\0e\x1b[31m\x7f", r"a\nb\rc\td\u0000e\u001b[31m\u007f");
        check("stra\u{df}e \u{1f980}".as_bytes(), "stra\u{df}e \u{1f980}");
        check("\u{80}\u{9b}\u{9f}\u{a0}x".as_bytes(), "\\u0080\\u009b\\u009f\u{a0}x");
        check("\u{ff}\u{c2}\u{85}".as_bytes(), "\u{ff}\u{c2}\\u0085");
        check(b"\xff", "\u{fffd}");
        check(b"a\xc3(b", "a\u{fffd}(b");
        check(b"\xe2\x82", "\u{fffd}");
        check(b"\xed\xa0\x80", "\u{fffd}\u{fffd}\u{fffd}");
        check(b"\xc2\"", "\u{fffd}\\\"");
    }

    #[test]
    fn eight_bytes_at_once_are_judged_like_one_by_one() {
        for byte in 0..=u8::MAX {
            for neighbour in [b' ', b'!', b'a', b'~'] {
                for at in 0..8 {
                    let mut word = [neighbour; 8];
                    word[at] = byte;
                    let expected = PLAIN[usize::from(byte)];
                    assert_eq!(is_plain_word(u64::from_ne_bytes(word)), expected, "{word:?}");
                    let prefix = if expected { 8 } else { at };
                    assert_eq!(plain_prefix(&word), prefix, "{word:?}");
                }
            }
        }
    }

    #[test]
    fn a_cut_never_splits_a_character() {
        let text = "ab\u{1f980}\u{df}";
        for limit in 0..=text.len() {
            let mut out = Vec::new();
            let cut = escape_at_most(&mut out, text.as_bytes(), limit);
            let kept = String::from_utf8(out).unwrap();
            assert!(text.starts_with(&kept), "{kept} at {limit}");
            assert!(kept.len() <= limit && limit - kept.len() < 4);
            assert_eq!(cut, limit < text.len());
        }
    }

    #[test]
    fn a_cut_among_continuation_bytes_ends_all_the_same() {
        let mut out = Vec::new();
        assert!(escape_at_most(&mut out, &[0x80; 100], 10));
        assert_eq!(String::from_utf8(out).unwrap(), "\u{fffd}".repeat(10));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_back_as_their_lossy_text(bytes: Vec<u8>) {
            let text = escaped(&bytes);
            let read: String = serde_json::from_str(&format!("\"{text}\"")).unwrap();
            prop_assert_eq!(read, String::from_utf8_lossy(&bytes));
            prop_assert!(!text.chars().any(char::is_control));
        }

        #[test]
        fn text_with_odd_characters_is_read_back_whole(
            text in "[\\x00-\\x20\"\\\\\u{7f}-\u{a0}\u{2028}\u{c2}\u{fffd}\u{1f980}a]{0,40}"
        ) {
            let read: String = serde_json::from_str(&format!("\"{}\"", escaped(text.as_bytes()))).unwrap();
            prop_assert_eq!(read, text);
        }
    }
}
