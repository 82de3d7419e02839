//! A client over one connection that is kept, and that never gives up: what was not answered is
//! asked again, word for word.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use portcullis_testkit::client::{ClientError, RawClient};
use serde_json::Value;

use crate::deadline::{Deadline, PATIENCE};
use crate::promises::Promises;

/// Longer than a service takes to say that it took too long.
const ANSWER_LIMIT: Duration = Duration::from_secs(20);
/// Requests on one connection: the raw client remembers all that it ever read.
const USES: u32 = 200;

/// A request, the same each time that it is sent.
#[derive(Debug, Clone)]
pub struct Request {
    method: &'static str,
    path: String,
    headers: Vec<(&'static str, String)>,
    body: String,
}

/// What was answered; the body is null where it is no JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

#[derive(Debug)]
pub struct Client {
    address: SocketAddr,
    promises: Arc<Promises>,
    connection: Option<Connection>,
}

#[derive(Debug)]
struct Connection {
    client: RawClient,
    uses: u32,
}

impl Request {
    pub fn get(path: impl Into<String>) -> Self {
        Self { method: "GET", path: path.into(), headers: Vec::new(), body: String::new() }
    }

    pub fn post(path: impl Into<String>) -> Self {
        Self { method: "POST", ..Self::get(path) }
    }

    #[must_use]
    pub fn header(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    #[must_use]
    pub fn token(self, token: &str) -> Self {
        self.header("authorization", format!("Bearer {token}"))
    }

    /// By which the service knows it again.
    #[must_use]
    pub fn key(self, key: &str) -> Self {
        self.header("idempotency-key", key)
    }

    #[must_use]
    pub fn json(self, body: &Value) -> Self {
        self.with_body("application/json", body.to_string())
    }

    #[must_use]
    pub fn form(self, body: impl Into<String>) -> Self {
        self.with_body("application/x-www-form-urlencoded", body.into())
    }

    fn with_body(mut self, kind: &str, body: String) -> Self {
        self.body = body;
        self.header("content-type", kind)
    }

    fn text(&self) -> String {
        let Self { method, path, headers, body } = self;
        let mut text = format!("{method} {path} HTTP/1.1\r\nhost: shop\r\n");
        for (name, value) in headers {
            text.push_str(&format!("{name}: {value}\r\n"));
        }
        if *method != "GET" {
            text.push_str(&format!("content-length: {}\r\n", body.len()));
        }
        text + "\r\n" + body
    }
}

impl Answer {
    /// The body, if the status is the one that must come.
    #[track_caller]
    pub fn expect(&self, status: u16) -> &Value {
        assert_eq!(self.status, status, "{}", self.body);
        &self.body
    }

    /// A field of it that must be text.
    #[track_caller]
    pub fn text(&self, status: u16, field: &str) -> String {
        let text = self.expect(status)[field].as_str();
        text.unwrap_or_else(|| panic!("no {field} in {}", self.body)).to_owned()
    }

    /// Whether the same request may fare better later: the service says so, or failed.
    fn is_again(&self) -> bool {
        let in_progress = self.body["code"] == "idempotency-key-in-progress";
        matches!(self.status, 500 | 503) || (self.status == 409 && in_progress)
    }
}

impl Client {
    pub(crate) fn new(address: SocketAddr, promises: Arc<Promises>) -> Self {
        Self { address, promises, connection: None }
    }

    /// Once. A connection that breaks is not used again.
    pub async fn try_send(&mut self, request: &Request) -> Result<Answer, ClientError> {
        let kept = self.connection.take().filter(|connection| connection.uses < USES);
        let mut connection = match kept {
            Some(connection) => connection,
            None => {
                let client = RawClient::connect(self.address).await?.with_deadline(ANSWER_LIMIT);
                Connection { client, uses: 0 }
            }
        };
        connection.client.send(request.text().as_bytes()).await?;
        let response = connection.client.final_response().await?;
        connection.uses += 1;
        if response.keep_alive() {
            self.connection = Some(connection);
        }
        Ok(Answer { status: response.status, body: response.json() })
    }

    /// As often as it takes.
    pub async fn send(&mut self, request: &Request) -> Answer {
        let (method, path) = (request.method, &request.path);
        let deadline = Deadline::new(format!("an answer to {method} {path}"), PATIENCE);
        loop {
            let tried = self.try_send(request).await;
            match tried {
                Ok(answer) if !answer.is_again() => return answer,
                Ok(answer) => {
                    if answer.status == 500 {
                        self.promises.broke(format!("{method} {path} was answered with 500"));
                    }
                    deadline.check(&answer);
                }
                Err(error) => deadline.check(&error),
            }
            deadline.pause().await;
        }
    }
}

/// Another connection to the same place.
impl Clone for Client {
    fn clone(&self) -> Self {
        Self::new(self.address, Arc::clone(&self.promises))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_is_the_same_text_each_time() {
        let get = Request::get("/a").token("t");
        assert_eq!(get.text(), "GET /a HTTP/1.1\r\nhost: shop\r\nauthorization: Bearer t\r\n\r\n");
        let post = Request::post("/b").key("k").json(&json!({"a": 1}));
        assert_eq!(
            post.text(),
            "POST /b HTTP/1.1\r\nhost: shop\r\nidempotency-key: k\r\n\
             content-type: application/json\r\ncontent-length: 7\r\n\r\n{\"a\":1}"
        );
        assert!(Request::post("/c").text().ends_with("content-length: 0\r\n\r\n"));
    }

    #[test]
    fn what_may_fare_better_later_is_asked_again() {
        let check = |status, body: Value, expected| {
            let answer = Answer { status, body };
            assert_eq!(answer.is_again(), expected, "{answer:?}");
        };
        check(200, Value::Null, false);
        check(503, json!({"code": "busy"}), true);
        check(500, Value::Null, true);
        check(409, json!({"code": "idempotency-key-in-progress"}), true);
        check(409, json!({"code": "email-taken"}), false);
        check(422, json!({"code": "idempotency-key-reused"}), false);
    }
}
