use proptest::prelude::*;

use super::*;

fn check(path: &[u8], expected: Option<&str>) {
    let mut scratch = Vec::new();
    let got = normalise(path, &mut scratch, EncodedSlash::Refuse).ok();
    let got = got.map(|it| String::from_utf8(it.to_vec()).unwrap());
    assert_eq!(got.as_deref(), expected, "{}", path.escape_ascii());
}

/// Two hundred ways to write a path, each with the one form that is routed and sent, or refused.
const VARIANTS: &[(&str, Option<&str>)] = &[
    // What is normal stays.
    ("/", Some("/")),
    ("", Some("/")),
    ("*", Some("*")),
    ("/a", Some("/a")),
    ("/a/", Some("/a/")),
    ("/a/b/c", Some("/a/b/c")),
    ("/A/b", Some("/A/b")),
    ("/a.b", Some("/a.b")),
    ("/.well-known/acme", Some("/.well-known/acme")),
    ("/..a", Some("/..a")),
    ("/a..", Some("/a..")),
    ("/...", Some("/...")),
    ("/.../a", Some("/.../a")),
    ("/~user/-_.", Some("/~user/-_.")),
    ("/!$&'()*+,;=:@", Some("/!$&'()*+,;=:@")),
    ("/a:b@c", Some("/a:b@c")),
    ("/*", Some("/*")),
    // Dots.
    ("/.", Some("/")),
    ("/./", Some("/")),
    ("/./a", Some("/a")),
    ("/a/.", Some("/a/")),
    ("/a/./", Some("/a/")),
    ("/a/./b", Some("/a/b")),
    ("/a/././b", Some("/a/b")),
    ("/a/..", Some("/")),
    ("/a/../", Some("/")),
    ("/a/../b", Some("/b")),
    ("/a/b/..", Some("/a/")),
    ("/a/b/../", Some("/a/")),
    ("/a/b/../c", Some("/a/c")),
    ("/a/b/../../c", Some("/c")),
    ("/a/./../b", Some("/b")),
    ("/a/.././b", Some("/b")),
    ("/a/b/c/../../..", Some("/")),
    ("/public/../admin", Some("/admin")),
    ("/..", None),
    ("/../", None),
    ("/../a", None),
    ("/./..", None),
    ("/a/../..", None),
    ("/a/../../b", None),
    ("/a/b/../../../c", None),
    ("/a/./../../b", None),
    ("/../../../etc/passwd", None),
    // Encoded dots.
    ("/%2e", Some("/")),
    ("/%2E", Some("/")),
    ("/a/%2e/b", Some("/a/b")),
    ("/a/%2e%2e", Some("/")),
    ("/a/%2e%2e/b", Some("/b")),
    ("/a/%2E%2E/b", Some("/b")),
    ("/a/%2e%2E/b", Some("/b")),
    ("/a/%2E%2e/b", Some("/b")),
    ("/a/.%2e/b", Some("/b")),
    ("/a/%2e./b", Some("/b")),
    ("/a/.%2E/b", Some("/b")),
    ("/a/%2E./b", Some("/b")),
    ("/%2e%2e", None),
    ("/%2e%2e/", None),
    ("/%2e%2e/a", None),
    ("/%2E%2E/a", None),
    ("/.%2e/a", None),
    ("/%2e./a", None),
    ("/a/%2e%2e/%2e%2e/b", None),
    ("/a/%2e%2e/%2e%2e", None),
    ("/%2e%2e%2e", Some("/...")),
    ("/%2ea", Some("/.a")),
    ("/a%2eb", Some("/a.b")),
    ("/a%2e%2e", Some("/a..")),
    // Slashes.
    ("//", Some("/")),
    ("///", Some("/")),
    ("//a", Some("/a")),
    ("/a//b", Some("/a/b")),
    ("/a///b", Some("/a/b")),
    ("/a//", Some("/a/")),
    ("//a//b//", Some("/a/b/")),
    ("//evil.example/a", Some("/evil.example/a")),
    ("///evil.example", Some("/evil.example")),
    ("/a//../b", Some("/b")),
    ("/a/b//../c", Some("/a/c")),
    ("/a//.//b", Some("/a/b")),
    ("//..", None),
    ("//../a", None),
    ("/.//..//a", None),
    ("/a/..//../b", None),
    ("//%2e%2e//a", None),
    // Encoded slashes.
    ("/a%2fb", None),
    ("/a%2Fb", None),
    ("/%2f", None),
    ("/%2F", None),
    ("/%2fa", None),
    ("/a%2f", None),
    ("%2fa", None),
    ("/a/..%2fb", None),
    ("/a/..%2Fb", None),
    ("/a/%2e%2e%2fb", None),
    ("/a/%2e%2e%2Fb", None),
    ("/a%2f..%2fb", None),
    ("/a%2f%2e%2e%2fb", None),
    ("/%2f%2fevil.example", None),
    // Backslashes.
    ("/a\\b", None),
    ("/\\", None),
    ("\\a", None),
    ("/a\\..\\b", None),
    ("/..\\a", None),
    ("/\\evil.example", None),
    ("/a%5cb", None),
    ("/a%5Cb", None),
    ("/%5c", None),
    ("/a/..%5cb", None),
    ("/a/..%5Cb", None),
    ("/a%5c..%5cb", None),
    ("/%5c%2e%2e%5c", None),
    // NUL and controls.
    ("/a%00", None),
    ("/%00", None),
    ("/a%00b", None),
    ("/a%00.html", None),
    ("/a/..%00/b", None),
    ("/a\0", None),
    ("/\0", None),
    ("/a\tb", None),
    ("/a\rb", None),
    ("/a\nb", None),
    ("/a\r\nx: y", None),
    ("/a\x01", None),
    ("/a\x1f", None),
    ("/a\x7f", None),
    ("/a b", None),
    ("/ ", None),
    (" /a", None),
    ("/a%0d%0ax", Some("/a%0D%0Ax")),
    ("/a%0a", Some("/a%0A")),
    ("/a%09", Some("/a%09")),
    ("/a%7f", Some("/a%7F")),
    ("/a%20b", Some("/a%20b")),
    ("/%20", Some("/%20")),
    ("/a+b", Some("/a+b")),
    // Path parameters are text...
    ("/a;x", Some("/a;x")),
    ("/a;x=1/b", Some("/a;x=1/b")),
    ("/a;x=1;y=2", Some("/a;x=1;y=2")),
    ("/;a", Some("/;a")),
    ("/;/a", Some("/;/a")),
    ("/a/;/b", Some("/a/;/b")),
    ("/a;/../b", Some("/b")),
    ("/a;/./b", Some("/a;/b")),
    ("/a%3bx", Some("/a%3Bx")),
    ("/a;jsessionid=1", Some("/a;jsessionid=1")),
    ("/...;a", Some("/...;a")),
    ("/a..;b", Some("/a..;b")),
    // ... but a step for a server that drops them first.
    ("/a/..;/b", None),
    ("/a/..;x=1/b", None),
    ("/a/..;", None),
    ("/..;/b", None),
    ("/a/.;/b", None),
    ("/a/.;x/b", None),
    ("/a/%2e%2e;/b", None),
    ("/a/.%2e;/b", None),
    ("/a/..%3b/b", None),
    ("/a/..%3Bx/b", None),
    ("/a/%2e%3b/b", None),
    // Double encoding stays encoded.
    ("/a%252fb", Some("/a%252fb")),
    ("/a%252Fb", Some("/a%252Fb")),
    ("/%252e%252e/a", Some("/%252e%252e/a")),
    ("/a/%252e%252e/b", Some("/a/%252e%252e/b")),
    ("/a%255cb", Some("/a%255cb")),
    ("/a%2500", Some("/a%2500")),
    ("/%25", Some("/%25")),
    ("/%25%32%65", Some("/%252e")),
    ("/%25%32%66", Some("/%252f")),
    ("/%2525", Some("/%2525")),
    ("/%25%35%63", Some("/%255c")),
    // Malformed escapes.
    ("/%", None),
    ("/%2", None),
    ("/%g0", None),
    ("/%0g", None),
    ("/%zz", None),
    ("/a%", None),
    ("/a%/", None),
    ("/a%2/b", None),
    ("/%%32%65", None),
    ("/%2%65", None),
    ("/%%", None),
    ("/% 2e", None),
    ("/%+2", None),
    ("/%-1", None),
    ("/%u002e", None),
    ("/%u002f", None),
    ("/%0x2f", None),
    // Unreserved escapes are decoded, others written in upper case.
    ("/%61", Some("/a")),
    ("/%41%5a%7a", Some("/AZz")),
    ("/%30%39", Some("/09")),
    ("/%2d%5f%7e", Some("/-_~")),
    ("/%61dmin", Some("/admin")),
    ("/%61%64%6D%69%6e", Some("/admin")),
    ("/%c3%a9", Some("/%C3%A9")),
    ("/%C3%a9", Some("/%C3%A9")),
    ("/%c0%af", Some("/%C0%AF")),
    ("/%c0%ae%c0%ae/", Some("/%C0%AE%C0%AE/")),
    ("/%ff", Some("/%FF")),
    ("/%e2%80%ae", Some("/%E2%80%AE")),
    ("/%3f", Some("/%3F")),
    ("/%23", Some("/%23")),
    ("/%26%3d", Some("/%26%3D")),
    ("/%3a%40", Some("/%3A%40")),
    ("/%21%24%27%28%29%2a%2b%2c", Some("/%21%24%27%28%29%2A%2B%2C")),
    // What has no place in a path is escaped, unless it starts another part of a URL.
    ("/caf\u{e9}", Some("/caf%C3%A9")),
    ("/a|b", Some("/a%7Cb")),
    ("/{a}", Some("/%7Ba%7D")),
    ("/a\"b", Some("/a%22b")),
    ("/<a>", Some("/%3Ca%3E")),
    ("/a^b`c", Some("/a%5Eb%60c")),
    ("/[a]", Some("/%5Ba%5D")),
    ("/a#b", None),
    ("/a?b", None),
    // What does not start with a slash.
    ("a", None),
    (".", None),
    ("..", None),
    ("%2e", None),
    ("**", None),
    ("*/a", None),
    ("http://a/", None),
    ("a:80", None),
];

