//! Sends one customer's requests, as often as it is proper, and records what comes of them.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, timeout};

use crate::record::{Call, Finding, Recorder};
use crate::wire::client::{Client, SendError};
use crate::wire::dial::Dialer;
use crate::wire::patience::{Outcome, Patience, Verdict};
use crate::wire::{Reply, Request};

/// Something was not as it should be, and is recorded: whoever gets this goes on with something
/// else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Found;

pub(crate) struct Courier {
    client: Client,
    recorder: Arc<Recorder>,
    patience: Patience,
    /// Whose findings they are; `None` for the shop's own.
    customer: Option<u32>,
}

impl Courier {
    pub(crate) fn new(
        dialer: Arc<Dialer>,
        recorder: Arc<Recorder>,
        patience: Patience,
        customer: Option<u32>,
    ) -> Self {
        Self { client: Client::new(dialer), recorder, patience, customer }
    }

    pub(crate) fn dialer(&self) -> &Dialer {
        self.client.dialer()
    }

    pub(crate) fn outages(&self) -> bool {
        self.patience.outages
    }

    /// The answer, which has one of the `expected` statuses.
    pub(crate) async fn call(
        &self,
        call: Call,
        request: &Request,
        expected: &[u16],
    ) -> Result<Reply, Found> {
        let begun = Instant::now();
        for attempt in 1.. {
            let sent = Instant::now();
            let answer = self.client.send(request).await;
            let took = sent.elapsed();
            if let Verdict::Again(pause) =
                self.patience.judge(outcome(&answer), attempt, begun.elapsed())
            {
                self.recorder.again(call);
                sleep(pause).await;
                continue;
            }
            return match answer {
                Ok(reply) if expected.contains(&reply.status.as_u16()) => {
                    self.recorder.answered(call, took);
                    Ok(reply)
                }
                Ok(reply) => {
                    let code = reply.code().unwrap_or_default();
                    let what = format!("status {} {code}", reply.status.as_u16());
                    Err(self.found_in(call, what.trim_end(), &reply))
                }
                Err(error) => Err(self.found(call, error.label())),
            };
        }
        // No client sends a request four thousand million times.
        Err(self.found(call, "too many tries"))
    }

    /// Sends it and loses patience after a while, as a client that goes away does. An answer that
    /// was there by then is dropped with the rest.
    pub(crate) async fn give_up_on(&self, request: &Request, after: Duration) {
        drop(timeout(after, self.client.send(request)).await);
    }

    /// What the body says.
    pub(crate) fn read<T: DeserializeOwned>(&self, call: Call, reply: &Reply) -> Result<T, Found> {
        serde_json::from_slice(&reply.body)
            .map_err(|error| self.found_in(call, &format!("an unreadable answer: {error}"), reply))
    }

    pub(crate) fn found(&self, call: Call, what: &str) -> Found {
        self.record(call, what, None)
    }

    /// With the request id of what was answered.
    pub(crate) fn found_in(&self, call: Call, what: &str, reply: &Reply) -> Found {
        self.record(call, what, Some(reply.request_id().to_owned()))
    }

    fn record(&self, call: Call, what: &str, request_id: Option<String>) -> Found {
        let what = what.to_owned();
        self.recorder.find(Finding { customer: self.customer, call, what, request_id });
        Found
    }
}

fn outcome(answer: &Result<Reply, SendError>) -> Outcome {
    match answer {
        Ok(reply) => {
            Outcome::Answered { status: reply.status.as_u16(), retry_after: reply.retry_after() }
        }
        Err(error) => error.outcome(),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;
    use crate::wire::dial::Trust;

    /// What comes of a call to a server that gives these answers, each on its own connection.
    async fn ask(answers: &[&str]) -> (Result<u16, Found>, Vec<String>, crate::record::Records) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let dialer = Dialer::try_new(url.parse().unwrap(), Trust::Nobody).unwrap();
        let recorder = Arc::new(Recorder::default());
        let patience = Patience { outages: false };
        let courier = Courier::new(Arc::new(dialer), Arc::clone(&recorder), patience, Some(1));
        let server = async {
            let mut heads = Vec::new();
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                heads.push(String::from_utf8(head).unwrap());
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
            heads
        };
        let request = Request::post("/v1/orders").key("k-1");
        let call = courier.call(Call::PlaceOrder, &request, &[202]);
        let (heads, reply) = tokio::join!(server, call);
        (reply.map(|reply| reply.status.as_u16()), heads, recorder.take())
    }

    const BUSY: &str = "HTTP/1.1 503 Busy\r\nretry-after: 0\r\nconnection: close\r\n\
        content-length: 0\r\n\r\n";
    const PLACED: &str = "HTTP/1.1 202 Accepted\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
    const BROKEN: &str = "HTTP/1.1 500 Oh\r\nx-request-id: r-9\r\nconnection: close\r\n\
        content-length: 20\r\n\r\n{\"code\": \"internal\"}";

    #[tokio::test]
    async fn a_busy_server_is_asked_again_with_the_same_key() {
        let (reply, heads, records) = ask(&[BUSY, BUSY, PLACED]).await;
        assert_eq!(reply, Ok(202));
        assert!(heads.iter().all(|head| head.contains("idempotency-key: \"k-1\"\r\n")));
        assert_eq!((heads.len(), records.found), (3, 0));
        let call = &records.calls[&Call::PlaceOrder];
        assert_eq!((call.again, call.latency.len()), (2, 1));
    }

    #[tokio::test]
    async fn an_unexpected_status_is_a_finding_with_its_request() {
        let (reply, _, records) = ask(&[BROKEN]).await;
        assert_eq!(reply, Err(Found));
        assert_eq!(
            records.findings[0].to_string(),
            "customer 1, place order: status 500 internal (request r-9)"
        );
    }

    #[tokio::test]
    async fn so_is_a_connection_without_an_answer() {
        let (reply, _, records) = ask(&[""]).await;
        assert_eq!(reply, Err(Found));
        assert_eq!(records.findings[0].to_string(), "customer 1, place order: connection lost");
    }
}
