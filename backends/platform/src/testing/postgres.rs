//! A PostgreSQL server. It refuses to run as root, so that root runs it as the user `postgres`.

use std::fs;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::process::Signal;
use tempfile::TempDir;

use super::daemon::{Daemon, free_port, log, tied};
use super::{folder, program};

/// Where Debian keeps the programs, by version.
const DEBIAN: &str = "/usr/lib/postgresql";

#[derive(Debug)]
pub struct Postgres {
    daemon: Mutex<Daemon>,
    launch: Launch,
}

#[derive(Debug)]
struct Launch {
    programs: PathBuf,
    port: u16,
    directory: TempDir,
    user: Option<User>,
}

#[derive(Debug, Clone, Copy)]
struct User {
    id: u32,
    group: u32,
}

impl Postgres {
    /// A server of the caller's own, to be restarted at will.
    pub fn start() -> Option<Self> {
        let initdb = program("initdb", "postgresql", debian_folders())?;
        let programs = initdb.parent().map(Path::to_owned).unwrap_or_default();
        let directory = folder::new();
        let user = user_for(directory.path());
        let launch = Launch { programs, port: free_port(), directory, user };
        launch.make();
        Some(Self { daemon: Mutex::new(launch.start()), launch })
    }

    /// The URL of a database, which is made if there is none of that name.
    pub fn url(&self, database: &str) -> String {
        let port = self.launch.port.to_string();
        let made = Command::new(self.launch.programs.join("createdb"))
            .args(["-h", "127.0.0.1", "-p", &port, "-U", "postgres", database])
            .output()
            .unwrap_or_else(|error| panic!("createdb: {error}"));
        let text = String::from_utf8_lossy(&made.stderr);
        assert!(made.status.success() || text.contains("already exists"), "createdb: {text}");
        format!("postgres://postgres@127.0.0.1:{port}/{database}")
    }

    /// Kills the server, as a power cut would.
    pub fn kill(&self) {
        self.daemon.lock().unwrap_or_else(PoisonError::into_inner).kill();
    }

    /// Starts it again, with its data and at its address.
    pub fn start_again(&self) {
        *self.daemon.lock().unwrap_or_else(PoisonError::into_inner) = self.launch.start();
    }
}

impl Launch {
    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn log(&self) -> PathBuf {
        self.directory.path().join("log")
    }

    fn command(&self, name: &str) -> Command {
        self.set_up(Command::new(self.programs.join(name)))
    }

    fn set_up(&self, mut command: Command) -> Command {
        // The present folder may be closed to the other user.
        command.current_dir(self.directory.path()).stdin(Stdio::null());
        if let Some(user) = self.user {
            command.uid(user.id).gid(user.group);
        }
        command
    }

    fn make(&self) {
        let mut initdb = self.command("initdb");
        initdb.args(["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8"]);
        initdb.args(["--no-sync", "-D"]).arg(self.data());
        let made = initdb.output().unwrap_or_else(|error| panic!("initdb: {error}"));
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
    }

    fn start(&self) -> Daemon {
        let port = self.port.to_string();
        let command = || {
            let mut postgres = self.set_up(tied(self.programs.join("postgres"), "QUIT"));
            postgres.args(["-h", "127.0.0.1", "-p", &port, "-c", "deadlock_timeout=100ms"]);
            // It survives the death of the process, if not that of the machine.
            postgres.args(["-c", "fsync=off", "-c", "unix_socket_directories=", "-D"]);
            postgres.arg(self.data()).stdout(Stdio::null()).stderr(log(&self.log()));
            postgres
        };
        let is_ready = || {
            let mut ready = self.command("pg_isready");
            ready.args(["-q", "-h", "127.0.0.1", "-p", &port]);
            ready.status().is_ok_and(|status| status.success())
        };
        // An immediate shutdown: all children at once, and no waiting for clients.
        Daemon::start(command, Signal::QUIT, is_ready, &self.log())
    }
}

/// The newest version first.
pub(super) fn debian_folders() -> Vec<PathBuf> {
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().flatten();
    let number = |path: &Path| -> u32 {
        path.file_name().and_then(|name| name.to_str()?.parse().ok()).unwrap_or(0)
    };
    let mut folders: Vec<PathBuf> = versions.map(|entry| entry.path()).collect();
    folders.sort_by_key(|path| std::cmp::Reverse(number(path)));
    folders.into_iter().map(|folder| folder.join("bin")).collect()
}

/// Whom to run as, and hands `directory` over to them: nobody else than whoever runs this, unless
/// that is root.
fn user_for(directory: &Path) -> Option<User> {
    let root = fs::metadata(directory).is_ok_and(|metadata| metadata.uid() == 0);
    if !root {
        return None;
    }
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let mut entries = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    let entry = entries.find(|entry| entry.first() == Some(&"postgres"));
    let ids =
        entry.and_then(|entry| Some((entry.get(2)?.parse().ok()?, entry.get(3)?.parse().ok()?)));
    let Some((id, group)) = ids else {
        panic!("root needs a user `postgres` to run the server as")
    };
    chown(directory, Some(id), Some(group)).unwrap_or_else(|error| panic!("{error}"));
    Some(User { id, group })
}
