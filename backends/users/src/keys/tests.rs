//! The rule of the keys on a clock that the tests move.

use super::*;
use crate::token::{Issuer, Subject};

const TOKEN: Duration = Duration::from_secs(900);
const FORM: Duration = Duration::from_secs(600);
const LEAD: Duration = Duration::from_secs(600);
const LIFETIME: Duration = Duration::from_secs(3600);

fn at(seconds: u64) -> UnixTime {
    UnixTime::from_seconds(1_700_000_000 + seconds)
}

async fn ring() -> KeyRing {
    ring_with(KeyPolicy::try_new(LIFETIME, LEAD, TOKEN, FORM).unwrap()).await
}

async fn ring_with(policy: KeyPolicy) -> KeyRing {
    let database =
        Database::open(&shop_platform::testing::database(), crate::MIGRATIONS).await.unwrap();
    KeyRing::open(database, policy, at(0)).await.unwrap()
}

fn kids(ring: &KeyRing, now: UnixTime) -> Vec<String> {
    ring.published(now).keys.into_iter().map(|key| key.common.key_id.unwrap()).collect()
}

fn signer(ring: &KeyRing, now: UnixTime) -> String {
    ring.keys().signing(now).unwrap().kid.clone()
}

#[tokio::test]
async fn a_successor_is_published_first_and_its_predecessor_kept_until_its_tokens_expire() {
    let ring = ring().await;
    let first = signer(&ring, at(0));
    assert_eq!(kids(&ring, at(0)), [first.as_str()]);

    ring.rotate(at(100)).await.unwrap();
    let published = kids(&ring, at(100));
    assert_eq!(published.len(), 2);
    let second = published[1].clone();
    assert_eq!(signer(&ring, at(699)), first, "published, but it does not sign yet");
    assert_eq!(signer(&ring, at(700)), second, "and then it does without any upkeep");

    let last_token_expires = 699 + TOKEN.as_secs();
    ring.refresh(at(last_token_expires)).await.unwrap();
    assert!(kids(&ring, at(last_token_expires)).contains(&first));
    let gone = 700 + (TOKEN + SKEW).as_secs();
    assert_eq!(kids(&ring, at(gone - 1)).len(), 2);
    assert_eq!(kids(&ring, at(gone)), [second.as_str()], "also before the next upkeep");
    ring.refresh(at(gone)).await.unwrap();
    assert!(ring.keys().find(&first).is_none());
}

/// A login form is signed by the same keys, and may be looked at for longer than a token is valid.
#[tokio::test]
async fn a_retired_key_is_kept_for_whichever_is_valid_longest() {
    let check = async |token, form, expected: Duration| {
        let policy = KeyPolicy::try_new(LIFETIME, LEAD, token, form).unwrap();
        let ring = ring_with(policy).await;
        ring.rotate(at(0)).await.unwrap();
        let gone = (LEAD + expected + SKEW).as_secs();
        assert_eq!(kids(&ring, at(gone - 1)).len(), 2, "{token:?} {form:?}");
        assert_eq!(kids(&ring, at(gone)).len(), 1, "{token:?} {form:?}");
    };
    check(TOKEN, FORM, TOKEN).await;
    check(FORM, TOKEN, TOKEN).await;
}

#[tokio::test]
async fn rotating_twice_in_a_row_publishes_one_successor() {
    let ring = ring().await;
    ring.rotate(at(10)).await.unwrap();
    ring.rotate(at(20)).await.unwrap();
    ring.refresh(at(30)).await.unwrap();
    assert_eq!(kids(&ring, at(30)).len(), 2);
}

