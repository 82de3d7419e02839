//! Where one frame ends and the next begins (RFC 6455, section 5.2), and Close frames of our own.
//!
//! Follows a stream of bytes by the headers of its frames alone. It judges nothing: a reserved
//! opcode, a mask where none belongs or an overlong control frame have boundaries like any other.

use smallvec::SmallVec;

/// The opcode of a Close frame.
const CLOSE: u8 = 0x8;
/// The most that tells a frame's length: two bytes, and eight more where it is long.
const LONGEST_LENGTH: usize = 10;
const MASK: u64 = 4;

/// One direction of a connection, as far as it has been read.
#[derive(Debug, Clone, Default)]
pub struct Frames {
    place: FramePosition,
    closing: bool,
    closed: bool,
}

#[derive(Debug, Clone)]
enum FramePosition {
    /// In what tells the length of a frame.
    Header { seen: [u8; LONGEST_LENGTH], count: u8 },
    /// In what follows: masking key and payload.
    Rest(u64),
    /// A length that no frame can have: where the next one begins is not known any more.
    Lost,
}

impl Default for FramePosition {
    fn default() -> Self {
        Self::Header { seen: [0; LONGEST_LENGTH], count: 0 }
    }
}

impl Frames {
    /// All of these bytes have gone on.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            let count = self.step(bytes);
            bytes = &bytes[count..];
        }
    }

    /// How many of these bytes belong to the frame under way; none between two frames.
    pub fn rest_of(&self, bytes: &[u8]) -> usize {
        let mut ahead = self.clone();
        let mut at = 0;
        while at < bytes.len() && !ahead.is_between() {
            at += ahead.step(&bytes[at..]);
        }
        at
    }

    /// Whether a frame may be put in here.
    pub fn is_between(&self) -> bool {
        matches!(self.place, FramePosition::Header { count: 0, .. })
    }

    /// Whether a whole Close frame has passed.
    pub fn has_closed(&self) -> bool {
        self.closed
    }

    /// Takes some of the bytes, never beyond the end of a frame.
    fn step(&mut self, bytes: &[u8]) -> usize {
        match &mut self.place {
            FramePosition::Header { seen, count } => {
                seen[usize::from(*count)] = bytes[0];
                *count += 1;
                let opcode = seen[0] & 0x0f;
                match rest(&seen[..usize::from(*count)]) {
                    Length::Incomplete => {}
                    Length::Known(rest) => {
                        self.closing = opcode == CLOSE;
                        self.place = FramePosition::Rest(rest);
                        self.end();
                    }
                    Length::Impossible => self.place = FramePosition::Lost,
                }
                1
            }
            FramePosition::Rest(rest) => {
                let count = usize::try_from(*rest).unwrap_or(usize::MAX).min(bytes.len());
                *rest -= count as u64;
                self.end();
                count
            }
            FramePosition::Lost => bytes.len(),
        }
    }

    fn end(&mut self) {
        if matches!(self.place, FramePosition::Rest(0)) {
            self.closed |= self.closing;
            self.place = FramePosition::default();
        }
    }
}

enum Length {
    Incomplete,
    /// This many bytes follow the length.
    Known(u64),
    Impossible,
}

fn rest(seen: &[u8]) -> Length {
    let &[_, second, ref more @ ..] = seen else { return Length::Incomplete };
    let mask = if second & 0x80 == 0 { 0 } else { MASK };
    let length = match second & 0x7f {
        126 => more.first_chunk().map(|bytes| u64::from(u16::from_be_bytes(*bytes))),
        127 => more.first_chunk().map(|bytes| u64::from_be_bytes(*bytes)),
        short => Some(u64::from(short)),
    };
    match length {
        None => Length::Incomplete,
        // The highest bit is never set (section 5.2).
        Some(length) if length > u64::MAX / 2 => Length::Impossible,
        Some(length) => Length::Known(length + mask),
    }
}

/// A Close frame with this code; to a server it is masked (section 5.3).
pub fn close_frame(code: u16, mask: Option<[u8; 4]>) -> SmallVec<[u8; 8]> {
    let [high, low] = code.to_be_bytes();
    match mask {
        None => SmallVec::from_slice(&[0x80 | CLOSE, 2, high, low]),
        Some([a, b, c, d]) => {
            SmallVec::from_slice(&[0x80 | CLOSE, 0x82, a, b, c, d, high ^ a, low ^ b])
        }
    }
}

#[cfg(test)]
mod tests;
