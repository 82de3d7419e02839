//! Keys over SQLite; what two connections of PostgreSQL make of them is in `tests/database.rs`.

use serde_json::json;

use super::*;

fn start() -> UnixTime {
    UnixTime::from_seconds(1_735_689_599)
}

async fn database() -> Database {
    Database::open(":memory:", &[MIGRATION]).await.unwrap()
}

fn key(text: &str) -> IdempotencyKey {
    IdempotencyKey::try_new(text).unwrap()
}

/// Claims and, if the write is new, answers it with `answer`.
async fn write(
    database: &Database,
    owner: &str,
    print: &str,
    now: UnixTime,
    answer: &str,
) -> Result<StoredResponse, IdempotencyError> {
    let mut transaction = database.begin_write().await?;
    let response = match claim(&mut transaction, owner, &key("k-1"), print, now).await? {
        Claim::Known(response) => response,
        Claim::New(slot) => {
            slot.keep(&mut transaction, StatusCode::CREATED, &json!({"id": answer})).await?
        }
    };
    database.commit(transaction, "test").await?;
    Ok(response)
}

#[tokio::test]
async fn a_repeated_write_gets_the_first_answer() {
    let database = database().await;
    let first = write(&database, "ada", "a", start(), "1").await.unwrap();
    assert_eq!((first.status, first.body.as_str()), (StatusCode::CREATED, r#"{"id":"1"}"#));
    let again = write(&database, "ada", "a", start(), "2").await.unwrap();
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    let (first, again) = (first.into_response(), again.into_response());
    assert_eq!(first.headers()[CONTENT_TYPE], "application/json");
    assert!(first.headers().get(REPLAYED).is_none());
    assert_eq!(again.headers()[REPLAYED], "true");
}

#[tokio::test]
async fn a_key_is_its_owners_and_for_one_request() {
    let database = database().await;
    write(&database, "ada", "a", start(), "1").await.unwrap();
    let other = write(&database, "bob", "a", start(), "2").await.unwrap();
    assert_eq!(other.body, r#"{"id":"2"}"#);
    let reused = write(&database, "ada", "b", start(), "3").await.unwrap_err();
    assert!(matches!(reused, IdempotencyError::Mismatch));
    assert_eq!(reused.problem().into_response().status(), 422);
}

#[tokio::test]
async fn a_write_that_was_rolled_back_leaves_its_key_free() {
    let database = database().await;
    let mut transaction = database.begin_write().await.unwrap();
    let claimed = claim(&mut transaction, "ada", &key("k-1"), "a", start()).await.unwrap();
    assert!(matches!(claimed, Claim::New(_)));
    drop(transaction);
    assert_eq!(write(&database, "ada", "b", start(), "2").await.unwrap().body, r#"{"id":"2"}"#);
}

#[tokio::test]
async fn a_key_without_an_answer_is_a_conflict() {
    let database = database().await;
    let mut transaction = database.begin_write().await.unwrap();
    drop(claim(&mut transaction, "ada", &key("k-1"), "a", start()).await.unwrap());
    database.commit(transaction, "test").await.unwrap();
    let conflict = write(&database, "ada", "a", start(), "2").await.unwrap_err();
    assert_eq!(conflict.problem().into_response().status(), 409);
}

#[tokio::test]
async fn keys_are_forgotten_after_a_day() {
    let database = database().await;
    let later = |hours: u64| start().plus(Duration::from_secs(hours * 3600 + 1));
    write(&database, "ada", "a", start(), "1").await.unwrap();
    let known = write(&database, "ada", "a", later(23), "2").await.unwrap();
    assert_eq!(known.body, r#"{"id":"1"}"#);
    // Before anybody pruned, too.
    let new = write(&database, "ada", "b", later(24), "3").await.unwrap();
    assert_eq!(new.body, r#"{"id":"3"}"#);
    let count = async || -> i64 {
        let count = sqlx::query_scalar("SELECT count(*) FROM idempotency_keys");
        count.fetch_one(database.pool()).await.unwrap()
    };
    prune(&database, later(30)).await.unwrap();
    assert_eq!(count().await, 1);
    prune(&database, later(49)).await.unwrap();
    assert_eq!(count().await, 0);
}

#[tokio::test]
async fn of_two_at_the_same_time_one_waits_for_the_other() {
    let directory = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}/keys.db", directory.path().display());
    let database = Database::open(&url, &[MIGRATION]).await.unwrap();
    let writes = (0..8).map(|number| {
        let database = database.clone();
        tokio::spawn(async move {
            write(&database, "ada", "a", start(), &number.to_string()).await.unwrap()
        })
    });
    let mut responses = Vec::new();
    for response in writes.collect::<Vec<_>>() {
        responses.push(response.await.unwrap());
    }
    assert_eq!(responses.iter().filter(|response| !response.replayed).count(), 1);
    assert!(responses.iter().all(|response| response.body == responses[0].body));
}

#[test]
fn the_header_is_read_bare_or_quoted() {
    let check = |values: &[&str], expected: Result<&str, u16>| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, HeaderValue::from_bytes(value.as_bytes()).unwrap());
        }
        let found = IdempotencyKey::of(&headers);
        let found = found.map(|key| key.as_str().to_owned());
        let found = found.map_err(|problem| problem.into_response().status().as_u16());
        assert_eq!(found, expected.map(str::to_owned), "{values:?}");
    };
    check(&["8e03978e-40d5-43e8-bc93-6894a57f9324"], Ok("8e03978e-40d5-43e8-bc93-6894a57f9324"));
    check(&["\"k-1\""], Ok("k-1"));
    check(&[&"a".repeat(128)], Ok(&"a".repeat(128)));
    check(&[], Err(400));
    check(&[""], Err(400));
    check(&["\"\""], Err(400));
    check(&["\"open"], Err(400));
    check(&["two words"], Err(400));
    check(&["käse"], Err(400));
    check(&["a", "a"], Err(400));
    check(&[&"a".repeat(129)], Err(400));
}

#[test]
fn fingerprints_tell_requests_apart() {
    let print = |method: &str, path: &str, body: u8| fingerprint(method, path, &body);
    assert_eq!(print("POST", "/a", 1), print("POST", "/a", 1));
    assert_eq!(print("POST", "/a", 1).len(), 64);
    for other in [print("PUT", "/a", 1), print("POST", "/b", 1), print("POST", "/a", 2)] {
        assert_ne!(other, print("POST", "/a", 1));
    }
}
