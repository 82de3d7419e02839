//! The one hash that outlives a process: SipHash-1-3 under a fixed key.
//!
//! Placement on a ring and sticky cookies must mean the same after a restart and in every
//! replica, which rules out hashers with random or unspecified keys.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

const KEY: (u64, u64) = (0x706f_7274_6375_6c6c, 0x6973_2068_6173_6831);

/// Hashes the parts so that no two lists of parts look alike.
pub(super) fn stable(parts: &[&[u8]]) -> u64 {
    let mut hasher = SipHasher13::new_with_keys(KEY.0, KEY.1);
    for part in parts {
        hasher.write(&(part.len() as u64).to_le_bytes());
        hasher.write(part);
    }
    hasher.finish()
}

/// A second number from a first one, as if drawn anew (the finaliser of SplitMix64).
pub(super) fn remix(value: u64) -> u64 {
    let mut mixed = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_pinned_for_ever() {
        // A change here moves every client of every consistent-hash upstream.
        assert_eq!(stable(&[b"user-42"]), 594_147_629_854_934_069);
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(stable(&[b"ab", b"c"]), stable(&[b"a", b"bc"]));
        assert_ne!(stable(&[b"abc"]), stable(&[b"abc", b""]));
    }
}
