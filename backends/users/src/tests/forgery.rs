//! Tokens that this service did not issue, or did not issue like that.

use super::*;

/// What the service would have issued, for an account that exists: each case differs by one thing.
fn claims_of(account: &Value, now: u64) -> Value {
    json!({"iss": "http://users.shop", "aud": "shop", "sub": account,
        "scope": "customer", "iat": now, "nbf": now, "exp": now + 900, "jti": "1"})
}

fn with(mut claims: Value, name: &str, value: Value) -> Value {
    match value {
        Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
        value => claims[name] = value,
    }
    claims
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let word = chunk.iter().fold(0u32, |word, byte| word << 8 | u32::from(*byte));
        let word = word << (8 * (3 - chunk.len()));
        for digit in 0..=chunk.len() {
            text.push(char::from(ALPHABET[(word >> (18 - 6 * digit) & 63) as usize]));
        }
    }
    text
}

#[tokio::test]
async fn forged_tokens_open_nothing() {
    let shop = shop().await;
    let token = shop.token("ada@example.com").await;
    let me = shop.get("/v1/users/me", Some(&format!("Bearer {token}"))).await;
    let now = shop.clock.now().seconds();
    let claims = |now| claims_of(&me.body["id"], now);
    let keys = shop.keys.keys();
    let ours = keys.signing(shop.clock.now()).unwrap();
    let sign = |claims: &Value, change: &dyn Fn(&mut Header)| {
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(ours.kid.clone());
        change(&mut header);
        jsonwebtoken::encode(&header, claims, &ours.encoding).unwrap()
    };
    let honest = |claims: Value| sign(&claims, &|_| ());

    let control = format!("Bearer {}", honest(claims(now)));
    assert_eq!(shop.get("/v1/users/me", Some(&control)).await.status, 200);

    let foreign_pair = rcgen::KeyPair::generate().unwrap();
    let foreign = EncodingKey::from_ec_der(foreign_pair.serialized_der());
    let mut foreign_header = Header::new(Algorithm::ES256);
    foreign_header.kid = Some(ours.kid.clone());
    let mut embedded = foreign_header.clone();
    let mut jwk = jsonwebtoken::jwk::Jwk::from_encoding_key(&foreign, Algorithm::ES256).unwrap();
    jwk.common.key_id = Some(ours.kid.clone());
    embedded.jwk = Some(jwk);
    let mut symmetric = Header::new(Algorithm::HS256);
    symmetric.kid = Some(ours.kid.clone());
    let public = foreign_pair.public_key_pem();
    let secret = EncodingKey::from_secret(public.as_bytes());

    let kid = &ours.kid;
    let none = base64(format!(r#"{{"alg":"none","kid":"{kid}"}}"#).as_bytes());
    let body = base64(claims(now).to_string().as_bytes());
    let (head, rest) = token.split_once('.').unwrap();
    let (payload, signature) = rest.split_once('.').unwrap();
    let duplicate = claims(now).to_string().replacen('{', r#"{"sub":"someone","#, 1);

    for (name, forged) in [
        ("empty", String::new()),
        ("not a token", "a.b.c".to_owned()),
        ("alg none", format!("{none}.{body}.")),
        ("alg none, with our signature", format!("{none}.{body}.{signature}")),
        ("another body under our signature", format!("{head}.{body}.{signature}")),
        ("no signature", format!("{head}.{payload}.")),
        ("a part too many", format!("{token}.{signature}")),
        (
            "signed by a stranger",
            jsonwebtoken::encode(&foreign_header, &claims(now), &foreign).unwrap(),
        ),
        (
            "with the stranger's key inside",
            jsonwebtoken::encode(&embedded, &claims(now), &foreign).unwrap(),
        ),
        (
            "signed with a public key as secret",
            jsonwebtoken::encode(&symmetric, &claims(now), &secret).unwrap(),
        ),
        ("no key id", sign(&claims(now), &|header| header.kid = None)),
        (
            "a path for key id",
            sign(&claims(now), &|header| header.kid = Some("../../dev/null".into())),
        ),
        ("SQL for key id", sign(&claims(now), &|header| header.kid = Some("' OR 1=1 --".into()))),
        ("another issuer", honest(with(claims(now), "iss", json!("http://evil.shop")))),
        ("no issuer", honest(with(claims(now), "iss", Value::Null))),
        ("another audience", honest(with(claims(now), "aud", json!("bank")))),
        ("no audience", honest(with(claims(now), "aud", Value::Null))),
        ("no expiry", honest(with(claims(now), "exp", Value::Null))),
        ("an expiry that is a text", honest(with(claims(now), "exp", json!("never")))),
        ("a negative expiry", honest(with(claims(now), "exp", json!(-1)))),
        ("not valid yet", honest(with(claims(now), "nbf", json!(now + 1)))),
        ("a subject that is no id", honest(with(claims(now), "sub", json!("admin")))),
        (
            "an account that does not exist",
            honest(with(claims(now), "sub", json!(uuid::Uuid::nil()))),
        ),
        ("longer than any of ours", honest(with(claims(now), "scope", json!("a".repeat(9000))))),
        ("claims twice", {
            let signed = format!("{head}.{}", base64(duplicate.as_bytes()));
            let signature =
                jsonwebtoken::crypto::sign(signed.as_bytes(), &ours.encoding, Algorithm::ES256);
            format!("{signed}.{}", signature.unwrap())
        }),
    ] {
        let answer = shop.get("/v1/users/me", Some(&format!("Bearer {forged}"))).await;
        assert_eq!(answer.status, 401, "{name}: {}", answer.text);
    }
    let expired = honest(with(claims(now), "exp", json!(now)));
    let answer = shop.get("/v1/users/me", Some(&format!("Bearer {expired}"))).await;
    assert_eq!(answer.body["code"], "token-expired");
}

#[tokio::test]
async fn only_one_authorization_header_with_the_bearer_scheme_counts() {
    let shop = shop().await;
    let token = shop.token("ada@example.com").await;
    let check = async |values: &[&str], expected: u16| {
        let mut request = Request::builder().uri("/v1/users/me");
        for value in values {
            request = request.header(AUTHORIZATION, value.replace('$', &token));
        }
        let answer = shop.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(answer.status, expected, "{values:?}: {}", answer.text);
        if status(&answer) == StatusCode::UNAUTHORIZED {
            assert!(answer.headers.contains_key("www-authenticate"), "{values:?}");
        }
    };
    check(&[], 401).await;
    check(&["Bearer $"], 200).await;
    check(&["BEARER $"], 200).await;
    check(&["Bearer  $"], 200).await;
    check(&["Bearer"], 401).await;
    check(&["Bearer "], 401).await;
    check(&["Basic $"], 401).await;
    check(&["$"], 401).await;
    check(&["Bearer $ $"], 401).await;
    check(&["Bearer $", "Bearer $"], 400).await;
    check(&["Bearer $", "Basic $"], 400).await;
}
