use std::collections::BTreeSet;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use portcullis_config::model;
use portcullis_config::values::{HeaderName, Share};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::error::Reason;
use crate::message::{Field, FieldList, Fields, Known, Span, Version};
use crate::observe::clock::{Clock, ManualTime};
use crate::observe::timeline::{Stage, Timeline};

mod delivery;

/// Long enough that only a hang reaches it.
fn patience() -> Instant {
    Instant::now() + Duration::from_secs(30)
}

fn metrics() -> Arc<AccessLogMetrics> {
    Arc::new(AccessLogMetrics::new(2))
}

fn format_of(headers: &[&str], millionths: u32) -> LogFormat {
    LogFormat::new(&model::AccessLog {
        sink: AccessLogSink::Stdout,
        timeline: true,
        sample: Share::from_millionths(millionths).unwrap(),
        headers: headers.iter().map(|name| HeaderName::parse(name).unwrap()).collect(),
    })
}

fn clock() -> Clock {
    Clock::manual(ManualTime::new(UNIX_EPOCH + Duration::from_millis(1_795_408_427_012)))
}

/// Header lines from `name: value` pairs.
#[derive(Default)]
struct Head {
    bytes: Vec<u8>,
    fields: FieldList,
}

impl Head {
    fn of(lines: &[(&str, &[u8])]) -> Self {
        let mut head = Self::default();
        for (name, value) in lines {
            let name = head.push(name.as_bytes());
            let value = head.push(value);
            head.fields.push(Field { name, value, known: Known::Other });
        }
        head
    }

    fn push(&mut self, bytes: &[u8]) -> Span {
        let start = u32::try_from(self.bytes.len()).unwrap();
        self.bytes.extend_from_slice(bytes);
        Span { start, end: u32::try_from(self.bytes.len()).unwrap() }
    }

    fn fields(&self) -> Fields<'_> {
        Fields { bytes: &self.bytes, fields: &self.fields }
    }
}

fn plain(timeline: &Timeline) -> Record<'_> {
    Record {
        request_id: b"",
        trace_id: None,
        generation: 1,
        listener: "plain",
        forwarded_for: None,
        peer: "unix",
        tls: None,
        connection_request: 1,
        method: b"GET",
        host: b"shop.example.com",
        path: b"/",
        normalized_path: Some(b"/"),
        query: None,
        upgrade: false,
        version: Version::Http11,
        route: None,
        upstream: None,
        endpoint: None,
        attempts: 0,
        status: 200,
        answered_by: Some(Answerer::Origin),
        reason: None,
        detail: None,
        grpc_status: None,
        request_body_bytes: 0,
        response_body_bytes: 0,
        timeline,
        duration: Duration::ZERO,
        headers: None,
    }
}

/// A timeline with every stage marked.
fn whole_timeline(origin: Instant) -> Timeline {
    let mut timeline = Timeline::of_connection(origin);
    for (stage, micros) in Stage::ALL.into_iter().zip([0, 900, 950, 1_000, 1_010, 1_012, 1_300]) {
        timeline.mark(stage, origin + Duration::from_micros(micros));
    }
    timeline.mark(Stage::FirstByte, origin + Duration::from_micros(3_500));
    timeline.mark(Stage::LastByte, origin + Duration::from_micros(3_950));
    timeline
}

/// One line of everything that a record can hold.
fn whole_line() -> String {
    let clock = clock();
    let timeline = whole_timeline(clock.now());
    let head = Head::of(&[
        ("User-Agent", b"curl/8.11 \"odd\" \xff"),
        ("Authorization", b"Bearer s3cr3t"),
        ("Cookie", b"session=s3cr3t"),
    ]);
    let record = Record {
        request_id: b"0193-7e1f",
        trace_id: Some(b"0af7651916cd43dd8448eb211c80319c"),
        generation: 42,
        listener: "public",
        forwarded_for: Some("2001:db8::7".parse().unwrap()),
        peer: "192.0.2.7:50123",
        tls: Some(TlsRecord { version: "TLSv1.3", sni: Some("shop.example.com") }),
        connection_request: 3,
        method: b"POST",
        path: b"/orders/../orders/7",
        normalized_path: Some(b"/orders/7"),
        query: Some(b"page=2&access_token=s3cr3t&q=a\"b"),
        upgrade: true,
        route: Some("place-order"),
        upstream: Some("orders"),
        endpoint: Some("127.0.0.1:7003"),
        attempts: 2,
        status: 504,
        answered_by: Some(Answerer::Gateway),
        reason: Some(Reason::UpstreamTimeout),
        detail: Some("no response head within timeouts.perTry"),
        grpc_status: Some(4),
        request_body_bytes: 512,
        response_body_bytes: 10_000_000_000,
        duration: Duration::from_micros(3_000),
        headers: Some(head.fields()),
        ..plain(&timeline)
    };
    let format = format_of(&["user-agent", "authorization", "x-absent", "cookie"], 1_000_000);
    line(&format, &clock, &record)
}

