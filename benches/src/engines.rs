//! The engines that are compared: how each is configured, started, pinned and measured.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use portcullis_testkit::process::{free_address, workspace_binary};
use portcullis_testkit::procfs;

use crate::compare::Protocol;
use crate::setup::Need;
use crate::sink::Sink;

pub(crate) const ENGINE_CORE: usize = 0;
pub(crate) const GENERATOR_CORE: usize = 1;

/// How long an engine may take to listen; under valgrind all is slow.
const START: Duration = Duration::from_secs(60);

/// How long a line of a log may be under way.
const ARRIVAL: Duration = Duration::from_secs(2);

/// An engine of its own: an earlier build of ours.
pub(crate) const BEFORE: &str = "before";

/// Stands for the program of [`BEFORE`].
const EARLIER: &str = "portcullis-before";

static EARLIER_PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Says once which program is [`BEFORE`].
pub(crate) fn set_before(program: &Path) {
    // A second one in the same run is no case.
    let _ = EARLIER_PROGRAM.set(program.to_owned());
}

/// One engine of the comparison. Everything that differs between engines stands in [`ENGINES`].
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) name: &'static str,
    /// File name and template of its configuration.
    configuration: Option<(&'static str, &'static str)>,
    /// Program and arguments; `@DIR@`, `@PORT@`, `@ORIGIN@` and `@SINK@` are replaced.
    command: &'static [&'static str],
    version: &'static [&'static str],
    log: Log,
    /// Program and Debian package, where it is not ours.
    pub(crate) need: Option<Need>,
}

/// Where an access log goes: wherever it costs the engine least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Log {
    None,
    File(&'static str),
    Sink,
}

pub(crate) const ENGINES: &[Engine] = &[
    Engine {
        name: "portcullis",
        configuration: Some(("portcullis.yaml", include_str!("../peers/portcullis.yaml"))),
        command: &["portcullis-gateway", "run", "--config", "@DIR@/portcullis.yaml"],
        version: &["portcullis-gateway", "--version"],
        log: Log::File("access.log"),
        need: None,
    },
    Engine {
        name: BEFORE,
        configuration: Some(("portcullis.yaml", include_str!("../peers/portcullis.yaml"))),
        command: &[EARLIER, "run", "--config", "@DIR@/portcullis.yaml"],
        version: &[EARLIER, "--version"],
        log: Log::File("access.log"),
        need: None,
    },
    Engine {
        name: "haproxy",
        configuration: Some(("haproxy.cfg", include_str!("../peers/haproxy.cfg"))),
        command: &["haproxy", "-db", "-f", "@DIR@/haproxy.cfg"],
        version: &["haproxy", "-v"],
        log: Log::Sink,
        need: Some(("haproxy", "haproxy")),
    },
    Engine {
        name: "nginx",
        configuration: Some(("nginx.conf", include_str!("../peers/nginx.conf"))),
        command: &["nginx", "-p", "@DIR@", "-c", "@DIR@/nginx.conf"],
        version: &["nginx", "-v"],
        log: Log::File("access.log"),
        need: Some(("nginx", "nginx")),
    },
    Engine {
        name: "floor",
        configuration: None,
        command: &["portcullis-bench", "floor", "--port", "@PORT@", "--origin", "@ORIGIN@"],
        version: &["portcullis-bench", "--version"],
        log: Log::None,
        need: None,
    },
];

/// A program of a run; ended when dropped.
#[derive(Debug)]
pub(crate) struct Running {
    pub(crate) address: SocketAddr,
    child: Child,
    pub(crate) directory: PathBuf,
    name: String,
    log_file: Option<PathBuf>,
    /// Ends after its engine, which would write to nobody otherwise.
    sink: Option<Sink>,
}

/// Lines that did not arrive.
#[derive(Debug)]
pub(crate) struct Missing {
    pub(crate) lines: u64,
    /// The last that did, in which the engine may say why.
    pub(crate) last: String,
}

