//! Which certificate answers, what is agreed on, and which requests are misdirected.

use rustls::SignatureScheme;

use super::*;

/// The certificates of the tables below, by index.
fn several(directory: &PemDirectory, authority: &Authority) -> (ListenerTls, Vec<Leaf>) {
    let leaves = vec![
        authority.server("default.example").issue(),
        authority.server("shop.example").name("www.shop.example").issue(),
        authority.server("*.shop.example").name("*.cdn.example").issue(),
        authority.server("api.shop.example").issue(),
        authority.server("10.0.0.1").name("UPPER.Example").issue(),
    ];
    let sources = leaves.iter().enumerate();
    let sources = sources.map(|(index, leaf)| source(directory, &format!("c{index}"), leaf));
    (listener(sources.collect()), leaves)
}

#[test]
fn sni_chooses_exact_over_wildcard_over_the_first() {
    let authority = Authority::root("web");
    let directory = PemDirectory::create();
    let (config, leaves) = several(&directory, &authority);
    let tls = server(&config);
    for (name, expected) in [
        ("default.example", 0),
        ("shop.example", 1),
        ("www.shop.example", 1),
        ("WWW.Shop.Example", 1),
        ("api.shop.example", 3),
        ("other.shop.example", 2),
        ("x.cdn.example", 2),
        ("upper.example", 4),
        // A wildcard stands for exactly one label.
        ("a.b.shop.example", 0),
        ("cdn.example", 0),
        ("unknown.example", 0),
        ("localhost", 0),
        // Without SNI: addresses are never sent.
        ("10.0.0.1", 0),
    ] {
        let trusting = client(&upstream(TrustAnchors::InsecureNoVerify)).client_config();
        let pair = Pair::connect(trusting, tls.server_config(), name).unwrap();
        assert_eq!(pair.shown(), first(&leaves[expected]), "{name}");
    }
}

#[test]
fn only_a_host_of_another_certificate_is_misdirected() {
    let authority = Authority::root("web");
    let directory = PemDirectory::create();
    let tls = server(&several(&directory, &authority).0);
    for (sni, host, expected) in [
        (Some("shop.example"), "shop.example", false),
        (Some("shop.example"), "SHOP.example:8443", false),
        (Some("shop.example"), "shop.example.", false),
        (Some("shop.example"), "www.shop.example", false),
        (Some("shop.example"), "WWW.SHOP.example.:443", false),
        (Some("shop.example"), "api.shop.example", true),
        (Some("shop.example"), "other.shop.example", true),
        (Some("shop.example"), "default.example", true),
        (Some("shop.example"), "unknown.example", true),
        (Some("shop.example"), "10.0.0.1", true),
        (Some("a.shop.example"), "b.shop.example:443", false),
        (Some("a.shop.example"), "x.cdn.example", false),
        (Some("a.shop.example"), "a.b.shop.example", true),
        (Some("unknown.example"), "default.example", false),
        (Some("unknown.example"), "other.unknown.example", false),
        (Some("unknown.example"), "shop.example", true),
        (None, "shop.example", false),
        (None, "unknown.example", false),
        (Some("shop.example"), "", true),
    ] {
        assert_eq!(tls.misdirected(sni, host.as_bytes()), expected, "{sni:?} {host}");
    }
    let long = [b'a'; 70_000];
    assert!(tls.misdirected(Some("shop.example"), &long));
    assert!(tls.misdirected(Some("shop.example"), b"\xff\x00"));

    let one = listener(vec![source(&directory, "one", &authority.server("a.example").issue())]);
    assert!(!server(&one).misdirected(Some("a.example"), b"anything.example"));
}

#[test]
fn keys_of_two_algorithms_may_share_a_name() {
    let authority = Authority::root("web");
    let directory = PemDirectory::create();
    let rsa = authority.server("shop.example").rsa().issue();
    let ecdsa = authority.server("shop.example").issue();
    let sources = vec![source(&directory, "rsa", &rsa), source(&directory, "ecdsa", &ecdsa)];
    let tls = server(&listener(sources));

    let all = browser(&authority, None, &[&TLS13]);
    let pair = Pair::connect(all, tls.server_config(), "shop.example").unwrap();
    assert_eq!(pair.shown(), first(&rsa), "the first that the client can verify");

    let mut limited = aws_lc_rs::default_provider();
    let known = &mut limited.signature_verification_algorithms;
    let is_ecdsa = |scheme: SignatureScheme| scheme.as_str().is_some_and(|it| it.contains("ECDSA"));
    // The provider lists them first.
    let count = known.mapping.iter().take_while(|(scheme, _)| is_ecdsa(*scheme)).count();
    known.mapping = &known.mapping[..count];
    let mut roots = RootCertStore::empty();
    roots.add(authority.certificate_der()).unwrap();
    let limited = ClientConfig::builder_with_provider(Arc::new(limited))
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let pair = Pair::connect(Arc::new(limited), tls.server_config(), "shop.example").unwrap();
    assert_eq!(pair.shown(), first(&ecdsa));
    assert!(!tls.misdirected(Some("shop.example"), b"shop.example:1"));
}