fn line(format: &LogFormat, clock: &Clock, record: &Record<'_>) -> String {
    let mut out = Vec::new();
    record::write_line(&mut out, format, clock, record);
    String::from_utf8(out).unwrap()
}

fn parsed(line: &str) -> Value {
    assert_eq!(line.find('\n'), Some(line.len() - 1), "{line:?} is not one line");
    serde_json::from_str(line).unwrap()
}

#[test]
fn a_whole_line() {
    let line = whole_line();
    assert!(!line.contains("s3cr3t"), "{line}");
    parsed(&line);
    insta::assert_snapshot!(line);
}

#[test]
fn a_request_that_was_never_understood_has_a_line_too() {
    let clock = clock();
    let timeline = Timeline::of_connection(clock.now());
    let record = Record {
        method: b"",
        host: b"",
        path: b"",
        normalized_path: None,
        status: 400,
        answered_by: Some(Answerer::Gateway),
        reason: Some(Reason::BadRequest),
        ..plain(&timeline)
    };
    let mut format = format_of(&[], 1_000_000);
    format.timeline = false;
    let line = line(&format, &clock, &record);
    parsed(&line);
    insta::assert_snapshot!(line);
}

#[test]
fn a_detail_is_cut_and_escaped() {
    let clock = clock();
    let timeline = Timeline::of_connection(clock.now());
    let detail = format!("said \"\u{7}\n\u{1b}[31m\" {}", "x".repeat(10_000));
    let record = Record { detail: Some(&detail), ..plain(&timeline) };
    let line = line(&format_of(&[], 1_000_000), &clock, &record);
    assert!(line.len() < 2_000, "{} bytes", line.len());
    assert!(line[..line.len() - 1].bytes().all(|byte| byte >= b' '), "{line:?}");
    let line = parsed(&line);
    assert!(line["detail"].as_str().unwrap().starts_with("said \"\u{7}\n\u{1b}[31m\" xxx"));
    assert_eq!(line["truncated"], true);
}

fn document() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/observability.md");
    std::fs::read_to_string(path).unwrap()
}

/// The names between backquotes that begin the rows of the table under a heading.
fn documented(heading: &str) -> BTreeSet<String> {
    let document = document();
    let section = document.split("\n## ").find(|section| section.starts_with(heading)).unwrap();
    let rows = section.lines().filter_map(|row| row.strip_prefix("| `")?.split('`').next());
    rows.map(str::to_owned).collect()
}

#[test]
fn the_documented_fields_are_the_fields_of_a_line() {
    let mut emitted = BTreeSet::new();
    let whole = parsed(&whole_line());
    for (name, value) in whole.as_object().unwrap() {
        emitted.insert(name.clone());
        if name == "timeline_us" {
            emitted.extend(value.as_object().unwrap().keys().map(|key| format!("{name}.{key}")));
        }
    }
    // The one field that an ordinary line never has.
    emitted.insert("truncated".to_owned());
    assert_eq!(documented("Access log"), emitted);
}

/// One line of everything that the record of a tunnel can hold.
fn whole_tunnel() -> String {
    let clock = clock();
    let record = TunnelRecord {
        connection_id: b"0193-7e1f",
        generation: 42,
        listener: "secure",
        client: "192.0.2.7:50123",
        tls: Some(TlsRecord { version: "TLSv1.3", sni: None }),
        sni: Some("shop.example.com"),
        route: Some("shop"),
        upstream: Some("orders"),
        endpoint: Some("127.0.0.1:7003"),
        attempts: 2,
        reason: Some(Reason::UpstreamReset),
        detail: Some("the endpoint reset the connection"),
        received_bytes: 517,
        sent_bytes: 10_000_000_000,
        accepted: clock.now(),
        duration: Duration::from_secs(7_200),
        connected: Some(Duration::from_micros(812)),
    };
    let mut out = Vec::new();
    tunnel::write_line(&mut out, &clock, &record);
    String::from_utf8(out).unwrap()
}

#[test]
fn the_documented_fields_of_a_tunnel_are_the_fields_of_its_line() {
    let line = whole_tunnel();
    insta::assert_snapshot!(line);
    let emitted: BTreeSet<_> = parsed(&line).as_object().unwrap().keys().cloned().collect();
    assert_eq!(documented("Tunnels"), emitted);
}

#[test]
fn the_documented_reasons_are_the_reasons() {
    let actual: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.label().to_owned()).collect();
    assert_eq!(documented("Reasons"), actual);
    let document = document();
    for reason in Reason::ALL {
        let status = match reason {
            Reason::Redirected | Reason::Replied => "as configured".to_owned(),
            _ if reason.status() == 0 => "none".to_owned(),
            _ => reason.status().to_string(),
        };
        let fault = format!("{:?}", reason.fault()).to_lowercase();
        let row = format!("| `{}` | {status} | {fault} | ", reason.label());
        assert!(document.contains(&row), "{row}");
    }
}

