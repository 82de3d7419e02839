//! A worker's end of the log: lines into a batch, batches into the queue, never a wait.

use std::cell::RefCell;
use std::sync::Arc;

use super::record::{Record, write_line};
use super::tunnel::{self, TunnelRecord};
use super::{BATCH_BYTES, Batch, LogFormat, Queue};
use crate::observe::clock::Clock;
use crate::observe::counter::WorkerId;
use crate::observe::metrics::AccessLogMetrics;

/// Writes the lines of one worker, which flushes it every fraction of a second and at its end.
#[derive(Debug)]
pub struct AccessLogWorker {
    queue: Queue,
    worker: WorkerId,
    metrics: Arc<AccessLogMetrics>,
    state: RefCell<BatchState>,
}

#[derive(Debug)]
struct BatchState {
    batch: Batch,
    random: fastrand::Rng,
}

/// Room for the line that fills a batch, so that an ordinary one never makes its buffer grow.
const BUFFER_BYTES: usize = BATCH_BYTES + 4 * 1024;

impl AccessLogWorker {
    pub(super) fn new(
        queue: Queue,
        worker: WorkerId,
        seed: u64,
        metrics: Arc<AccessLogMetrics>,
    ) -> Self {
        let batch = Batch { bytes: Vec::new(), lines: 0 };
        let state = RefCell::new(BatchState { batch, random: fastrand::Rng::with_seed(seed) });
        Self { queue, worker, metrics, state }
    }

    /// Adds the line of a finished request, if the format wants it.
    pub fn record(&self, format: &LogFormat, clock: &Clock, record: &Record<'_>) {
        let mut state = self.state.borrow_mut();
        let BatchState { batch, random } = &mut *state;
        if format.wants(record, |below| random.u32(0..below)) {
            self.add(batch, |line| write_line(line, format, clock, record));
        }
    }

    /// The same for a connection whose bytes were passed on.
    pub fn tunnel(&self, format: &LogFormat, clock: &Clock, record: &TunnelRecord<'_>) {
        let mut state = self.state.borrow_mut();
        let BatchState { batch, random } = &mut *state;
        if format.wants_tunnel(record, |below| random.u32(0..below)) {
            self.add(batch, |line| tunnel::write_line(line, clock, record));
        }
    }

    fn add(&self, batch: &mut Batch, write: impl FnOnce(&mut Vec<u8>)) {
        if batch.bytes.capacity() == 0 {
            // A worker at rest holds no buffer.
            batch.bytes = self.empty_buffer();
        }
        write(&mut batch.bytes);
        batch.lines += 1;
        if batch.bytes.len() >= BATCH_BYTES {
            self.hand_over(batch);
        }
    }

    /// Hands over what there is: at each tick, and before the worker ends.
    pub fn flush(&self) {
        let batch = &mut self.state.borrow_mut().batch;
        if batch.lines > 0 {
            self.hand_over(batch);
        }
    }

    fn hand_over(&self, batch: &mut Batch) {
        let lines = batch.lines;
        let full = std::mem::replace(batch, Batch { bytes: Vec::new(), lines: 0 });
        match self.queue.batches.try_send(full) {
            Ok(()) => self.metrics.handed_over(self.worker, lines.into()),
            Err(refused) => {
                self.metrics.queue_full(self.worker, lines.into());
                let mut buffer = refused.into_inner().bytes;
                buffer.clear();
                batch.bytes = buffer;
            }
        }
    }

    fn empty_buffer(&self) -> Vec<u8> {
        self.queue.buffers.try_recv().unwrap_or_else(|_| Vec::with_capacity(BUFFER_BYTES))
    }
}

impl Drop for AccessLogWorker {
    fn drop(&mut self) {
        self.flush();
    }
}