#[test]
fn versions_keep_to_their_bounds() {
    use TlsVersion::{V12, V13};
    let authority = Authority::root("web");
    let directory = PemDirectory::create();
    let leaf = authority.server("shop.example").issue();
    let mut config = listener(vec![source(&directory, "site", &leaf)]);
    let mut outward =
        upstream(TrustAnchors::File(file(directory.write("web.pem", authority.certificate_pem()))));
    let outcome = |pair: Result<Pair, rustls::Error>| {
        pair.ok().map(|pair| pair.server.protocol_version().unwrap())
    };
    let (tls12, tls13) =
        (Some(rustls::ProtocolVersion::TLSv1_2), Some(rustls::ProtocolVersion::TLSv1_3));
    for (min, max, expected) in [
        // Against a peer of 1.2 alone, of 1.3 alone, of both.
        (V12, V12, [tls12, None, tls12]),
        (V12, V13, [tls12, tls13, tls13]),
        (V13, V13, [None, tls13, tls13]),
    ] {
        (config.min_version, config.max_version) = (min, max);
        (outward.min_version, outward.max_version) = (min, max);
        let inward = server(&config);
        let outward = client(&outward);
        let peers: [&[&'static SupportedProtocolVersion]; 3] =
            [&[&TLS12], &[&TLS13], &BOTH_VERSIONS];
        for (peer, expected) in peers.into_iter().zip(expected) {
            let browser = browser(&authority, None, peer);
            let pair = Pair::connect(browser, inward.server_config(), "shop.example");
            assert_eq!(outcome(pair), expected, "{min:?} to {max:?} inward, {peer:?}");
            let origin = origin(&leaf, None, peer);
            let pair = Pair::connect(outward.client_config(), origin, "shop.example");
            assert_eq!(outcome(pair), expected, "{min:?} to {max:?} outward, {peer:?}");
        }
    }
}

#[test]
fn alpn_takes_our_first_preference_that_the_client_offers() {
    let authority = Authority::root("web");
    let directory = PemDirectory::create();
    let mut config =
        listener(vec![source(&directory, "site", &authority.server("a.example").issue())]);
    config.alpn = vec!["h2".to_owned(), "http/1.1".to_owned()];
    let tls = server(&config);
    // RFC 7301, section 3.2: offers without overlap end the handshake.
    let cases: [(&[&str], Option<&str>); 5] = [
        (&[], Some("")),
        (&["http/1.1"], Some("http/1.1")),
        (&["http/1.1", "h2"], Some("h2")),
        (&["spdy/3", "http/1.1"], Some("http/1.1")),
        (&["spdy/3"], None),
    ];
    for (offered, expected) in cases {
        let mut browser = (*browser(&authority, None, &BOTH_VERSIONS)).clone();
        browser.alpn_protocols = offered.iter().map(|token| token.as_bytes().to_vec()).collect();
        let pair = Pair::connect(Arc::new(browser), tls.server_config(), "a.example").ok();
        let agreed = pair.map(|pair| pair.server.alpn_protocol().unwrap_or_default().to_vec());
        assert_eq!(agreed.as_deref(), expected.map(str::as_bytes), "{offered:?}");
    }
}

#[test]
fn early_data_is_not_offered_and_keys_are_not_logged() {
    let directory = PemDirectory::create();
    let leaf = Authority::root("web").server("a.example").issue();
    let config = server(&listener(vec![source(&directory, "site", &leaf)])).server_config();
    assert_eq!(config.max_early_data_size, 0);
    assert!(!config.key_log.will_log("CLIENT_RANDOM"));
    assert!(!config.session_storage.can_cache());
    let config = client(&upstream(TrustAnchors::InsecureNoVerify)).client_config();
    assert!(!config.enable_early_data);
    assert!(!config.key_log.will_log("CLIENT_RANDOM"));
}