#[test]
fn the_client_is_the_peer_or_whom_the_peer_forwards_for() {
    let clock = clock();
    let timeline = Timeline::of_request(clock.now());
    let written = |forwarded_for| {
        let record = Record { forwarded_for, peer: "[2001:db8::1]:443", ..plain(&timeline) };
        parsed(&line(&format_of(&[], 1_000_000), &clock, &record))
    };
    let own = written(None);
    assert_eq!(own["client"], "[2001:db8::1]:443");
    assert!(own.get("peer").is_none());
    for (client, expected) in
        [("203.0.113.5", "203.0.113.5"), ("::ffff:203.0.113.5", "203.0.113.5"), ("::1", "::1")]
    {
        let forwarded = written(Some(client.parse().unwrap()));
        assert_eq!(forwarded["client"], expected);
        assert_eq!(forwarded["peer"], "[2001:db8::1]:443");
    }
}

#[test]
fn secret_parameters_are_hidden_in_their_place() {
    let clock = clock();
    let timeline = Timeline::of_request(clock.now());
    let check = |query: &str, expected: &str| {
        let record = Record { query: Some(query.as_bytes()), ..plain(&timeline) };
        let line = line(&format_of(&[], 1_000_000), &clock, &record);
        assert_eq!(parsed(&line)["query"], expected, "{query}");
    };
    check("", "");
    check("a=1&b=2", "a=1&b=2");
    check("Token=abc", "Token=***");
    check("a=1&api_key=x=y&&c", "a=1&api_key=***&&c");
    check("token", "token");
    check("password=", "password=***");
    check("a=%26token=1", "a=%26token=1");
}

#[test]
fn values_of_any_length_are_cut_and_said_to_be() {
    let clock = clock();
    let timeline = Timeline::of_request(clock.now());
    let long = vec![0x01; 1_000_000];
    let head = Head::of(&[("user-agent", &long)]);
    let format = format_of(&["user-agent"], 1_000_000);
    let whole = Record { path: &long[..16 * 1024], ..plain(&timeline) };
    assert_eq!(parsed(&line(&format, &clock, &whole)).get("truncated"), None);
    for record in [
        Record { path: &long, ..plain(&timeline) },
        Record { query: Some(&long), ..plain(&timeline) },
        Record { host: &long, ..plain(&timeline) },
        Record { headers: Some(head.fields()), ..plain(&timeline) },
    ] {
        let line = line(&format, &clock, &record);
        assert!(line.len() < 200_000, "{}", line.len());
        assert_eq!(parsed(&line)["truncated"], true);
    }
    let parameters = b"a=1&".repeat(100_000);
    let record = Record { query: Some(&parameters), ..plain(&timeline) };
    let line = line(&format, &clock, &record);
    assert!(parsed(&line)["query"].as_str().unwrap().len() <= 16 * 1024 + 1);
    assert_eq!(parsed(&line)["truncated"], true);
}

proptest! {
    #[test]
    fn every_line_is_json_whatever_the_client_sends(
        method: Vec<u8>, host: Vec<u8>, path: Vec<u8>, query: Option<Vec<u8>>, value: Vec<u8>,
        route in proptest::option::of("[A-Za-z0-9][A-Za-z0-9._-]{0,99}"), sni: String,
        status: u16, bytes: u64,
    ) {
        let clock = clock();
        let timeline = Timeline::of_request(clock.now());
        let head = Head::of(&[("x-any", &value)]);
        let record = Record {
            method: &method,
            host: &host,
            path: &path,
            query: query.as_deref(),
            route: route.as_deref(),
            tls: Some(TlsRecord { version: "TLSv1.2", sni: Some(&sni) }),
            status,
            response_body_bytes: bytes,
            headers: Some(head.fields()),
            ..plain(&timeline)
        };
        let line = line(&format_of(&["x-any"], 1_000_000), &clock, &record);
        let read = parsed(&line);
        prop_assert_eq!(read["method"].as_str().unwrap(), String::from_utf8_lossy(&method));
        prop_assert_eq!(read["host"].as_str().unwrap(), String::from_utf8_lossy(&host));
        prop_assert_eq!(read["path"].as_str().unwrap(), String::from_utf8_lossy(&path));
        prop_assert_eq!(read["route"].as_str(), route.as_deref());
        prop_assert_eq!(read["sni"].as_str(), Some(&*sni));
        prop_assert_eq!(read["status"].as_u64(), Some(status.into()));
        prop_assert_eq!(read["response_body_bytes"].as_u64(), Some(bytes));
        prop_assert_eq!(
            read["headers"]["x-any"].as_str().unwrap(),
            String::from_utf8_lossy(&value)
        );
    }
}
