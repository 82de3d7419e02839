//! Every problem at once, each with its file, its place and its remedy.

use rcgen::ExtendedKeyUsagePurpose::{ClientAuth as ClientUse, ServerAuth as ServerUse};

use portcullis_testkit::ca::LeafBuilder;

use super::files::Sections;
use super::*;
use crate::world::WorldError;

fn problems_of(config: &ListenerTls) -> Vec<WorldError> {
    let mut problems = Vec::new();
    assert!(ServerTls::build(config, &mut problems).is_none(), "it should not build");
    problems
}

#[track_caller]
fn check(problems: &[WorldError], message: &str, help: &str) {
    assert_eq!(problems.len(), 1, "{problems:?}");
    let problem = &problems[0];
    assert!(problem.message.contains(message), "{} for {message}", problem.message);
    assert!(problem.help.as_ref().unwrap().contains(help), "{:?} for {help}", problem.help);
}

/// `site.crt` and `site.key` as given.
fn files(directory: &PemDirectory, certificate: &str, key: &str) -> ListenerTls {
    let cert = file(directory.write("site.crt", certificate));
    listener(vec![CertificateSource::Files { cert, key: file(directory.write("site.key", key)) }])
}

#[test]
fn a_certificate_that_cannot_serve_is_reported_with_its_remedy() {
    let authority = Authority::root("web");
    let directory = PemDirectory::create();
    let good = authority.server("a.example").issue();
    let other = authority.server("a.example").issue();
    let (chain, key) = (good.chain_pem(), good.key_pem());
    let reversed = authority.certificate_pem() + &chain;
    let encrypted =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMAA=\n-----END ENCRYPTED PRIVATE KEY-----\n";
    let old_form = "-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n";
    let not_der = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";
    let not_a_key = "-----BEGIN PRIVATE KEY-----\nMAA=\n-----END PRIVATE KEY-----\n";
    let bad_base64 = "-----BEGIN CERTIFICATE-----\n!!!\n-----END CERTIFICATE-----\n";
    let issue = |bend: fn(LeafBuilder<'_>) -> LeafBuilder<'_>| {
        let leaf = bend(authority.server("a.example")).issue();
        (leaf.chain_pem(), leaf.key_pem())
    };
    let expired = issue(|leaf| leaf.expired());
    let early = issue(|leaf| leaf.not_yet_valid());
    let for_clients = issue(|leaf| leaf.uses(&[ClientUse]));
    for (certificate, key, message, help) in [
        (
            &*chain,
            &*other.key_pem(),
            "site.key: the key does not belong to the certificate in",
            "issued for",
        ),
        (&chain, "", "site.key: is empty", "rename"),
        ("", &key, "site.crt: is empty", "rename"),
        (
            "hello",
            &key,
            "site.crt: has no certificate: it holds no PEM section",
            "BEGIN CERTIFICATE",
        ),
        (&key, &key, "site.crt: has no certificate: it holds a private key", "BEGIN CERTIFICATE"),
        (
            &chain,
            &chain,
            "site.key: has no private key: it holds a certificate",
            "BEGIN PRIVATE KEY",
        ),
        (&chain, encrypted, "site.key: holds an encrypted key", "openssl pkey"),
        (&chain, old_form, "site.key: holds an encrypted key", "openssl pkey"),
        (&chain, &key.repeat(2), "site.key: has several private keys", "belongs"),
        (&chain, not_a_key, "site.key: its key cannot be used", "RSA"),
        (not_der, &key, "site.crt: its certificate does not parse", "issue it again"),
        (bad_base64, &key, "site.crt: has a PEM section that is not base64", "cut short"),
        (&chain[..200], &key, "site.crt: ends within a PEM section", "cut short"),
        (
            &reversed,
            &key,
            "site.crt: the certificate of the key is not the first one",
            "leaf first",
        ),
        (&expired.0, &expired.1, "site.crt: the certificate expired on", "renew"),
        (&early.0, &early.1, "site.crt: the certificate is valid only from", "clock"),
        (
            &for_clients.0,
            &for_clients.1,
            "site.crt: the certificate's extendedKeyUsage leaves out serverAuth",
            "serverAuth",
        ),
    ] {
        let problems = problems_of(&files(&directory, certificate, key));
        check(&problems, message, help);
        assert_eq!(problems[0].location, at(7));
        assert!(problems[0].to_string().starts_with("gateway.yaml:7:5: "));
    }
}

#[test]
fn every_problem_of_a_listener_is_reported_in_one_run() {
    let (web, partners) = (Authority::root("web"), Authority::root("partners"));
    let directory = PemDirectory::create();
    let missing = CertificateSource::Files {
        cert: file(directory.path().join("none.crt")),
        key: file(directory.path().to_owned()),
    };
    let bent = web.server("b.example").expired().uses(&[ClientUse]).issue();
    let (cert, _) = directory.write_leaf("bent", &bent);
    let key = file(directory.write("bent.key", web.server("x.example").issue().key_pem()));
    let mut config = listener(vec![missing, CertificateSource::Files { cert: file(cert), key }]);
    let mut rules = client_auth(&directory, ClientAuthMode::Required, &partners, Some("x"));
    rules.ca = file(directory.write("clients.pem", web.server("c").issue().key_pem()));
    config.client_auth = Some(rules);
    let problems = problems_of(&config);
    let expected = [
        "none.crt: cannot be read",
        "is not a file",
        "bent.crt: the certificate expired on",
        "bent.crt: the certificate's extendedKeyUsage",
        "bent.key: the key does not belong",
        "clients.pem: has no certificate: it holds a private key",
        "clients.crl: has no revocation list",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.message.contains(expected), "{} for {expected}", problem.message);
        assert!(problem.help.is_some(), "{expected}");
    }
}

