//! The command line, as people and scripts meet it: the real binary, its output and exit codes.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

const COMMANDS: &[&str] = &["run", "check", "explain", "schema", "init", "completion"];

const GATE: &str = r#"version: v1
listeners:
  - {name: public, address: "127.0.0.1:8080"}
  - {name: internal, address: "127.0.0.1:8081"}
defaults:
  timeouts: {response: 3s}
upstreams:
  - {name: orders, endpoints: [{address: "127.0.0.1:7003"}]}
  - {name: orders-v2, endpoints: [{address: "127.0.0.1:7013"}]}
routes:
  - name: place-order
    listeners: [public]
    match: {hosts: [shop.example.com], path: {prefix: /orders}, methods: [POST]}
    timeouts: {perTry: 1s}
    requestHeaders: {set: [{name: x-key, value: "${env:SHOP_KEY}"}], remove: [x-debug]}
    rewrite: {prefix: /v1/orders}
    backends: [{upstream: orders, weight: 95}, {upstream: orders-v2, weight: 5}]
  - name: read-orders
    match: {path: {prefix: /orders}, headers: [{name: x-channel, exact: app}]}
    backends: [{upstream: orders}]
  - name: fallback
    listeners: [public]
    reply: {status: 404, body: "nothing here\n"}
  - name: partners
    match: {hosts: [partners.example.com]}
    backends: [{upstream: orders}]
"#;

/// A directory with a file, in which the binary runs, so that no report holds a path of this
/// machine.
struct Place(TempDir);

impl Place {
    fn with(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        Self(directory)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_portcullis-gateway"));
        command.args(arguments).current_dir(self.0.path()).stdin(Stdio::null());
        command.env_remove("RUST_LOG").env("SHOP_KEY", "hunter2");
        command
    }

    fn run(&self, arguments: &[&str]) -> Ran {
        Ran::of(self.command(arguments).output().unwrap())
    }

    /// Text without the path of this place, which some messages hold.
    fn portable(&self, text: &str) -> String {
        text.replace(self.0.path().to_str().unwrap(), "[place]")
    }
}

#[derive(Debug)]
struct Ran {
    code: i32,
    stdout: String,
    stderr: String,
}

