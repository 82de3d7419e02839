//! Refresh tokens: they rotate, they end, and a copy ends them all.

use super::*;

#[tokio::test]
async fn a_refresh_token_is_good_once_and_its_copy_ends_the_family() {
    rotation(&shop().await).await;
}

pub(in crate::tests) async fn rotation(shop: &Shop) {
    let first = shop.tokens().await;
    let other = shop.tokens().await;
    let mut tokens = vec![text(&first, "refresh_token").to_owned()];
    for _ in 0..3 {
        let next = shop.refresh(tokens.last().unwrap()).await;
        assert_eq!(next.status, 200, "{}", next.text);
        assert_eq!(next.headers["cache-control"], "no-store");
        tokens.push(text(&next, "refresh_token").to_owned());
    }
    assert_eq!(tokens.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
    // The oldest one, which no list of the last few would know.
    assert_refused(&shop.refresh(&tokens[0]).await, 400, "invalid_grant");
    for token in &tokens {
        assert_refused(&shop.refresh(token).await, 400, "invalid_grant");
    }
    assert_eq!(shop.userinfo(text(&first, "access_token")).await.status, 401);
    assert_eq!(shop.metric("shop_users_oauth_total{event=\"refresh_reused\"}").await, 1);
    assert_eq!(shop.refresh(text(&other, "refresh_token")).await.status, 200, "another login");
}

#[tokio::test]
async fn a_made_up_token_ends_nothing() {
    let shop = shop().await;
    let tokens = shop.tokens().await;
    let token = text(&tokens, "refresh_token");
    let (family, rest) = token.split_at(43);
    let foreign = format!("{}{rest}", "A".repeat(43));
    let swapped = format!("{rest}{family}");
    for made_up in ["a", &foreign, &swapped, &token[1..], &format!("{token}a"), "a.b.c"] {
        assert_refused(&shop.refresh(made_up).await, 400, "invalid_grant");
    }
    assert_eq!(shop.refresh(token).await.status, 200);
}

#[tokio::test]
async fn refresh_tokens_end_without_use_and_in_the_end() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let shop = shop().await;
    // Tokens of this test need not be valid for anyone who reads another clock.
    let idle = shop.tokens().await;
    let mut token = text(&shop.tokens().await, "refresh_token").to_owned();
    for _ in 0..3 {
        shop.clock.advance(DAY * 29);
        let next = shop.refresh(&token).await;
        assert_eq!(next.status, 200, "{}", next.text);
        token = text(&next, "refresh_token").to_owned();
    }
    assert_refused(&shop.refresh(text(&idle, "refresh_token")).await, 400, "invalid_grant");
    // 87 days after the login it is good for three more, not for thirty.
    shop.clock.advance(DAY * 3 - Duration::from_millis(1));
    let next = shop.refresh(&token).await;
    assert_eq!(next.status, 200, "{}", next.text);
    shop.clock.advance(Duration::from_millis(1));
    let late = shop.refresh(text(&next, "refresh_token")).await;
    assert_refused(&late, 400, "invalid_grant");
    assert_eq!(shop.userinfo(text(&next, "access_token")).await.status, 401);
    shop.prune().await;
    assert_eq!(shop.count("oauth_grants").await, 0);
}

#[tokio::test]
async fn idle_for_thirty_days_is_too_long() {
    let shop = shop().await;
    let tokens = shop.tokens().await;
    shop.clock.advance(Duration::from_secs(30 * 24 * 3600));
    let late = shop.refresh(text(&tokens, "refresh_token")).await;
    assert_refused(&late, 400, "invalid_grant");
}