impl Engine {
    pub(crate) fn find(name: &str) -> anyhow::Result<&'static Self> {
        let known = || ENGINES.iter().map(|engine| engine.name).collect::<Vec<_>>().join(", ");
        let found = ENGINES.iter().find(|engine| engine.name == name);
        found.with_context(|| format!("no engine is called {name}; there are {}", known()))
    }

    /// Whether it can take part where clients speak this.
    pub(crate) fn speaks(&self, protocol: Protocol) -> bool {
        protocol == Protocol::Http1 || self.configuration.is_some()
    }

    /// Whether it takes part unless others are named.
    pub(crate) fn is_default(&self) -> bool {
        self.name != BEFORE || EARLIER_PROGRAM.get().is_some()
    }

    /// Starts it on a port of its own; `wrapper` stands before its command.
    pub(crate) fn start(
        &self,
        origin: SocketAddr,
        protocol: Protocol,
        base: &Path,
        wrapper: &[&str],
    ) -> anyhow::Result<Running> {
        let address = free_address()?;
        let directory = tempfile::Builder::new().prefix(self.name).tempdir_in(base)?.keep();
        let sink = match self.log {
            Log::Sink => Some(Sink::start(GENERATOR_CORE)?),
            Log::None | Log::File(_) => None,
        };
        let sink_port = sink.as_ref().map_or(0, Sink::port);
        let fill = |text: &str| {
            text.replace("@DIR@", &directory.display().to_string())
                .replace("@PORT@", &address.port().to_string())
                .replace("@ORIGIN@", &origin.port().to_string())
                .replace("@SINK@", &sink_port.to_string())
                .replace("@HTTP2@", if protocol == Protocol::H2c { " http2" } else { "" })
        };
        if let Some((file, template)) = self.configuration {
            fs::write(directory.join(file), fill(template))?;
        }
        let mut words: Vec<String> = wrapper.iter().map(|word| fill(word)).collect();
        words.push(program(self.command[0])?);
        words.extend(self.command[1..].iter().map(|word| fill(word)));
        let mut running = start(self.name, ENGINE_CORE, &words, address, directory)?;
        if let Log::File(file) = self.log {
            running.log_file = Some(running.directory.join(file));
        }
        running.sink = sink;
        Ok(running)
    }

    /// The first line of what it says of its version.
    pub(crate) fn version(&self) -> String {
        let output = program(self.version[0])
            .and_then(|path| Ok(Command::new(path).args(&self.version[1..]).output()?));
        let Ok(output) = output else { return "unknown".to_owned() };
        // nginx answers on the other stream.
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        text.lines().find(|line| !line.trim().is_empty()).unwrap_or("unknown").trim().to_owned()
    }
}

/// The cheap origin beside the generator.
pub(crate) fn start_origin(base: &Path) -> anyhow::Result<Running> {
    let address = free_address()?;
    let directory = tempfile::Builder::new().prefix("origin").tempdir_in(base)?.keep();
    let words = [
        program("portcullis-bench")?,
        "origin".into(),
        "--port".into(),
        address.port().to_string(),
    ];
    start("origin", GENERATOR_CORE, &words, address, directory)
}

impl Running {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Its processes, a master's workers included.
    pub(crate) fn processes(&self) -> anyhow::Result<Vec<u32>> {
        Ok(procfs::family(self.pid())?)
    }

    /// Whether there is something in its access log, where it should write one. A file is
    /// emptied: it would fill the disk over the rounds.
    pub(crate) fn take_log(&self) -> anyhow::Result<Option<bool>> {
        if let Some(sink) = &self.sink {
            return Ok(Some(sink.lines() > 0));
        }
        let Some(path) = &self.log_file else { return Ok(None) };
        let file = fs::OpenOptions::new().append(true).open(path)?;
        let length = file.metadata()?.len();
        file.set_len(0)?;
        Ok(Some(length > 0))
    }

    /// Which of so many lines are missing from its log, after a moment in which what was under
    /// way arrives. A file has all that was written to it; what is sent can be lost.
    pub(crate) fn missing_lines(&self, expected: u64) -> Option<Missing> {
        let sink = self.sink.as_ref()?;
        let deadline = Instant::now() + ARRIVAL;
        while sink.lines() < expected && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let lines = expected.checked_sub(sink.lines()).filter(|lines| *lines > 0)?;
        let last = sink.tail().lines().last().unwrap_or_default().to_owned();
        Some(Missing { lines, last })
    }

