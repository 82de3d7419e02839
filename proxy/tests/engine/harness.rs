//! A gate in this process, and tables of what passes through it.
//!
//! One [`Line`] says what the client sends, what the origin does, what the client must see, and
//! what the record must say.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use portcullis_config::model::ListenAddress;
use portcullis_proxy::server::Server;
use portcullis_testkit::client::{ClientError, End, RawClient};
use portcullis_testkit::http::Response;
use portcullis_testkit::origin::{Script, ScriptedOrigin};
use portcullis_testkit::patience::found;
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};

/// Lines of YAML flow put into the listener, the upstream and the route.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Settings {
    pub(crate) listener: &'static str,
    pub(crate) upstream: &'static str,
    pub(crate) route: &'static str,
}

/// A running proxy with one listener, one upstream and one route.
pub(crate) struct Gate {
    server: Server,
    pub(crate) address: SocketAddr,
    directory: tempfile::TempDir,
}

impl Gate {
    pub(crate) async fn new(settings: Settings, endpoints: &[SocketAddr]) -> Self {
        let endpoints: Vec<_> =
            endpoints.iter().map(|address| format!("{{address: \"{address}\"}}")).collect();
        Self::with_endpoints(settings, &endpoints.join(", ")).await
    }

    pub(crate) async fn with_endpoints(settings: Settings, endpoints: &str) -> Self {
        let Settings { listener, upstream, route } = settings;
        Self::of(&format!(
            "listeners:\n  - {{name: front, address: \"127.0.0.1:0\", {listener}}}\n\
             upstreams:\n  - {{name: back, endpoints: [{endpoints}], {upstream}}}\n\
             routes:\n  - {{name: all, backends: [{{upstream: back}}], {route}}}\n"
        ))
        .await
    }

    /// Of the blocks that differ; `DIRECTORY` stands for one of its own.
    pub(crate) async fn of(blocks: &str) -> Self {
        Self::with_workers(1, blocks).await
    }

    pub(crate) async fn with_workers(workers: usize, blocks: &str) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let place = directory.path().to_str().unwrap().to_owned();
        let text = format!(
            "version: v1\nworkers: {workers}\n{blocks}\
             accessLog: {{path: \"{place}/access.ndjson\"}}\n"
        )
        .replace("DIRECTORY", &place);
        let loaded = match portcullis_config::parse_str("test.yaml", &text) {
            Ok(loaded) => loaded,
            Err(failed) => panic!("{failed:?} in\n{text}"),
        };
        let server = Server::start(Arc::new(loaded.config)).await.expect("a server");
        let address = match server.addresses().first() {
            Some((_, ListenAddress::Tcp { address, .. })) => *address,
            _ => SocketAddr::from(([127, 0, 0, 1], 0)),
        };
        Self { server, address, directory }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub(crate) async fn client(&self) -> RawClient {
        RawClient::connect(self.address).await.unwrap()
    }

    /// Where a listener is bound.
    pub(crate) fn address_of(&self, listener: &str) -> SocketAddr {
        let addresses = self.server.addresses();
        match addresses.iter().find(|(name, _)| name == listener) {
            Some((_, ListenAddress::Tcp { address, .. })) => *address,
            other => panic!("{listener}: {other:?}"),
        }
    }

    /// The sum of a metric's samples that have these label values.
    pub(crate) fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let families = self.server.registry.gather();
        let family = families.iter().find(|family| family.name() == name);
        let metrics = family.map(|family| family.get_metric()).unwrap_or_default();
        let fits = |metric: &&prometheus::proto::Metric| {
            let has = |label| metric.get_label().iter().any(|found| found.value() == label);
            labels.iter().all(|label| has(*label))
        };
        let value = |metric: &prometheus::proto::Metric| {
            let count = metric.get_histogram().get_sample_count();
            metric.get_counter().get_value() + metric.get_gauge().get_value() + count as f64
        };
        metrics.iter().filter(fits).map(value).sum()
    }

    /// Waits until such a metric has this value.
    pub(crate) async fn metric_is(&self, name: &str, labels: &[&str], value: f64) {
        found(async || {
            let now = self.metric(name, labels);
            if now == value { Ok(()) } else { Err(format!("{name} {labels:?}: {now}")) }
        })
        .await;
    }

    /// Ends the proxy and gives its records.
    pub(crate) async fn records(self) -> Vec<serde_json::Value> {
        self.drain(Duration::from_secs(10)).await.1
    }

    /// Ends the proxy after so long at most; whether nothing was cut off, and its records.
    pub(crate) async fn drain(mut self, patience: Duration) -> (bool, Vec<serde_json::Value>) {
        let whole = self.server.drain(patience, std::future::pending()).await;
        let text = std::fs::read_to_string(self.path("access.ndjson")).unwrap_or_default();
        (whole, text.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
    }
}

