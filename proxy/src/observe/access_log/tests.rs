use std::collections::BTreeSet;
use std::io::Write;
use std::path::Path;
use std::rc::Rc;
use std::time::{Duration, UNIX_EPOCH};

use portcullis_config::model;
use portcullis_config::values::{HeaderName, Share};
use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::error::Reason;
use crate::message::{Field, Fields, Known, Span, Version};
use crate::observe::clock::{Clock, ManualTime};
use crate::observe::timeline::{Stage, Timeline};

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
    fields: Vec<Field>,
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
        generation: 1,
        listener: "plain",
        client: None,
        tls: None,
        connection_request: 1,
        method: b"GET",
        host: b"shop.example.com",
        path: b"/",
        normalized_path: Some(b"/"),
        query: None,
        version: Version::Http11,
        route: None,
        upstream: None,
        endpoint: None,
        attempts: 0,
        status: 200,
        reason: None,
        request_body_bytes: 0,
        response_body_bytes: 0,
        timeline,
        finished: timeline.started(),
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
        generation: 42,
        listener: "public",
        client: Some("[::ffff:192.0.2.7]:50123".parse().unwrap()),
        tls: Some(TlsFacts { version: "TLSv1.3", sni: Some("shop.example.com") }),
        connection_request: 3,
        method: b"POST",
        path: b"/orders/../orders/7",
        normalized_path: Some(b"/orders/7"),
        query: Some(b"page=2&access_token=s3cr3t&q=a\"b"),
        route: Some("place-order"),
        upstream: Some("orders"),
        endpoint: Some("127.0.0.1:7003"),
        attempts: 2,
        status: 504,
        reason: Some(Reason::UpstreamTimeout),
        request_body_bytes: 512,
        response_body_bytes: 10_000_000_000,
        finished: clock.now() + Duration::from_micros(3_950),
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
        reason: Some(Reason::BadRequest),
        ..plain(&timeline)
    };
    let mut format = format_of(&[], 1_000_000);
    format.timeline = false;
    let line = line(&format, &clock, &record);
    parsed(&line);
    insta::assert_snapshot!(line);
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
fn clients_are_written_as_address_and_port() {
    let clock = clock();
    let timeline = Timeline::of_request(clock.now());
    let check = |client: Option<&str>, expected: &str| {
        let client = client.map(|text| text.parse().unwrap());
        let record = Record { client, ..plain(&timeline) };
        let line = line(&format_of(&[], 1_000_000), &clock, &record);
        assert_eq!(parsed(&line)["client"], expected);
    };
    check(Some("192.0.2.7:50123"), "192.0.2.7:50123");
    check(Some("[::ffff:192.0.2.7]:50123"), "192.0.2.7:50123");
    check(Some("[2001:db8::1]:443"), "[2001:db8::1]:443");
    check(None, "unix");
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
        route: Option<String>, sni: String, status: u16, bytes: u64,
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
            tls: Some(TlsFacts { version: "TLSv1.2", sni: Some(&sni) }),
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

/// A log into a file of a directory of its own.
struct Logged {
    directory: tempfile::TempDir,
    log: AccessLog,
    metrics: Arc<AccessLogMetrics>,
    clock: Clock,
}

impl Logged {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let metrics = metrics();
        let sink = AccessLogSink::File(directory.path().join("access.log"));
        let log = AccessLog::start(&sink, Arc::clone(&metrics)).unwrap();
        Self { directory, log, metrics, clock: clock() }
    }

    /// The paths that a file's lines tell of, in their order.
    fn paths(&self, file: &str) -> Vec<String> {
        let text = std::fs::read_to_string(self.directory.path().join(file)).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line["path"].as_str().unwrap().to_owned()).collect()
    }

    fn record(&self, worker: &AccessLogWorker, path: &str) {
        record_path(worker, &self.clock, path);
    }
}

fn record_path(worker: &AccessLogWorker, clock: &Clock, path: &str) {
    let timeline = Timeline::of_request(clock.now());
    let record = Record { path: path.as_bytes(), ..plain(&timeline) };
    worker.record(&format_of(&[], 1_000_000), clock, &record);
}

