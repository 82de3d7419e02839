//! Every fault once, over a gateway under load in every protocol.
//!
//! `portcullis-bench chaos` is the same at length, with a new seed each time. Here it is always the
//! same one, so that a change is judged by what it changed; `PORTCULLIS_SEED` gives another.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::path::Path;
use std::time::Duration;

use portcullis_testkit::chaos::{Chaos, Fault, chaos};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_ends_right_or_in_an_error_that_a_fault_answers_for() {
    let seed = std::env::var("PORTCULLIS_SEED").map_or(1, |text| text.parse().unwrap());
    let run = Chaos {
        gateway: Path::new(env!("CARGO_BIN_EXE_portcullis-gateway")),
        seed,
        faults: &Fault::ALL,
        slots: Fault::ALL.len(),
        slot: Duration::from_secs(3),
        calm: Duration::from_millis(1500),
        rate: 100.0,
    };
    match chaos(run, &mut |line| println!("{line}")).await {
        Ok(summary) => println!("{summary}"),
        Err(failed) => panic!("{failed}"),
    }
}
