use portcullis_config::model::ProxyProtocol;
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use super::*;
use crate::io::Socket;

/// A header of version 2 from its command, family and the part behind the length.
fn v2_of(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let mut header = START_V2.to_vec();
    header.extend([command, family]);
    header.extend(u16::try_from(rest.len()).unwrap().to_be_bytes());
    header.extend(rest);
    header
}

fn v4_ends(extra: usize) -> Vec<u8> {
    let mut rest = vec![192, 0, 2, 7, 198, 51, 100, 1, 0xc3, 0x50, 0x01, 0xbb];
    rest.extend(std::iter::repeat_n(4, extra));
    rest
}

fn v6_ends() -> Vec<u8> {
    let mut rest = Vec::new();
    rest.extend("2001:db8::7".parse::<std::net::Ipv6Addr>().unwrap().octets());
    rest.extend("2001:db8::1".parse::<std::net::Ipv6Addr>().unwrap().octets());
    rest.extend([0xc3, 0x50, 0x01, 0xbb]);
    rest
}

/// `source destination`, `none`, `absent`, `incomplete`, `malformed` or `long`.
fn found(bytes: &[u8]) -> String {
    match parse(bytes) {
        Ok(ParsedHeader::Header {
            ends: Some(ConnectionAddresses { source, destination }),
            ..
        }) => {
            format!("{source} {destination}")
        }
        Ok(ParsedHeader::Header { ends: None, .. }) => "none".to_owned(),
        Ok(ParsedHeader::Absent) => "absent".to_owned(),
        Ok(ParsedHeader::Incomplete) => "incomplete".to_owned(),
        Err(HeaderError::Malformed) => "malformed".to_owned(),
        Err(HeaderError::TooLong) => "long".to_owned(),
    }
}

