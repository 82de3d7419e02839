//! The engines that are compared: how each is configured and started.
//!
//! Everything that differs between engines stands in [`ENGINES`] and in the files beside
//! `peers/`; it knows nothing of loads and figures.

mod running;
pub(crate) mod shop;
mod sink;
pub(crate) mod template;
#[cfg(test)]
mod tests;
mod upstreams;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::Context;
use portcullis_testkit::ca::Authority;
use portcullis_testkit::process::{free_address, workspace_binary};

pub(crate) use self::running::{Missing, Running};
use self::sink::Sink;
pub(crate) use self::upstreams::Upstreams;
use crate::setting::{Listener, Origin, Setting};
use crate::setup::{self, Need};

pub(crate) const ENGINE_CORE: usize = 0;
pub(crate) const GENERATOR_CORE: usize = 1;

/// An engine of its own: an earlier build of ours.
pub(crate) const BEFORE: &str = "before";

/// The file in an engine's directory with the certificate that its own is signed by.
pub(crate) const AUTHORITY: &str = "authority.der";

/// Stands for the program of [`BEFORE`].
const EARLIER: &str = "portcullis-before";

static EARLIER_PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Says once which program is [`BEFORE`].
pub(crate) fn set_before(program: &Path) {
    // A second one in the same run is no case.
    let _ = EARLIER_PROGRAM.set(program.to_owned());
}

/// One engine of the comparison.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) name: &'static str,
    /// Whether it is one of those that ours is compared with.
    pub(crate) is_peer: bool,
    /// File names and templates of its configuration.
    files: &'static [(&'static str, &'static str)],
    /// What takes the place of `@ROUTES@`, once for each route; `@ROUTES1@` to `@ROUTES3@` have a
    /// third of the routes each.
    route: &'static str,
    /// Program and arguments, with words that are replaced as in its files.
    command: &'static [&'static str],
    version: &'static [&'static str],
    log: Log,
    /// What it is started with in its environment.
    environment: &'static [&'static str],
    /// Whether its instructions can be counted there: some neither start nor end in time.
    pub(crate) runs_under_valgrind: bool,
    /// Where it is not ours.
    need: Option<Need>,
}

/// Where an access log goes: wherever it costs the engine least.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Log {
    None,
    File(&'static str),
    Sink,
}

const PORTCULLIS: Engine = Engine {
    name: "portcullis",
    is_peer: false,
    // A file of its format holds some 5,000 routes, a directory any number of files.
    files: &[
        ("conf/bench.yaml", include_str!("../peers/portcullis.yaml")),
        (
            "conf/routes-1.yaml",
            "@routed?version: v1\n@routed?routes: [\n@routed?@ROUTES1@\n@routed?]",
        ),
        (
            "conf/routes-2.yaml",
            "@routed?version: v1\n@routed?routes: [\n@routed?@ROUTES2@\n@routed?]",
        ),
        (
            "conf/routes-3.yaml",
            "@routed?version: v1\n@routed?routes: [\n@routed?@ROUTES3@\n@routed?]",
        ),
    ],
    route: "  {name: route-@INDEX@, match: {hosts: [@HOST@], path: {prefix: @PATH@}}, \
            backends: [{upstream: origin}]},",
    command: &["portcullis-gateway", "run", "--config", "@DIR@/conf"],
    version: &["portcullis-gateway", "--version"],
    log: Log::File("access.log"),
    environment: &[],
    runs_under_valgrind: true,
    need: None,
};

