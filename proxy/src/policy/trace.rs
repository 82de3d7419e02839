//! The trace that a request belongs to (W3C Trace Context, level 1).
//!
//! The proxy records no span, so it puts none between caller and upstream: a valid `traceparent`
//! is forwarded as it came, since a parent span that was never recorded would break the trace.
//! What is absent or invalid is replaced by a trace that begins here, and `tracestate`, which
//! belongs to the old one, is dropped. Knows no message; where randomness comes from is the
//! caller's matter.

use std::ops::Range;

use super::hex::digits;

/// Bytes of a `traceparent` of version 00.
const LENGTH: usize = 55;
/// Later versions may be longer, but what is remembered of a request is bounded.
const LONGEST: usize = 256;
/// Bytes of `tracestate` over all its lines that are handed on (section 3.3.1.5 asks for these).
pub const STATE_BYTES: usize = 512;

const TRACE: Range<usize> = 3..35;
const PARENT: Range<usize> = 36..52;

/// The trace of one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// What was sent, as far as version 00 reaches, or what begins here.
    parent: [u8; LENGTH],
    continued: bool,
    keeps_state: bool,
}

impl Trace {
    /// Of the only `traceparent` and the length of `tracestate`; `random` is asked for the ids of
    /// a trace that begins here.
    pub fn new(
        parent: Option<&[u8]>,
        state_bytes: usize,
        random: impl FnOnce() -> (u128, u64),
    ) -> Self {
        match parent.and_then(valid) {
            Some(parent) => {
                Self { parent, continued: true, keeps_state: state_bytes <= STATE_BYTES }
            }
            None => Self { parent: begin(random()), continued: false, keeps_state: false },
        }
    }

    /// Thirty-two digits in lower case.
    pub fn id(&self) -> &[u8] {
        &self.parent[TRACE]
    }

    /// The `traceparent` of a trace that begins here; `None` where that of the client stays.
    pub fn begun(&self) -> Option<&[u8]> {
        (!self.continued).then_some(&self.parent)
    }

    /// Whether `tracestate` is handed on.
    pub fn keeps_state(&self) -> bool {
        self.keeps_state
    }
}

/// Version 00 exactly; later ones by the part that version 00 knows, as section 4 asks.
fn valid(value: &[u8]) -> Option<[u8; LENGTH]> {
    let (known, rest) = value.split_first_chunk::<LENGTH>()?;
    let digits = |range: Range<usize>| {
        known[range].iter().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let zero = |range: Range<usize>| known[range].iter().all(|byte| *byte == b'0');
    let version = &known[..2];
    let formed = known[2] == b'-'
        && known[35] == b'-'
        && known[52] == b'-'
        && digits(0..2)
        && digits(TRACE)
        && digits(PARENT)
        && digits(53..55)
        && version != b"ff"
        && !zero(TRACE)
        && !zero(PARENT);
    let ends = match rest {
        [] => true,
        [b'-', ..] => version != b"00" && value.len() <= LONGEST,
        _ => false,
    };
    (formed && ends).then_some(*known)
}

/// Sampled, because a client that sent no trace has not asked to skip sampling: services record as
/// if the trace had begun there.
fn begin((trace, span): (u128, u64)) -> [u8; LENGTH] {
    let mut text = *b"00-00000000000000000000000000000000-0000000000000000-01";
    // Neither may be zero.
    write_digits(&mut text[TRACE], &trace.max(1).to_be_bytes());
    write_digits(&mut text[PARENT], &span.max(1).to_be_bytes());
    text
}

fn write_digits(out: &mut [u8], number: &[u8]) {
    let (out, (words, _)) = (out.as_chunks_mut::<8>().0, number.as_chunks::<4>());
    for (out, word) in out.iter_mut().zip(words) {
        *out = digits(u32::from_be_bytes(*word));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn of(parent: &str, state: usize) -> Trace {
        Trace::new(Some(parent.as_bytes()), state, || (7, 9))
    }

    #[test]
    fn a_valid_parent_stays() {
        let later = |tail: &str| format!("cc{}{tail}", &SENT[2..]);
        for parent in [
            SENT.to_owned(),
            SENT.replace("-01", "-00"),
            SENT.replace("-01", "-ff"),
            later(""),
            later("-what-comes-later"),
            later(&format!("-{}", "x".repeat(200))),
        ] {
            let trace = of(&parent, 512);
            assert_eq!(trace.begun(), None, "{parent}");
            assert_eq!(trace.id(), b"0af7651916cd43dd8448eb211c80319c");
            assert!(trace.keeps_state());
            assert!(!of(&parent, 513).keeps_state());
        }
    }

    #[test]
    fn anything_else_begins_a_trace() {
        let begun = b"00-00000000000000000000000000000007-0000000000000009-01";
        let mut wrong = vec![
            String::new(),
            SENT.to_uppercase(),
            SENT.replace("0af7", "0AF7"),
            SENT.replace("0af7", "0agf"),
            SENT.replace("b7ad", "B7ad"),
            format!("{SENT}-"),
            format!("{SENT}-x"),
            format!("{SENT} "),
            format!("ff{}", &SENT[2..]),
            format!("FF{}", &SENT[2..]),
            format!("cc{}x", &SENT[2..]),
            format!("cc{}-{}", &SENT[2..], "x".repeat(201)),
            SENT.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            SENT.replace("b7ad6b7169203331", &"0".repeat(16)),
            SENT.replace("-01", "-0A"),
            format!("{SENT},{SENT}"),
        ];
        wrong.extend((0..SENT.len()).map(|end| SENT[..end].to_owned()));
        wrong.extend((0..SENT.len()).map(|at| format!("{}_{}", &SENT[..at], &SENT[at + 1..])));
        for parent in wrong {
            let trace = of(&parent, 0);
            assert_eq!(trace.begun(), Some(&begun[..]), "{parent}");
            assert_eq!(trace.id(), &begun[TRACE]);
            assert!(!trace.keeps_state(), "{parent}");
        }
        let absent = Trace::new(None, 0, || (u128::MAX, u64::MAX));
        let all = b"00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-01";
        assert_eq!(absent.begun(), Some(&all[..]));
    }

    #[test]
    fn what_begins_here_is_valid_whatever_the_dice_say() {
        for ids in [(0, 0), (1, 0), (u128::MAX, u64::MAX)] {
            assert!(valid(&begin(ids)).is_some());
        }
    }
}
