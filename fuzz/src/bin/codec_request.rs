//! A request is refused, or read alike by a strict second reader before and after the codec, and
//! its verdict does not depend on how it was cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_fuzz::{forward, judge};

fuzz_target!(|bytes: &[u8]| {
    judge::request(bytes);
    // Quadratic in the length, so of short inputs only.
    if bytes.len() <= 512 {
        forward::check_request_prefixes(bytes);
    }
});
