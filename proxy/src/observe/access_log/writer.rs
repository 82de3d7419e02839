//! The one thread that writes the access log. It may be slow or fail; no other thread waits for it.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use crossbeam_channel::{Receiver, Select, Sender, TryRecvError};
use portcullis_config::location::FileRef;
use portcullis_config::model::AccessLogSink;

use super::{Batch, LARGEST_KEPT_BUFFER};
use crate::observe::metrics::AccessLogMetrics;
use crate::world::WorldError;

/// What lines are written to.
pub(super) type Destination = Box<dyn Write + Send>;

/// What the control side asks of the writer.
pub(super) enum WriterCommand {
    Switch(Destination),
    /// Drop the sender once everything that is queued now is written.
    Sync(Sender<()>),
    Finish,
}

pub(super) struct Writer {
    pub(super) batches: Receiver<Batch>,
    pub(super) buffers: Sender<Vec<u8>>,
    pub(super) commands: Receiver<WriterCommand>,
    pub(super) destination: Destination,
    pub(super) metrics: Arc<AccessLogMetrics>,
    /// Disconnected when the writer has ended, which is its only message.
    pub(super) running: Sender<()>,
}

/// Opens a sink for appending. A file is readable by its owner and group: it holds addresses.
pub(super) fn open(sink: &AccessLogSink) -> Result<Destination, WorldError> {
    Ok(match sink {
        AccessLogSink::Disabled => Box::new(io::sink()),
        AccessLogSink::Stdout => stream(&io::stdout()),
        AccessLogSink::Stderr => stream(&io::stderr()),
        AccessLogSink::File(file) => {
            let opened = OpenOptions::new().append(true).create(true).mode(0o640).open(&file.path);
            Box::new(opened.map_err(|error| cannot_be_opened(file, &error))?)
        }
    })
}

/// A descriptor of its own: the standard library's handles buffer, lock and hide errors.
fn stream(stream: &impl AsFd) -> Destination {
    match stream.as_fd().try_clone_to_owned() {
        Ok(descriptor) => Box::new(File::from(descriptor)),
        Err(error) => {
            tracing::error!(%error, "there is no such stream for the access log; lines are lost");
            Box::new(io::sink())
        }
    }
}

fn cannot_be_opened(file: &FileRef, error: &io::Error) -> WorldError {
    let help = match error.kind() {
        ErrorKind::NotFound => {
            "create its folder, or correct the path: it is relative to the configuration file"
        }
        ErrorKind::PermissionDenied => "let the user of this process write there",
        _ => "name a file that can be appended to, `stdout`, `stderr` or `disabled`",
    };
    WorldError::of_file(file, format!("the access log cannot be opened: {error}"), help)
}

pub(super) fn spawn(writer: Writer) -> io::Result<()> {
    let builder = thread::Builder::new().name("access-log".to_owned()).stack_size(128 * 1024);
    builder.spawn(move || writer.run()).map(drop)
}

impl Writer {
    fn run(self) {
        let Self { batches, buffers, commands, destination, metrics, running } = self;
        let output = Output { destination, metrics, state: LineState::Whole, failing: false };
        serve(batches, commands, BatchWriter { output, buffers });
        // Last of all: who waits for the end must find the queue closed and the file too.
        drop(running);
    }
}

#[allow(clippy::needless_pass_by_value, reason = "all of it ends with the writer")]
fn serve(batches: Receiver<Batch>, commands: Receiver<WriterCommand>, mut desk: BatchWriter) {
    let mut something = Select::new();
    something.recv(&batches);
    something.recv(&commands);
    loop {
        something.ready();
        // Commands first: a line logged after a reopening belongs into the new file.
        match commands.try_recv() {
            Ok(WriterCommand::Switch(destination)) => desk.output.switch(destination),
            Ok(WriterCommand::Sync(waiting)) => {
                desk.write_queued(&batches);
                drop(waiting);
            }
            Ok(WriterCommand::Finish) | Err(TryRecvError::Disconnected) => {
                return desk.write_queued(&batches);
            }
            Err(TryRecvError::Empty) => match batches.try_recv() {
                Ok(batch) => desk.write(batch),
                Err(TryRecvError::Empty) => {}
                Err(TryRecvError::Disconnected) => return,
            },
        }
    }
}

