//! Byte classes of RFC 9110 and the scans over them. Knows no message.

/// Bytes of a token (RFC 9110, section 5.6.2).
const TOKEN: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0u8;
    while byte < 0x80 {
        table[byte as usize] = byte.is_ascii_alphanumeric();
        byte += 1;
    }
    let marks = b"!#$%&'*+-.^_`|~";
    let mut index = 0;
    while index < marks.len() {
        table[marks[index] as usize] = true;
        index += 1;
    }
    table
};

/// Bytes that may stand in a request target: visible ASCII without `#`, since a fragment is
/// never sent.
const TARGET: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0x21u8;
    while byte < 0x7f {
        table[byte as usize] = byte != b'#';
        byte += 1;
    }
    table
};

/// How many bytes from the start belong to a token.
pub(super) fn token_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| !TOKEN[usize::from(byte)]).unwrap_or(bytes.len())
}

/// How many bytes from the start are letters and dashes, of which most names consist: judged eight
/// at a time, so that near the end of the bytes it may be up to seven fewer.
pub(super) fn plain_length(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let stops = !letters_and_dashes(u64::from_le_bytes(*word)) & HIGHS;
        if stops != 0 {
            return at + (stops.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    at
}

/// The high bit of each byte that is a letter or a dash; the other bits mean nothing.
fn letters_and_dashes(word: u64) -> u64 {
    const LOWS: u64 = !HIGHS;
    // Without the high bit no sum of a byte reaches into the next one.
    let folded = (word | (ONES * 0x20)) & LOWS;
    let letter = (folded + ONES * (0x80 - 0x61)) & !(folded + ONES * (0x80 - 0x7b));
    let from_dash = (word ^ (ONES * 0x2d)) & LOWS;
    let dash = !(from_dash + LOWS);
    (letter | dash) & !word
}

/// Whether all of it, and at least one byte, is a token.
pub(super) fn is_token(bytes: &[u8]) -> bool {
    !bytes.is_empty() && token_length(bytes) == bytes.len()
}

/// How many bytes from the start may stand in a request target.
pub(super) fn target_length(bytes: &[u8]) -> usize {
    bytes.iter().position(|&byte| !TARGET[usize::from(byte)]).unwrap_or(bytes.len())
}

const ONES: u64 = u64::MAX / 255;
const HIGHS: u64 = ONES << 7;

/// How many bytes from the start may stand in a field value: tab, space, visible ASCII and
/// obs-text. Eight at a time: the lowest set bit of `below` and `delete` is exact, the higher
/// ones may be wrong through borrows and are not looked at.
pub(super) fn text_length(bytes: &[u8]) -> usize {
    let (words, _) = bytes.as_chunks::<8>();
    let mut at = 0;
    for word in words {
        let word = u64::from_le_bytes(*word);
        let below = word.wrapping_sub(ONES * 0x20) & !word & HIGHS;
        let flipped = word ^ (ONES * 0x7f);
        let delete = flipped.wrapping_sub(ONES) & !flipped & HIGHS;
        let stops = below | delete;
        if stops != 0 {
            at += (stops.trailing_zeros() / 8) as usize;
            break;
        }
        at += 8;
    }
    // Behind a tab, which is rare, or near the end.
    let rest = &bytes[at..];
    at + rest.iter().position(|&byte| !is_text_byte(byte)).unwrap_or(rest.len())
}

/// Whether a byte may stand in a field value.
pub(super) fn is_text_byte(byte: u8) -> bool {
    byte == b'\t' || (byte >= 0x20 && byte != 0x7f)
}

/// Without optional whitespace (space and tab, nothing else) at either end.
pub(super) fn trim(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    while let [rest @ .., b' ' | b'\t'] = bytes {
        bytes = rest;
    }
    bytes
}

/// The elements of a comma-separated list, trimmed; empty ones are skipped (RFC 9110, 5.6.1).
pub(crate) fn elements(value: &[u8]) -> impl DoubleEndedIterator<Item = &[u8]> {
    value.split(|&byte| byte == b',').map(trim).filter(|element| !element.is_empty())
}

/// An offset in a head. Heads end below [`MAX_HEAD`], so that the cast cannot lose bits.
pub(super) fn offset(at: usize) -> u32 {
    debug_assert!(at <= MAX_HEAD);
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// No head is longer, whatever the rules say.
pub(super) const MAX_HEAD: usize = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_scanned_alike_at_every_length_and_place() {
        for length in 0..40 {
            for at in 0..length {
                for stop in 0..=255u8 {
                    let mut bytes = vec![b'v'; length];
                    bytes[at] = stop;
                    let expected = if is_text_byte(stop) { length } else { at };
                    assert_eq!(text_length(&bytes), expected, "{stop:#x} at {at} of {length}");
                    bytes[length - 1] = 0x7f;
                    bytes[0] = b'\t';
                    let expected = bytes.iter().position(|&byte| !is_text_byte(byte));
                    let expected = expected.unwrap_or(length);
                    assert_eq!(text_length(&bytes), expected);
                }
            }
        }
    }

    #[test]
    fn letters_and_dashes_are_distinguished_from_every_other_byte() {
        for length in 0..30 {
            for at in 0..length {
                for other in 0..=255u8 {
                    for around in [b'-', b'a', b'Z', b'z'] {
                        let mut bytes = vec![around; length];
                        bytes[at] = other;
                        let plain = other.is_ascii_alphabetic() || other == b'-';
                        let expected = if plain { length } else { at };
                        let expected = expected.min(length / 8 * 8);
                        assert_eq!(plain_length(&bytes), expected, "{other:#x}: {at} of {length}");
                    }
                }
            }
        }
    }

    #[test]
    fn classes_follow_the_grammar() {
        for byte in 0..=255u8 {
            let token = byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
            assert_eq!(is_token(&[byte]), token, "{byte:#x}");
            let target = byte.is_ascii_graphic() && byte != b'#';
            assert_eq!(target_length(&[byte]) == 1, target, "{byte:#x}");
        }
        assert!(!is_token(b""));
    }

    #[test]
    fn lists_are_split_and_trimmed() {
        let list: Vec<_> = elements(b" a ,,\tb, c c ,").collect();
        assert_eq!(list, [&b"a"[..], b"b", b"c c"]);
    }
}