impl Ran {
    fn of(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

fn run(arguments: &[&str]) -> Ran {
    Place::with(&[]).run(arguments)
}

fn examples() -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/examples");
    let entries = std::fs::read_dir(directory).unwrap();
    let files = entries.map(|entry| entry.unwrap().path().canonicalize().unwrap());
    files.filter(|file| file.extension().is_some_and(|end| end == "yaml")).collect()
}

#[test]
fn every_example_is_clean() {
    let examples = examples();
    assert!(examples.len() >= 10);
    for example in examples {
        let ran = run(&["check", "--strict", example.to_str().unwrap()]);
        assert_eq!((ran.code, ran.stderr.as_str()), (0, ""), "{}", example.display());
        assert!(ran.stdout.contains(".yaml: ok, "), "{}", ran.stdout);
    }
}

#[test]
fn the_start_of_a_new_user() {
    let place = Place::with(&[]);
    let ran = place.run(&["init", "gate.yaml"]);
    assert_eq!((ran.code, ran.stdout.as_str()), (0, ""));
    assert!(ran.stderr.contains("portcullis-gateway check gate.yaml"), "{}", ran.stderr);
    let ran = place.run(&["check", "--strict", "gate.yaml"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (0, ""));
    assert_eq!(ran.stdout, "gate.yaml: ok, 3 listeners, 2 routes, 1 upstream\n");
}

#[test]
fn init_overwrites_nothing_unless_forced() {
    let place = Place::with(&[("gate.yaml", "precious")]);
    let read = || std::fs::read_to_string(place.0.path().join("gate.yaml")).unwrap();
    let ran = place.run(&["init", "gate.yaml"]);
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("--force"), "{}", ran.stderr);
    assert_eq!(read(), "precious");
    assert_eq!(place.run(&["init", "--force", "gate.yaml"]).code, 0);
    assert!(read().contains("version: v1"));

    let shown = place.run(&["init", "-"]);
    assert_eq!(shown.stdout, read());
    assert_eq!(place.run(&["init"]).code, 0);
    assert!(place.0.path().join("portcullis.yaml").exists());
    assert_eq!(place.run(&["init", "none/gate.yaml"]).code, 1);
}

#[test]
fn exit_codes() {
    let doubtful = GATE.replace(
        "- {name: orders-v2",
        "- {name: idle, endpoints: [{address: \"127.0.0.1:1\"}]}\n  - {name: orders-v2",
    );
    let place = Place::with(&[
        ("good.yaml", GATE),
        ("doubtful.yaml", &doubtful),
        ("bad.yaml", "version: v1\nlistners: []\n"),
        ("world.yaml", &needs_files()),
    ]);
    for (arguments, code) in [
        (&["check", "good.yaml"] as &[_], 0),
        (&["check", "--strict", "good.yaml"], 0),
        (&["check", "doubtful.yaml"], 0),
        (&["check", "--strict", "doubtful.yaml"], 1),
        (&["check", "bad.yaml"], 2),
        (&["check", "--strict", "bad.yaml"], 2),
        (&["check", "world.yaml"], 2),
        (&["check", "none.yaml"], 2),
        (&["check", "--format", "json", "good.yaml"], 0),
        (&["check", "--format", "json", "--strict", "doubtful.yaml"], 1),
        (&["check", "--format", "json", "bad.yaml"], 2),
        (&["check", "--format", "xml", "good.yaml"], 2),
        (&["check"], 2),
        (&["run", "--config", "none.yaml"], 2),
        (&["run", "--config", "bad.yaml"], 2),
        (&["run", "--config", "world.yaml"], 2),
        (&["run", "--config", "good.yaml", "--log-level", "loud"], 2),
        (&["run", "--config", "good.yaml", "--log-format", "xml"], 2),
        (&["run"], 2),
        (&["explain", "--config", "good.yaml", "GET", "/nowhere"], 0),
        (&["explain", "--config", "bad.yaml", "GET", "/"], 2),
        (&["explain", "--config", "none.yaml", "GET", "/"], 2),
        // Which files there are makes no difference to a request.
        (&["explain", "--config", "world.yaml", "GET", "/"], 0),
        (&["explain", "--config", "good.yaml", "get", "/"], 2),
        (&["explain", "--config", "good.yaml", "GET", "shop"], 2),
        (&["explain", "--config", "good.yaml", "--listener", "x", "GET", "/"], 2),
        (&["explain", "--config", "good.yaml", "-H", "x", "GET", "/"], 2),
        (&["explain", "--config", "good.yaml", "-H", ": x", "GET", "/"], 2),
        (&["schema"], 0),
        (&["completion", "bash"], 0),
        (&["completion", "cmd"], 2),
        (&["--version"], 0),
        (&["--help"], 0),
        (&[], 2),
        (&["serve"], 2),
    ] {
        let ran = place.run(arguments);
        assert_eq!(ran.code, code, "{arguments:?}: {ran:?}");
        let silent = code == 0 || arguments.contains(&"json");
        assert!(silent || !ran.stderr.is_empty(), "{arguments:?} says nothing");
        assert!(!ran.stderr.contains('\u{1b}'), "colour in a pipe: {arguments:?}");
    }
}

/// Valid in itself, but none of its files exists.
fn needs_files() -> String {
    GATE.replace(
        "address: \"127.0.0.1:8080\"}",
        "address: \"127.0.0.1:8080\", tls: {certificates: [{certFile: shop.crt, keyFile: shop.key}]}}",
    )
    .replace(
        "address: \"127.0.0.1:7003\"}]}",
        "address: \"127.0.0.1:7003\"}], tls: {serverName: orders.internal, caFile: ca.pem}}",
    )
}

#[test]
fn check_tells_what_the_world_lacks() {
    let place = Place::with(&[("gate.yaml", &needs_files())]);
    let ran = place.run(&["check", "gate.yaml"]);
    assert_eq!(ran.stdout, "");
    insta::assert_snapshot!("check_world", place.portable(&ran.stderr));

    let ran = place.run(&["check", "--format", "json", "gate.yaml"]);
    assert_eq!(ran.stderr, "");
    insta::assert_snapshot!("check_world_document", place.portable(&ran.stdout));

    // A start says the same.
    let started = place.run(&["run", "--config", "gate.yaml", "--log-level", "off"]);
    let checked = place.run(&["check", "gate.yaml"]);
    assert_eq!(started.stderr, checked.stderr);
}

#[test]
fn check_binds_nothing() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let text = GATE.replace("127.0.0.1:8080", &taken.local_addr().unwrap().to_string());
    let place = Place::with(&[("gate.yaml", &text)]);
    assert_eq!(place.run(&["check", "gate.yaml"]).code, 0);
    let ran = place.run(&["run", "--config", "gate.yaml"]);
    assert_eq!(ran.code, 2);
    assert!(ran.stderr.contains("gate.yaml:3:"), "{}", ran.stderr);
}

