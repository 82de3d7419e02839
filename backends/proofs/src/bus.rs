//! The broker as the auditor sees it: which events it has, who has not heard them yet; and how to
//! make it deliver again what was delivered.

use std::path::{Path, PathBuf};

use async_nats::jetstream::{self, consumer::pull, stream::Stream};
use serde_json::Value;
use sqlx::Row;

use crate::service::Service;
use crate::store::Store;

/// What the platform calls the stream of all events.
const STREAM: &str = "SHOP";

#[derive(Debug)]
pub(crate) enum Bus {
    Log { file: PathBuf },
    Nats { url: String },
}

/// An event as the broker keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    pub id: String,
    pub kind: String,
    /// The aggregate that it happened to.
    pub subject: String,
    /// All of it, in JSON.
    pub text: String,
}

impl Recorded {
    fn parse(text: String) -> Self {
        let event: Value = serde_json::from_str(&text).unwrap();
        let field = |name: &str| event[name].as_str().unwrap_or_default().to_owned();
        Self { id: field("id"), kind: field("type"), subject: field("subject"), text }
    }
}

impl Bus {
    /// As the services are told.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Log { file } => format!("log:{}", file.display()),
            Self::Nats { url } => url.clone(),
        }
    }

    /// All events, in the order in which the broker took them in.
    pub(crate) async fn events(&self) -> Vec<Recorded> {
        match self {
            Self::Log { file } => {
                let mut store = log(file).await;
                let rows = store.rows("SELECT body FROM events ORDER BY seq").await;
                store.close().await;
                rows.iter().map(|row| Recorded::parse(row.get("body"))).collect()
            }
            Self::Nats { url } => {
                let stream = stream(url).await;
                let state = &stream.cached_info().state;
                let mut events = Vec::new();
                for sequence in state.first_sequence.max(1)..=state.last_sequence {
                    let message = stream.get_raw_message(sequence).await.unwrap();
                    let text = String::from_utf8(message.payload.to_vec()).unwrap();
                    events.push(Recorded::parse(text));
                }
                events
            }
        }
    }

    /// Has these events delivered once more to all who heard them, in this order: as new ones of
    /// the broker's, so that it does not know them again. Their ids are what they were.
    pub(crate) async fn deliver_again(&self, events: &[Recorded]) {
        match self {
            Self::Log { file } => {
                let mut store = log(file).await;
                for event in events {
                    let texts = [event.id.as_str(), &event.kind, &event.text];
                    let insert = "INSERT INTO events (id, kind, body, stored_at) \
                        SELECT 'again-' || COALESCE(MAX(seq), 0) || '-' || $1, $2, $3, \
                        COALESCE(MAX(stored_at), 0) FROM events";
                    store.execute(insert, &texts).await;
                }
                store.close().await;
            }
            Self::Nats { url } => {
                let context = jetstream(url).await;
                for event in events {
                    let (subject, text) = (format!("shop.{}", event.kind), event.text.clone());
                    // Without the header by which the server would know it.
                    let kept = context.publish(subject, text.into()).await.unwrap();
                    kept.await.unwrap();
                }
            }
        }
    }

    /// Who has not handled everything yet, and how much is open.
    pub(crate) async fn unheard(&self) -> Vec<(Service, String)> {
        let mut unheard = Vec::new();
        for service in Service::listeners() {
            let open = match self {
                Self::Log { file } => unheard_in_log(file, service).await,
                Self::Nats { url } => unheard_in_nats(url, service).await,
            };
            unheard.extend(open.map(|open| (service, open)));
        }
        unheard
    }

    /// Turns round the order of all that the service has not heard yet. Everybody else has heard
    /// it, and the service does not run.
    pub(crate) async fn turn_round(&self, service: Service) {
        let Self::Log { file } = self else { panic!("the order of a server's stream is fixed") };
        let mut store = log(file).await;
        // By way of negative numbers: two events never have the same.
        let turn = "UPDATE events SET seq = seq - 1 - (SELECT MAX(seq) FROM events) \
            - (SELECT position FROM consumer_groups WHERE name = $1) \
            WHERE seq > (SELECT position FROM consumer_groups WHERE name = $1)";
        store.execute(turn, &[service.name()]).await;
        store.execute("UPDATE events SET seq = -seq WHERE seq < 0", &[]).await;
        store.close().await;
    }

    /// Lets the leases of the dead run out now rather than in half a minute. Those of the living
    /// run out too: what they have in hand is delivered twice. A server's clock cannot be turned.
    pub(crate) async fn let_leases_run_out(&self) {
        if let Self::Log { file } = self {
            let mut store = log(file).await;
            store.execute("UPDATE deliveries SET due_at = 0", &[]).await;
            store.close().await;
        }
    }
}

async fn unheard_in_log(file: &Path, service: Service) -> Option<String> {
    let mut store = log(file).await;
    let groups = store.rows("SELECT name, position FROM consumer_groups").await;
    let open = "SELECT group_name, COUNT(*) AS open FROM deliveries GROUP BY group_name";
    let open = store.rows(open).await;
    let newest = store.number("SELECT COALESCE(MAX(seq), 0) FROM events").await;
    store.close().await;
    let group = groups.iter().find(|row| row.get::<String, _>("name") == service.name());
    let Some(group) = group else { return Some("has not subscribed".to_owned()) };
    let open = open.iter().find(|row| row.get::<String, _>("group_name") == service.name());
    let open = open.map_or(0, |row| row.get::<i64, _>("open"));
    unheard(newest - group.get::<i64, _>("position"), open)
}

async fn unheard_in_nats(url: &str, service: Service) -> Option<String> {
    match stream(url).await.get_consumer::<pull::Config>(service.name()).await {
        Ok(consumer) => {
            let info = consumer.cached_info();
            let [new, open] = [info.num_pending, info.num_ack_pending as u64].map(u64::cast_signed);
            unheard(new, open)
        }
        Err(error) => Some(error.to_string()),
    }
}

fn unheard(new: i64, open: i64) -> Option<String> {
    (new > 0 || open > 0).then(|| format!("{new} events to hear, {open} in hand"))
}

async fn log(file: &Path) -> Store {
    Store::open(&format!("sqlite:{}", file.display())).await
}

async fn jetstream(url: &str) -> jetstream::Context {
    jetstream::new(async_nats::connect(url).await.unwrap())
}

async fn stream(url: &str) -> Stream {
    jetstream(url).await.get_stream(STREAM).await.unwrap()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_known_by_its_own_id() {
        let text = r#"{"id":"1","type":"order.placed","subject":"o","data":{"id":"2"}}"#;
        let event = Recorded::parse(text.to_owned());
        let expected = ("1", "order.placed", "o", text);
        assert_eq!((&*event.id, &*event.kind, &*event.subject, &*event.text), expected);
    }
}
