//! Which upstreams are verified, and which certificate they get.

use std::sync::LazyLock;

use rcgen::ExtendedKeyUsagePurpose::ClientAuth as ClientUse;

use super::*;

static ROOT: LazyLock<Authority> = LazyLock::new(|| Authority::root("mesh"));
static OTHER: LazyLock<Authority> = LazyLock::new(|| Authority::root("strangers"));
static IMPOSTOR: LazyLock<Authority> = LazyLock::new(|| Authority::root("mesh"));

fn trusting_root(directory: &PemDirectory) -> UpstreamTls {
    upstream(TrustAnchors::File(file(directory.write("mesh.pem", ROOT.certificate_pem()))))
}

/// Whether an upstream with this leaf is accepted, dialled as `orders.shop.local`.
#[track_caller]
fn check(config: &UpstreamTls, leaf: &Leaf, expected: bool, what: &str) {
    let tls = client(config);
    for version in BOTH_VERSIONS {
        let name = tls.server_name("orders.shop.local").unwrap();
        let outcome = Pair::connect_to(tls.client_config(), origin(leaf, None, &[version]), name);
        let error = outcome.as_ref().err();
        assert_eq!(outcome.is_ok(), expected, "{what} with {version:?}: {error:?}");
    }
}

#[test]
fn without_identities_the_dialled_name_must_be_in_a_good_certificate() {
    let directory = PemDirectory::create();
    let config = trusting_root(&directory);
    let below = ROOT.intermediate("mesh, east");
    for (what, leaf, expected) in [
        ("good", ROOT.server("orders.shop.local").issue(), true),
        ("below an intermediate", below.server("orders.shop.local").issue(), true),
        ("a wildcard", ROOT.server("*.shop.local").issue(), true),
        ("of another name", ROOT.server("products.shop.local").issue(), false),
        ("a wildcard of two labels", ROOT.server("*.orders.shop.local").issue(), false),
        (
            "named by the common name alone",
            { ROOT.client("orders.shop.local").uses(&[]).issue() },
            false,
        ),
        ("expired", ROOT.server("orders.shop.local").expired().issue(), false),
        ("not yet valid", ROOT.server("orders.shop.local").not_yet_valid().issue(), false),
        ("of another authority", OTHER.server("orders.shop.local").issue(), false),
        ("of an authority of the same name", IMPOSTOR.server("orders.shop.local").issue(), false),
        ("for clients only", ROOT.server("orders.shop.local").uses(&[ClientUse]).issue(), false),
    ] {
        check(&config, &leaf, expected, what);
    }
    let mut renamed = config;
    renamed.server_name = Some("other.example".to_owned());
    check(&renamed, &ROOT.server("other.example").issue(), true, "by its serverName");
    check(&renamed, &ROOT.server("orders.shop.local").issue(), false, "not by its serverName");
}

#[test]
fn with_identities_one_of_them_must_be_in_a_good_certificate() {
    const ORDERS: &str = "spiffe://shop.local/ns/shop/sa/orders";
    let directory = PemDirectory::create();
    let mut config = trusting_root(&directory);
    config.identities = vec![ORDERS.to_owned(), "orders.internal.example".to_owned()];
    let named = |authority: &'static Authority, uri: &str| authority.client("").uses(&[]).uri(uri);
    for (what, leaf, expected) in [
        ("its URI", named(&ROOT, ORDERS).issue(), true),
        ("its DNS name", ROOT.server("orders.internal.example").issue(), true),
        ("a wildcard of it", ROOT.server("*.internal.example").issue(), true),
        ("its URI among DNS names", named(&ROOT, ORDERS).name("x.example").issue(), true),
        ("the dialled name alone", ROOT.server("orders.shop.local").issue(), false),
        ("a URI below it", named(&ROOT, &format!("{ORDERS}/x")).issue(), false),
        ("a URI in another case", named(&ROOT, &ORDERS.to_uppercase()).issue(), false),
        ("another trust domain", named(&ROOT, "spiffe://evil/ns/shop/sa/orders").issue(), false),
        ("two URIs", named(&ROOT, ORDERS).uri("spiffe://shop.local/b").issue(), false),
        ("two URIs, ours last", named(&ROOT, "spiffe://b").uri(ORDERS).issue(), false),
        ("no name", ROOT.client("").uses(&[]).issue(), false),
        ("the URI as a common name", ROOT.client(ORDERS).uses(&[]).issue(), false),
        ("expired", named(&ROOT, ORDERS).expired().issue(), false),
        ("not yet valid", named(&ROOT, ORDERS).not_yet_valid().issue(), false),
        ("another authority", named(&OTHER, ORDERS).issue(), false),
        ("an authority of the same name", named(&IMPOSTOR, ORDERS).issue(), false),
        ("for clients only", named(&ROOT, ORDERS).uses(&[ClientUse]).issue(), false),
    ] {
        check(&config, &leaf, expected, what);
    }
}

#[test]
fn insecure_mode_accepts_any_certificate_whose_key_is_held() {
    let config = upstream(TrustAnchors::InsecureNoVerify);
    check(&config, &OTHER.server("else.example").expired().issue(), true, "anything");
}

#[test]
fn a_self_signed_certificate_can_be_trusted_by_itself() {
    let certificate = rcgen::generate_simple_self_signed(["orders.shop.local".to_owned()]).unwrap();
    let directory = PemDirectory::create();
    let ca = file(directory.write("self.pem", certificate.cert.pem()));
    let der = rustls::pki_types::PrivatePkcs8KeyDer::from(certificate.signing_key.serialize_der());
    let origin = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.cert.der().clone()], der.into())
        .unwrap();
    let tls = client(&upstream(TrustAnchors::File(ca)));
    assert!(Pair::connect(tls.client_config(), Arc::new(origin), "orders.shop.local").is_ok());
}

