//! When a head that arrives in pieces is worth parsing again.
//!
//! Parsing starts over each time, so a client that sends byte after byte could make it quadratic.
//! The scanner looks at each byte once and says when a verdict is due. It knows lines, not fields.

/// Beyond these a head is refused before it is complete.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Bytes of the whole head.
    pub head_bytes: usize,
    /// Bytes of the first line.
    pub first_line: usize,
    /// Lines after the first one.
    pub headers: usize,
}

/// Remembers how far a growing head was looked at. One per head; `default` starts anew.
///
/// The first call always says yes and looks at nothing: most heads arrive whole.
#[derive(Debug, Clone, Copy, Default)]
pub struct HeadScanner {
    asked: bool,
    scanned: usize,
    line_start: usize,
    lines: usize,
}

impl HeadScanner {
    /// Whether parsing `bytes`, which grew at its end since the last call, may now give another
    /// answer than [`Partial`](super::Parsed::Partial).
    ///
    /// Once it said yes for a complete or hopeless head, it goes on saying yes.
    pub fn worth_parsing(&mut self, bytes: &[u8], limits: &HeadLimits) -> bool {
        if !self.asked {
            self.asked = true;
            return true;
        }
        let from = self.scanned.min(bytes.len());
        for at in memchr::memchr_iter(b'\n', &bytes[from..]).map(|at| from + at) {
            let line = &bytes[self.line_start..at];
            // The empty line, or a line end that no head may have.
            if line == b"\r" || line.last() != Some(&b'\r') {
                self.scanned = at;
                return true;
            }
            self.line_start = at + 1;
            self.lines += 1;
            if self.lines > limits.headers + 1 {
                self.scanned = at;
                return true;
            }
        }
        self.scanned = bytes.len();
        bytes.len() >= limits.head_bytes || (self.lines == 0 && bytes.len() > limits.first_line)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: HeadLimits = HeadLimits { head_bytes: 64, first_line: 32, headers: 3 };

    /// Feeds byte after byte; the length at which parsing was first found worth while, from the
    /// second byte on.
    fn first_yes(bytes: &[u8]) -> Option<usize> {
        let mut scanner = HeadScanner::default();
        assert!(scanner.worth_parsing(&bytes[..1], &LIMITS));
        (2..=bytes.len()).find(|&length| scanner.worth_parsing(&bytes[..length], &LIMITS))
    }

    #[test]
    fn a_dripping_head_is_parsed_once_it_can_be_judged() {
        assert_eq!(first_yes(b"GET / HTTP/1.1\r\na: b\r\n\r\nbody"), Some(24));
        assert_eq!(first_yes(b"GET / HTTP/1.1\r\na: b\r\n"), None);
        assert_eq!(first_yes(b"GET / HTTP/1.1\na: b\r\n\r\n"), Some(15));
        assert_eq!(first_yes(b"GET / HTTP/1.1\r\na: b\n\n"), Some(21));
        assert_eq!(first_yes(&[b'a'; 100]), Some(33));
        assert_eq!(first_yes(b"a\r\nb\r\nc\r\nd\r\ne\r\n"), Some(15));
        assert_eq!(first_yes([&b"a\r\n"[..], &[b'b'; 100]].concat().as_slice()), Some(64));
    }

    #[test]
    fn a_long_head_that_drips_is_parsed_twice_in_all() {
        let limits = HeadLimits { head_bytes: 60 << 10, first_line: 16 << 10, headers: 100 };
        let line = format!("x: {}\r\n", "v".repeat(590));
        let head = format!("GET / HTTP/1.1\r\n{}\r\n", line.repeat(100));
        let mut scanner = HeadScanner::default();
        let bytes = head.as_bytes();
        let yes =
            (1..=bytes.len()).filter(|&length| scanner.worth_parsing(&bytes[..length], &limits));
        assert_eq!(yes.collect::<Vec<_>>(), [1, bytes.len()]);
    }

    #[test]
    fn a_yes_stays_a_yes() {
        let mut scanner = HeadScanner { asked: true, ..HeadScanner::default() };
        assert!(scanner.worth_parsing(b"a\r\n\r\n", &LIMITS));
        assert!(scanner.worth_parsing(b"a\r\n\r\nmore", &LIMITS));
    }
}
