//! Addresses that look like the client's own: nobody is ever sent there.

use super::*;

#[tokio::test]
async fn nobody_is_sent_to_an_address_that_is_not_registered() {
    let shop = shop().await;
    for uri in [
        "https://evil.example/callback",
        "http://127.0.0.1.evil.example/callback",
        "http://127.0.0.1:5000@evil.example/callback",
        "http://127.0.0.1@evil.example/callback",
        "http://evil.example#http://127.0.0.1/callback",
        "http://evil.example/?http://127.0.0.1/callback",
        "//evil.example/callback",
        "/callback",
        "http:127.0.0.1/callback",
        "http://127.0.0.1:5000/callback/../../evil",
        "http://127.0.0.1:5000/callback/",
        "http://127.0.0.1:5000/callback?next=https://evil.example",
        "http://127.0.0.1:5000/callback#fragment",
        "http://127.0.0.1:5000/callback%00.evil.example",
        "http://127.0.0.1:5000\\@evil.example/callback",
        "http://127.0.0.1:99999/callback",
        "https://127.0.0.1:5000/callback",
        "http://127.1/callback",
        "http://2130706433/callback",
        "http://localhost:5000/callback",
        "HTTP://127.0.0.1:5000/callback",
        " http://127.0.0.1:5000/callback",
        "http://127.0.0.1:5000/callback\r\nset-cookie: a=b",
        "http://[::1]:5000/callback\0",
        "http://[::ffff:127.0.0.1]/callback",
        "javascript:alert(1)//http://127.0.0.1/callback",
        "data:text/html,http://127.0.0.1/callback",
        "*",
        "",
    ] {
        let answer = shop.authorize(&[("redirect_uri", Some(uri))]).await;
        assert_eq!(answer.status, 400, "{uri:?}: {}", answer.text);
        assert!(!answer.headers.contains_key(LOCATION), "{uri:?}");
        assert!(answer.text.contains("does not work"), "{uri:?}");
        assert!(!answer.text.contains("evil"), "{uri:?}: {}", answer.text);
    }
    let absent = shop.authorize(&[("redirect_uri", None)]).await;
    assert_eq!((absent.status, absent.headers.get(LOCATION)), (400, None));
}

#[tokio::test]
async fn every_port_of_this_machine_is_the_clients_own() {
    let shop = shop().await;
    for uri in
        ["http://127.0.0.1/callback", "http://127.0.0.1:1/callback", "http://[::1]:65535/callback"]
    {
        let changes = [("redirect_uri", Some(uri))];
        let code = shop.code(&changes).await;
        assert_eq!(shop.redeem_with(&code, &changes).await.status, 200, "{uri}");
    }
}

/// A client that cannot be believed is told nothing either, by whatever else is wrong.
#[tokio::test]
async fn an_unknown_client_is_told_by_no_redirect() {
    let shop = shop().await;
    for client in
        [None, Some(""), Some("unknown"), Some("shop-web "), Some("shop-web\0"), Some("Ö")]
    {
        let answer = shop.authorize(&[("client_id", client), ("scope", None)]).await;
        assert_eq!((answer.status, answer.headers.get(LOCATION)), (400, None), "{client:?}");
    }
    let twice = format!("/oauth/authorize?{}&client_id=shop-web", request_with(&[]));
    let answer = shop.get(&twice, None).await;
    assert_eq!((answer.status, answer.headers.get(LOCATION)), (400, None));
    let twice = format!("/oauth/authorize?{}&redirect_uri=http%3A%2F%2Fa", request_with(&[]));
    let answer = shop.get(&twice, None).await;
    assert_eq!((answer.status, answer.headers.get(LOCATION)), (400, None));
    // The back office has no addresses at all.
    let answer = shop.authorize(&[("client_id", Some("shop-backoffice"))]).await;
    assert_eq!((answer.status, answer.headers.get(LOCATION)), (400, None));
}
