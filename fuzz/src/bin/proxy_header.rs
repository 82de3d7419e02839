//! A PROXY protocol header is whole, refused or awaited alike wherever it is cut, and what it says
//! is what an upstream would be told of it.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_config::model::ProxyVersion;
use portcullis_proxy::proxy_protocol::{ConnectionAddresses, LONGEST, ParsedHeader, parse, write};

fuzz_target!(|bytes: &[u8]| {
    let whole = parse(bytes);
    // Quadratic in the length, so of short inputs only.
    let cuts = if bytes.len() <= 512 { bytes.len() } else { 0 };
    for cut in 0..cuts {
        let verdict = parse(&bytes[..cut]);
        assert!(verdict == Ok(ParsedHeader::Incomplete) || verdict == whole, "{cut}: {verdict:?}");
    }
    let Ok(ParsedHeader::Header { length, ends }) = whole else { return };
    assert!(length <= bytes.len() && length <= LONGEST);
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        let told = write(version, ends);
        let Ok(ParsedHeader::Header { length, ends: read }) = parse(&told) else {
            panic!("{version:?} cannot be read back");
        };
        assert_eq!(length, told.len());
        assert_eq!(read.map(canonical), ends.map(canonical), "{version:?}");
    }
});

/// IPv4 is one thing however it is written.
fn canonical(ends: ConnectionAddresses) -> [(std::net::IpAddr, u16); 2] {
    [ends.source, ends.destination].map(|end| (end.ip().to_canonical(), end.port()))
}