#[test]
fn check_takes_a_directory() {
    let (listeners, routes) = GATE.split_at(GATE.find("upstreams:").unwrap());
    let place = Place::with(&[
        ("a.yaml", listeners),
        ("b.yaml", &format!("version: v1\n{routes}")),
        ("c.txt", "no configuration"),
    ]);
    let ran = place.run(&["check", "."]);
    assert_eq!(ran.stdout, ".: ok, 2 listeners, 4 routes, 2 upstreams\n", "{ran:?}");
}

#[test]
fn explain_tells_the_route_the_losers_and_the_origins() {
    let place = Place::with(&[("gate.yaml", GATE)]);
    let ask = |more: &[&str]| {
        let ran = place.run(&[&["explain", "--config", "gate.yaml"], more].concat());
        assert_eq!(ran.stderr, "");
        assert!(!ran.stdout.contains("hunter2"), "{}", ran.stdout);
        ran.stdout
    };
    let order = ["POST", "http://shop.example.com/orders/7?x=1", "-H", "X-Debug: 1"];
    insta::assert_snapshot!("explain", ask(&order));
    let document = ask(&[&order[..], &["--json"]].concat());
    let parsed: Value = serde_json::from_str(&document).unwrap();
    assert_eq!(parsed["route"], "place-order");
    insta::assert_snapshot!("explain_document", document);

    let told = ask(&["GET", "/orders", "-H", "x-channel:app", "--listener", "internal"]);
    assert!(told.contains("> `read-orders`"), "{told}");
    let told = ask(&["GET", "http://shop.example.com:8081/orders"]);
    assert!(told.contains("on listener `internal`") && told.contains("404"), "{told}");
    let told = ask(&["GET", "/", "-H", "Host: partners.example.com"]);
    assert!(told.contains("> `partners`"), "{told}");
}

#[test]
fn questions_that_nobody_could_ask_are_answered_with_a_cure() {
    let place = Place::with(&[("gate.yaml", GATE)]);
    for (arguments, cure) in [
        (["GET", "shop.example.com/", "--json"], "`http://shop.example.com/`"),
        (["get", "/", "--json"], "`GET`"),
        (["GET", "/", "--listener=x"], "`public`, `internal`"),
    ] {
        let ran = place.run(&[&["explain", "--config", "gate.yaml"], &arguments[..]].concat());
        assert_eq!((ran.code, ran.stdout.as_str()), (2, ""));
        assert!(ran.stderr.contains(cure), "{}", ran.stderr);
    }
}

#[test]
fn the_schema_knows_every_key() {
    let ran = run(&["schema"]);
    let schema: Value = serde_json::from_str(&ran.stdout).unwrap();
    for key in [
        "version",
        "workers",
        "listeners",
        "defaults",
        "upstreams",
        "routes",
        "accessLog",
        "admin",
        "shutdown",
    ] {
        assert!(schema["properties"][key].is_object(), "{key}");
    }
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completion", shell]).stdout;
        for command in COMMANDS {
            assert!(script.contains(command), "{shell}: {command}");
        }
    }
}

