//! Two workers and one listener: whom the connections go to, how many there may be, and that none
//! is lost on its way.

use std::time::Duration;

use portcullis_testkit::client::RawClient;
use portcullis_testkit::origin::{Origin, ScriptedOrigin};

use crate::harness::{Gate, always, get, observe};

async fn two_workers(listener: &str, endpoint: std::net::SocketAddr) -> Gate {
    Gate::with_workers(
        2,
        &format!(
            "listeners:\n  - {{name: front, address: \"127.0.0.1:0\", {listener}}}\n\
             upstreams:\n  - {{name: back, endpoints: [{{address: \"{endpoint}\"}}]}}\n\
             routes:\n  - {{name: all, backends: [{{upstream: back}}]}}\n"
        ),
    )
    .await
}

async fn ask(client: &mut RawClient) -> String {
    client.send(get("/", &[]).as_bytes()).await.unwrap();
    observe(client, false, 1).await
}

/// Of two connections each worker has one, whomever the kernel gave them to. A worker keeps its
/// own connection to the upstream, by which it is known here.
#[tokio::test]
async fn each_of_two_connections_has_a_worker_of_its_own() {
    const ROUNDS: usize = 12;
    let origin = ScriptedOrigin::start(vec![always("ok"); 4]).await.unwrap();
    let gate = two_workers("", origin.address()).await;
    for round in 0..ROUNDS {
        let (mut one, mut two) = (gate.client().await, RawClient::connect(gate.address).await);
        assert_eq!(ask(&mut one).await, "200 ok, keep", "in round {round}");
        assert_eq!(ask(two.as_mut().unwrap()).await, "200 ok, keep", "in round {round}");
        drop((one, two));
        gate.metric_is("portcullis_listener_connections", &["front"], 0.0).await;
    }
    let by_worker: Vec<_> =
        origin.connections().iter().map(|connection| connection.requests.len()).collect();
    assert_eq!(by_worker, [ROUNDS, ROUNDS]);
}

/// The limit counts the connections of both, and a place that is given back can be had again.
#[tokio::test]
async fn the_limit_holds_for_both_workers_together() {
    let origin = ScriptedOrigin::start(vec![always("ok"); 4]).await.unwrap();
    let gate = two_workers("connectionLimits: {max: 3}", origin.address()).await;
    for round in 1..=4 {
        let mut clients = Vec::new();
        for _ in 0..3 {
            let mut client = gate.client().await;
            assert_eq!(ask(&mut client).await, "200 ok, keep", "in round {round}");
            clients.push(client);
        }
        let mut refused = gate.client().await;
        assert!(refused.read_to_end().await.is_ok_and(|(bytes, _)| bytes.is_empty()));
        assert_eq!(
            gate.metric("portcullis_listener_refused_connections_total", &[]),
            f64::from(round)
        );
        drop(clients);
        gate.metric_is("portcullis_listener_connections", &["front"], 0.0).await;
    }
}

/// Whoever was let in by the kernel before the end is answered, wherever the connection is then.
#[tokio::test]
async fn no_connection_is_lost_between_two_workers_that_end() {
    let origin = Origin::start("o").await.unwrap();
    for round in 0..3 {
        let gate = two_workers("", origin.address()).await;
        let mut clients = Vec::new();
        for _ in 0..60 {
            let mut client = gate.client().await;
            client.send(get("/bytes/10", &[]).as_bytes()).await.unwrap();
            clients.push(client);
        }
        let drained = tokio::spawn(gate.drain(Duration::from_secs(10)));
        for (at, client) in clients.iter_mut().enumerate() {
            let response = client.response().await;
            let response = response.unwrap_or_else(|error| panic!("{round}, {at}: {error}"));
            assert_eq!((response.status, response.body.len()), (200, 10));
        }
        let (whole, records) = drained.await.unwrap();
        assert!(whole && records.len() == clients.len(), "{} of 60", records.len());
    }
}
