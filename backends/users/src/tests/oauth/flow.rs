//! The flow as a whole, as a client and a foreign verifier see it.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

use super::*;
use crate::oauth::id_token::IdClaims;

#[tokio::test]
async fn a_code_becomes_tokens_that_anyone_can_check() {
    whole_flow(&shop().await).await;
}

pub(in crate::tests) async fn whole_flow(shop: &Shop) {
    let registered = shop.register(ADA).await;
    let form = shop.authorize(&[]).await;
    assert_eq!(form.status, 200, "{}", form.text);
    let logged_in = shop.clock.now();
    let answer = shop.submit(&signed(&form), ADA, PASSWORD).await;
    assert_eq!(answer.status, 303, "{}", answer.text);
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["referrer-policy"], "no-referrer");
    let (address, parameters) = redirection(&answer);
    assert_eq!(address, REDIRECT);
    assert_eq!(parameters["state"], "s t&a=te");
    assert_eq!(parameters["iss"], "http://users.shop");
    assert_eq!(parameters.len(), 3, "{parameters:?}");

    shop.clock.advance(Duration::from_secs(30));
    let tokens = shop.redeem(&parameters["code"]).await;
    assert_eq!(tokens.headers["cache-control"], "no-store");
    assert_eq!(tokens.headers["pragma"], "no-cache");
    assert_eq!(tokens.body["token_type"], "Bearer");
    assert_eq!(tokens.body["expires_in"], 900);
    assert_eq!(tokens.body["scope"], "customer email offline_access openid profile");

    let access = text(&tokens, "access_token");
    let claims: Claims = verify(shop, access, "shop").await;
    assert_eq!(json!(claims.sub), registered.body["id"]);
    assert_eq!(claims.client_id.as_deref(), Some("shop-web"));
    assert_eq!(json!(claims.scope), tokens.body["scope"]);

    let id: IdClaims = verify(shop, text(&tokens, "id_token"), "shop-web").await;
    assert_eq!((&id.sub, &id.iss), (&claims.sub, &claims.iss));
    assert_eq!(id.nonce.as_deref(), Some("n-0S6_WzA2Mj"));
    assert_eq!(id.auth_time, logged_in.seconds());
    assert_eq!((id.iat, id.exp), (logged_in.seconds() + 30, logged_in.seconds() + 930));
    let half = URL_SAFE_NO_PAD.encode(&Sha256::digest(access.as_bytes())[..16]);
    assert_eq!(id.at_hash, half);

    let info = shop.userinfo(access).await;
    let sub = &registered.body["id"];
    let expected = json!({"sub": sub, "name": "Ada", "email": ADA, "email_verified": false});
    assert_eq!((info.status, &info.body), (200, &expected), "{}", info.text);
    let bearer = format!("Bearer {access}");
    assert_eq!(shop.get("/v1/users/me", Some(&bearer)).await.body, registered.body);

    let refreshed = shop.refresh(text(&tokens, "refresh_token")).await;
    assert_eq!(refreshed.status, 200, "{}", refreshed.text);
    let again: IdClaims = verify(shop, text(&refreshed, "id_token"), "shop-web").await;
    assert_eq!((again.auth_time, again.nonce), (id.auth_time, None));
}

/// As a stranger would: by the published keys, the issuer, and whom the token is for.
pub(in crate::tests) async fn verify<T: serde::de::DeserializeOwned>(
    shop: &Shop,
    token: &str,
    audience: &str,
) -> T {
    let published = shop.get("/.well-known/jwks.json", None).await;
    let set: JwkSet = serde_json::from_str(&published.text).unwrap();
    let header = jsonwebtoken::decode_header(token).unwrap();
    let key = DecodingKey::from_jwk(set.find(&header.kid.unwrap()).unwrap()).unwrap();
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_issuer(&["http://users.shop"]);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
    jsonwebtoken::decode::<T>(token, &key, &validation).unwrap().claims
}