#[test]
fn the_name_to_check_comes_from_the_configuration_or_the_endpoint() {
    let directory = PemDirectory::create();
    let mut config = trusting_root(&directory);
    let tls = client(&config);
    for (host, expected) in [
        ("orders.shop.local", Some("orders.shop.local")),
        ("orders.shop.local.", Some("orders.shop.local")),
        ("10.0.0.1", Some("10.0.0.1")),
        ("::1", Some("::1")),
        ("", None),
        ("a b", None),
        ("orders.shop.local:80", None),
    ] {
        let name = tls.server_name(host).ok().map(|name| name.to_str().into_owned());
        assert_eq!(name.as_deref(), expected, "{host}");
    }
    config.server_name = Some("fixed.shop.local".to_owned());
    assert_eq!(client(&config).server_name("").unwrap().to_str(), "fixed.shop.local");

    let by_address = ROOT.server("10.0.0.1").issue();
    let pair = Pair::connect(tls.client_config(), origin(&by_address, None, &[&TLS13]), "10.0.0.1");
    assert_eq!(pair.unwrap().server.server_name(), None, "an address is no SNI");
    let pair = Pair::connect(tls.client_config(), origin(&by_address, None, &[&TLS13]), "10.0.0.2");
    assert!(pair.is_err());
}

#[test]
fn an_upstream_that_asks_is_shown_the_certificate_of_now() {
    let directory = PemDirectory::create();
    let (old, new) = (ROOT.client("old").issue(), ROOT.client("new").issue());
    let mut config = trusting_root(&directory);
    let site = ROOT.server("orders.shop.local").issue();
    let mutual = origin(&site, Some(&ROOT), &BOTH_VERSIONS);
    let refused =
        Pair::connect(client(&config).client_config(), mutual.clone(), "orders.shop.local");
    assert!(refused.is_err(), "it has none to show");

    let (certificate, key) = directory.write_leaf("id", &old);
    config.client_certificate = Some((file(certificate), file(key)));
    let tls = client(&config);
    let seen = || {
        let mut config = (*tls.client_config()).clone();
        config.resumption = Resumption::disabled();
        let pair = Pair::connect(Arc::new(config), mutual.clone(), "orders.shop.local").unwrap();
        pair.server.peer_certificates().unwrap()[0].clone()
    };
    assert_eq!(seen(), first(&old));
    directory.write_leaf("id", &new);
    assert_eq!(tls.reload(), Ok(Changed::Yes));
    assert_eq!(seen(), first(&new));
    assert_eq!(tls.certificate().unwrap().subject, "CN=new");
    assert_eq!(tls.watched_files().len(), 3);
}

#[test]
fn sessions_are_resumed_until_whom_we_trust_changes() {
    let directory = PemDirectory::create();
    let tls = client(&trusting_root(&directory));
    let origin = origin(&ROOT.server("orders.shop.local").issue(), None, &[&TLS13]);
    let connect = || Pair::connect(tls.client_config(), origin.clone(), "orders.shop.local");
    assert!(!connect().unwrap().resumed());
    assert!(connect().unwrap().resumed());
    assert_eq!(tls.reload(), Ok(Changed::No));
    assert!(connect().unwrap().resumed());

    directory.write("mesh.pem", ROOT.certificate_pem() + &OTHER.certificate_pem());
    assert_eq!(tls.reload(), Ok(Changed::Yes));
    assert!(!connect().unwrap().resumed(), "verified anew");

    directory.write("mesh.pem", "rubbish");
    let problems = tls.reload().unwrap_err();
    assert!(problems[0].message.contains("mesh.pem"), "{problems:?}");
    assert!(connect().unwrap().resumed(), "the last good store goes on");

    directory.write("mesh.pem", OTHER.certificate_pem());
    assert_eq!(tls.reload(), Ok(Changed::Yes));
    assert!(connect().is_err(), "no session stands in for trust that is gone");
}

#[test]
fn a_new_configuration_resumes_sessions_only_under_the_same_demands() {
    let directory = PemDirectory::create();
    let config = trusting_root(&directory);
    let tls = client(&config);
    let origin = origin(&ROOT.server("orders.shop.local").issue(), None, &[&TLS13]);
    let connect = |tls: &ClientTls| {
        let name = tls.server_name("orders.shop.local").unwrap();
        Pair::connect_to(tls.client_config(), origin.clone(), name).map(|pair| pair.resumed())
    };
    let after = |previous: &ClientTls, config: &UpstreamTls| {
        let mut problems = Vec::new();
        let built = ClientTls::build_after(Some(previous), config, &mut problems);
        assert_eq!(problems, []);
        built.unwrap()
    };
    assert_eq!(connect(&tls), Ok(false));
    let same = after(&tls, &config);
    assert_eq!(connect(&same), Ok(true));
    assert!(same.generation() > tls.generation());

    let mut stricter = config.clone();
    stricter.identities = vec!["spiffe://shop/orders".to_owned()];
    let stricter = after(&same, &stricter);
    assert!(connect(&stricter).is_err(), "the identity is asked for, session or not");
    let open = after(&stricter, &upstream(TrustAnchors::InsecureNoVerify));
    assert_eq!(connect(&open), Ok(false));
    let back = after(&open, &config);
    assert_eq!(connect(&back), Ok(false), "a session without verification proves nothing");
}