    /// Ends it in order and waits, so that it can write what it has to say.
    pub(crate) fn stop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(rustix::process::Pid::from_raw);
        if let (Some(pid), Ok(None)) = (pid, self.child.try_wait()) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let deadline = Instant::now() + Duration::from_secs(10);
        while matches!(self.child.try_wait(), Ok(None)) && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn complaint(&self) -> String {
        let read = |file| fs::read_to_string(self.directory.join(file)).unwrap_or_default();
        format!("{}{}{}", read("error.log"), read("stderr.log"), read("stdout.log"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.stop();
    }
}

fn start(
    name: &str,
    core: usize,
    words: &[String],
    address: SocketAddr,
    directory: PathBuf,
) -> anyhow::Result<Running> {
    let child = Command::new("taskset")
        .args(["-c", &core.to_string()])
        .args(words)
        .current_dir(&directory)
        .stdin(Stdio::null())
        .stdout(appending(&directory.join("stdout.log"))?)
        .stderr(appending(&directory.join("stderr.log"))?)
        .spawn()
        .context("taskset")?;
    let name = name.to_owned();
    let mut running = Running { address, child, directory, name, log_file: None, sink: None };
    let deadline = Instant::now() + START;
    while TcpStream::connect(address).is_err() {
        if let Some(status) = running.child.try_wait()? {
            bail!("{} ended at once ({status}):\n{}", running.name, running.complaint());
        }
        if Instant::now() > deadline {
            bail!("{} does not listen:\n{}", running.name, running.complaint());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(running)
}

/// Appending, so that emptying the file leaves no hole.
fn appending(path: &Path) -> std::io::Result<File> {
    fs::OpenOptions::new().create(true).append(true).open(path)
}

/// Ours from where cargo put them, the others by the search path.
fn program(name: &str) -> anyhow::Result<String> {
    if name == "portcullis-bench" {
        return Ok(std::env::current_exe()?.display().to_string());
    }
    if name == EARLIER {
        let program = EARLIER_PROGRAM.get().context("`--before` names the earlier build")?;
        return Ok(program.canonicalize()?.display().to_string());
    }
    if name.starts_with("portcullis-") {
        return Ok(workspace_binary(name)?.display().to_string());
    }
    let sbin = Path::new("/usr/sbin").join(name);
    Ok(if sbin.is_file() { sbin.display().to_string() } else { name.to_owned() })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use portcullis_testkit::client::RawClient;
    use portcullis_testkit::origin::Origin;

    use super::*;
    use crate::setup::is_installed;
    use crate::wrk;

    fn is_present(engine: &Engine) -> bool {
        engine.need.map_or_else(|| program(engine.command[0]).is_ok(), is_installed)
    }

    /// What makes the comparison fair: all send on the same headers and log the same facts.
    #[tokio::test]
    async fn engines_add_the_same_headers_and_log_the_same_fields() {
        let base = tempfile::tempdir().unwrap();
        let origin = Origin::start("a").await.unwrap();
        let mut checked = 0;
        for engine in ENGINES.iter().filter(|engine| engine.log != Log::None) {
            // What is not installed or not built cannot be compared either.
            if !is_present(engine) {
                eprintln!("{} is not here", engine.name);
                continue;
            }
            let mut running =
                match engine.start(origin.address(), Protocol::Http1, base.path(), &[]) {
                    Ok(running) => running,
                    // A workspace in which the gateway is only a stub yet.
                    Err(error) if error.to_string().contains("(exit status: 0)") => {
                        eprintln!("{error}");
                        continue;
                    }
                    Err(error) => panic!("{error:?}"),
                };
            let mut client = RawClient::connect(running.address).await.unwrap();
            for _ in 0..2 {
                client.send(&wrk::request("/echo")).await.unwrap();
                let response = client.final_response().await.unwrap();
                assert!(response.keep_alive(), "{}", engine.name);
                let echo = response.json();
                let headers: BTreeSet<String> = echo["headers"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|pair| pair[0].as_str().unwrap().to_ascii_lowercase())
                    .collect();
                for name in
                    ["x-forwarded-for", "x-forwarded-proto", "x-request-id", "host", "cookie"]
                {
                    assert!(headers.contains(name), "{} sends no {name}: {headers:?}", engine.name);
                }
            }
            assert_eq!(origin.open_connections(), 1, "{} keeps one connection", engine.name);
            drop(client);
            running.stop();
            while origin.open_connections() > 0 {
                tokio::task::yield_now().await;
            }
            let missing = running.missing_lines(2);
            assert!(missing.is_none(), "{} logs every request: {missing:?}", engine.name);
            let text = match (&running.log_file, &running.sink) {
                (Some(file), _) => fs::read_to_string(file).unwrap(),
                (None, sink) => sink.as_ref().unwrap().tail(),
            };
            let line = text.lines().rev().find(|line| line.contains("/echo")).unwrap_or_default();
            for field in [r#""status":200"#, r#""method":"GET""#, r#""request_id":""#] {
                assert!(line.contains(field), "{}: {text}", engine.name);
            }
            checked += 1;
        }
        assert!(checked > 0, "no engine is installed: nothing was checked");
    }
}