#[test]
fn variants_have_one_form_or_none() {
    assert!(VARIANTS.len() >= 200, "{}", VARIANTS.len());
    for (path, expected) in VARIANTS {
        check(path.as_bytes(), *expected);
    }
}

#[test]
fn variants_are_fixed_points() {
    for normal in VARIANTS.iter().filter_map(|(_, normal)| *normal) {
        let mut scratch = Vec::new();
        let again = normalise(normal.as_bytes(), &mut scratch, EncodedSlash::Refuse).unwrap();
        assert!(std::ptr::eq(again, normal.as_bytes()), "{normal} is not borrowed");
    }
}

#[test]
fn raw_bytes_outside_ascii_are_escaped() {
    check(b"/\xff\x80", Some("/%FF%80"));
    check(b"/a/\xc0\xae\xc0\xae/b", Some("/a/%C0%AE%C0%AE/b"));
}

#[test]
fn encoded_slashes_are_kept_where_asked() {
    for (path, expected) in [
        ("/a%2fb", Some("/a%2Fb")),
        ("/a%2Fb", Some("/a%2Fb")),
        ("/%2f", Some("/%2F")),
        ("/a%2f", Some("/a%2F")),
        ("/a%2fb/./c", Some("/a%2Fb/c")),
        ("/a/%2f/../b", None),
        ("/a%2fb/../c", None),
        ("/a%2fb/c/../d", Some("/a%2Fb/d")),
        ("/a%2f...%2fb", Some("/a%2F...%2Fb")),
        ("/a%2f.b", Some("/a%2F.b")),
        ("/a%2f..", None),
        ("/a%2f.", None),
        ("/..%2fa", None),
        ("/.%2fa", None),
        ("/a%2f..%2fb", None),
        ("/a%2F%2e%2E%2fb", None),
        ("/a%2f..;x%2fb", None),
        ("/a%2f..%3bx", None),
        ("/a%5cb", None),
        ("/a%00", None),
    ] {
        let mut scratch = Vec::new();
        let got = normalise(path.as_bytes(), &mut scratch, EncodedSlash::Keep).ok();
        assert_eq!(got, expected.map(str::as_bytes), "{path}");
        if let Some(got) = got {
            assert_eq!(has_encoded_slash(got), got.windows(3).any(|it| it == b"%2F"), "{path}");
        }
    }
    assert!(!has_encoded_slash(b"/%252F/%2"));
}

