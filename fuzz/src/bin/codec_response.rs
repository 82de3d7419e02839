//! The same for responses, to each method that changes their framing.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_fuzz::{forward, judge};

fuzz_target!(|bytes: &[u8]| {
    judge::response(bytes, b"GET");
    judge::response(bytes, b"HEAD");
    if bytes.len() <= 512 {
        forward::check_response_prefixes(bytes, b"GET");
    }
});
