//! The id of a request: a random UUID (version 4, RFC 9562), or the one that a trusted proxy gave
//! it. An id that is not longer than ours is stored inline, without allocating. The caller supplies
//! randomness and decides whom to trust.

use std::fmt;

use super::hex::digits;

/// Longer ids are refused: an id is written to every log line of every service.
const LONGEST: usize = 128;

/// A UUID as it is written.
const USUAL: usize = 36;

/// Visible characters that need no escaping wherever they are written.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Id);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Id {
    Short { text: [u8; USUAL], length: u8 },
    Long(Box<[u8]>),
}

impl RequestId {
    /// Thirty-six characters in lower case, of 122 of the bits.
    pub fn from_random(random: u128) -> Self {
        let mut number = random.to_be_bytes();
        number[6] = 0x40 | (number[6] & 0x0f);
        number[8] = 0x80 | (number[8] & 0x3f);
        let mut text = *b"00000000-0000-0000-0000-000000000000";
        let (words, _) = number.as_chunks::<4>();
        let [first, second, third, fourth] =
            [0, 1, 2, 3].map(|at: usize| digits(u32::from_be_bytes(words[at])));
        text[..8].copy_from_slice(&first);
        text[9..13].copy_from_slice(&second[..4]);
        text[14..18].copy_from_slice(&second[4..]);
        text[19..23].copy_from_slice(&third[..4]);
        text[24..28].copy_from_slice(&third[4..]);
        text[28..].copy_from_slice(&fourth);
        Self(Id::Short { text, length: 36 })
    }

    /// `None` for what is not well-formed.
    pub fn try_new(text: &[u8]) -> Option<Self> {
        if !Self::is_well_formed(text) {
            return None;
        }
        let mut short = [0; USUAL];
        Some(Self(match (u8::try_from(text.len()), short.get_mut(..text.len())) {
            (Ok(length), Some(start)) => {
                start.copy_from_slice(text);
                Id::Short { text: short, length }
            }
            _ => Id::Long(text.into()),
        }))
    }

    /// One to 128 visible ASCII characters, none of them `"` or `\`.
    pub fn is_well_formed(text: &[u8]) -> bool {
        let plain = |byte: &u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\\');
        (1..=LONGEST).contains(&text.len()) && text.iter().all(plain)
    }

    pub fn as_bytes(&self) -> &[u8] {
        match &self.0 {
            Id::Short { text, length } => &text[..usize::from(*length)],
            Id::Long(text) => text,
        }
    }

    pub fn as_str(&self) -> &str {
        // Only ASCII is ever written into it.
        std::str::from_utf8(self.as_bytes()).unwrap_or_default()
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_a_version_4_uuid() {
        assert_eq!(
            RequestId::from_random(u128::MAX).as_str(),
            "ffffffff-ffff-4fff-bfff-ffffffffffff"
        );
        assert_eq!(
            RequestId::from_random(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef).as_str(),
            "01234567-89ab-4def-8123-456789abcdef"
        );
    }

    #[test]
    fn ids_of_others_are_bounded_and_plain() {
        let longest = "x".repeat(128);
        for good in ["a", "7", "Root=1-67891233-abcdef012345678912345678", "a/b+c=d:e", &longest] {
            assert_eq!(RequestId::try_new(good.as_bytes()).unwrap().as_str(), good);
        }
        let long = "x".repeat(129);
        let longer = "x".repeat(36 + 256);
        for bad in ["", "a b", "a\tb", "a\"b", "a\\b", "a\u{7f}", "\u{e4}", &long, &longer] {
            assert_eq!(RequestId::try_new(bad.as_bytes()), None, "{bad}");
        }
    }
}