/// The two promises, at every step of a day on which keys change hourly: a token's key was
/// published long enough before, and stays published for as long as the token is valid.
#[tokio::test]
async fn at_no_moment_does_a_verifier_lack_a_key() {
    let ring = ring().await;
    let mut published: Vec<(u64, Vec<String>)> = Vec::new();
    let mut signed: Vec<(u64, String)> = Vec::new();
    for now in (0..86_400).step_by(60) {
        ring.refresh(at(now)).await.unwrap();
        published.push((now, kids(&ring, at(now))));
        signed.push((now, signer(&ring, at(now))));
        assert!(published.last().unwrap().1.len() <= 3, "the set stays small");
    }
    for (issued, kid) in &signed {
        let expires = issued + TOKEN.as_secs();
        for (now, set) in &published {
            if (issued.saturating_sub(LEAD.as_secs())..=expires).contains(now) {
                assert!(set.contains(kid), "signed at {issued}, absent at {now}");
            }
        }
    }
    signed.dedup_by(|one, other| one.1 == other.1);
    assert!((23..=25).contains(&signed.len()), "{} keys signed in a day", signed.len());
}

#[tokio::test]
async fn after_a_long_sleep_the_old_key_signs_until_the_new_one_is_known() {
    let ring = ring().await;
    let first = signer(&ring, at(0));
    let year = 365 * 86_400;
    ring.refresh(at(year)).await.unwrap();
    assert_eq!(signer(&ring, at(year)), first);
    assert_eq!(kids(&ring, at(year)).len(), 2);
    assert_ne!(signer(&ring, at(year + 600)), first);
}

#[tokio::test]
async fn a_clock_set_back_still_finds_a_key() {
    let ring = ring().await;
    let before = UnixTime::from_seconds(1);
    ring.refresh(before).await.unwrap();
    assert_eq!(signer(&ring, before), signer(&ring, at(0)));
    assert_eq!(kids(&ring, before).len(), 1);
}

#[tokio::test]
async fn two_processes_at_one_database_agree_on_the_keys() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/users.db", directory.path().display());
    let policy = KeyPolicy::try_new(LIFETIME, LEAD, TOKEN, FORM).unwrap();
    let one = Database::open(&url, crate::MIGRATIONS).await.unwrap();
    let two = Database::open(&url, crate::MIGRATIONS).await.unwrap();
    let (one, two) =
        tokio::join!(KeyRing::open(one, policy, at(0)), KeyRing::open(two, policy, at(0)));
    let (one, two) = (one.unwrap(), two.unwrap());
    assert_eq!(kids(&one, at(0)), kids(&two, at(0)));
    let (first, second) = tokio::join!(one.rotate(at(5)), two.rotate(at(5)));
    first.and(second).unwrap();
    one.refresh(at(6)).await.unwrap();
    two.refresh(at(6)).await.unwrap();
    assert_eq!(kids(&one, at(6)), kids(&two, at(6)));
    assert_eq!(kids(&one, at(6)).len(), 2);
}

#[tokio::test]
async fn a_token_of_a_retired_key_verifies_until_it_expires() {
    let ring = ring().await;
    let issuer = Issuer::try_new("http://users.shop", "shop", TOKEN, "web").unwrap();
    let account = uuid::Uuid::now_v7();
    let issued =
        issuer.issue(&ring.keys(), &Subject::account(account, "customer"), at(599)).unwrap();
    ring.rotate(at(0)).await.unwrap();
    for now in [600, 599 + TOKEN.as_secs() - 1] {
        ring.refresh(at(now)).await.unwrap();
        let claims = issuer.verify(&ring.keys(), &issued.token, at(now)).unwrap();
        assert_eq!(claims.sub, account.to_string());
    }
}

#[test]
fn policies_that_could_break_the_promises_are_refused() {
    let seconds = Duration::from_secs;
    let check = |lifetime, lead, expected: Option<&str>| {
        let error = KeyPolicy::try_new(seconds(lifetime), seconds(lead), TOKEN, FORM).err();
        let option = error.map(|error| match error {
            StartError::Option { option, .. } => option,
            other => panic!("{other}"),
        });
        assert_eq!(option, expected, "{lifetime} {lead}");
    };
    check(3600, 15, None);
    check(3600, 14, Some("key-lead"));
    check(3600, 1800, None);
    check(3600, 1801, Some("key-lifetime"));
    check(899, 15, Some("key-lifetime"));
}
