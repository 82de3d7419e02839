//! What becomes of lines on their way to the sink, and after it fails.

use std::io::Write;
use std::path::PathBuf;
use std::rc::Rc;

use portcullis_config::location::FileRef;

use super::*;
use crate::route::testing::location;

/// A log into a file of a directory of its own.
struct Logged {
    directory: tempfile::TempDir,
    log: AccessLog,
    metrics: Arc<AccessLogMetrics>,
    clock: Clock,
}

fn open(path: PathBuf) -> Result<OpenSink, WorldError> {
    OpenSink::open(&AccessLogSink::File(FileRef { path, location: location(7) }))
}

impl Logged {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let metrics = metrics();
        let sink = open(directory.path().join("access.log")).unwrap();
        let log = AccessLog::start(sink, Arc::clone(&metrics)).unwrap();
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
    let error = open(missing).err().unwrap();
    assert!(error.to_string().starts_with("gate.yaml:7:5: "), "{error}");
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
    logged.log.redirect(open("/dev/full".into()).unwrap()).unwrap();
    for _ in 0..3 {
        logged.record(&worker, "/lost");
    }
    worker.flush();
    logged.log.sync(patience()).unwrap();
    assert_eq!(logged.metrics.dropped(), (0, 3));
    let file = logged.directory.path().join("access.log");
    logged.log.redirect(open(file).unwrap()).unwrap();
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

    // The writer has ended: further lines are only counted.
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