#[test]
fn prefixes_cover_whole_segments() {
    for (path, prefix, rest) in [
        ("/a", "/a", Some("")),
        ("/a/", "/a", Some("/")),
        ("/a/b", "/a", Some("/b")),
        ("/ab", "/a", None),
        ("/b", "/a", None),
        ("/a/b", "", Some("/a/b")),
        ("/", "", Some("/")),
        ("*", "", Some("*")),
        ("/a", "/a/b", None),
    ] {
        let got = strip_prefix(path.as_bytes(), prefix.as_bytes());
        assert_eq!(got, rest.map(str::as_bytes), "{path} {prefix}");
    }
}

#[test]
fn hostile_paths_cost_no_more_than_their_length() {
    // 16 KiB of dots, slashes and escapes each finish; a quadratic walk would be felt here.
    for piece in ["/a/..", "//", "/.", "%2e", "/%2e%2e", "%2F", "/a/b/../..", ";/"] {
        let path = format!("/{}", piece.repeat(64 * 1024 / piece.len()));
        let _ = normalise(path.as_bytes(), &mut Vec::new(), EncodedSlash::Keep);
    }
}

/// Paths of the pieces that matter, mixed.
fn hostile() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        Just(b"/".to_vec()),
        Just(b".".to_vec()),
        Just(b"..".to_vec()),
        Just(b"%2e".to_vec()),
        Just(b"%2E".to_vec()),
        Just(b"%2f".to_vec()),
        Just(b"%25".to_vec()),
        Just(b"%3b".to_vec()),
        Just(b";".to_vec()),
        Just(b"a".to_vec()),
        Just(b"%61".to_vec()),
        Just(b"%7C".to_vec()),
        Just(b"2f".to_vec()),
        Just(b"\xc3".to_vec()),
        any::<u8>().prop_map(|byte| vec![byte]),
        any::<u8>().prop_map(|byte| format!("%{byte:02x}").into_bytes()),
    ];
    proptest::collection::vec(piece, 0..24)
        .prop_map(|pieces| [vec![b'/'], pieces.concat()].concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn what_comes_out_is_normal(path in hostile(), keep in any::<bool>()) {
        let slash = if keep { EncodedSlash::Keep } else { EncodedSlash::Refuse };
        let mut scratch = Vec::new();
        if let Ok(normal) = normalise(&path, &mut scratch, slash) {
            let normal = std::str::from_utf8(normal).unwrap();
            prop_assert!(normal.starts_with('/') && normal.is_ascii());
            prop_assert!(!normal.contains("//"));
            for segment in normal.split('/') {
                prop_assert!(segment != "." && segment != "..", "{}", normal);
            }
            prop_assert!(!normal.bytes().any(|it| it <= b' ' || it == 0x7f || b"\\?#".contains(&it)));
            prop_assert!(!normal.contains("%00") && !normal.contains("%5C"));
            prop_assert!(!normal.contains("%2E") && !normal.contains("%61"));
            prop_assert!(keep || !normal.contains("%2F"));
            // A fixed point, borrowed.
            let mut again = Vec::new();
            let second = normalise(normal.as_bytes(), &mut again, slash).unwrap();
            prop_assert_eq!(second, normal.as_bytes());
            prop_assert!(std::ptr::eq(second, normal.as_bytes()));
        }
    }

    #[test]
    fn what_is_refused_strictly_is_the_only_difference(path in hostile()) {
        let (mut strict, mut lenient) = (Vec::new(), Vec::new());
        let strict = normalise(&path, &mut strict, EncodedSlash::Refuse);
        let lenient = normalise(&path, &mut lenient, EncodedSlash::Keep);
        match lenient {
            Ok(path) if has_encoded_slash(path) => prop_assert!(strict.is_err()),
            Ok(path) => prop_assert_eq!(strict, Ok(path)),
            Err(_) => prop_assert!(strict.is_err()),
        }
    }
}
