//! What each service says of itself at `/openapi.json` is what it does: schemathesis makes requests
//! of it, right ones and wrong ones, and compares the answers.
//!
//! `make test` installs schemathesis; without it the test is skipped, except in CI.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::time::{Duration, Instant};

use shop_platform::testing;
use shop_proofs::{Backoffice, Card, Customer, Engines, Service, World};
use tokio::process::Command;
use tokio::time::timeout;

/// Requests that are made up for each operation; those for its single parameters come on top.
const EXAMPLES: &str = "20";
const SEED: &str = "20260101";
const LIMIT: Duration = Duration::from_secs(300);
/// What the answers must be. Whether a request that fits the schema is taken is left out: no
/// schema says which orders there are.
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,\
    response_headers_conformance,response_schema_conformance";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_service_does_what_it_says() {
    let Some(program) = program() else { return };
    let world = World::start(Engines::Embedded).await.unwrap();
    let backoffice = Backoffice::open(&world).await;
    let mut customer = Customer::register(&world, "ada").await;
    customer.add_card(Card::Good).await;
    // Whoever has too small a scope is answered too, as the document says.
    let (customer, backoffice) = (customer.token(), backoffice.token());
    let visits = [
        (Service::Users, "customer", customer),
        (Service::Products, "customer", customer),
        (Service::Products, "backoffice", backoffice),
        (Service::Payments, "customer", customer),
        (Service::Payments, "backoffice", backoffice),
        (Service::Orders, "customer", customer),
        (Service::Orders, "backoffice", backoffice),
        (Service::Notifications, "customer", customer),
    ];
    let mut wrong = Vec::new();
    for (service, name, token) in visits {
        let begun = Instant::now();
        if let Err(said) = visit(&program, &world, service, token).await {
            wrong.push(format!("{service} as seen by {name}:\n{said}"));
        }
        println!("{service} as seen by {name}: {:?}", begun.elapsed());
    }
    for service in Service::ALL {
        if world.has_died(service).await {
            wrong.push(format!("{service} did not survive it"));
        }
        if world.log(service).contains("panicked") {
            wrong.push(format!("{service} panicked"));
        }
    }
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n\n"), world.last_words());
}

/// What schemathesis says if it is not content.
async fn visit(
    program: &Path,
    world: &Arc<World>,
    service: Service,
    token: &str,
) -> Result<(), String> {
    let mut command = Command::from(testing::command(program));
    command.args(["run", &format!("http://{}/openapi.json", world.places().http(service))]);
    command.args(["--header", &format!("Authorization: Bearer {token}")]);
    command.args(["--phases", "examples,coverage,fuzzing", "--checks", CHECKS]);
    command.args(["--max-examples", EXAMPLES, "--seed", SEED]);
    command.args(["--generation-database", "none", "--suppress-health-check", "all"]);
    command.args(["--continue-on-failure", "--warnings", "off", "--no-color"]);
    // It keeps files of its own where it stands.
    command.current_dir(world.file("")).stdin(Stdio::null()).kill_on_drop(true);
    let output = match timeout(LIMIT, command.output()).await {
        Ok(output) => output.map_err(|error| error.to_string())?,
        Err(_) => return Err(format!("it takes longer than {LIMIT:?}")),
    };
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    Err(format!("{}\n{}", output.status, String::from_utf8_lossy(&said)))
}

/// Below the build's directory, where `tools/python.sh` puts it.
fn program() -> Option<PathBuf> {
    let own = std::env::current_exe().unwrap();
    let program = own.ancestors().nth(3).unwrap().join("python/bin/schemathesis");
    if program.exists() {
        return Some(program);
    }
    assert_ne!(std::env::var("CI").as_deref(), Ok("true"), "{} is missing", program.display());
    eprintln!("\n==> SKIPPED: `make test` installs {}\n", program.display());
    None
}
