//! Whom a listener lets in by certificate.

use std::sync::LazyLock;

use rcgen::ExtendedKeyUsagePurpose::{ClientAuth as ClientUse, ServerAuth as ServerUse};

use super::*;

static ROOT: LazyLock<Authority> = LazyLock::new(|| Authority::root("partners"));
static OTHER: LazyLock<Authority> = LazyLock::new(|| Authority::root("strangers"));
/// Of the same name as [`ROOT`], with another key.
static IMPOSTOR: LazyLock<Authority> = LazyLock::new(|| Authority::root("partners"));

struct Case {
    name: &'static str,
    shows: Option<Leaf>,
    /// Under `required` and under `optional`.
    admitted: (bool, bool),
}

#[test]
fn only_good_certificates_of_the_right_authority_come_in() {
    let below = ROOT.intermediate("partners, east");
    let revoked_below = ROOT.intermediate("partners, west");
    let revoked = ROOT.client("revoked").issue();
    let revoked_deep = below.client("revoked deep").issue();
    let lists = [
        ROOT.revoke(&[revoked.serial(), revoked_below.serial()]),
        below.revoke(&[revoked_deep.serial()]),
        revoked_below.revoke(&[]),
    ]
    .concat();
    let case = |name, shows, admitted| Case { name, shows, admitted };
    let good = |name, leaf| case(name, Some(leaf), (true, true));
    let bad = |name, leaf| case(name, Some(leaf), (false, false));
    let cases = [
        good("good", ROOT.client("good").issue()),
        good("below an intermediate", below.client("good").issue()),
        good("with one URI", ROOT.client("a").uri("spiffe://shop/a").issue()),
        good("for both uses", ROOT.client("a").uses(&[ServerUse, ClientUse]).issue()),
        good("for any use it does not name", ROOT.client("a").uses(&[]).issue()),
        case("none", None, (false, true)),
        bad("expired", ROOT.client("a").expired().issue()),
        bad("not yet valid", ROOT.client("a").not_yet_valid().issue()),
        bad("of another authority", OTHER.client("a").issue()),
        bad("of an authority of the same name", IMPOSTOR.client("a").issue()),
        bad("revoked", revoked),
        bad("revoked below an intermediate", revoked_deep),
        bad("below a revoked intermediate", revoked_below.client("a").issue()),
        bad("for servers only", ROOT.client("a").uses(&[ServerUse]).issue()),
        bad("with two URIs", ROOT.client("a").uri("spiffe://shop/a").uri("spiffe://b").issue()),
        bad("without a list", ROOT.intermediate("unlisted").client("a").issue()),
    ];
    let directory = PemDirectory::create();
    let site = OTHER.server("shop.example").issue();
    for mode in [ClientAuthMode::Required, ClientAuthMode::Optional] {
        let mut config = listener(vec![source(&directory, "site", &site)]);
        config.client_auth = Some(client_auth(&directory, mode, &ROOT, Some(&lists)));
        let tls = server(&config);
        for case in &cases {
            for version in BOTH_VERSIONS {
                let browser = browser(&OTHER, case.shows.as_ref(), &[version]);
                let outcome = Pair::connect(browser, tls.server_config(), "shop.example");
                let admitted = outcome.as_ref().is_ok_and(|pair| tls.peer(&pair.server).is_ok());
                let expected = match mode {
                    ClientAuthMode::Required => case.admitted.0,
                    ClientAuthMode::Optional => case.admitted.1,
                };
                let error = outcome.err();
                assert_eq!(
                    admitted, expected,
                    "{} with {version:?}, {mode:?}: {error:?}",
                    case.name
                );
                assert_eq!(error.is_none(), expected, "{}: seen in the handshake", case.name);
            }
        }
    }
}

#[test]
fn an_identity_has_the_names_of_the_certificate() {
    let directory = PemDirectory::create();
    let leaf = ROOT.client("alice").name("alice.example").uri("spiffe://shop/alice").issue();
    let mut config = listener(vec![source(&directory, "site", &OTHER.server("s.example").issue())]);
    config.client_auth = Some(client_auth(&directory, ClientAuthMode::Optional, &ROOT, None));
    let tls = server(&config);

    let shows = browser(&OTHER, Some(&leaf), &[&TLS13]);
    let pair = Pair::connect(shows, tls.server_config(), "s.example").unwrap();
    let peer = tls.peer(&pair.server).unwrap().expect("it showed a certificate");
    assert_eq!(peer.uri(), Some("spiffe://shop/alice"));
    assert_eq!(peer.dns_names(), ["alice.example"]);
    assert_eq!(peer.subject(), "CN=alice");
    assert_eq!(*peer.fingerprint(), super::files::sha256(&[&first(&leaf)]));
    let serial = leaf.serial().to_string().replace(':', "");
    assert_eq!(peer.serial(), serial.trim_start_matches('0'));

    let shows_none = browser(&OTHER, None, &[&TLS13]);
    let pair = Pair::connect(shows_none, tls.server_config(), "s.example").unwrap();
    assert_eq!(tls.peer(&pair.server).unwrap(), None);
}