pub(crate) const ENGINES: &[Engine] = &[
    PORTCULLIS,
    Engine {
        name: BEFORE,
        command: &[EARLIER, "run", "--config", "@DIR@/conf"],
        version: &[EARLIER, "--version"],
        ..PORTCULLIS
    },
    Engine {
        name: "haproxy",
        is_peer: true,
        files: &[
            ("haproxy.cfg", include_str!("../peers/haproxy.cfg")),
            ("routes.map", "@routed?@ROUTES@"),
            ("shop.map", include_str!("../peers/haproxy-shop.map")),
        ],
        route: "@HOST@@PATH@ origin",
        command: &["haproxy", "-db", "-f", "@DIR@/haproxy.cfg"],
        version: &["haproxy", "-v"],
        log: Log::Sink,
        environment: &[],
        runs_under_valgrind: true,
        need: Some(setup::HAPROXY),
    },
    Engine {
        name: "nginx",
        is_peer: true,
        files: &[("nginx.conf", include_str!("../peers/nginx.conf"))],
        route: "    server { listen 127.0.0.1:@PORT@; server_name @HOST@; \
                location @PATH@ { proxy_pass http://origin; } }",
        command: &["nginx", "-p", "@DIR@", "-c", "@DIR@/nginx.conf"],
        version: &["nginx", "-v"],
        log: Log::File("access.log"),
        environment: &[],
        runs_under_valgrind: true,
        need: Some(setup::NGINX),
    },
    Engine {
        name: "envoy",
        is_peer: true,
        files: &[("envoy.yaml", include_str!("../peers/envoy.yaml"))],
        route: "                    - {name: route-@INDEX@, domains: [@HOST@], \
                routes: [{match: {path_separated_prefix: @PATH@}, route: {cluster: origin}}]}",
        command: &[
            "envoy",
            "--config-path",
            "@DIR@/envoy.yaml",
            "--concurrency",
            "@WORKERS@",
            "--disable-hot-restart",
            "--log-level",
            "error",
            "--file-flush-interval-msec",
            "1000",
        ],
        version: &["envoy", "--version"],
        log: Log::File("access.log"),
        environment: &[],
        runs_under_valgrind: false,
        need: Some(setup::ENVOY),
    },
    Engine {
        name: "caddy",
        is_peer: true,
        files: &[("Caddyfile", include_str!("../peers/Caddyfile"))],
        route: "http://@HOST@:@PORT@ {\n\tbind 127.0.0.1\n\timport logged\n\thandle @PATH@/* {\n\
                \t\timport forward @ORIGIN@\n\t}\n}",
        command: &["caddy", "run", "--adapter", "caddyfile", "--config", "@DIR@/Caddyfile"],
        version: &["caddy", "version"],
        log: Log::File("access.log"),
        // What it keeps for itself belongs to the run, not to the user's home.
        environment: &["GOMAXPROCS=@WORKERS@", "XDG_DATA_HOME=@DIR@", "XDG_CONFIG_HOME=@DIR@"],
        runs_under_valgrind: false,
        need: Some(setup::CADDY),
    },
    Engine {
        name: "floor",
        is_peer: false,
        files: &[],
        route: "",
        command: &["portcullis-bench", "floor", "--port", "@PORT@", "--origin", "@ORIGIN@"],
        version: &["portcullis-bench", "--version"],
        log: Log::None,
        environment: &[],
        runs_under_valgrind: true,
        need: None,
    },
];

