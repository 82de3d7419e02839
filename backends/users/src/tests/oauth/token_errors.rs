//! The token endpoint's errors (RFC 6749, section 5.2), and clients that prove themselves.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::*;

fn basic(id: &str, secret: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{id}:{secret}")))
}

/// A form, the status and the word of its answer.
type Case<'a> = (&'a [(&'a str, &'a str)], u16, &'a str);

#[tokio::test]
async fn every_error_of_the_token_endpoint_has_its_word() {
    let shop = shop().await;
    let own = ("grant_type", "client_credentials");
    let (web, office) = (("client_id", "shop-web"), ("client_id", "shop-backoffice"));
    let secret = ("client_secret", BACKOFFICE_SECRET);
    let code = ("grant_type", "authorization_code");
    let cases: &[Case<'_>] = &[
        (&[], 401, "invalid_client"),
        (&[web], 400, "invalid_request"),
        (&[web, ("grant_type", "")], 400, "invalid_request"),
        (&[web, web, code], 400, "invalid_request"),
        (&[web, code, code], 400, "invalid_request"),
        (&[web, code, ("odd", "1"), ("odd", "2")], 400, "invalid_request"),
        (&[web, code], 400, "invalid_request"),
        (&[web, ("grant_type", "refresh_token")], 400, "invalid_request"),
        (&[("client_id", "unknown"), code], 401, "invalid_client"),
        (&[("client_id", "shop-web\0"), code], 400, "invalid_request"),
        (&[web, ("client_secret", "a secret it has not"), code], 401, "invalid_client"),
        (&[office, own], 401, "invalid_client"),
        (&[office, ("client_secret", "wrong"), own], 401, "invalid_client"),
        (&[web, own], 400, "unauthorized_client"),
        (&[office, secret, code], 400, "unauthorized_client"),
        (&[office, secret, ("grant_type", "refresh_token")], 400, "unauthorized_client"),
        (&[web, ("grant_type", "password")], 400, "unsupported_grant_type"),
        (&[web, ("grant_type", "CLIENT_CREDENTIALS")], 400, "unsupported_grant_type"),
        (&[office, secret, own, ("scope", "customer")], 400, "invalid_scope"),
        (&[office, secret, own, ("scope", "keys:rotate customer")], 400, "invalid_scope"),
        (&[office, secret, own, ("scope", "a\"b")], 400, "invalid_scope"),
        (
            &[web, code, ("code", "a"), ("redirect_uri", REDIRECT), ("code_verifier", VERIFIER)],
            400,
            "invalid_grant",
        ),
        (&[web, ("grant_type", "refresh_token"), ("refresh_token", "a")], 400, "invalid_grant"),
    ];
    for (pairs, status, error) in cases.iter().copied() {
        let answer = shop.post_form("/oauth/token", pairs, &[]).await;
        assert_refused(&answer, status, error);
        assert!(!text(&answer, "error_description").contains(['"', '\\']), "{}", answer.text);
        let challenged = answer.headers.contains_key("www-authenticate");
        assert_eq!(challenged, status == 401, "{}", answer.text);
    }
}

#[tokio::test]
async fn what_is_no_form_is_an_invalid_request() {
    let shop = shop().await;
    let json = shop.post("/oauth/token", json!({"grant_type": "client_credentials"})).await;
    assert_refused(&json, 400, "invalid_request");
    let large = "a".repeat(70_000);
    let answer = shop.post_form("/oauth/token", &[("client_id", &*large)], &[]).await;
    assert_refused(&answer, 413, "invalid_request");
    let get = shop.get("/oauth/token", None).await;
    assert_eq!((get.status, &get.body["code"]), (405, &json!("method-not-allowed")));
}

#[tokio::test]
async fn a_client_acts_for_itself() {
    let shop = shop().await;
    let answer = shop.backoffice("keys:rotate stock:write").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.body["scope"], "keys:rotate stock:write");
    assert!(answer.body["refresh_token"].is_null() && answer.body["id_token"].is_null());
    let claims: Claims = flow::verify(&shop, text(&answer, "access_token"), "shop").await;
    assert_eq!(claims.client_id.as_deref(), Some("shop-backoffice"));
    assert_eq!(claims.scope, "keys:rotate stock:write");
    // Whoever reads the subject as an id can.
    assert!(uuid::Uuid::parse_str(&claims.sub).is_ok());

    let pairs = [("grant_type", "client_credentials")];
    for (authorization, status) in [
        (basic("shop-backoffice", BACKOFFICE_SECRET), 200),
        (basic("shop%2Dbackoffice", BACKOFFICE_SECRET).replacen("Basic", "BASIC", 1), 200),
        (basic("shop-backoffice", "wrong"), 401),
        (basic("shop-backoffice", ""), 401),
        (basic("shop-web", ""), 401),
        (basic("unknown", BACKOFFICE_SECRET), 401),
        (format!("Bearer {}", text(&answer, "access_token")), 401),
    ] {
        let headers = [("authorization", &*authorization)];
        let answer = shop.post_form("/oauth/token", &pairs, &headers).await;
        assert_eq!(answer.status, status, "{authorization}: {}", answer.text);
        if status == 200 {
            assert_eq!(answer.body["scope"], "books:read keys:rotate stock:write", "all it may");
            let again: Claims = flow::verify(&shop, text(&answer, "access_token"), "shop").await;
            assert_eq!(again.sub, claims.sub);
        }
    }
    let both = [pairs[0], ("client_secret", BACKOFFICE_SECRET)];
    let authorization = basic("shop-backoffice", BACKOFFICE_SECRET);
    let answer = shop.post_form("/oauth/token", &both, &[("authorization", &authorization)]).await;
    assert_refused(&answer, 400, "invalid_request");
}

#[tokio::test]
async fn a_restart_keeps_the_secret_changes_it_or_takes_it_away() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/users.db", directory.path().display());
    let now = UnixTime::from_seconds(1_700_000_000);
    let kept = async |shop: &Shop| -> (String, Option<String>) {
        let query = "SELECT subject, secret_hash FROM oauth_clients WHERE id = 'shop-backoffice'";
        sqlx::query_as(query).fetch_one(shop.database.pool()).await.unwrap()
    };
    let first = shop_at(&url, now).await;
    let (subject, hash) = kept(&first).await;
    assert!(hash.as_deref().unwrap().starts_with("$argon2id$"), "{hash:?}");
    let second = shop_at(&url, now).await;
    assert_eq!(kept(&second).await, (subject.clone(), hash.clone()));

    let mut changed = options(&url);
    changed.backoffice_secret =
        Some("another-secret-of-48-characters-0123456789abcdef".parse().unwrap());
    let third = shop_with(&changed, now).await;
    assert_refused(&third.backoffice("keys:rotate").await, 401, "invalid_client");
    assert_ne!(kept(&third).await.1, hash);
    changed.backoffice_secret = None;
    let fourth = shop_with(&changed, now).await;
    assert_eq!(kept(&fourth).await, (subject, None));
    assert_refused(&fourth.backoffice("keys:rotate").await, 401, "invalid_client");
}