#[tokio::test]
async fn scopes_decide_what_is_issued_and_told() {
    let shop = shop().await;
    let check = async |scope: &str, id_token: bool, refresh: bool, claims: Option<&[&str]>| {
        let tokens = shop.redeem(&shop.code(&[("scope", Some(scope))]).await).await;
        assert_eq!(tokens.body["id_token"].is_string(), id_token, "{scope}");
        assert_eq!(tokens.body["refresh_token"].is_string(), refresh, "{scope}");
        let info = shop.userinfo(text(&tokens, "access_token")).await;
        let found: Option<Vec<&str>> = (info.status == 200)
            .then(|| info.body.as_object().unwrap().keys().map(String::as_str).collect());
        assert_eq!(found.as_deref(), claims, "{scope}: {}", info.text);
        let me = format!("Bearer {}", text(&tokens, "access_token"));
        let me = shop.get("/v1/users/me", Some(&me)).await.status;
        assert_eq!(me == 200, scope.contains("customer"), "{scope}: {me}");
    };
    check("openid", true, false, Some(&["sub"])).await;
    check("openid profile", true, false, Some(&["name", "sub"])).await;
    check("openid email", true, false, Some(&["email", "email_verified", "sub"])).await;
    check("customer", false, false, None).await;
    check("customer offline_access", false, true, None).await;
    let tokens = shop.redeem(&shop.code(&[("scope", Some("customer"))]).await).await;
    let info = shop.userinfo(text(&tokens, "access_token")).await;
    assert_eq!(info.status, 403);
    let challenge = r#"Bearer error="insufficient_scope", scope="openid""#;
    assert_eq!(info.headers["www-authenticate"], challenge);
}

/// Tokens of one kind are nothing where another kind is asked for.
#[tokio::test]
async fn no_token_passes_for_another() {
    let shop = shop().await;
    let form = signed(&shop.authorize(&[]).await);
    let tokens = shop.tokens().await;
    for token in [&*form, text(&tokens, "id_token"), text(&tokens, "refresh_token")] {
        let answer = shop.userinfo(token).await;
        assert_eq!(answer.status, 401, "{token}");
    }
    for token in [text(&tokens, "id_token"), text(&tokens, "access_token")] {
        assert_eq!(shop.submit(token, ADA, PASSWORD).await.status, 400, "{token}");
    }
    assert_refused(&shop.refresh(text(&tokens, "access_token")).await, 400, "invalid_grant");
}

#[tokio::test]
async fn keys_rotate_while_tokens_are_refreshed() {
    let shop = shop().await;
    let first = shop.tokens().await;
    let token = shop.backoffice("keys:rotate").await;
    let bearer = format!("Bearer {}", text(&token, "access_token"));
    let request = Request::builder().method("POST").uri("/v1/keys/rotate");
    let request = request.header(AUTHORIZATION, bearer).body(Body::empty()).unwrap();
    let next = shop.send(request).await;
    assert_eq!(next.status, 200, "{}", next.text);
    // The access token was issued by a client that is no account.
    let me = format!("Bearer {}", text(&token, "access_token"));
    assert_eq!(shop.get("/v1/users/me", Some(&me)).await.status, 403);

    shop.clock.advance(Duration::from_secs(600));
    let second = shop.refresh(text(&first, "refresh_token")).await;
    assert_eq!(second.status, 200, "{}", second.text);
    let kid = |answer: &Answer, name| {
        jsonwebtoken::decode_header(text(answer, name)).unwrap().kid.unwrap()
    };
    assert_eq!(kid(&second, "access_token"), text(&next, "kid"));
    assert_eq!(kid(&second, "id_token"), text(&next, "kid"));
    assert_ne!(kid(&first, "id_token"), text(&next, "kid"));
    for tokens in [&first, &second] {
        assert_eq!(shop.userinfo(text(tokens, "access_token")).await.status, 200);
        let _: IdClaims = verify(&shop, text(tokens, "id_token"), "shop-web").await;
    }
}

#[tokio::test]
async fn only_the_scope_for_it_rotates_keys() {
    let shop = shop().await;
    let published = shop.get("/.well-known/jwks.json", None).await.text;
    let customer = shop.token(ADA).await;
    let other = shop.backoffice("stock:write").await;
    for (token, status) in
        [(None, 401), (Some(&*customer), 403), (Some(text(&other, "access_token")), 403)]
    {
        let mut request = Request::builder().method("POST").uri("/v1/keys/rotate");
        if let Some(token) = token {
            request = request.header(AUTHORIZATION, format!("Bearer {token}"));
        }
        let answer = shop.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, status, "{}", answer.text);
    }
    assert_eq!(shop.get("/.well-known/jwks.json", None).await.text, published);
}