#[test]
fn help_shows_every_command_with_examples() {
    let ran = run(&["--help"]);
    for command in COMMANDS {
        assert!(ran.stdout.contains(&format!("\n  {command} ")), "{command}");
        let help = run(&[command, "--help"]).stdout;
        let example = format!("\n  portcullis-gateway {command} ");
        assert!(help.contains(&example), "{command} without an example: {help}");
    }
    let version = format!("portcullis-gateway {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run(&["--version"]).stdout, version);
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = Place::with(&[("gate.yaml", GATE), ("bad.yaml", "version: v2\n")]);
    for (arguments, code) in [
        (&["schema"] as &[_], 0),
        (&["init", "-"], 0),
        (&["completion", "bash"], 0),
        (&["check", "gate.yaml"], 0),
        (&["explain", "--config", "gate.yaml", "GET", "/"], 0),
        (&["--help"], 0),
    ] {
        let ran = Ran::of(place.command(arguments).stdout(gone()).output().unwrap());
        assert_eq!((ran.code, ran.stderr.as_str()), (code, ""), "{arguments:?}");
    }
    let ran = Ran::of(place.command(&["check", "bad.yaml"]).stderr(gone()).output().unwrap());
    assert_eq!(ran.code, 2);
}

/// A pipe that nobody reads.
fn gone() -> Stdio {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    writer.into()
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let full = || File::options().write(true).open("/dev/full").unwrap();
    let place = Place::with(&[("gate.yaml", GATE)]);
    for arguments in [&["schema"] as &[_], &["check", "gate.yaml"]] {
        let ran = Ran::of(place.command(arguments).stdout(full()).output().unwrap());
        assert_eq!(ran.code, 1, "{arguments:?}");
        assert!(ran.stderr.starts_with("error: "), "{}", ran.stderr);
    }
}

/// A gateway that serves; it does not outlive its test.
struct Serving {
    child: Child,
    stderr: BufReader<std::process::ChildStderr>,
}

impl Serving {
    fn start(place: &Place, more: &[&str]) -> Self {
        let arguments = [&["run", "--config", "gate.yaml"], more].concat();
        let mut command = place.command(&arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let stderr = BufReader::new(child.stderr.take().unwrap());
        Self { child, stderr }
    }

    /// What it says up to the line that holds this.
    fn until(&mut self, wanted: &str) -> Vec<String> {
        let mut lines = Vec::new();
        while lines.last().is_none_or(|line: &String| !line.contains(wanted)) {
            let mut line = String::new();
            let read = self.stderr.read_line(&mut line).unwrap();
            assert!(read > 0, "`{wanted}` was never said: {lines:?}");
            lines.push(line);
        }
        lines
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // It may have ended, which is as good.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn any_port() -> Place {
    let text = GATE.replace(":8080", ":0").replace(":8081", ":0").replace(
        "{name: internal, address: \"127.0.0.1:0\"}",
        "{name: internal, address: \"127.0.0.2:0\"}",
    );
    Place::with(&[("gate.yaml", &text)])
}

#[test]
fn a_start_says_who_listens_where() {
    let place = any_port();
    let mut serving = Serving::start(&place, &[]);
    let lines = serving.until("internal").concat();
    let version = format!("version=\"{}\"", env!("CARGO_PKG_VERSION"));
    assert!(lines.contains(&version), "{lines}");
    assert!(lines.contains("listening listener=\"public\" address=127.0.0.1:"), "{lines}");
    assert!(!lines.contains("address=127.0.0.1:0"), "the port that was chosen: {lines}");
    serving.signal(Signal::TERM);
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}

#[test]
fn logs_are_objects_when_asked() {
    let place = any_port();
    let mut serving = Serving::start(&place, &["--log-format", "json"]);
    let lines = serving.until("internal");
    let last: Value =
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).next_back().unwrap();
    assert_eq!((&last["message"], &last["level"]), (&"listening".into(), &"INFO".into()));
    assert_eq!(last["listener"], "internal");
}

#[test]
fn the_option_overrides_the_environment() {
    let place = Place::with(&[]);
    let said = |variable: &str, more: &[&str]| {
        let arguments = [&["run", "--config", "none.yaml"], more].concat();
        let ran = Ran::of(place.command(&arguments).env("RUST_LOG", variable).output().unwrap());
        ran.stderr
    };
    assert!(said("info", &[]).contains("starting"));
    assert!(said("", &[]).contains("starting"));
    assert!(!said("warn", &[]).contains("starting"));
    assert!(!said("info", &["--log-level", "error"]).contains("starting"));
    assert!(said("off", &["--log-level", "info"]).contains("starting"));
    let told = said("a=loud", &[]);
    assert!(told.contains("warning: RUST_LOG") && told.contains("starting"), "{told}");
}

#[test]
fn a_gateway_outlives_the_reader_of_its_logs() {
    let place = any_port();
    let mut serving = Serving::start(&place, &[]);
    serving.until("internal");
    let (reader, writer) = std::io::pipe().unwrap();
    drop(writer);
    serving.stderr =
        BufReader::new(std::process::ChildStderr::from(std::os::fd::OwnedFd::from(reader)));
    serving.signal(Signal::HUP);
    serving.signal(Signal::TERM);
    assert_eq!(serving.child.wait().unwrap().code(), Some(0));
}
