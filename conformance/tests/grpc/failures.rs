//! What fails: by the service, by time, by the client, by a limit, by the proxy.

use std::time::Duration;

use tokio::time::timeout;
use tokio_stream::StreamExt;
use tonic::metadata::MetadataValue;
use tonic::{Code, Request};
use tonic_types::StatusExt as _;

use crate::harness::{Back, Front, Gate, WAYS, WITHIN};
use crate::service::{Word, word};

#[tokio::test]
async fn a_services_status_arrives_with_its_details() {
    for (front, back) in WAYS {
        let gate = Gate::new(back).await;
        let mut client = gate.client(front).await;
        for text in ["", "a word before"] {
            let asked = Word { count: Code::FailedPrecondition as i32, ..word(text) };
            let status = match client.fail(asked).await {
                Err(status) => status,
                Ok(words) => {
                    let mut words = words.into_inner();
                    assert_eq!(words.next().await.unwrap().unwrap().text, text);
                    words.next().await.unwrap().unwrap_err()
                }
            };
            assert_eq!(status.code(), Code::FailedPrecondition, "{front:?} {back:?}");
            assert_eq!(status.message(), "failed as asked: \u{e4}\u{f6}%");
            assert_eq!(status.metadata().get("x-echo").unwrap(), "trailing");
            let details = status.get_error_details();
            let violations = &details.bad_request().unwrap().field_violations;
            assert_eq!(violations[0].field, "count");
        }
    }
}

#[tokio::test]
async fn a_deadline_reaches_the_service() {
    for (front, back) in WAYS {
        let mut gate = Gate::new(back).await;
        let mut client = gate.client(front).await;
        let mut request = Request::new(word(""));
        request.set_timeout(Duration::from_secs(30));
        let response = client.unary(request).await.unwrap();
        let given = response.metadata().get("x-echo-timeout").unwrap().to_str().unwrap();
        let micros: u64 = given.strip_suffix('u').unwrap().parse().unwrap();
        assert!(micros < 30_000_000 && micros > 20_000_000, "{given}");

        let mut request = Request::new(word(""));
        request.set_timeout(Duration::from_millis(300));
        let status = timeout(WITHIN, client.silence(request)).await.unwrap().unwrap_err();
        // tonic's own clock may be first, and calls it so.
        assert!(matches!(status.code(), Code::DeadlineExceeded | Code::Cancelled), "{status:?}");
        assert_eq!(gate.hears().await, "began");
        assert_eq!(gate.hears().await, "silence", "{front:?} {back:?}");
    }
}

#[tokio::test]
async fn a_client_that_leaves_is_heard_by_the_service() {
    for (front, back) in WAYS {
        let mut gate = Gate::new(back).await;
        let mut client = gate.client(front).await;
        let call = tokio::spawn(async move { client.silence(word("")).await });
        assert_eq!(gate.hears().await, "began");
        call.abort();
        assert_eq!(gate.hears().await, "silence", "{front:?} {back:?}");
    }
}

#[tokio::test]
async fn metadata_within_the_limits_and_above() {
    for (front, back) in WAYS {
        let gate = Gate::new(back).await;
        let mut client = gate.client(front).await;
        let large = |length| {
            let mut request = Request::new(word(""));
            let value = MetadataValue::try_from("m".repeat(length)).unwrap();
            request.metadata_mut().insert("x-echo-large", value);
            request
        };
        let response = timeout(WITHIN, client.unary(large(48 << 10))).await.unwrap().unwrap();
        assert_eq!(response.metadata().get("x-echo-large").unwrap().len(), 48 << 10);
        let status = timeout(WITHIN, client.unary(large(64 << 10))).await.unwrap().unwrap_err();
        assert!(!matches!(status.code(), Code::Ok | Code::Unknown), "{status:?}");
        // The other way: an answer whose head is too large.
        let asked = Word { count: 64 << 10, ..word("") };
        let status = timeout(WITHIN, client.unary(asked)).await.unwrap().unwrap_err();
        assert!(!matches!(status.code(), Code::Ok | Code::Unknown), "{status:?}");
        // Neither has hurt the connection.
        let response = timeout(WITHIN, client.unary(word("after"))).await.unwrap().unwrap();
        assert_eq!(response.get_ref().text, "after", "{front:?} {back:?}");
    }
}

#[tokio::test]
async fn the_proxys_own_answers_are_statuses() {
    let gate = Gate::with(Back::Clear, "", "match: {path: {prefix: /other}}").await;
    let mut client = gate.client(Front::Tls).await;
    let status = timeout(WITHIN, client.unary(word(""))).await.unwrap().unwrap_err();
    assert_eq!(
        (status.code(), status.message()),
        (Code::Unimplemented, "No such resource (no-route)")
    );

    let route = "timeouts: {response: 200ms, perTry: 200ms}";
    let mut gate = Gate::with(Back::Tls, "requestLimits: {body: 1KiB}", route).await;
    let mut client = gate.client(Front::Clear).await;
    let status = timeout(WITHIN, client.silence(word(""))).await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::DeadlineExceeded);
    assert_eq!(gate.hears().await, "began");
    assert_eq!(gate.hears().await, "silence");
    let large = word(&"w".repeat(2048));
    let status = timeout(WITHIN, client.unary(large)).await.unwrap().unwrap_err();
    assert_eq!(status.code(), Code::ResourceExhausted, "{status:?}");
}
