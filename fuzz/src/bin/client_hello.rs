//! The first message of a handshake names the same client's wish, or none, wherever it is cut.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_proxy::tls::hello::{Hello, HelloReader};

fuzz_target!(|bytes: &[u8]| {
    let whole = told(&mut HelloReader::default(), bytes);
    // Each cut parses twice, so some of them only.
    let step = bytes.len() / 64 + 1;
    for cut in (0..bytes.len()).step_by(step) {
        let mut reader = HelloReader::default();
        let first = told(&mut reader, &bytes[..cut]);
        match first {
            Ok(Hello::Incomplete) => assert_eq!(told(&mut reader, bytes), whole, "cut at {cut}"),
            first => assert_eq!(first, whole, "cut at {cut}"),
        }
    }
    if let Ok(Hello::Whole { name: Some(name) }) = &whole {
        assert!(!name.is_empty() && !name.bytes().any(|byte| byte.is_ascii_uppercase()), "{name}");
    }
});

/// Why it is refused may depend on how much was there to be looked at.
fn told(reader: &mut HelloReader, bytes: &[u8]) -> Result<Hello, ()> {
    reader.feed(bytes).map_err(|_| ())
}