/// A server of the test's own, that sees the very bytes.
pub(crate) struct Sink {
    listener: TcpListener,
}

impl Sink {
    pub(crate) async fn new() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap() }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    pub(crate) async fn accept(&self) -> TcpStream {
        within(self.listener.accept()).await.unwrap().0
    }
}

/// What should take a moment must not take longer than this.
pub(crate) async fn within<F: Future>(future: F) -> F::Output {
    match tokio::time::timeout(Duration::from_secs(10), future).await {
        Ok(output) => output,
        Err(_) => panic!("it did not happen in time"),
    }
}

/// All that comes until the end; `None` when that is a reset.
pub(crate) async fn rest(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    within(stream.read_to_end(&mut bytes)).await.ok().map(|_| bytes)
}

/// All up to and with the first empty line.
pub(crate) async fn head_of(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    while !read.ends_with(b"\r\n\r\n") {
        read.extend(take(stream, 1).await);
    }
    String::from_utf8_lossy(&read).into_owned()
}

/// Exactly so many bytes.
pub(crate) async fn take(stream: &mut TcpStream, count: usize) -> Vec<u8> {
    let mut bytes = vec![0; count];
    within(stream.read_exact(&mut bytes)).await.unwrap();
    bytes
}

/// `status reason` of each record, in order.
pub(crate) fn verdicts(records: &[serde_json::Value]) -> String {
    let one = |record: &serde_json::Value| {
        let status = record["status"].as_u64().unwrap();
        match record["reason"].as_str() {
            Some(reason) => format!("{status} {reason}"),
            None => format!("{status}"),
        }
    };
    records.iter().map(one).collect::<Vec<_>>().join(", ")
}

/// One case of a table.
pub(crate) struct Line {
    pub(crate) what: &'static str,
    pub(crate) settings: Settings,
    /// The n-th connection of the origin follows the n-th script.
    pub(crate) origin: Vec<Script>,
    pub(crate) send: Vec<u8>,
    /// Responses as `status body` or, of problems, `status reason`; last the word `keep`,
    /// `close`, `cut` or `reset` for the connection.
    pub(crate) see: &'static str,
    /// As [`verdicts`] writes it.
    pub(crate) record: &'static str,
    /// The request line and body of each request that reached the origin; empty: not checked.
    pub(crate) origin_sees: &'static str,
}

pub(crate) fn line(what: &'static str, send: impl AsRef<[u8]>) -> Line {
    Line {
        what,
        settings: Settings::default(),
        origin: vec![always("ok")],
        send: send.as_ref().to_vec(),
        see: "200 ok, keep",
        record: "200",
        origin_sees: "",
    }
}

impl Line {
    pub(crate) fn listener(mut self, yaml: &'static str) -> Self {
        self.settings.listener = yaml;
        self
    }

    pub(crate) fn route(mut self, yaml: &'static str) -> Self {
        self.settings.route = yaml;
        self
    }

    pub(crate) fn origin(mut self, script: Script) -> Self {
        self.origin = vec![script];
        self
    }

    pub(crate) fn origins(mut self, scripts: impl IntoIterator<Item = Script>) -> Self {
        self.origin = scripts.into_iter().collect();
        self
    }

    /// One request, then these bytes, and then the script goes on as its end says.
    pub(crate) fn answers(self, bytes: impl AsRef<[u8]>) -> Self {
        self.origin(Script::new().request().send(bytes).repeat(Script::new().request()))
    }

    /// One request, then these bytes, then the end of the connection.
    pub(crate) fn answers_and_closes(self, bytes: impl AsRef<[u8]>) -> Self {
        self.origin(Script::new().request().send(bytes).close())
    }

    pub(crate) fn sees(mut self, see: &'static str) -> Self {
        self.see = see;
        self
    }

    pub(crate) fn records(mut self, record: &'static str) -> Self {
        self.record = record;
        self
    }

    pub(crate) fn origin_sees(mut self, requests: &'static str) -> Self {
        self.origin_sees = requests;
        self
    }
}

