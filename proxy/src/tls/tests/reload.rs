//! What a reload changes, and what it must not.

use super::*;

#[test]
fn new_handshakes_get_the_new_certificate_and_open_connections_go_on() {
    let authority = Authority::root("web");
    let directory = PemDirectory::create();
    let (old, new) = (authority.server("a.example"), authority.server("a.example"));
    let (old, new) = (old.issue(), new.issue());
    let tls = server(&listener(vec![source(&directory, "site", &old)]));
    let connect = || {
        let browser = browser(&authority, None, &[&TLS13]);
        Pair::connect(browser, tls.server_config(), "a.example").unwrap()
    };
    let mut open = connect();
    assert_eq!(open.shown(), first(&old));
    assert_eq!((tls.reload(), tls.generation()), (Ok(Changed::No), 0));
    assert!(Arc::ptr_eq(&tls.server_config(), &tls.server_config()));

    directory.write_leaf("site", &new);
    assert_eq!((tls.reload(), tls.generation()), (Ok(Changed::Yes), 1));
    assert_eq!(connect().shown(), first(&new));
    assert_eq!(tls.certificates()[0].fingerprint, super::files::sha256(&[&first(&new)]));
    open.talk();
    assert_eq!(tls.reload(), Ok(Changed::No));
}

#[test]
fn sessions_outlive_a_renewed_certificate() {
    let authority = Authority::root("web");
    for version in BOTH_VERSIONS {
        let directory = PemDirectory::create();
        let site = source(&directory, "site", &authority.server("a.example").issue());
        let config = listener(vec![site]);
        let tls = server(&config);
        let browser = browser(&authority, None, &[version]);
        let connect = |tls: &ServerTls| {
            Pair::connect(browser.clone(), tls.server_config(), "a.example").unwrap().resumed()
        };
        assert!(!connect(&tls));
        assert!(connect(&tls));
        directory.write_leaf("site", &authority.server("a.example").issue());
        assert_eq!(tls.reload(), Ok(Changed::Yes));
        assert!(connect(&tls));
        let mut problems = Vec::new();
        let next = ServerTls::build_after(Some(&tls), &config, &mut problems).unwrap();
        assert!(connect(&next), "a new configuration of the same listener");
        assert!(!connect(&server(&config)), "a listener of its own has tickets of its own");
    }
}

#[test]
fn a_broken_file_keeps_its_last_good_version_and_says_why() {
    let authority = Authority::root("web");
    let directory = PemDirectory::create();
    let (a, b) = (authority.server("a.example").issue(), authority.server("b.example").issue());
    let sources = vec![source(&directory, "a", &a), source(&directory, "b", &b)];
    let tls = server(&listener(sources));
    let shown = |name| {
        let browser = browser(&authority, None, &[&TLS13]);
        Pair::connect(browser, tls.server_config(), name).unwrap().shown()
    };
    let pem = a.chain_pem();
    for (contents, reason) in [
        ("", "a.crt: is empty"),
        ("rubbish", "a.crt: has no certificate"),
        (&pem[..pem.len() / 2], "a.crt: ends within a PEM section"),
        (&b.chain_pem(), "a.key: the key does not belong to the certificate in"),
        (&authority.server("a.example").expired().issue().chain_pem(), "expired"),
    ] {
        directory.write("a.crt", contents);
        let problems = tls.reload().unwrap_err();
        assert!(problems.iter().any(|it| it.message.contains(reason)), "{reason}: {problems:?}");
        assert!(problems.iter().all(|it| it.help.is_some() && it.location == at(7)));
        assert_eq!(shown("a.example"), first(&a), "{reason}");
        assert_eq!(tls.generation(), 0);
    }
    // The other certificate is renewed all the same.
    let renewed = authority.server("b.example").issue();
    directory.write_leaf("b", &renewed);
    assert!(tls.reload().is_err());
    assert_eq!((shown("a.example"), shown("b.example")), (first(&a), first(&renewed)));
    assert_eq!(tls.generation(), 1);

    directory.write("a.crt", pem);
    assert_eq!(tls.reload(), Ok(Changed::No), "back to what is in use");
}

#[test]
fn broken_rules_for_clients_keep_the_last_good_ones() {
    let (web, partners) = (Authority::root("web"), Authority::root("partners"));
    let directory = PemDirectory::create();
    let mut config = listener(vec![source(&directory, "site", &web.server("a.example").issue())]);
    let list = partners.revoke(&[]);
    let rules = client_auth(&directory, ClientAuthMode::Required, &partners, Some(&list));
    config.client_auth = Some(rules);
    let tls = server(&config);
    assert_eq!(tls.watched_files().len(), 4);
    let leaf = partners.client("a").issue();
    let connect = |leaf: Option<&Leaf>| {
        Pair::connect(browser(&web, leaf, &[&TLS13]), tls.server_config(), "a.example")
    };
    for (name, contents) in
        [("clients.crl", "rubbish"), ("clients.pem", ""), ("clients.crl", &web.revoke(&[]))]
    {
        directory.write(name, contents);
        let problems = tls.reload().unwrap_err();
        assert!(problems.iter().any(|it| it.message.contains(name)), "{problems:?}");
        assert_eq!(tls.generation(), 0);
        assert!(connect(Some(&leaf)).is_ok());
        assert!(connect(None).is_err(), "a failure never opens the door");
        directory.write("clients.crl", &list);
        directory.write("clients.pem", partners.certificate_pem());
    }
}

#[test]
fn a_development_certificate_stays_while_its_names_do() {
    let names = |names: &[&str]| CertificateSource::SelfSigned {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        location: at(9),
    };
    let config = listener(vec![names(&["localhost", "127.0.0.1", "*.local"])]);
    let tls = server(&config);
    let before = tls.certificates();
    assert_eq!(before[0].names, ["localhost", "*.local", "127.0.0.1"]);
    assert_eq!(before[0].source, CertificateOrigin::SelfSigned);
    assert!(before[0].not_after > super::certificate::unix_now() + 300 * 24 * 60 * 60);
    assert_eq!(tls.reload(), Ok(Changed::No));

    let mut problems = Vec::new();
    let next = ServerTls::build_after(Some(&tls), &config, &mut problems).unwrap();
    assert_eq!(next.certificates(), before);
    let renamed = listener(vec![names(&["localhost"])]);
    let next = ServerTls::build_after(Some(&next), &renamed, &mut problems).unwrap();
    assert_ne!(next.certificates()[0].fingerprint, before[0].fingerprint);
    assert_eq!(problems, []);
    assert!(tls.watched_files().is_empty());

    let any = client(&upstream(TrustAnchors::InsecureNoVerify)).client_config();
    assert!(Pair::connect(any, next.server_config(), "localhost").is_ok());
}

#[test]
fn a_certificate_that_expires_in_use_does_not_block_other_changes() {
    // Loaded while good; the next configuration finds the same bytes and does not judge again.
    let authority = Authority::root("web");
    let directory = PemDirectory::create();
    let config = listener(vec![source(&directory, "a", &authority.server("a.example").issue())]);
    let tls = server(&config);
    let mut problems = Vec::new();
    let mut next = config.clone();
    next.location = at(30);
    let next = ServerTls::build_after(Some(&tls), &next, &mut problems).unwrap();
    assert_eq!((next.certificates(), problems), (tls.certificates(), vec![]));
}
