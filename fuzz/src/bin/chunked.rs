//! A chunked body is refused or read as by the strict reader, however it is cut: the first two
//! bytes of the input say where.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_fuzz::judge;

fuzz_target!(|bytes: &[u8]| {
    if let [first, step, body @ ..] = bytes {
        let step = usize::from(*step).max(1);
        let cuts: Vec<usize> = (usize::from(*first)..body.len()).step_by(step).collect();
        judge::chunked(body, &cuts);
    }
});
