//! Password files that change on disk while they serve.

use portcullis_testkit::client::fetch;

use crate::gateway::{FILE, Gateway, replying};

/// `{SHA256}` entries of `secret` and of `token`.
const SECRET: &str = "ada:{SHA256}K7gNU3sdo+OL0wNhqoVWhr3g6s1xYv72ol/pe/Unols=\n";
const TOKEN: &str = "ada:{SHA256}PEaenWxYddN6Q/NT1PiOYfz4EsZu7jRXRlpAsNpBU+A=\n";

async fn status(gateway: &mut Gateway, authorization: &str) -> u16 {
    let address = gateway.address("public").await;
    let line = format!("authorization: Basic {authorization}");
    fetch(address, "GET", "/", &[&line]).await.unwrap().status
}

#[tokio::test]
async fn a_changed_password_counts_without_a_signal_and_a_broken_file_changes_nothing() {
    const ADA_SECRET: &str = "YWRhOnNlY3JldA==";
    const ADA_TOKEN: &str = "YWRhOnRva2Vu";
    let text = replying("hello").replace("reply:", "basicAuth: {file: users}, reply:");
    let mut gateway = Gateway::start_with(&[(FILE, &text), ("users", SECRET)]);
    assert_eq!(status(&mut gateway, ADA_SECRET).await, 200);
    assert_eq!(status(&mut gateway, ADA_TOKEN).await, 401);
    gateway.process.replace_file("users", TOKEN).unwrap();
    gateway.serves_generation(2).await;
    assert_eq!(status(&mut gateway, ADA_SECRET).await, 401);
    assert_eq!(status(&mut gateway, ADA_TOKEN).await, 200);
    gateway.process.replace_file("users", "ada:plain\n").unwrap();
    gateway.says(&["last good configuration stays"]).await;
    gateway.says(&["users:1: "]).await;
    assert_eq!(status(&mut gateway, ADA_TOKEN).await, 200);
}

/// The file of a configuration that was refused counts: it is what must be mended.
#[tokio::test]
async fn a_refused_password_file_that_is_mended_is_noticed() {
    let open = replying("hello");
    let closed = open.replace("reply:", "basicAuth: {file: users}, reply:");
    let mut gateway = Gateway::start_with(&[(FILE, &open), ("users", "ada:plain\n")]);
    assert_eq!(status(&mut gateway, "").await, 200);
    gateway.process.replace_file(FILE, &closed).unwrap();
    gateway.says(&["last good configuration stays"]).await;
    gateway.says(&["users:1: "]).await;
    gateway.process.replace_file("users", SECRET).unwrap();
    gateway.serves_generation(2).await;
    assert_eq!(status(&mut gateway, "").await, 401);
}
