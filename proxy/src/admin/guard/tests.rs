use super::*;

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

#[test]
fn only_loopback_is_named() {
    for (authority, expected) in [
        ("localhost", true),
        ("LOCALHOST:9901", true),
        ("127.0.0.1:9901", true),
        ("127.3.2.1", true),
        ("[::1]:9901", true),
        ("[::1]", true),
        ("[::ffff:127.0.0.1]:1", true),
        ("", false),
        ("localhost.", false),
        ("localhost.attacker.example", false),
        ("attacker.example:9901", false),
        ("127.0.0.1.attacker.example", false),
        ("127.1", false),
        ("0.0.0.0", false),
        ("10.0.0.1:9901", false),
        ("169.254.169.254", false),
        ("::1", false),
        ("[::2]", false),
        ("[127.0.0.1]", false),
        ("[localhost]", false),
        ("[::1]x", false),
        ("[::1", false),
        ("localhost:99x", false),
        ("user@localhost", false),
    ] {
        assert_eq!(is_loopback(authority), expected, "{authority}");
    }
}

fn site(transport: AdminTransport, uri: &str, fields: &[(&'static str, &str)]) -> u16 {
    let result = check_site(transport, &uri.parse().unwrap(), &headers(fields));
    result.map_or_else(|problem| problem.into_response().status().as_u16(), |()| 200)
}

#[test]
fn what_a_foreign_page_sends_is_refused() {
    const HOST: (&str, &str) = ("host", "localhost:9901");
    for (fields, expected) in [
        (&[HOST][..], 200),
        (&[HOST, ("origin", "http://localhost:9901"), ("sec-fetch-site", "same-origin")], 200),
        (&[HOST, ("sec-fetch-site", "none")], 200),
        (&[], 403),
        (&[("host", "rebound.example:9901")], 403),
        (&[("host", "rebound.example:9901"), ("origin", "http://rebound.example:9901")], 403),
        (&[HOST, ("host", "localhost:9901")], 400),
        (&[HOST, ("origin", "http://localhost:3000")], 403),
        (&[HOST, ("origin", "https://localhost:9901")], 403),
        (&[HOST, ("origin", "https://attacker.example")], 403),
        (&[HOST, ("origin", "null")], 403),
        (&[HOST, ("origin", "http://localhost:9901"), ("origin", "null")], 403),
        (&[HOST, ("sec-fetch-site", "cross-site")], 403),
        (&[HOST, ("sec-fetch-site", "same-site")], 403),
    ] {
        assert_eq!(site(AdminTransport::Tcp, "/reload", fields), expected, "{fields:?}");
    }
    assert_eq!(site(AdminTransport::Tcp, "http://attacker.example/reload", &[HOST]), 403);
    assert_eq!(site(AdminTransport::Tcp, "http://127.0.0.1:9901/reload", &[HOST]), 200);
}

#[test]
fn a_unix_socket_has_no_name_to_rebind() {
    assert_eq!(site(AdminTransport::Unix, "/", &[("host", "admin")]), 200);
    assert_eq!(site(AdminTransport::Unix, "/", &[]), 200);
    assert_eq!(site(AdminTransport::Unix, "/", &[("host", "admin"), ("origin", "null")]), 403);
    assert_eq!(site(AdminTransport::Unix, "/", &[("origin", "http://a")]), 403);
}

#[test]
fn changes_need_the_token() {
    use AdminTransport::{Tcp, Unix};

    let check = |transport, token, fields: &[(&'static str, &str)], expected: u16| {
        let result = check_token(transport, token, &headers(fields));
        let status =
            result.map_or_else(|problem| problem.into_response().status().as_u16(), |()| 200);
        assert_eq!(status, expected, "{transport:?} {token:?} {fields:?}");
    };
    const RIGHT: (&str, &str) = ("authorization", "Bearer s3cret");
    for transport in [Tcp, Unix] {
        check(transport, Some("s3cret"), &[RIGHT], 200);
        check(transport, Some("s3cret"), &[("authorization", "bearer  s3cret")], 200);
        check(transport, Some("s3cret"), &[], 401);
        check(transport, Some("s3cret"), &[("authorization", "Bearer s3cre")], 401);
        check(transport, Some("s3cret"), &[("authorization", "Bearer s3crets")], 401);
        check(transport, Some("s3cret"), &[("authorization", "Bearer S3CRET")], 401);
        check(transport, Some("s3cret"), &[("authorization", "Bearer ")], 401);
        check(transport, Some("s3cret"), &[("authorization", "Basic s3cret")], 401);
        check(transport, Some("s3cret"), &[("authorization", "s3cret")], 401);
        check(transport, Some("s3cret"), &[RIGHT, RIGHT], 401);
    }
    check(Unix, None, &[], 200);
    check(Tcp, None, &[], 403);
    check(Tcp, None, &[RIGHT], 403);
    check(Tcp, Some(""), &[("authorization", "Bearer ")], 403);
}