#[test]
fn a_list_that_is_overdue_still_revokes_and_still_lets_in() {
    let directory = PemDirectory::create();
    let (good, revoked) = (ROOT.client("good").issue(), ROOT.client("revoked").issue());
    let list = ROOT.stale_revocation_list(&[revoked.serial()]);
    let mut config = listener(vec![source(&directory, "site", &OTHER.server("s.example").issue())]);
    config.client_auth =
        Some(client_auth(&directory, ClientAuthMode::Required, &ROOT, Some(&list)));
    let tls = server(&config);
    for (leaf, admitted) in [(&good, true), (&revoked, false)] {
        let browser = browser(&OTHER, Some(leaf), &[&TLS13]);
        let outcome = Pair::connect(browser, tls.server_config(), "s.example");
        assert_eq!(outcome.is_ok(), admitted);
    }
    let lists = tls.revocation_lists();
    assert_eq!((lists.len(), lists[0].entries, &*lists[0].issuer), (1, 1, "CN=partners"));
    assert!(lists[0].next_update.unwrap() < super::certificate::unix_now());
}

#[test]
fn a_revoked_client_can_neither_stay_nor_resume() {
    for version in BOTH_VERSIONS {
        let directory = PemDirectory::create();
        let (victim, other) = (ROOT.client("victim").issue(), ROOT.client("other").issue());
        let site = source(&directory, "site", &OTHER.server("s.example").issue());
        let mut config = listener(vec![site]);
        config.client_auth =
            Some(client_auth(&directory, ClientAuthMode::Required, &ROOT, Some(&ROOT.revoke(&[]))));
        let tls = server(&config);
        let victim_browser = browser(&OTHER, Some(&victim), &[version]);
        let other_browser = browser(&OTHER, Some(&other), &[version]);
        let connect = |browser: &Arc<ClientConfig>| {
            Pair::connect(browser.clone(), tls.server_config(), "s.example")
        };

        let identity_of = |pair: &Pair| tls.peer(&pair.server).unwrap().unwrap();
        let open = connect(&victim_browser).unwrap();
        let identity = identity_of(&open);
        let other_identity = identity_of(&connect(&other_browser).unwrap());
        let resumed = connect(&victim_browser).unwrap();
        assert!(resumed.resumed());
        assert_eq!(identity_of(&resumed), identity);

        directory.write("clients.crl", ROOT.revoke(&[victim.serial()]));
        assert_eq!(tls.reload(), Ok(Changed::Yes));

        assert!(tls.is_revoked(&identity) && !tls.is_revoked(&other_identity));
        assert!(matches!(tls.peer(&open.server), Err(PeerRefused::Revoked)));
        assert!(connect(&victim_browser).is_err());
        let pair = connect(&other_browser).unwrap();
        assert!(!pair.resumed(), "tickets end with the rules under which they were given");
        assert!(tls.peer(&pair.server).is_ok());
    }
}

#[test]
fn a_resumed_session_is_judged_by_the_rules_of_now() {
    let directory = PemDirectory::create();
    let leaf = ROOT.client("a").issue();
    let site = source(&directory, "site", &OTHER.server("s.example").issue());
    let mut config = listener(vec![site]);
    config.client_auth = Some(client_auth(&directory, ClientAuthMode::Required, &ROOT, None));
    let tls = server(&config);
    let elsewhere = PemDirectory::create();
    config.client_auth = Some(client_auth(&elsewhere, ClientAuthMode::Required, &OTHER, None));
    let stricter = server(&config);

    let browser = browser(&OTHER, Some(&leaf), &[&TLS13]);
    let connect = || Pair::connect(browser.clone(), tls.server_config(), "s.example").unwrap();
    connect();
    let pair = connect();
    assert!(pair.resumed() && tls.peer(&pair.server).is_ok());
    assert!(matches!(stricter.peer(&pair.server), Err(PeerRefused::Unverified(_))));
}

#[test]
fn a_session_without_a_certificate_does_not_outlive_the_demand_for_one() {
    let directory = PemDirectory::create();
    let mut config = listener(vec![source(&directory, "site", &OTHER.server("s.example").issue())]);
    let open = server(&config);
    let browser = browser(&OTHER, None, &[&TLS13]);
    let anonymous = Pair::connect(browser.clone(), open.server_config(), "s.example").unwrap();
    config.client_auth = Some(client_auth(&directory, ClientAuthMode::Required, &ROOT, None));
    let mut problems = Vec::new();
    let strict = ServerTls::build_after(Some(&open), &config, &mut problems).unwrap();
    assert!(Pair::connect(browser, strict.server_config(), "s.example").is_err());
    assert!(matches!(strict.peer(&anonymous.server), Err(PeerRefused::Missing)));
}