fn table() -> Vec<(Vec<u8>, &'static str)> {
    const V4: &str = "192.0.2.7:50000 198.51.100.1:443";
    const V6: &str = "[2001:db8::7]:50000 [2001:db8::1]:443";
    let text = |line: &str| line.as_bytes().to_vec();
    let line_of = |length: usize| {
        format!("PROXY UNKNOWN {}\r\n", "x".repeat(length - "PROXY UNKNOWN \r\n".len()))
    };
    vec![
        (text("PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\n"), V4),
        (text("PROXY TCP6 2001:db8::7 2001:db8::1 50000 443\r\n"), V6),
        (text("PROXY TCP6 2001:0db8:0:0:0:0:0:7 2001:DB8::1 50000 443\r\n"), V6),
        (text("PROXY TCP4 0.0.0.0 255.255.255.255 0 65535\r\n"), "0.0.0.0:0 255.255.255.255:65535"),
        (text("PROXY UNKNOWN\r\n"), "none"),
        (text("PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), "none"),
        (text(&line_of(107)), "none"),
        (text(&line_of(108)), "long"),
        ([b"PROXY UNKNOWN ".to_vec(), vec![b'x'; 300]].concat(), "long"),
        (text("GET / HTTP/1.1\r\n"), "absent"),
        (text("PROPFIND / HTTP/1.1\r\n"), "absent"),
        (text("proxy TCP4 192.0.2.7 198.51.100.1 50000 443\r\n"), "absent"),
        (text("PROXYTCP4 192.0.2.7 198.51.100.1 50000 443\r\n"), "absent"),
        (text(" PROXY UNKNOWN\r\n"), "absent"),
        (text("\r\nGET / HTTP/1.1\r\n"), "absent"),
        (text("\x16\x03\x01\x02\x00"), "absent"),
        (text("PROXY  TCP4 192.0.2.7 198.51.100.1 50000 443\r\n"), "malformed"),
        (text("PROXY\tTCP4 192.0.2.7 198.51.100.1 50000 443\r\n"), "absent"),
        (text("PROXY tcp4 192.0.2.7 198.51.100.1 50000 443\r\n"), "malformed"),
        (text("PROXY UDP4 192.0.2.7 198.51.100.1 50000 443\r\n"), "malformed"),
        (text("PROXY UNKNOWNS\r\n"), "malformed"),
        (text("PROXY \r\n"), "malformed"),
        (text("PROXY TCP4\r\n"), "malformed"),
        (text("PROXY TCP4 192.0.2.7 198.51.100.1 50000\r\n"), "malformed"),
        (text("PROXY TCP4 192.0.2.7 198.51.100.1 50000 443 \r\n"), "malformed"),
        (text("PROXY TCP4 192.0.2.7 198.51.100.1 50000 443 x\r\n"), "malformed"),
        (text("PROXY TCP4 192.0.2.7  198.51.100.1 50000 443\r\n"), "malformed"),
        (text("PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\n"), "malformed"),
        (text("PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\r\n"), "malformed"),
        (text("PROXY TCP4 192.0.2.7 198.51.100.1 50000\r443\r\n"), "malformed"),
        (text("PROXY TCP4 192.0.2.7 198.51.100.1 50000 65536\r\n"), "malformed"),
        (text("PROXY TCP4 192.0.2.7 198.51.100.1 50000 0443\r\n"), "malformed"),
        (text("PROXY TCP4 192.0.2.7 198.51.100.1 +50000 443\r\n"), "malformed"),
        (text("PROXY TCP4 192.0.2.7 198.51.100.1 -1 443\r\n"), "malformed"),
        (text("PROXY TCP4 192.0.2.7 198.51.100.1 0x50 443\r\n"), "malformed"),
        (text("PROXY TCP4 192.0.2.256 198.51.100.1 50000 443\r\n"), "malformed"),
        (text("PROXY TCP4 192.0.2 198.51.100.1 50000 443\r\n"), "malformed"),
        (text("PROXY TCP4 192.0.02.7 198.51.100.1 50000 443\r\n"), "malformed"),
        (text("PROXY TCP4 2001:db8::7 2001:db8::1 50000 443\r\n"), "malformed"),
        (text("PROXY TCP6 192.0.2.7 198.51.100.1 50000 443\r\n"), "malformed"),
        (text("PROXY TCP6 [2001:db8::7] 2001:db8::1 50000 443\r\n"), "malformed"),
        (text("PROXY TCP6 fe80::1%1 2001:db8::1 50000 443\r\n"), "malformed"),
        (b"PROXY TCP4 192.0.2.7\0 198.51.100.1 50000 443\r\n".to_vec(), "malformed"),
        (b"PROXY UNKNOWN \xff\r\n".to_vec(), "malformed"),
        (v2_of(0x21, 0x11, &v4_ends(0)), V4),
        (v2_of(0x21, 0x11, &v4_ends(4084)), V4),
        (v2_of(0x21, 0x11, &v4_ends(4085)), "long"),
        (v2_of(0x21, 0x21, &v6_ends()), V6),
        (v2_of(0x21, 0x31, &[7; 216]), "none"),
        (v2_of(0x21, 0x00, &[]), "none"),
        (v2_of(0x21, 0x00, &[1, 2, 3]), "none"),
        (v2_of(0x20, 0x00, &[]), "none"),
        // What a sender says of itself is not looked at, its family included.
        (v2_of(0x20, 0x11, &v4_ends(0)), "none"),
        (v2_of(0x20, 0xff, &[1]), "none"),
        (v2_of(0x21, 0x11, &[0; 11]), "malformed"),
        (v2_of(0x21, 0x21, &[0; 35]), "malformed"),
        (v2_of(0x21, 0x31, &[0; 215]), "malformed"),
        (v2_of(0x21, 0x12, &v4_ends(0)), "malformed"),
        (v2_of(0x21, 0x22, &v6_ends()), "malformed"),
        (v2_of(0x21, 0x10, &v4_ends(0)), "malformed"),
        (v2_of(0x21, 0x01, &v4_ends(0)), "malformed"),
        (v2_of(0x21, 0x13, &v4_ends(0)), "malformed"),
        (v2_of(0x21, 0x41, &v4_ends(0)), "malformed"),
        (v2_of(0x22, 0x11, &v4_ends(0)), "malformed"),
        (v2_of(0x11, 0x11, &v4_ends(0)), "malformed"),
        (v2_of(0x31, 0x11, &v4_ends(0)), "malformed"),
        (b"\r\n\r\n\0\r\nQUIP\n\x21\x11\0\0".to_vec(), "absent"),
    ]
}

#[test]
fn what_is_a_header_and_what_is_none() {
    for (bytes, expected) in table() {
        assert_eq!(found(&bytes), expected, "{}", bytes.escape_ascii());
    }
}

/// A verdict on a beginning is either "more will tell" or the verdict on the whole.
#[test]
fn a_verdict_does_not_depend_on_where_the_bytes_are_cut() {
    for (bytes, expected) in table() {
        let whole = [&bytes[..], b"GET / HTTP/1.1\r\n\r\n"].concat();
        for cut in 0..=whole.len() {
            let verdict = found(&whole[..cut]);
            assert!(
                verdict == "incomplete" || verdict == expected,
                "{verdict} of {}",
                whole[..cut].escape_ascii()
            );
        }
        assert_eq!(found(&whole), expected, "{}", whole.escape_ascii());
        if let Ok(ParsedHeader::Header { length, .. }) = parse(&whole) {
            assert_eq!(length, bytes.len());
        }
    }
}

#[test]
fn what_is_written_reads_back() {
    for (source, destination, expected) in [
        ("192.0.2.7:1", "198.51.100.1:2", "192.0.2.7:1 198.51.100.1:2"),
        ("[::ffff:192.0.2.7]:1", "[::ffff:198.51.100.1]:2", "192.0.2.7:1 198.51.100.1:2"),
        ("[2001:db8::7]:1", "[2001:db8::1]:2", "[2001:db8::7]:1 [2001:db8::1]:2"),
        ("192.0.2.7:1", "[2001:db8::1]:2", "[::ffff:192.0.2.7]:1 [2001:db8::1]:2"),
        ("[2001:db8::7]:1", "192.0.2.7:2", "[2001:db8::7]:1 [::ffff:192.0.2.7]:2"),
    ] {
        let ends = ConnectionAddresses {
            source: source.parse().unwrap(),
            destination: destination.parse().unwrap(),
        };
        for version in [ProxyVersion::V1, ProxyVersion::V2] {
            assert_eq!(found(&write(version, Some(ends))), expected, "{version:?}");
        }
    }
    for version in [ProxyVersion::V1, ProxyVersion::V2] {
        assert_eq!(found(&write(version, None)), "none");
    }
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(start in 0..4, rest in proptest::collection::vec(any::<u8>(), 0..300)) {
        let start: &[u8] = match start {
            0 => b"",
            1 => START_V1,
            2 => b"PROXY TCP4 ",
            _ => START_V2,
        };
        let bytes = [start, &rest].concat();
        if let Ok(ParsedHeader::Header { length, .. }) = parse(&bytes) {
            prop_assert!(length <= bytes.len() && length <= LONGEST);
        }
    }
}

/// Sends the bytes in two pieces and says what the listener's side makes of them.
async fn received(bytes: &[u8], cut: usize, mode: ProxyProtocol, trusted: bool) -> String {
    let (ours, mut theirs) = UnixStream::pair().unwrap();
    let send = async {
        theirs.write_all(&bytes[..cut]).await.unwrap();
        tokio::task::yield_now().await;
        // Who is refused need not have read everything.
        let _ = theirs.write_all(&bytes[cut..]).await;
        let _ = theirs.shutdown().await;
    };
    let receive = async {
        match receive(Socket::Unix(ours), mode, trusted).await {
            Ok(Received { mut socket, ends }) => {
                let mut rest = Vec::new();
                socket.read_to_end(&mut rest).await.unwrap();
                let source = ends.map_or("-".to_owned(), |ends| ends.source.to_string());
                format!("{source} {}", rest.escape_ascii())
            }
            Err(Refused::Untrusted) => "untrusted".to_owned(),
            Err(Refused::Absent) => "absent".to_owned(),
            Err(refused) => refused.to_string(),
        }
    };
    tokio::join!(send, receive).1
}

#[tokio::test]
async fn a_header_is_taken_off_and_nothing_else() {
    use ProxyProtocol::{Accept, Disabled, Require};
    let v1 = b"PROXY TCP4 192.0.2.7 198.51.100.1 50000 443\r\nhello".to_vec();
    let v2 = [v2_of(0x21, 0x11, &v4_ends(20)), b"hello".to_vec()].concat();
    let v2_long = [v2_of(0x21, 0x11, &v4_ends(4084)), b"hello".to_vec()].concat();
    let local = [v2_of(0x20, 0, &[]), b"hello".to_vec()].concat();
    let bad = b"PROXY TCP4 192.0.2.7\r\nhello".to_vec();
    for (bytes, mode, trusted, expected) in [
        (&v1, Accept, true, "192.0.2.7:50000 hello"),
        (&v1, Require, true, "192.0.2.7:50000 hello"),
        (&v2, Accept, true, "192.0.2.7:50000 hello"),
        (&v2, Require, true, "192.0.2.7:50000 hello"),
        (&v2_long, Require, true, "192.0.2.7:50000 hello"),
        (&local, Require, true, "- hello"),
        (&v1, Require, false, "untrusted"),
        (&b"hello".to_vec(), Accept, true, "- hello"),
        (&b"PRO".to_vec(), Accept, true, "- PRO"),
        (&b"".to_vec(), Accept, true, "- "),
        (&b"hello".to_vec(), Require, true, "absent"),
        (&b"PRO".to_vec(), Require, true, "absent"),
        (&b"hello".to_vec(), Disabled, true, "- hello"),
        (&bad, Accept, true, "the header is malformed"),
        (&bad, Require, true, "the header is malformed"),
    ] {
        for cut in (0..=bytes.len()).filter(|cut| *cut < 300 || cut % 97 == 0) {
            let seen = received(bytes, cut, mode, trusted).await;
            assert_eq!(seen, expected, "{} at {cut}", bytes.escape_ascii());
        }
    }
    let untouched = received(&v1, 3, Accept, false).await;
    assert_eq!(untouched, format!("- {}", v1.escape_ascii()), "no peer is trusted");
}