#[test]
fn lines_of_all_workers_reach_the_file_whole() {
    let logged = Logged::start();
    std::thread::scope(|scope| {
        for worker in 0..2 {
            let log = &logged.log;
            scope.spawn(move || {
                let clock = clock();
                let worker = log.worker(WorkerId(worker), 7);
                for at in 0..1_000 {
                    record_path(&worker, &clock, &format!("/{at}"));
                }
            });
        }
    });
    logged.log.finish(patience()).unwrap();
    let (dropped, failed) = logged.metrics.dropped();
    assert_eq!(failed, 0);
    assert_eq!(logged.paths("access.log").len() as u64 + dropped, 2_000);
    assert!(dropped < 2_000, "nothing was written");
}

#[test]
fn lines_wait_for_a_full_batch_or_a_flush() {
    let logged = Logged::start();
    let worker = logged.log.worker(WorkerId(0), 7);
    logged.record(&worker, "/one");
    logged.log.sync(patience()).unwrap();
    assert!(logged.paths("access.log").is_empty());
    worker.flush();
    logged.log.sync(patience()).unwrap();
    assert_eq!(logged.paths("access.log"), ["/one"]);
    for _ in 0..BATCH_BYTES / 100 {
        logged.record(&worker, "/many");
    }
    logged.log.sync(patience()).unwrap();
    assert!(logged.paths("access.log").len() > 10);
}

#[test]
fn a_renamed_file_is_left_alone_after_reopening() {
    let logged = Logged::start();
    let worker = logged.log.worker(WorkerId(0), 7);
    let path = |name: &str| logged.directory.path().join(name);
    logged.record(&worker, "/before");
    worker.flush();
    logged.log.sync(patience()).unwrap();
    std::fs::rename(path("access.log"), path("access.log.1")).unwrap();
    logged.record(&worker, "/between");
    worker.flush();
    logged.log.sync(patience()).unwrap();
    logged.log.reopen().unwrap();
    logged.record(&worker, "/after");
    worker.flush();
    logged.log.finish(patience()).unwrap();
    assert_eq!(logged.paths("access.log.1"), ["/before", "/between"]);
    assert_eq!(logged.paths("access.log"), ["/after"]);
}

#[test]
fn a_sink_that_cannot_be_opened_leaves_the_old_one() {
    let logged = Logged::start();
    let worker = logged.log.worker(WorkerId(0), 7);
    let missing = logged.directory.path().join("no/such/directory/access.log");
    assert!(logged.log.redirect(&AccessLogSink::File(missing)).is_err());
    logged.record(&worker, "/still-here");
    worker.flush();
    logged.log.reopen().unwrap();
    logged.log.finish(patience()).unwrap();
    assert_eq!(logged.paths("access.log"), ["/still-here"]);
}

#[test]
fn a_full_disk_loses_lines_and_nothing_else() {
    let logged = Logged::start();
    let worker = logged.log.worker(WorkerId(0), 7);
    logged.log.redirect(&AccessLogSink::File("/dev/full".into())).unwrap();
    for _ in 0..3 {
        logged.record(&worker, "/lost");
    }
    worker.flush();
    logged.log.sync(patience()).unwrap();
    assert_eq!(logged.metrics.dropped(), (0, 3));
    let file = logged.directory.path().join("access.log");
    logged.log.redirect(&AccessLogSink::File(file)).unwrap();
    logged.record(&worker, "/kept");
    worker.flush();
    logged.log.finish(patience()).unwrap();
    assert_eq!(logged.paths("access.log"), ["/kept"]);
    assert_eq!(logged.metrics.dropped(), (0, 3));
}

#[test]
fn a_disabled_log_writes_nothing() {
    let logged = Logged::start();
    let worker = logged.log.worker(WorkerId(0), 7);
    let timeline = Timeline::of_request(logged.clock.now());
    let format = LogFormat::new(&model::AccessLog {
        sink: AccessLogSink::Disabled,
        timeline: true,
        sample: Share::ALL,
        headers: Vec::new(),
    });
    worker.record(&format, &logged.clock, &Record { status: 500, ..plain(&timeline) });
    drop(worker);
    logged.log.finish(patience()).unwrap();
    assert!(logged.paths("access.log").is_empty());
}

