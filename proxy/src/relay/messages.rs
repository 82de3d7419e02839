//! Where the messages of a gRPC body begin and end, however its bytes are cut.

/// Flags and length stand before every message.
const PREFIX: usize = 5;

/// Follows a body from message to message.
#[derive(Debug, Default)]
pub struct Messages {
    prefix: [u8; PREFIX],
    /// How much of the prefix has been seen.
    seen: usize,
    /// What of the message is still to come, once its prefix is whole.
    rest: u32,
    /// The longest message that was announced.
    longest: u32,
}

impl Messages {
    /// Follows `data` to the end of a message or to its own: how much that is, and whether the
    /// message ends there.
    pub fn step(&mut self, data: &[u8]) -> (usize, bool) {
        let mut at = 0;
        while self.seen < PREFIX {
            let Some(&byte) = data.get(at) else { return (at, false) };
            self.prefix[self.seen] = byte;
            self.seen += 1;
            at += 1;
            if self.seen == PREFIX {
                let [_, length @ ..] = self.prefix;
                self.rest = u32::from_be_bytes(length);
                self.longest = self.longest.max(self.rest);
            }
        }
        let count = data.len().saturating_sub(at).min(self.rest as usize);
        // It is at most what is left of it.
        self.rest -= u32::try_from(count).unwrap_or(self.rest);
        if self.rest == 0 {
            self.seen = 0;
        }
        (at + count, self.rest == 0)
    }

    /// Follows all of `data`; false once a message was announced that is longer than `limit`.
    pub fn follow(&mut self, mut data: &[u8], limit: u64) -> bool {
        while !data.is_empty() {
            let (count, _) = self.step(data);
            data = &data[count..];
        }
        u64::from(self.longest) <= limit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_is_as_long_as_it_says() {
        let mut messages = Messages::default();
        assert_eq!(messages.step(b"\0\0\0\0\x02ab\0\0"), (7, true));
        assert_eq!(messages.step(b"\0\0"), (2, false));
        assert_eq!(messages.step(b"\0\0\0"), (3, true));
        assert_eq!(messages.step(b"\x01\0\0\x01\0a"), (6, false));
        assert!(messages.follow(&[0; 200], 256));
        assert!(!messages.follow(&[0; 200], 255));
    }

    #[test]
    fn the_limit_is_for_each_message() {
        let mut messages = Messages::default();
        for _ in 0..100 {
            assert!(messages.follow(b"\0\0\0\0\x02ab", 2));
        }
        assert!(!messages.follow(b"\0\0\0\0\x03", 2));
    }
}