#[tokio::test]
async fn a_refresh_may_ask_for_less_and_not_for_more() {
    let shop = shop().await;
    let code = shop.code(&[("scope", Some("customer offline_access openid"))]).await;
    let tokens = shop.redeem(&code).await;
    let refresh = async |token: &str, scope: &str| {
        let pairs = [
            ("grant_type", "refresh_token"),
            ("client_id", "shop-web"),
            ("refresh_token", token),
            ("scope", scope),
        ];
        shop.post_form("/oauth/token", &pairs, &[]).await
    };
    let token = text(&tokens, "refresh_token");
    for wrong in ["customer email", "admin", "a\"b", " "] {
        assert_refused(&refresh(token, wrong).await, 400, "invalid_scope");
    }
    let less = refresh(token, "customer").await;
    assert_eq!((less.status, &less.body["scope"]), (200, &json!("customer")), "{}", less.text);
    assert!(less.body["id_token"].is_null());
    // The family keeps what was granted.
    let all = shop.refresh(text(&less, "refresh_token")).await;
    assert_eq!(all.body["scope"], "customer offline_access openid");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_uses_at_once_one_succeeds_and_the_family_ends() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/users.db", directory.path().display());
    uses_at_once(Arc::new(shop_at(&url, UnixTime::from_seconds(1_700_000_000)).await)).await;
}

pub(in crate::tests) async fn uses_at_once(shop: Arc<Shop>) {
    let token = Arc::new(text(&shop.tokens().await, "refresh_token").to_owned());
    let tasks: Vec<_> = (0..8)
        .map(|_| {
            let (shop, token) = (Arc::clone(&shop), Arc::clone(&token));
            tokio::spawn(async move { shop.refresh(&token).await.status })
        })
        .collect();
    let mut refreshed = 0;
    for task in tasks {
        match task.await.unwrap() {
            200 => refreshed += 1,
            status => assert_eq!(status, 400),
        }
    }
    assert_eq!(refreshed, 1);
    assert_eq!(shop.count("oauth_grants").await, 0);
}

#[tokio::test]
async fn a_revoked_token_takes_its_whole_grant_along() {
    let shop = shop().await;
    for which in ["refresh_token", "access_token", "rotated"] {
        let tokens = shop.tokens().await;
        let next = shop.refresh(text(&tokens, "refresh_token")).await;
        let token = match which {
            "rotated" => text(&tokens, "refresh_token"),
            name => text(&next, name),
        };
        let pairs = [("client_id", "shop-web"), ("token", token), ("token_type_hint", "other")];
        let revoked = shop.post_form("/oauth/revoke", &pairs, &[]).await;
        assert_eq!((revoked.status, &*revoked.text), (200, ""), "{which}");
        assert_eq!(revoked.headers["cache-control"], "no-store");
        let refused = shop.refresh(text(&next, "refresh_token")).await;
        assert_refused(&refused, 400, "invalid_grant");
        assert_eq!(shop.userinfo(text(&next, "access_token")).await.status, 401, "{which}");
        // Once more, and what is nobody's, is no error (RFC 7009, section 2.2).
        let again = shop.post_form("/oauth/revoke", &pairs, &[]).await;
        assert_eq!(again.status, 200, "{which}: {}", again.text);
    }
    for token in ["nonsense", &"a".repeat(86), "a.b.c"] {
        let pairs = [("client_id", "shop-web"), ("token", token)];
        assert_eq!(shop.post_form("/oauth/revoke", &pairs, &[]).await.status, 200, "{token}");
    }
}

#[tokio::test]
async fn what_cannot_be_revoked_is_said_to_be_so() {
    let shop = shop().await;
    let token = shop.backoffice("stock:write").await;
    let client = [("client_id", "shop-backoffice"), ("client_secret", BACKOFFICE_SECRET)];
    let pairs = [client[0], client[1], ("token", text(&token, "access_token"))];
    let answer = shop.post_form("/oauth/revoke", &pairs, &[]).await;
    assert_refused(&answer, 400, "unsupported_token_type");
    let pairs = [("client_id", "shop-web"), ("token", text(&token, "access_token"))];
    assert_refused(&shop.post_form("/oauth/revoke", &pairs, &[]).await, 400, "invalid_grant");
    let absent = shop.post_form("/oauth/revoke", &[("client_id", "shop-web")], &[]).await;
    assert_refused(&absent, 400, "invalid_request");
    let unknown = shop.post_form("/oauth/revoke", &[("token", "a")], &[]).await;
    assert_refused(&unknown, 401, "invalid_client");
}
