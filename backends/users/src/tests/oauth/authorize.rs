//! What a client is told by a redirect (RFC 6749, section 4.1.2.1; OpenID Connect Core, section
//! 3.1.2.6).

use uuid::Uuid;

use super::*;
use crate::oauth::client::{Client, Clients, GrantType, Kind};

fn assert_denied(answer: &Answer, error: &str, state: Option<&str>) {
    assert_eq!(answer.status, 303, "{error}: {}", answer.text);
    let (address, parameters) = redirection(answer);
    assert_eq!(address, REDIRECT);
    assert_eq!(parameters["error"], error, "{parameters:?}");
    assert_ne!(parameters["error_description"], "");
    assert_eq!(parameters["iss"], "http://users.shop");
    assert_eq!(parameters.get("state").map(String::as_str), state, "{error}");
    assert!(!parameters.contains_key("code"));
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_told_to_its_client() {
    let shop = shop().await;
    let long = "a".repeat(513);
    let cases: &[(&[Change<'_>], &str)] = &[
        (&[("response_type", None)], "invalid_request"),
        (&[("response_type", Some("token"))], "unsupported_response_type"),
        (&[("response_type", Some("code id_token"))], "unsupported_response_type"),
        (&[("response_type", Some("CODE"))], "unsupported_response_type"),
        (&[("response_mode", Some("fragment"))], "invalid_request"),
        (&[("scope", None)], "invalid_scope"),
        (&[("scope", Some(" "))], "invalid_scope"),
        (&[("scope", Some("openid admin"))], "invalid_scope"),
        (&[("scope", Some("keys:rotate"))], "invalid_scope"),
        (&[("scope", Some("open\"id"))], "invalid_scope"),
        (&[("scope", Some("OPENID"))], "invalid_scope"),
        (&[("code_challenge", None)], "invalid_request"),
        (&[("code_challenge", Some("short"))], "invalid_request"),
        (&[("code_challenge_method", None)], "invalid_request"),
        (&[("code_challenge_method", Some("plain"))], "invalid_request"),
        (&[("code_challenge", None), ("code_challenge_method", None)], "invalid_request"),
        (&[("nonce", Some(&long))], "invalid_request"),
        (&[("nonce", Some("ä"))], "invalid_request"),
        (&[("prompt", Some("none"))], "login_required"),
        (&[("prompt", Some("none login"))], "invalid_request"),
        (&[("request", Some("e30."))], "request_not_supported"),
        (&[("request_uri", Some("https://a.b/c"))], "request_uri_not_supported"),
        (&[("registration", Some("{}"))], "registration_not_supported"),
    ];
    for (changes, error) in cases {
        let answer = shop.authorize(changes).await;
        assert_denied(&answer, error, Some("s t&a=te"));
        let silent: Vec<_> = changes.iter().copied().chain([("state", None)]).collect();
        assert_denied(&shop.authorize(&silent).await, error, None);
    }
    let repeated = format!("/oauth/authorize?{}&scope=openid", request_with(&[]));
    assert_denied(&shop.get(&repeated, None).await, "invalid_request", Some("s t&a=te"));
    let repeated = format!("/oauth/authorize?{}&odd=1&odd=2", request_with(&[]));
    assert_denied(&shop.get(&repeated, None).await, "invalid_request", Some("s t&a=te"));
    // A state that is repeated or unprintable is not sent back.
    let repeated = format!("/oauth/authorize?{}&state=2", request_with(&[]));
    assert_denied(&shop.get(&repeated, None).await, "invalid_request", None);
    for state in ["ä", "a\r\nb", &long] {
        let answer = shop.authorize(&[("state", Some(state))]).await;
        assert_denied(&answer, "invalid_request", None);
    }
}

#[tokio::test]
async fn what_is_not_asked_for_is_ignored() {
    let shop = shop().await;
    let cases: &[&[Change<'_>]] = &[
        &[("prompt", Some("login consent"))],
        &[("response_mode", Some("query"))],
        &[("max_age", Some("0"))],
        &[("ui_locales", Some("de"))],
        &[("acr_values", Some("1"))],
        &[("unheard_of", Some("1"))],
        &[("state", None)],
        &[("state", Some(""))],
        &[("nonce", None)],
    ];
    for changes in cases {
        let answer = shop.authorize(changes).await;
        assert_eq!(answer.status, 200, "{changes:?}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_client_without_the_grant_may_not_ask_for_codes() {
    let shop = shop().await;
    let client = Client {
        id: "other".to_owned(),
        kind: Kind::Public,
        subject: Uuid::now_v7(),
        grant_types: vec![GrantType::RefreshToken],
        redirect_uris: vec![REDIRECT.parse().unwrap()],
        scopes: ALL.parse().unwrap(),
    };
    Clients::new(shop.database.clone()).put(&client).await.unwrap();
    let answer = shop.authorize(&[("client_id", Some("other"))]).await;
    assert_denied(&answer, "unauthorized_client", Some("s t&a=te"));
}

#[tokio::test]
async fn who_does_not_log_in_is_sent_back() {
    let shop = shop().await;
    let signed = signed(&shop.authorize(&[]).await);
    let pairs = [("authorization", &*signed), ("decision", "cancel"), ("email", "")];
    let answer = shop.post_form("/oauth/authorize", &pairs, &[]).await;
    assert_denied(&answer, "access_denied", Some("s t&a=te"));
}

#[tokio::test]
async fn a_failure_of_ours_is_told_once_the_client_is_known() {
    let shop = shop().await;
    let signed = signed(&shop.authorize(&[]).await);
    shop.database.close().await;
    let answer = shop.submit(&signed, ADA, PASSWORD).await;
    assert_denied(&answer, "server_error", Some("s t&a=te"));
    // Before that there is no address to be believed.
    let answer = shop.authorize(&[]).await;
    assert_eq!((answer.status, answer.headers.get(LOCATION)), (500, None));
}
