//! The login form: what it holds, who may send it, how often.

use super::*;

#[tokio::test]
async fn the_form_is_plain_and_the_browser_is_told_so() {
    let shop = shop().await;
    let hint = [("login_hint", Some("\"><script>alert(1)</script>"))];
    let form = shop.authorize(&hint).await;
    assert_eq!(form.status, 200);
    assert_eq!(form.headers["content-type"], "text/html; charset=utf-8");
    assert_eq!(
        form.headers["content-security-policy"],
        "default-src 'none'; form-action 'self' http://127.0.0.1:5000; frame-ancestors 'none'; \
         base-uri 'none'"
    );
    assert_eq!(form.headers["x-frame-options"], "DENY");
    assert_eq!(form.headers["cache-control"], "no-store");
    assert!(!form.text.contains("<script") && !form.text.contains("<style"), "{}", form.text);
    assert!(form.text.contains("value=\"&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;\""));
    assert!(form.text.contains("type=\"password\""));
}

#[tokio::test]
async fn a_request_may_come_by_post_as_well() {
    let shop = shop().await;
    let form = shop.post_form("/oauth/authorize", &GOOD, &[("sec-fetch-site", "cross-site")]).await;
    assert_eq!(form.status, 200, "{}", form.text);
    shop.register(ADA).await;
    assert_eq!(shop.submit(&signed(&form), ADA, PASSWORD).await.status, 303);
}

#[tokio::test]
async fn a_wrong_password_shows_the_form_again_and_it_still_works() {
    let shop = shop().await;
    shop.register(ADA).await;
    let form = signed(&shop.authorize(&[]).await);
    for (email, password) in
        [(ADA, "wrong"), ("nobody@example.com", PASSWORD), ("no address", PASSWORD), ("", "")]
    {
        let answer = shop.submit(&form, email, password).await;
        assert_eq!(answer.status, 401, "{email}");
        assert!(answer.text.contains("is wrong"), "{}", answer.text);
        assert_eq!(signed(&answer), form);
        assert!(!answer.text.contains(PASSWORD), "no password is sent back");
    }
    assert_eq!(shop.submit(&form, ADA, PASSWORD).await.status, 303);
}

#[tokio::test]
async fn guesses_at_the_form_and_elsewhere_are_throttled_together() {
    let shop = shop().await;
    shop.register(ADA).await;
    let form = signed(&shop.authorize(&[]).await);
    for _ in 0..5 {
        assert_eq!(shop.submit(&form, "ADA@example.com", "wrong").await.status, 401);
        assert_eq!(shop.log_in(ADA, "wrong password").await.status, 401);
    }
    let refused = shop.submit(&form, ADA, PASSWORD).await;
    assert_eq!(refused.status, 429, "{}", refused.text);
    assert_eq!(refused.headers["retry-after"], "30");
    assert_eq!(signed(&refused), form);
    assert_eq!(shop.log_in(ADA, PASSWORD).await.status, 429);
    shop.clock.advance(Duration::from_secs(30));
    assert_eq!(shop.submit(&form, ADA, PASSWORD).await.status, 303);
    assert_eq!(shop.log_in(ADA, PASSWORD).await.status, 200, "and a login clears the account");
}

#[tokio::test]
async fn a_form_gives_one_code_within_ten_minutes() {
    let shop = shop().await;
    shop.register(ADA).await;
    let form = signed(&shop.authorize(&[]).await);
    shop.clock.advance(Duration::from_secs(599));
    assert_eq!(shop.submit(&form, ADA, PASSWORD).await.status, 303);
    let again = shop.submit(&form, ADA, PASSWORD).await;
    assert_eq!((again.status, again.headers.get(LOCATION)), (400, None));
    assert!(again.text.contains("used before"), "{}", again.text);
    assert_eq!(shop.count("oauth_codes").await, 1);

    let form = signed(&shop.authorize(&[]).await);
    shop.clock.advance(Duration::from_secs(600));
    let late = shop.submit(&form, ADA, PASSWORD).await;
    assert_eq!((late.status, late.headers.get(LOCATION)), (400, None));
    assert!(late.text.contains("expired"), "{}", late.text);
}

#[tokio::test]
async fn a_form_outlives_the_key_that_signed_it() {
    let shop = shop().await;
    shop.register(ADA).await;
    shop.keys.rotate(shop.clock.now()).await.unwrap();
    shop.clock.advance(Duration::from_secs(599));
    let form = signed(&shop.authorize(&[]).await);
    shop.clock.advance(Duration::from_secs(599));
    shop.keys.refresh(shop.clock.now()).await.unwrap();
    assert_eq!(shop.submit(&form, ADA, PASSWORD).await.status, 303);
}

#[tokio::test]
async fn forms_that_are_not_ours_open_nothing() {
    let shop = shop().await;
    let elsewhere = super::super::shop().await;
    let session = shop.token(ADA).await;
    let foreign = signed(&elsewhere.authorize(&[]).await);
    let ours = signed(&shop.authorize(&[]).await);
    let (head, rest) = ours.split_once('.').unwrap();
    let (_, signature) = rest.split_once('.').unwrap();
    let changed = format!("{head}.{}.{signature}", foreign.split('.').nth(1).unwrap());
    for form in ["", "nonsense", &session, &foreign, &changed, &ours[1..]] {
        let answer = shop.submit(form, ADA, PASSWORD).await;
        assert_eq!((answer.status, answer.headers.get(LOCATION)), (400, None), "{form}");
    }
    let twice = [("authorization", &*ours), ("authorization", &*ours)];
    assert_eq!(shop.post_form("/oauth/authorize", &twice, &[]).await.status, 400);
    assert_eq!(shop.count("oauth_codes").await, 0);
}

#[tokio::test]
async fn another_site_cannot_send_the_form() {
    let shop = shop().await;
    shop.register(ADA).await;
    let form = signed(&shop.authorize(&[]).await);
    let pairs = [("authorization", &*form), ("email", ADA), ("password", PASSWORD)];
    for (site, status) in [("cross-site", 403), ("same-site", 403), ("same-origin", 303)] {
        let answer = shop.post_form("/oauth/authorize", &pairs, &[("sec-fetch-site", site)]).await;
        assert_eq!(answer.status, status, "{site}");
    }
}

#[tokio::test]
async fn what_cannot_be_read_is_refused() {
    let shop = shop().await;
    let get = shop.get("/oauth/authorize?client_id=%ff", None).await;
    assert_eq!(get.status, 400);
    let json = shop.post("/oauth/authorize", json!({})).await;
    assert_eq!((json.status, json.headers.get(LOCATION)), (400, None));
    let large = "a".repeat(70_000);
    let answer = shop.post_form("/oauth/authorize", &[("authorization", &*large)], &[]).await;
    assert_eq!(answer.status, 413);
}
