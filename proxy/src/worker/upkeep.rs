//! The periodic work of a worker, a few times a second: it flushes the access log, closes old
//! connections and frees memory that is not needed.

use std::rc::Rc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Worker;
use crate::idle_trim::{Activity, GiveBack, IdleTrim};
use crate::memory::Level;

/// How often batched log lines are flushed, however few there are.
const FLUSH_EVERY: Duration = Duration::from_millis(200);
/// How often idle upstream connections and client certificates are checked, in flushes.
const SWEEP_EVERY: u32 = 5;
/// How long a connection may make no progress while requests are refused, in flushes.
const STILL: u8 = 10;

/// Runs the periodic work: flushes log batches, closes idle upstream connections and connections of
/// revoked clients, and returns memory to the system when the worker is idle.
pub(crate) async fn upkeep(worker: Rc<Worker>, give_back: GiveBack) {
    let mut idle_trim = IdleTrim::default();
    let mut ticks = interval(FLUSH_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut until_sweep = SWEEP_EVERY;
    loop {
        ticks.tick().await;
        worker.log.flush();
        worker.give_way(give_back);
        worker.buffers.trim();
        worker.pipes.trim();
        worker.scratch.trim();
        until_sweep -= 1;
        if until_sweep == 0 {
            until_sweep = SWEEP_EVERY;
            let now = Instant::now();
            for upstream in &worker.current().upstreams {
                upstream.sweep(now);
            }
            worker.look_over_listeners();
            worker.listeners.borrow_mut().retain(|bound| !bound.has_ended());
        }
        if idle_trim.look(worker.activity()) {
            worker.listeners.borrow().iter().for_each(|bound| bound.connections.shrink());
            give_back();
        }
    }
}

impl Worker {
    /// Checks each listener: ends the connections of revoked clients, and logs when the listener is
    /// below its connection limit again.
    fn look_over_listeners(&self) {
        for bound in &*self.listeners.borrow() {
            let current = self.current_of(bound);
            let Some(live) = current.live(bound.id) else { continue };
            bound.log_recovery(&live);
            if let Some(tls) = live.tls() {
                bound.dismiss_revoked(tls);
            }
        }
    }

    /// Reduces memory use while memory is short: frees pooled buffers, and cuts connections that make
    /// no progress. The higher the memory level, the sooner they are cut.
    fn give_way(&self, give_back: GiveBack) {
        let level = self.memory().level();
        let mut shed = 0;
        for bound in &*self.listeners.borrow() {
            bound.connections.press(level > Level::Enough);
            shed += match level {
                Level::Enough | Level::Tight => 0,
                // New requests are refused already, so connections that stand still are cut.
                Level::Full => bound.connections.shed(STILL),
                Level::Over => bound.connections.shed(1),
            };
        }
        if shed > 0 {
            self.memory().count_cut(shed);
        }
        if level > Level::Enough {
            self.buffers.clear();
            // Also while the worker is busy: without memory it could not go on.
            give_back();
        }
        self.recent_requests.turn();
    }

    fn activity(&self) -> Activity {
        let upstreams = &self.current.borrow().upstreams;
        Activity {
            kept: self.buffers.kept() + self.scratch.kept(),
            tasks: Handle::current().metrics().num_alive_tasks(),
            idle: upstreams.iter().map(|upstream| upstream.idle_count()).sum(),
        }
    }
}