#[test]
fn a_certificate_that_no_client_can_be_given_is_an_error() {
    let authority = Authority::root("web");
    let directory = PemDirectory::create();
    let named = |name: &str, leaf: &Leaf| source(&directory, name, leaf);
    let first = named("first", &authority.server("a.example").name("*.b.example").issue());
    for (second, message, help) in [
        (
            authority.server("A.example"),
            "each of its names (A.example) belongs to an earlier one, ",
            "remove one",
        ),
        (authority.server("*.b.example").name("a.example"), "first.crt", "remove one"),
        (authority.server("10.0.0.1"), "it has no DNS name", "common name"),
        (authority.server("f*.example"), "it has no DNS name", "names"),
    ] {
        let second = named("second", &second.issue());
        check(&problems_of(&listener(vec![first.clone(), second])), message, help);
    }
    // Overlapping in part is fine: the earlier one answers.
    let second = named("second", &authority.server("a.example").name("c.example").issue());
    server(&listener(vec![first, second]));
}

#[test]
fn revocation_lists_that_cannot_work_are_reported() {
    let (partners, others) = (Authority::root("partners"), Authority::root("others"));
    let below = partners.intermediate("below");
    let directory = PemDirectory::create();
    let site = source(&directory, "site", &others.server("a.example").issue());
    let mut config = listener(vec![site]);
    let mut with = |list: &str| {
        let rules = client_auth(&directory, ClientAuthMode::Required, &partners, Some(list));
        config.client_auth = Some(rules);
        config.clone()
    };
    let not_der = "-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n";
    for (list, message, help) in [
        (not_der, "clients.crl: revocation list 1 of it does not parse", "again"),
        (
            &*partners.certificate_pem(),
            "clients.crl: has no revocation list: it holds a cert",
            "CRL",
        ),
        (&others.revoke(&[]), "it has lists of: CN=others", "each authority"),
        (&below.revoke(&[]), "no list in it comes from an authority in", "intermediate"),
    ] {
        check(&problems_of(&with(list)), message, help);
    }
    server(&with(&(partners.revoke(&[]) + &below.revoke(&[]))));
    // As authorities publish it: one list in DER.
    let list = partners.revoke(&[]);
    let parsed = Sections::parse(&file("x".into()), list.as_bytes()).unwrap();
    let config = with(&list);
    directory.write("clients.crl", &parsed.lists[0]);
    assert_eq!(server(&config).revocation_lists().len(), 1);
}

#[test]
fn problems_of_an_upstream_are_reported_too() {
    let authority = Authority::root("mesh");
    let directory = PemDirectory::create();
    let mut config = upstream(TrustAnchors::File(file(directory.path().join("none.pem"))));
    let leaf = authority.client("id").uses(&[ServerUse]).issue();
    let (certificate, key) = directory.write_leaf("id", &leaf);
    config.client_certificate = Some((file(certificate), file(key)));
    config.server_name = Some("not a name".to_owned());
    config.identities = vec!["spiffe://ok".to_owned(), "a b".to_owned()];
    let mut problems = Vec::new();
    assert!(ClientTls::build(&config, &mut problems).is_none());
    let expected = [
        "`serverName: not a name`",
        "`a b` in `identities`",
        "none.pem: cannot be read",
        "id.crt: the certificate's extendedKeyUsage leaves out clientAuth",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.message.contains(expected), "{} for {expected}", problem.message);
    }
}

#[test]
fn versions_that_cross_are_reported_without_a_panic() {
    let authority = Authority::root("web");
    let directory = PemDirectory::create();
    let leaf = authority.server("a.example").issue();
    let mut config = listener(vec![source(&directory, "site", &leaf)]);
    (config.min_version, config.max_version) = (TlsVersion::V13, TlsVersion::V12);
    check(&problems_of(&config), "TLS cannot be set up", "versions");
}