/// Batches in, written lines and empty buffers out.
struct BatchWriter {
    output: Output,
    buffers: Sender<Vec<u8>>,
}

impl BatchWriter {
    /// Only what is queued already: a worker that still logs must not keep the writer here.
    fn write_queued(&mut self, batches: &Receiver<Batch>) {
        for batch in batches.try_iter().take(batches.len()) {
            self.write(batch);
        }
    }

    fn write(&mut self, batch: Batch) {
        let mut buffer = self.output.write(batch);
        if buffer.capacity() <= LARGEST_KEPT_BUFFER {
            buffer.clear();
            // When there are enough of them already, this one is freed.
            let _ = self.buffers.try_send(buffer);
        }
    }
}

struct Output {
    destination: Destination,
    metrics: Arc<AccessLogMetrics>,
    state: LineState,
    /// The last batch failed: said once, not for each batch.
    failing: bool,
}

/// Where the last write ended.
#[derive(PartialEq)]
enum LineState {
    Whole,
    /// In the middle of a line: the next one needs a line break first.
    Torn,
}

impl Output {
    fn switch(&mut self, destination: Destination) {
        self.destination = destination;
        self.state = LineState::Whole;
    }

    /// Returns the batch's buffer.
    fn write(&mut self, batch: Batch) -> Vec<u8> {
        match self.write_lines(&batch.bytes) {
            Ok(()) if self.failing => {
                self.failing = false;
                tracing::info!("the access log is written again");
            }
            Ok(()) => {}
            Err((error, whole_lines)) => {
                self.metrics.write_failed(u64::from(batch.lines).saturating_sub(whole_lines));
                if !self.failing {
                    self.failing = true;
                    tracing::error!(%error, "the access log cannot be written; lines are lost");
                }
            }
        }
        batch.bytes
    }

    /// Fails with how many lines were written whole all the same.
    fn write_lines(&mut self, lines: &[u8]) -> Result<(), (io::Error, u64)> {
        if self.state == LineState::Torn {
            write_all(&mut self.destination, b"\n").map_err(|(error, _)| (error, 0))?;
            self.state = LineState::Whole;
        }
        write_all(&mut self.destination, lines).map_err(|(error, written)| {
            let written = &lines[..written];
            if written.last().is_some_and(|byte| *byte != b'\n') {
                self.state = LineState::Torn;
            }
            let whole_lines = memchr::memchr_iter(b'\n', written).count();
            (error, whole_lines as u64)
        })
    }
}

/// A reader that is away this long (100 times 10 ms) loses lines.
const PATIENCE: u32 = 100;

/// Fails with the number of bytes that were written before.
fn write_all(destination: &mut Destination, bytes: &[u8]) -> Result<(), (io::Error, usize)> {
    let mut written = 0;
    let mut waits = 0;
    while written < bytes.len() {
        match destination.write(&bytes[written..]) {
            Ok(0) => return Err((ErrorKind::WriteZero.into(), written)),
            Ok(count) => {
                written += count;
                waits = 0;
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // Standard output may be a pipe that another process made non-blocking.
            Err(error) if error.kind() == ErrorKind::WouldBlock && waits < PATIENCE => {
                waits += 1;
                thread::sleep(Duration::from_millis(10));
            }
            Err(error) => return Err((error, written)),
        }
    }
    Ok(())
}

impl std::fmt::Debug for WriterCommand {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.write_str(match self {
            Self::Switch(_) => "Switch",
            Self::Sync(_) => "Sync",
            Self::Finish => "Finish",
        })
    }
}
