//! A path is refused or brought to the one form that a plain reading of RFC 3986 gives, which is
//! a fixed point and hides nothing. The first byte of the input says what `%2F` means.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_proxy::target::path::{EncodedSlash, has_encoded_slash, normalise, strip_prefix};

fuzz_target!(|bytes: &[u8]| {
    let Some((mode, path)) = bytes.split_first() else { return };
    let keep = mode % 2 == 0;
    let mode = if keep { EncodedSlash::Keep } else { EncodedSlash::Refuse };
    // A buffer as the request before may have left it.
    let mut scratch = b"/left/over".to_vec();
    let Ok(normal) = normalise(path, &mut scratch, mode) else { return };
    if path == b"*" {
        assert_eq!(normal, b"*");
        return;
    }

    let shown = String::from_utf8_lossy(normal);
    check_bytes(normal);
    assert_eq!(normal, plain_reading(path), "{shown}");
    for segment in normal[1..].split(|byte| *byte == b'/') {
        assert!(!matches!(&*decoded(segment), b"." | b".."), "{shown}");
    }
    assert!(!normal.windows(2).any(|pair| pair == b"//"), "{shown}");
    assert_eq!(normalise(normal, &mut Vec::new(), mode), Ok(normal), "no fixed point");
    assert_eq!(strip_prefix(normal, b""), Some(normal));

    let slashes = has_encoded_slash(normal);
    assert!(keep || !slashes, "{shown}");
    let mut other = Vec::new();
    let refused = normalise(path, &mut other, EncodedSlash::Refuse);
    if slashes {
        assert!(refused.is_err(), "{shown}");
    } else {
        assert_eq!(refused, Ok(normal), "the mode matters to encoded slashes alone");
    }
});

/// Plain text with escapes in upper case, of nothing that is refused.
fn check_bytes(normal: &[u8]) {
    assert_eq!(normal.first(), Some(&b'/'));
    let mut rest = normal;
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte == b'%' {
            let [high, low, after @ ..] = after else { panic!("a torn escape") };
            let upper = |digit: &u8| matches!(digit, b'0'..=b'9' | b'A'..=b'F');
            assert!(upper(high) && upper(low));
            let escaped = value(*high, *low);
            assert!(!matches!(escaped, 0 | b'\\') && !is_unreserved(escaped), "%{escaped:02X}");
            rest = after;
        } else {
            assert!(byte.is_ascii_graphic() && !b"\\#?\"<>[]^`{|}".contains(byte), "{byte:#x}");
        }
    }
}

/// Section 6.2.2 with `//` merged, by lists of segments.
fn plain_reading(path: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut rest = path;
    while let [byte, after @ ..] = rest {
        rest = after;
        match (byte, after) {
            (b'%', [high, low, after @ ..]) => {
                rest = after;
                match value(*high, *low) {
                    plain if is_unreserved(plain) => text.push(plain),
                    other => text.extend(format!("%{other:02X}").bytes()),
                }
            }
            (plain, _) if is_unreserved(*plain) || b"!$&'()*+,;=:@/".contains(plain) => {
                text.push(*plain);
            }
            (other, _) => text.extend(format!("%{other:02X}").bytes()),
        }
    }
    let segments: Vec<_> = text.split(|byte| *byte == b'/').collect();
    let mut kept: Vec<&[u8]> = Vec::new();
    for segment in &segments {
        match *segment {
            b"" | b"." => {}
            b".." => {
                kept.pop().expect("dots above the root are refused");
            }
            other => kept.push(other),
        }
    }
    let mut normal = b"/".to_vec();
    normal.extend(kept.join(&b'/'));
    let open = matches!(segments.last(), Some(&(b"" | b"." | b"..")));
    if open && !kept.is_empty() {
        normal.push(b'/');
    }
    normal
}

/// Every escape of a normal path resolved.
fn decoded(segment: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut rest = segment;
    while let [byte, after @ ..] = rest {
        match (byte, after) {
            (b'%', [high, low, after @ ..]) => {
                text.push(value(*high, *low));
                rest = after;
            }
            _ => {
                text.push(*byte);
                rest = after;
            }
        }
    }
    text
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-._~".contains(&byte)
}

fn value(high: u8, low: u8) -> u8 {
    let digit = |byte: u8| char::from(byte).to_digit(16).expect("a malformed escape is refused");
    u8::try_from(digit(high) * 16 + digit(low)).expect("two digits are a byte")
}
