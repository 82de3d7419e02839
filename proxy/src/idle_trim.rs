//! Idle trim: notices that a worker has become idle, so that freed memory can go back to the system.
//!
//! An allocator keeps freed memory for the next request. It is asked to return that memory when the
//! worker has been idle for a while, so that no request pays for it. Only the program knows which
//! allocator is in use.

/// Makes the allocator return to the system what the calling thread has freed.
pub type GiveBack = fn();

/// The worker is idle after this many looks without a change.
const QUIET: u32 = 5;

/// The activity of a worker at one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Activity {
    /// Buffers and the like that were used a moment ago.
    pub(crate) kept: usize,
    /// Connections and other tasks.
    pub(crate) tasks: usize,
    /// Idle connections to upstreams.
    pub(crate) idle: usize,
}

#[derive(Debug, Default)]
pub(crate) struct IdleTrim {
    last: Activity,
    /// Looks since the last change; `None` once memory was returned for it.
    quiet: Option<u32>,
}

impl IdleTrim {
    /// Whether to return memory now: once after each change, when the worker is idle. Call it a few
    /// times a second.
    pub(crate) fn look(&mut self, now: Activity) -> bool {
        if now.kept > 0 || now != self.last {
            self.last = now;
            self.quiet = Some(0);
            return false;
        }
        let Some(looks) = &mut self.quiet else { return false };
        *looks += 1;
        let quiet = *looks >= QUIET;
        if quiet {
            self.quiet = None;
        }
        quiet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many of `count` looks at this activity ask for a trim.
    fn looks(idle_trim: &mut IdleTrim, count: u32, now: Activity) -> usize {
        (0..count).filter(|_| idle_trim.look(now)).count()
    }

    #[test]
    fn it_is_given_back_once_behind_each_change() {
        let mut idle_trim = IdleTrim::default();
        let open = Activity { tasks: 3, ..Activity::default() };
        assert_eq!(looks(&mut idle_trim, 20, Activity::default()), 0, "there was no activity yet");
        assert_eq!(looks(&mut idle_trim, QUIET, open), 0);
        assert_eq!(looks(&mut idle_trim, 20, open), 1, "connections may stay open");
        assert_eq!(looks(&mut idle_trim, 20, Activity { idle: 1, ..open }), 1);
        assert_eq!(looks(&mut idle_trim, 20, Activity::default()), 1);
    }

    #[test]
    fn a_busy_worker_is_not_trimmed() {
        let mut idle_trim = IdleTrim::default();
        let busy = Activity { kept: 1, tasks: 3, idle: 0 };
        assert_eq!(looks(&mut idle_trim, 100, busy), 0);
        for tasks in 0..100 {
            assert!(!idle_trim.look(Activity { tasks, ..Activity::default() }));
        }
    }
}
