//! The access log: one JSON line for each request, and nothing that a request waits for.
//!
//! A worker formats into its own batch ([`AccessLogWorker`]); full batches go through a bounded
//! queue to the one writer thread. When the queue is full or the disk is, lines are lost and
//! counted. The fields are a documented interface: `docs/observability.md`.

mod escape;
mod format;
mod record;
mod secret;
mod tunnel;
mod worker;
mod writer;

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};
use portcullis_config::model::AccessLogSink;

use super::WorkerId;
use super::metrics::{AccessLogMetrics, locked};
use crate::world::WorldError;
use writer::{Destination, WriterCommand};

pub use format::LogFormat;
pub use record::{Answerer, Record, TlsRecord};
pub use tunnel::TunnelRecord;
pub use worker::AccessLogWorker;

/// A worker hands its batch over once it holds this many bytes.
const BATCH_BYTES: usize = 64 * 1024;

/// Batches that may wait for the writer: 2 MiB.
const QUEUED_BATCHES: usize = 32;

/// Buffers that a long line has grown beyond this are not used again.
const LARGEST_KEPT_BUFFER: usize = 2 * BATCH_BYTES;

/// The process's access log. Dropping it lets the writer end in its own time.
#[derive(Debug)]
pub struct AccessLog {
    queue: Queue,
    commands: Sender<WriterCommand>,
    done: Receiver<()>,
    sink: Mutex<AccessLogSink>,
    metrics: Arc<AccessLogMetrics>,
}

/// A sink that is open and may be written to.
pub struct OpenSink {
    sink: AccessLogSink,
    destination: Destination,
}

impl OpenSink {
    /// # Errors
    /// When a file cannot be opened.
    pub fn open(sink: &AccessLogSink) -> Result<Self, WorldError> {
        Ok(Self { destination: writer::open(sink)?, sink: sink.clone() })
    }
}

/// Lines on their way to the writer.
#[derive(Debug)]
struct Batch {
    bytes: Vec<u8>,
    lines: u32,
}

/// Where workers put full batches and take empty buffers from.
#[derive(Debug, Clone)]
struct Queue {
    batches: Sender<Batch>,
    buffers: Receiver<Vec<u8>>,
}

/// The log could not be written to its end in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the access log was not written to its end in time")]
pub struct Unfinished;

impl AccessLog {
    /// Starts the writer thread.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(open: OpenSink, metrics: Arc<AccessLogMetrics>) -> io::Result<Self> {
        Self::start_with(open.sink, open.destination, QUEUED_BATCHES, metrics)
    }

    /// What a worker writes its lines with. The seed is for sampling.
    pub fn worker(&self, worker: WorkerId, seed: u64) -> AccessLogWorker {
        AccessLogWorker::new(self.queue.clone(), worker, seed, Arc::clone(&self.metrics))
    }

    /// Opens the file again under its name: SIGUSR1, after the old one was renamed.
    ///
    /// # Errors
    /// When it cannot be opened; the old file is written on.
    pub fn reopen(&self) -> io::Result<()> {
        // Held over both steps, so that the log is not redirected in between.
        let current = locked(&self.sink);
        let destination = writer::open(&current).map_err(io::Error::other)?;
        self.switch(destination)
    }

    /// Sends later lines to another sink: a reload. Lines that were queued before go there too.
    ///
    /// # Errors
    /// When the writer is stuck; the old sink is written on.
    pub fn redirect(&self, open: OpenSink) -> io::Result<()> {
        // Held over both steps, so that two callers cannot leave name and file of different sinks.
        let mut current = locked(&self.sink);
        self.switch(open.destination)?;
        *current = open.sink;
        Ok(())
    }

    fn switch(&self, destination: Destination) -> io::Result<()> {
        let stuck = |_| io::Error::other("the writer of the access log does not answer");
        self.commands.try_send(WriterCommand::Switch(destination)).map_err(stuck)
    }

    /// Waits until all lines that were handed over before are written or lost.
    ///
    /// # Errors
    /// When the sink is too slow for the deadline.
    pub fn sync(&self, deadline: Instant) -> Result<(), Unfinished> {
        let (written, done) = bounded(0);
        self.commands.try_send(WriterCommand::Sync(written)).map_err(|_| Unfinished)?;
        disconnected_before(&done, deadline)
    }

    /// Writes what is queued and ends the writer. Workers must have flushed before. Blocks: a
    /// runtime calls it from a thread that may.
    ///
    /// # Errors
    /// When the sink is too slow: what is still queued is lost with the process.
    pub fn finish(&self, deadline: Instant) -> Result<(), Unfinished> {
        // A full command queue has a writer that is stuck, a closed one has ended.
        let _ = self.commands.try_send(WriterCommand::Finish);
        disconnected_before(&self.done, deadline)
    }

    fn start_with(
        sink: AccessLogSink,
        destination: Destination,
        queued_batches: usize,
        metrics: Arc<AccessLogMetrics>,
    ) -> io::Result<Self> {
        let (batches, batches_to_write) = bounded(queued_batches);
        let (empty_buffers, buffers) = bounded(queued_batches);
        let (commands, commands_to_obey) = bounded(16);
        let (running, done) = bounded(0);
        let writer = writer::Writer {
            batches: batches_to_write,
            buffers: empty_buffers,
            commands: commands_to_obey,
            destination,
            metrics: Arc::clone(&metrics),
            running,
        };
        writer::spawn(writer)?;
        let queue = Queue { batches, buffers };
        Ok(Self { queue, commands, done, sink: Mutex::new(sink), metrics })
    }
}

/// The other end says that it is done by going away.
fn disconnected_before(done: &Receiver<()>, deadline: Instant) -> Result<(), Unfinished> {
    match done.recv_deadline(deadline) {
        Ok(()) | Err(RecvTimeoutError::Disconnected) => Ok(()),
        Err(RecvTimeoutError::Timeout) => Err(Unfinished),
    }
}

#[cfg(test)]
mod tests;
