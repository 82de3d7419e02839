//! Real servers for tests: PostgreSQL and NATS at places of their own, with data that goes with
//! them; services as processes; and waits that have an end.
//!
//! A server belongs to the process of the test that started it, and ends with that, even if it is
//! killed. So tests that run in processes of their own have servers of their own.
//!
//! Where a program is missing, tests that need it are skipped, loudly; with `CI=true` they fail.
//! Everything here blocks and panics, as is fit for tests and for nothing else.

mod daemon;
mod folder;
mod nats;
mod patience;
mod postgres;
mod process;

pub use nats::Nats;
pub use patience::{PATIENCE, next_event, slowly, until, within};
pub use postgres::Postgres;
pub use process::{Program, command};
pub use rustix::process::Signal;

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};

/// Where a test keeps its rows: in memory; or, if `SHOP_TEST_POSTGRES` is the URL of a PostgreSQL
/// database, in a new schema there. So the same tests are run on either engine.
pub fn database() -> String {
    let Ok(url) = std::env::var("SHOP_TEST_POSTGRES") else { return ":memory:".to_owned() };
    let psql = program("psql", "postgresql", postgres::debian_folders());
    let psql = psql.expect("a server without its client");
    let schema = format!("test_{}", uuid::Uuid::new_v4().simple());
    let made = Command::new(psql)
        .args(["--no-psqlrc", "--quiet", "--command", &format!("CREATE SCHEMA {schema}"), &url])
        .output()
        .unwrap_or_else(|error| panic!("psql: {error}"));
    assert!(made.status.success(), "psql: {}", String::from_utf8_lossy(&made.stderr));
    format!("{url}?options[search_path]={schema}")
}

/// The PostgreSQL server that this process's tests share; it ends with the last of them. Databases
/// keep them apart.
pub fn postgres() -> Option<Arc<Postgres>> {
    static SHARED: Mutex<Weak<Postgres>> = Mutex::new(Weak::new());
    shared(&SHARED, Postgres::start)
}

/// A NATS server with JetStream, for one test: what is in it is what the test put there.
pub fn nats() -> Option<Nats> {
    Nats::start()
}

fn shared<T>(place: &Mutex<Weak<T>>, start: impl FnOnce() -> Option<T>) -> Option<Arc<T>> {
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(running) = place.upgrade() {
        return Some(running);
    }
    let started = Arc::new(start()?);
    *place = Arc::downgrade(&started);
    Some(started)
}

/// The program in one of `folders` or in `PATH`; none after having said so.
fn program(
    name: &str,
    package: &str,
    folders: impl IntoIterator<Item = PathBuf>,
) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = folders
        .into_iter()
        .chain(std::env::split_paths(&path))
        .chain(["/usr/sbin".into()])
        .map(|folder: PathBuf| folder.join(name))
        .find(|path| path.is_file())
        // Its siblings are beside the program, not beside a link to it.
        .and_then(|path| path.canonicalize().ok());
    if found.is_none() {
        let text = format!("{name} is missing (apt-get install {package})");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{text}");
        eprintln!("\n==> SKIPPED: {text}\n");
    }
    found
}
