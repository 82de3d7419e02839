//! Endpoints that die, and endpoints behind names.

use std::time::Duration;

use portcullis_testkit::origin::Origin;
use portcullis_testkit::soak::{Intensity, KillEndpoint, kill_endpoint};

use crate::gateway::{Gateway, forwarding, get};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_death_costs_only_what_was_in_flight_there() {
    let (doomed, other) = (Origin::start("a").await.unwrap(), Origin::start("b").await.unwrap());
    let mut gateway = Gateway::start(&forwarding(&[doomed.address(), other.address()], ""));
    let address = gateway.address("public").await;
    let duration = Duration::from_secs(2);
    let intensity = Intensity { rate: 300.0, connections: 8, duration };
    let kill = KillEndpoint { intensity, address, path: "/delay/5/x" };
    let verdict = kill_endpoint(&kill, doomed, &other).await.unwrap();
    assert!(verdict.passed(), "{verdict}");
}

#[tokio::test]
async fn a_name_leads_to_its_endpoint() {
    let origin = Origin::start("a").await.unwrap();
    let text = forwarding(&[origin.address()], "").replace(
        &format!("address: \"{}\"", origin.address()),
        &format!("dns: localhost, port: {}", origin.address().port()),
    );
    let mut gateway = Gateway::start(&text);
    let address = gateway.address("public").await;
    for _ in 0..10 {
        assert_eq!(get(address, "/echo").await.json()["origin"], "a");
    }
}
