//! A gateway under test, its configuration and what it says.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use portcullis_testkit::client::{End, RawClient, fetch};
use portcullis_testkit::http::Response;
use portcullis_testkit::lateness::Control;
use portcullis_testkit::patience::{found, until};
use portcullis_testkit::process::{Process, Signal};

pub(crate) const LONG: Duration = Duration::from_secs(20);
pub(crate) const BINARY: &str = env!("CARGO_BIN_EXE_portcullis-gateway");
pub(crate) const FILE: &str = "portcullis.yaml";

pub(crate) struct Gateway {
    pub(crate) process: Process,
}

impl Gateway {
    pub(crate) fn start(configuration: &str) -> Self {
        Self::start_with(&[(FILE, configuration)])
    }

    pub(crate) fn start_with(files: &[(&str, &str)]) -> Self {
        let process = Process::start(BINARY, ["run", "--config", FILE], files).unwrap();
        Self { process }
    }

    /// Where a listener is bound, once it is.
    pub(crate) async fn address(&mut self, listener: &str) -> SocketAddr {
        let line = self.says(&["listening", &format!("listener=\"{listener}\"")]).await;
        let (_, address) = line.split_once("address=").unwrap();
        address.split(' ').next().unwrap().parse().unwrap()
    }

    /// Waits for a line that holds all of these.
    pub(crate) async fn says(&mut self, parts: &[&str]) -> String {
        let all = |line: &str| parts.iter().all(|part| line.contains(part));
        self.process.line(LONG, all).await.unwrap()
    }

    /// Of several in a row each is to be noticed, not announced: a signal that comes after the file
    /// was noticed makes one more generation.
    pub(crate) async fn serves_generation(&mut self, generation: u64) {
        let expected = format!("generation={generation}");
        let all = |line: &str| {
            line.contains("a new configuration serves") && line.ends_with(expected.as_str())
        };
        self.process.line(LONG, all).await.unwrap();
    }

    pub(crate) fn write(&self, configuration: &str) {
        self.process.replace_file(FILE, configuration).unwrap();
    }

    pub(crate) fn signal(&self, signal: Signal) {
        self.process.signal(signal).unwrap();
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.process.directory().join(name)
    }

    pub(crate) fn log(&self, name: &str) -> Vec<serde_json::Value> {
        let text = std::fs::read_to_string(self.path(name)).unwrap_or_default();
        // The last line may be on its way.
        let whole = text.rfind('\n').map_or(0, |end| end + 1);
        text[..whole].lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// Ends in order, with this exit code, and no later than this on a machine that lets it run.
    pub(crate) async fn ends(&mut self, within: Duration, code: i32) {
        let control = Control::start();
        let status = self.process.exit(within + LONG).await.unwrap();
        assert!(control.taken() <= within, "{:?}: {:#?}", control.taken(), self.process.lines());
        assert_eq!(status.code(), Some(code), "{:#?}", self.process.lines());
    }
}

pub(crate) async fn get(address: SocketAddr, path: &str) -> Response {
    fetch(address, "GET", path, &[]).await.unwrap()
}

/// Waits for the other side to close in order, without another byte.
pub(crate) async fn closed(client: &mut RawClient) {
    assert_eq!(client.read_to_end().await.unwrap(), (Vec::new(), End::Closed));
}

/// Sends the request again and again until its answer announces the close: workers hear of an end a
/// moment after it is logged, and what comes before that is answered as ever.
pub(crate) async fn close_is_announced(client: &mut RawClient, request: &[u8]) {
    until("the close is announced", async || {
        client.send(request).await.unwrap();
        let answer = client.response().await.unwrap();
        assert_eq!(answer.status, 200);
        !answer.keep_alive()
    })
    .await;
}

/// Asks until the answer is as expected.
pub(crate) async fn eventually(address: SocketAddr, path: &str, expected: &str) {
    found(async || {
        let text = get(address, path).await.text().to_string();
        if text == expected { Ok(()) } else { Err(text) }
    })
    .await;
}

/// One listener, one upstream, one route; the rest is added as text.
pub(crate) fn forwarding(origins: &[SocketAddr], more: &str) -> String {
    let endpoints: Vec<_> = origins.iter().map(|it| format!("{{address: \"{it}\"}}")).collect();
    format!(
        r#"version: v1
workers: 2
listeners:
  - {{name: public, address: "127.0.0.1:0", kind: http}}
upstreams:
  - {{name: origin, endpoints: [{}]}}
routes:
  - {{name: all, match: {{path: {{prefix: /}}}}, backends: [{{upstream: origin}}]}}
accessLog: {{path: access.log}}
{more}
"#,
        endpoints.join(", ")
    )
}

/// A gateway that answers with a text by itself.
pub(crate) fn replying(text: &str) -> String {
    format!(
        r#"version: v1
workers: 1
listeners:
  - {{name: public, address: "127.0.0.1:0", kind: http}}
routes:
  - {{name: all, match: {{path: {{prefix: /}}}}, reply: {{status: 200, body: "{text}"}}}}
accessLog: {{path: access.log}}
"#
    )
}
