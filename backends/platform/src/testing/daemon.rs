//! A server that runs until it is dropped, or until this process is gone.
//!
//! The kernel sees to the second, by the signal of a parent's death. It means the thread that
//! started the server, so that all are started by one thread, which does not end.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::fd::IntoRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr as UnixAddress, UnixDatagram};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock, PoisonError, mpsc};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

/// Generous: the machine may be busy with many tests.
const START_LIMIT: Duration = Duration::from_secs(40);
const LOOK: Duration = Duration::from_millis(20);
/// Where ports for tests begin.
const FIRST_PORT: u16 = 10_000;

#[derive(Debug)]
pub(super) struct Daemon {
    child: Child,
    /// What ends it at once with all its children.
    end: Signal,
}

impl Daemon {
    /// Starts the program, again if it ends by itself, until `ready` says so.
    pub(super) fn start(
        mut command: impl FnMut() -> Command,
        end: Signal,
        mut ready: impl FnMut() -> bool,
        log: &Path,
    ) -> Self {
        let deadline = Instant::now() + START_LIMIT;
        let mut start = || {
            let command = command();
            let text = format!("{command:?}");
            let child = spawn(command).unwrap_or_else(|error| panic!("{text}: {error}"));
            Self { child, end }
        };
        let mut daemon = start();
        while !ready() {
            if Instant::now() > deadline {
                let text = std::fs::read_to_string(log).unwrap_or_default();
                panic!("a server is not ready in time: {text}");
            }
            std::thread::sleep(LOOK);
            // Its predecessor may still be letting go of the data.
            if let Ok(Some(_)) = daemon.child.try_wait() {
                daemon = start();
            }
        }
        daemon
    }

    /// As a crash would.
    pub(super) fn kill(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _ = kill_process(Pid::from_child(&self.child), self.end);
            drop(self.child.wait());
        }
    }
}

/// A command for `program`, whose process is sent `signal` when the thread that started it is gone.
pub(super) fn tied(program: impl AsRef<OsStr>, signal: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", signal, "--"]).arg(program);
    command
}

/// Starts it by the thread that lives for as long as this process.
fn spawn(command: Command) -> io::Result<Child> {
    type Start = (Command, mpsc::Sender<io::Result<Child>>);
    static PARENT: OnceLock<Mutex<mpsc::Sender<Start>>> = OnceLock::new();
    let parent = PARENT.get_or_init(|| {
        let (sender, starts) = mpsc::channel::<Start>();
        std::thread::spawn(move || {
            for (mut command, started) in starts {
                drop(started.send(command.spawn()));
            }
        });
        Mutex::new(sender)
    });
    let (started, child) = mpsc::channel();
    let sent = parent.lock().unwrap_or_else(PoisonError::into_inner).send((command, started));
    let gone = || io::Error::other("the thread that starts servers is gone");
    sent.map_err(|_| gone())?;
    child.recv().map_err(|_| gone())?
}

/// What a server says, for when it does not start.
pub(super) fn log(path: &Path) -> Stdio {
    let file = File::options().create(true).append(true).open(path);
    file.map_or_else(|_| Stdio::null(), Stdio::from)
}

/// A port that was free just now, that the kernel gives to no outgoing connection, and that no other
/// test process is given while this one lives: a server that is killed finds it free when it comes
/// back.
pub(super) fn free_port() -> u16 {
    let range = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range");
    let range = range.ok().and_then(|range| range.split_whitespace().next()?.parse().ok());
    let count = range.unwrap_or(32_768_u16).saturating_sub(FIRST_PORT).max(1);
    for _ in 0..200 {
        let random = uuid::Uuid::new_v4().as_u128() % u128::from(count);
        let port = FIRST_PORT.saturating_add(u16::try_from(random).unwrap_or(0));
        if reserve(port) && TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no port is free")
}

/// Takes a port for this process. A name of Linux's abstract sockets has one holder and ends with
/// its process; tests of the gateway use the same names.
fn reserve(port: u16) -> bool {
    let name = UnixAddress::from_abstract_name(format!("portcullis-test-port-{port}"));
    let Ok(socket) = name.and_then(|name| UnixDatagram::bind_addr(&name)) else { return false };
    // Held until the process ends: when the port is no longer needed is not known here.
    let _ = socket.into_raw_fd();
    true
}
