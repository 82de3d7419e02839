//! The slow work of a worker, a few times a second: what batches leaves, what is old is closed, and
//! what is not needed is given back.

use std::rc::Rc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::Worker;
use crate::idle_trim::{Activity, GiveBack, IdleTrim};
use crate::memory::Level;

/// How often batched log lines leave, whatever their number.
const FLUSH_EVERY: Duration = Duration::from_millis(200);
/// How often idle upstream connections and clients' certificates are looked over, in flushes.
const SWEEP_EVERY: u32 = 5;
/// How long a connection may stand still while requests are refused, in flushes.
const STILL: u8 = 10;

/// The slow work of a worker: log batches leave, idle upstream connections are closed, and those
/// of revoked clients; memory is given back when there is no other work.
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
    /// Looks over each listener: clients that were revoked since go, and one that has left its
    /// limit says so.
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

    /// Gives way while memory is short: nothing is kept that is not in use, and whoever stands
    /// still is cut, the sooner the less there is.
    fn give_way(&self, give_back: GiveBack) {
        let level = self.memory().level();
        let mut shed = 0;
        for bound in &*self.listeners.borrow() {
            bound.connections.press(level > Level::Enough);
            shed += match level {
                Level::Enough | Level::Tight => 0,
                // Nobody is served any more: what they hold is worth more than their patience.
                Level::Full => bound.connections.shed(STILL),
                Level::Over => bound.connections.shed(1),
            };
        }
        if shed > 0 {
            self.memory().count_cut(shed);
        }
        if level > Level::Enough {
            self.buffers.clear();
            // Even while there is work: there will be none without memory.
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
