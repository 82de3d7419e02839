//! Codes: who may redeem one, with what, how often, until when.

use super::*;
use crate::oauth::client::{Client, Clients, GrantType, Kind};
use crate::oauth::{code, grant};

#[tokio::test]
async fn a_code_used_twice_ends_what_it_was_used_for() {
    code_reuse(&shop().await).await;
}

pub(in crate::tests) async fn code_reuse(shop: &Shop) {
    let code = shop.code(&[]).await;
    let tokens = shop.redeem(&code).await;
    assert_eq!(shop.userinfo(text(&tokens, "access_token")).await.status, 200);
    let refreshed = shop.refresh(text(&tokens, "refresh_token")).await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.text);
    assert_refused(&shop.redeem_with(&code, &[]).await, 400, "invalid_grant");
    for tokens in [&tokens, &refreshed] {
        let info = shop.userinfo(text(tokens, "access_token")).await;
        assert_eq!((info.status, &info.body["code"]), (401, &json!("token-invalid")));
        let bearer = format!("Bearer {}", text(tokens, "access_token"));
        assert_eq!(shop.get("/v1/users/me", Some(&bearer)).await.status, 401);
        let refused = shop.refresh(text(tokens, "refresh_token")).await;
        assert_refused(&refused, 400, "invalid_grant");
    }
    assert_eq!(shop.count("oauth_grants").await, 0);
    assert_eq!(shop.metric("shop_users_oauth_total{event=\"code_reused\"}").await, 1);
}

/// A day later the code is forgotten: it opens nothing, and ends nothing.
#[tokio::test]
async fn the_reuse_of_a_code_is_noticed_for_a_day() {
    let shop = shop().await;
    let code = shop.code(&[]).await;
    shop.redeem(&code).await;
    shop.clock.advance(Duration::from_secs(24 * 3600));
    shop.prune().await;
    assert_eq!(shop.count("oauth_codes").await, 1);
    assert_refused(&shop.redeem_with(&code, &[]).await, 400, "invalid_grant");
    assert_eq!(shop.count("oauth_grants").await, 0, "also after its minute");
    shop.clock.advance(Duration::from_secs(60));
    shop.prune().await;
    assert_eq!(shop.count("oauth_codes").await, 0);
}

#[tokio::test]
async fn the_first_attempt_uses_a_code_up() {
    let shop = shop().await;
    let other_verifier = VERIFIER.replace('d', "e");
    for (name, value) in [
        ("code_verifier", &*other_verifier),
        ("code_verifier", "short"),
        ("code_verifier", CHALLENGE),
        ("redirect_uri", "http://127.0.0.1:5001/callback"),
        ("redirect_uri", "http://127.0.0.1/callback"),
        ("redirect_uri", "https://evil.example/callback"),
    ] {
        let code = shop.code(&[]).await;
        let refused = shop.redeem_with(&code, &[(name, Some(value))]).await;
        assert_refused(&refused, 400, "invalid_grant");
        assert_refused(&shop.redeem_with(&code, &[]).await, 400, "invalid_grant");
    }
    assert_eq!(shop.count("oauth_grants").await, 0);
}

/// What is no attempt at a code, for want of a parameter, leaves it as it is.
#[tokio::test]
async fn an_incomplete_request_uses_nothing_up() {
    let shop = shop().await;
    let code = shop.code(&[]).await;
    for name in ["code", "redirect_uri", "code_verifier", "grant_type"] {
        let refused = shop.redeem_with(&code, &[(name, None)]).await;
        assert_refused(&refused, 400, "invalid_request");
    }
    shop.redeem(&code).await;
}

#[tokio::test]
async fn a_code_is_good_for_a_minute() {
    let shop = shop().await;
    let code = shop.code(&[]).await;
    shop.clock.advance(Duration::from_millis(59_999));
    shop.redeem(&code).await;
    let code = shop.code(&[]).await;
    shop.clock.advance(Duration::from_secs(60));
    assert_refused(&shop.redeem_with(&code, &[]).await, 400, "invalid_grant");
}

/// Another client that got hold of a code gets nothing for it, and spoils nothing.
#[tokio::test]
async fn a_code_is_its_clients_own() {
    let shop = shop().await;
    let thief = Client {
        id: "thief".to_owned(),
        kind: Kind::Public,
        subject: uuid::Uuid::now_v7(),
        grant_types: vec![GrantType::AuthorizationCode, GrantType::RefreshToken],
        redirect_uris: vec![REDIRECT.parse().unwrap()],
        scopes: ALL.parse().unwrap(),
    };
    Clients::new(shop.database.clone()).put(&thief).await.unwrap();
    let code = shop.code(&[]).await;
    let stolen = shop.redeem_with(&code, &[("client_id", Some("thief"))]).await;
    assert_refused(&stolen, 400, "invalid_grant");
    let tokens = shop.redeem(&code).await;
    let pairs = [
        ("grant_type", "refresh_token"),
        ("client_id", "thief"),
        ("refresh_token", text(&tokens, "refresh_token")),
    ];
    let stolen = shop.post_form("/oauth/token", &pairs, &[]).await;
    assert_refused(&stolen, 400, "invalid_grant");
    let pairs = [("client_id", "thief"), ("token", text(&tokens, "refresh_token"))];
    assert_refused(&shop.post_form("/oauth/revoke", &pairs, &[]).await, 400, "invalid_grant");
    assert_eq!(shop.refresh(text(&tokens, "refresh_token")).await.status, 200);
}

#[tokio::test]
async fn what_one_account_leaves_in_the_tables_is_bounded() {
    bounded(&shop().await).await;
}

pub(in crate::tests) async fn bounded(shop: &Shop) {
    let first = shop.tokens().await;
    let mut last = None;
    for _ in 0..grant::PER_ACCOUNT {
        last = Some(shop.tokens().await);
    }
    assert_eq!(shop.count("oauth_grants").await, grant::PER_ACCOUNT);
    assert_eq!(shop.count("oauth_codes").await, code::PER_ACCOUNT);
    assert_refused(&shop.refresh(text(&first, "refresh_token")).await, 400, "invalid_grant");
    assert_eq!(shop.userinfo(text(&first, "access_token")).await.status, 401);
    let last = last.unwrap();
    assert_eq!(shop.refresh(text(&last, "refresh_token")).await.status, 200);
}

/// Of many attempts at once one succeeds; and the others end what it got.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_attempts_at_once_at_most_one_keeps_its_tokens() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/users.db", directory.path().display());
    attempts_at_once(Arc::new(shop_at(&url, UnixTime::from_seconds(1_700_000_000)).await)).await;
}

pub(in crate::tests) async fn attempts_at_once(shop: Arc<Shop>) {
    let code = Arc::new(shop.code(&[]).await);
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (shop, code) = (Arc::clone(&shop), Arc::clone(&code));
            tokio::spawn(async move { shop.redeem_with(&code, &[]).await.status })
        })
        .collect();
    let mut redeemed = 0;
    for task in tasks {
        match task.await.unwrap() {
            200 => redeemed += 1,
            status => assert_eq!(status, 400),
        }
    }
    assert_eq!(redeemed, 1);
    assert_eq!(shop.count("oauth_grants").await, 0);
}
