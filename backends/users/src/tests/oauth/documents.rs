//! The discovery document: complete, and nothing in it that is not so.

use super::*;

#[tokio::test]
async fn discovery_says_what_is_there() {
    let shop = shop().await;
    let discovery = shop.get("/.well-known/openid-configuration", None).await;
    assert_eq!(discovery.status, 200);
    assert_eq!(discovery.headers["cache-control"], "public, max-age=300");
    let same = shop.get("/.well-known/oauth-authorization-server", None).await;
    assert_eq!(same.text, discovery.text);
    let issuer = "http://users.shop";
    let expected = json!({
        "issuer": issuer,
        "authorization_endpoint": format!("{issuer}/oauth/authorize"),
        "token_endpoint": format!("{issuer}/oauth/token"),
        "userinfo_endpoint": format!("{issuer}/oauth/userinfo"),
        "revocation_endpoint": format!("{issuer}/oauth/revoke"),
        "jwks_uri": format!("{issuer}/.well-known/jwks.json"),
        "scopes_supported": ["openid", "profile", "email", "customer", "offline_access"],
        "response_types_supported": ["code"],
        "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code", "refresh_token", "client_credentials"],
        "subject_types_supported": ["public"],
        "id_token_signing_alg_values_supported": ["ES256"],
        "token_endpoint_auth_methods_supported":
            ["none", "client_secret_basic", "client_secret_post"],
        "revocation_endpoint_auth_methods_supported":
            ["none", "client_secret_basic", "client_secret_post"],
        "code_challenge_methods_supported": ["S256"],
        "claims_supported": ["iss", "aud", "sub", "iat", "exp", "auth_time", "nonce", "at_hash",
            "name", "email", "email_verified"],
        "claims_parameter_supported": false,
        "request_parameter_supported": false,
        "request_uri_parameter_supported": false,
        "authorization_response_iss_parameter_supported": true,
    });
    assert_eq!(discovery.body, expected);
    for (name, value) in discovery.body.as_object().unwrap() {
        let path = value.as_str().and_then(|url| url.strip_prefix(issuer));
        if let Some(path) = path.filter(|path| !path.is_empty()) {
            assert_ne!(shop.get(path, None).await.status, 404, "{name}");
        }
    }
}

#[tokio::test]
async fn the_claims_of_the_document_are_those_that_are_sent() {
    let shop = shop().await;
    let tokens = shop.tokens().await;
    let id: Value = flow::verify(&shop, text(&tokens, "id_token"), "shop-web").await;
    let info = shop.userinfo(text(&tokens, "access_token")).await;
    let mut found: Vec<&String> =
        [&id, &info.body].iter().flat_map(|claims| claims.as_object().unwrap().keys()).collect();
    found.sort();
    found.dedup();
    let discovery = shop.get("/.well-known/openid-configuration", None).await;
    let mut told: Vec<&str> = discovery.body["claims_supported"]
        .as_array()
        .unwrap()
        .iter()
        .map(|claim| claim.as_str().unwrap())
        .collect();
    told.sort_unstable();
    assert_eq!(found, told);
}