/// Answers every request with this body.
pub(crate) fn always(body: &str) -> Script {
    Script::new().repeat(Script::new().request().respond(body))
}

/// A GET with these header lines.
pub(crate) fn get(path: &str, headers: &[&str]) -> String {
    message(&format!("GET {path} HTTP/1.1"), headers, "")
}

pub(crate) fn post(path: &str, headers: &[&str], body: &str) -> String {
    message(&format!("POST {path} HTTP/1.1"), headers, body)
}

pub(crate) fn message(start: &str, headers: &[&str], body: &str) -> String {
    let mut text = format!("{start}\r\nhost: a.test\r\n");
    for header in headers {
        text.push_str(header);
        text.push_str("\r\n");
    }
    format!("{text}\r\n{body}")
}

/// Plays every line and tells of all that differ.
pub(crate) async fn check(lines: impl IntoIterator<Item = Line>) {
    let mut wrong = Vec::new();
    for line in lines {
        if let Err(difference) = Box::pin(play(&line)).await {
            wrong.push(format!("{}:\n{difference}", line.what));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

async fn play(line: &Line) -> Result<(), String> {
    let origin = ScriptedOrigin::start(line.origin.clone()).await.unwrap();
    let gate = Gate::new(line.settings, &[origin.address()]).await;
    let mut client = gate.client().await;
    let sent = client.send(&line.send).await;
    let heads = line.send.starts_with(b"HEAD");
    let expected = line.see.split(", ").count() - 1;
    let seen = observe(&mut client, heads, expected).await;
    let transcript = String::from_utf8_lossy(client.transcript()).into_owned();
    drop(client);
    let records = gate.records().await;
    let verdicts = verdicts(&records);
    let reached: Vec<_> = origin
        .requests()
        .iter()
        .map(|request| {
            let body = String::from_utf8_lossy(&request.body).into_owned();
            format!("{} {} {body}", request.method, request.target).trim_end().to_owned()
        })
        .collect();
    let reached = reached.join(", ");
    let mut differences = String::new();
    let mut differ = |what: &str, is: &str, ought: &str| {
        if is != ought {
            differences.push_str(&format!("  {what} {is:?}\n  ought  {ought:?}\n"));
        }
    };
    differ("client ", &seen, line.see);
    differ("record ", &verdicts, line.record);
    match line.origin_sees {
        "" => {}
        "nothing" => differ("origin ", &reached, ""),
        requests => differ("origin ", &reached, requests),
    }
    match differences.is_empty() {
        true => Ok(()),
        false => Err(format!("{differences}  sent {sent:?}; read {transcript:.600}")),
    }
}

/// What a client sees, in the words of [`Line::see`].
pub(crate) async fn observe(client: &mut RawClient, to_head: bool, expected: usize) -> String {
    let mut seen = Vec::new();
    let end = loop {
        let response = match to_head {
            true => client.response_to_head().await,
            false => client.response().await,
        };
        match response {
            Ok(response) => {
                let informational = response.is_informational();
                seen.push(told(&response));
                if informational {
                    continue;
                }
                if !response.keep_alive() {
                    break match client.read_to_end().await {
                        Ok((rest, End::Closed)) if rest.is_empty() => "close".to_owned(),
                        Ok((_, End::Reset)) => "reset".to_owned(),
                        other => format!("{other:?}"),
                    };
                }
                if seen.len() >= expected {
                    break "keep".to_owned();
                }
            }
            Err(ClientError::Closed(_)) => break "close".to_owned(),
            Err(ClientError::Reset(_)) => break "reset".to_owned(),
            Err(ClientError::Malformed {
                error: portcullis_testkit::http::Malformed::Truncated(_),
                ..
            }) => break "cut".to_owned(),
            Err(error) => break error.to_string(),
        }
    };
    seen.push(end);
    seen.join(", ")
}

fn told(response: &Response) -> String {
    let problem = response.headers.first("content-type") == Some("application/problem+json");
    if problem && !response.body.is_empty() {
        let problem = response.json();
        let text = response.text();
        assert!(!text.contains("127.0.0.1") && !text.contains("back"), "it tells too much: {text}");
        assert_eq!(problem["status"], response.status, "{text}");
        assert!(problem["requestId"].as_str().is_some_and(|id| id.len() >= 32), "{text}");
        return format!("{} {}", response.status, problem["reason"].as_str().unwrap_or("?"));
    }
    format!("{} {}", response.status, response.text()).trim_end().to_owned()
}