impl Engine {
    pub(crate) fn find(name: &str) -> anyhow::Result<&'static Self> {
        let known = || ENGINES.iter().map(|engine| engine.name).collect::<Vec<_>>().join(", ");
        let found = ENGINES.iter().find(|engine| engine.name == name);
        found.with_context(|| format!("no engine is called {name}; there are {}", known()))
    }

    /// What would have to be installed first.
    pub(crate) fn missing(&self) -> Option<Need> {
        self.need.filter(|need| !setup::is_installed(*need))
    }

    /// Starts it on a port of its own; `wrapper` stands before its command.
    pub(crate) fn start(
        &self,
        upstreams: Upstreams,
        setting: Setting,
        base: &Path,
        wrapper: &[&str],
    ) -> anyhow::Result<Running> {
        let address = free_address()?;
        let directory = tempfile::Builder::new().prefix(self.name).tempdir_in(base)?.keep();
        let log = if setting.logs { self.log } else { Log::None };
        let sink = match log {
            Log::Sink => Some(Sink::start(GENERATOR_CORE)?),
            Log::None | Log::File(_) => None,
        };
        let routes = |from, to| template::routes(self.route, from, to);
        let (third, all) = (setting.routes.div_ceil(3), setting.routes);
        let mut words = vec![
            // First, because what takes their places has words of its own.
            ("@ROUTES@", routes(0, all)),
            ("@ROUTES1@", routes(0, third)),
            ("@ROUTES2@", routes(third, (2 * third).min(all))),
            ("@ROUTES3@", routes((2 * third).min(all), all)),
            ("@DIR@", directory.display().to_string()),
            ("@PORT@", address.port().to_string()),
            ("@SINK@", sink.as_ref().map_or(0, Sink::port).to_string()),
            ("@WORKERS@", setting.workers.to_string()),
        ];
        words.extend(upstreams.words());
        for (file, text) in self.files {
            let text = template::filled(text, &setting, &words).context(*file)?;
            let path = directory.join(file);
            fs::create_dir_all(path.parent().unwrap_or(&directory))?;
            if !text.is_empty() {
                fs::write(path, text)?;
            }
        }
        if setting.listener == Listener::Tls {
            write_certificate(&directory)?;
        }
        let fill = |word: &&str| {
            words.iter().fold((*word).to_owned(), |text, (word, value)| text.replace(word, value))
        };
        let mut command: Vec<String> = Vec::new();
        if !self.environment.is_empty() {
            command.push("env".to_owned());
            command.extend(self.environment.iter().map(fill));
        }
        command.extend(wrapper.iter().map(fill));
        command.push(program(self.command[0])?);
        command.extend(self.command[1..].iter().map(fill));
        let mut running =
            Running::start(self.name, ENGINE_CORE, &command, address, directory, setting)?;
        if let Log::File(file) = log {
            running.log_file = Some(running.directory.join(file));
        }
        running.sink = sink;
        Ok(running)
    }

    /// The first line of what it says of its version.
    pub(crate) fn version(&self) -> String {
        let Ok(path) = program(self.version[0]) else { return "unknown".to_owned() };
        let Ok(output) = Command::new(&path).args(&self.version[1..]).output() else {
            return "unknown".to_owned();
        };
        // nginx answers on the other stream.
        let text = [output.stdout, output.stderr].concat();
        let text = String::from_utf8_lossy(&text);
        let line = text.lines().find(|line| !line.trim().is_empty()).unwrap_or("unknown").trim();
        // Envoy begins with where it lies, which is nobody's business.
        line.strip_prefix(&*path).map_or(line, str::trim).to_owned()
    }
}

/// What stands behind the engines, beside the generator.
pub(crate) fn start_origin(setting: Setting, base: &Path) -> anyhow::Result<Running> {
    let kind = match setting.origin {
        Origin::Http1 => "origin",
        Origin::Grpc => "grpc-origin",
        Origin::WebSocketEcho => "websocket-echo",
        Origin::GrpcEcho => "grpc-echo",
        Origin::Shop => return shop::start(setting, base),
    };
    let address = free_address()?;
    let directory = tempfile::Builder::new().prefix("origin").tempdir_in(base)?.keep();
    let words = [
        program("portcullis-bench")?,
        kind.to_owned(),
        "--port".to_owned(),
        address.port().to_string(),
    ];
    Running::start(kind, GENERATOR_CORE, &words, address, directory, setting)
}

/// One kind for all: ECDSA on P-256, signed by an authority that nobody asks for.
fn write_certificate(directory: &Path) -> anyhow::Result<()> {
    let authority = Authority::root("bench");
    fs::write(directory.join(AUTHORITY), authority.certificate_der())?;
    let leaf = authority.server("localhost").issue();
    let (chain, key) = (leaf.chain_pem(), leaf.key_pem());
    fs::write(directory.join("chain.pem"), &chain)?;
    fs::write(directory.join("key.pem"), &key)?;
    // As HAProxy wants them.
    fs::write(directory.join("both.pem"), chain + &key)?;
    Ok(())
}

/// Ours from where cargo put them, the others from where they were installed.
pub(crate) fn program(name: &str) -> anyhow::Result<String> {
    let path = if name == "portcullis-bench" {
        std::env::current_exe()?
    } else if name == EARLIER {
        EARLIER_PROGRAM.get().context("`--before` names the earlier build")?.canonicalize()?
    } else if name.starts_with("portcullis-") || [shop::PROGRAM, shop::SIMULATOR].contains(&name) {
        workspace_binary(name)?
    } else {
        setup::find(name).with_context(|| format!("{name} is not installed"))?
    };
    Ok(path.display().to_string())
}