/// Takes a lesson for each write, and says when it waits for one.
struct Scripted {
    waiting: Sender<()>,
    lessons: Receiver<Lesson>,
    written: Arc<Mutex<Vec<u8>>>,
}

enum Lesson {
    Whole,
    Part(usize),
    Fail(io::ErrorKind),
}

impl Write for Scripted {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let _ = self.waiting.send(());
        let count = match self.lessons.recv().unwrap_or(Lesson::Whole) {
            Lesson::Whole => bytes.len(),
            Lesson::Part(count) => count,
            Lesson::Fail(kind) => return Err(kind.into()),
        };
        locked(&self.written).extend_from_slice(&bytes[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Script {
    log: AccessLog,
    metrics: Arc<AccessLogMetrics>,
    waiting: Receiver<()>,
    lessons: Sender<Lesson>,
    written: Arc<Mutex<Vec<u8>>>,
}

impl Script {
    fn start(queued_batches: usize) -> Self {
        let (waiting_here, waiting) = crossbeam_channel::unbounded();
        let (lessons, lessons_to_take) = crossbeam_channel::unbounded();
        let written = Arc::default();
        let scripted = Scripted {
            waiting: waiting_here,
            lessons: lessons_to_take,
            written: Arc::clone(&written),
        };
        let metrics = metrics();
        let log = AccessLog::start_with(
            AccessLogSink::Disabled,
            Box::new(scripted),
            queued_batches,
            Arc::clone(&metrics),
        );
        Self { log: log.unwrap(), metrics, waiting, lessons, written }
    }

    fn written(&self) -> String {
        String::from_utf8(locked(&self.written).clone()).unwrap()
    }
}

#[test]
fn lines_beyond_a_full_queue_are_counted_and_workers_go_on() {
    let script = Script::start(2);
    let clock = clock();
    let worker = script.log.worker(WorkerId(1), 7);
    let hand_over = |lines: u64| {
        for _ in 0..lines {
            record_path(&worker, &clock, "/");
        }
        worker.flush();
    };
    hand_over(1);
    script.waiting.recv().unwrap();
    // The writer is stuck with one batch: two more fit, then three lines and one are lost.
    hand_over(1);
    hand_over(2);
    hand_over(3);
    hand_over(1);
    assert_eq!(script.metrics.dropped(), (4, 0));
    assert_eq!(script.metrics.workers.sum(|shard| &shard.lines), 4);
    assert_eq!(script.log.finish(Instant::now()), Err(Unfinished));
    drop(script.lessons);
    script.log.finish(patience()).unwrap();
    assert_eq!(locked(&script.written).iter().filter(|byte| **byte == b'\n').count(), 4);

    // Nobody takes batches any more: lines are still only counted.
    hand_over(5);
    assert_eq!(script.metrics.dropped(), (9, 0));
}

#[test]
fn a_torn_line_does_not_tear_the_next() {
    let script = Script::start(4);
    let clock = clock();
    let worker = script.log.worker(WorkerId(0), 7);
    let length = {
        let timeline = Timeline::of_request(clock.now());
        line(&format_of(&[], 1_000_000), &clock, &Record { path: b"/a", ..plain(&timeline) }).len()
    };
    // Of three lines one is written, and ten bytes of the second, before the disk is full.
    script.lessons.send(Lesson::Part(length + 10)).unwrap();
    script.lessons.send(Lesson::Fail(io::ErrorKind::StorageFull)).unwrap();
    ["/a", "/b", "/c"].iter().for_each(|path| record_path(&worker, &clock, path));
    worker.flush();
    // The next batch fails at its very start.
    script.lessons.send(Lesson::Fail(io::ErrorKind::StorageFull)).unwrap();
    record_path(&worker, &clock, "/d");
    worker.flush();
    // Then there is room again; being interrupted or made to wait is no failure.
    script.lessons.send(Lesson::Fail(io::ErrorKind::Interrupted)).unwrap();
    script.lessons.send(Lesson::Whole).unwrap();
    script.lessons.send(Lesson::Fail(io::ErrorKind::WouldBlock)).unwrap();
    script.lessons.send(Lesson::Part(5)).unwrap();
    record_path(&worker, &clock, "/e");
    worker.flush();
    script.lessons.send(Lesson::Whole).unwrap();
    script.log.finish(patience()).unwrap();

    let written = script.written();
    let lines: Vec<_> = written.lines().collect();
    assert_eq!(lines.len(), 3, "{written}");
    assert_eq!(parsed(&format!("{}\n", lines[0]))["path"], "/a");
    assert_eq!(lines[1].len(), 10);
    assert_eq!(parsed(&format!("{}\n", lines[2]))["path"], "/e");
    assert_eq!(script.metrics.dropped(), (0, 3));
}

#[test]
fn a_sample_takes_its_share_and_every_failure() {
    let script = Script::start(64);
    drop(script.lessons);
    let clock = Clock::manual(ManualTime::new(UNIX_EPOCH));
    let worker = script.log.worker(WorkerId(0), 7);
    let timeline = Timeline::of_request(clock.now());
    let logged = |share: u32, status: u16, reason: Option<Reason>| {
        let before = script.metrics.workers.sum(|shard| &shard.lines);
        let record = Record { status, reason, ..plain(&timeline) };
        for _ in 0..1_000 {
            worker.record(&format_of(&[], share), &clock, &record);
            worker.flush();
            script.log.sync(patience()).unwrap();
        }
        script.metrics.workers.sum(|shard| &shard.lines) - before
    };
    assert_eq!(logged(1_000_000, 200, None), 1_000);
    assert_eq!(logged(0, 200, None), 0);
    let tenth = logged(100_000, 200, None);
    assert!((70..130).contains(&tenth), "{tenth}");
    assert_eq!(logged(0, 404, Some(Reason::NoRoute)), 0);
    assert_eq!(logged(0, 308, Some(Reason::Redirected)), 0);
    assert_eq!(logged(0, 501, Some(Reason::MethodUnsupported)), 0);
    assert_eq!(logged(0, 0, Some(Reason::ClientAborted)), 0);
    assert_eq!(logged(0, 500, None), 1_000);
    assert_eq!(logged(0, 503, Some(Reason::UpstreamConnectFailed)), 1_000);
    assert_eq!(logged(0, 200, Some(Reason::UpstreamTruncated)), 1_000);
    assert_eq!(logged(0, 500, Some(Reason::Internal)), 1_000);
}

#[test]
fn one_seed_makes_one_sample() {
    let sampled = |seed: u64| {
        let logged = Logged::start();
        let worker = logged.log.worker(WorkerId(0), seed);
        let timeline = Timeline::of_request(logged.clock.now());
        for at in 0..100 {
            let path = at.to_string();
            let record = Record { path: path.as_bytes(), ..plain(&timeline) };
            worker.record(&format_of(&[], 200_000), &logged.clock, &record);
        }
        drop(worker);
        logged.log.finish(patience()).unwrap();
        logged.paths("access.log")
    };
    assert_eq!(sampled(1), sampled(1));
    assert_ne!(sampled(1), sampled(2));
}

#[test]
fn a_log_file_is_not_for_everybody() {
    use std::os::unix::fs::PermissionsExt;
    let logged = Logged::start();
    let file = logged.directory.path().join("access.log");
    assert_eq!(std::fs::metadata(file).unwrap().permissions().mode() & 0o007, 0);
}

#[test]
fn workers_share_one_log_by_reference_counts() {
    // The integrator keeps one in an `Rc` of each worker and gives it to every connection.
    let logged = Logged::start();
    let worker = Rc::new(logged.log.worker(WorkerId(0), 7));
    let connection = Rc::clone(&worker);
    logged.record(&connection, "/a");
    logged.record(&worker, "/b");
    drop((worker, connection));
    logged.log.finish(patience()).unwrap();
    assert_eq!(logged.paths("access.log"), ["/a", "/b"]);
}
