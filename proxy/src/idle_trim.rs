//! Sees when the work of a worker has ebbed away, so that what it needed can be given back.
//!
//! An allocator keeps what a thread has freed for those who come next. It is asked to hand that
//! back when nobody has come for a while, so that no request pays for it. Which allocator it is,
//! only the program knows.

/// Makes the allocator hand back what the calling thread has freed.
pub type GiveBack = fn();

/// Looks without a change that make a quiet.
const QUIET: u32 = 5;

/// What a worker has afoot at one look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Activity {
    /// Buffers and their like that were of use a moment ago.
    pub(crate) kept: usize,
    /// Connections and whatever else runs.
    pub(crate) tasks: usize,
    /// Idle connections to upstreams.
    pub(crate) idle: usize,
}

#[derive(Debug, Default)]
pub(crate) struct IdleTrim {
    last: Activity,
    /// Looks since the last change; `None` once it was acted upon.
    quiet: Option<u32>,
}

impl IdleTrim {
    /// Whether this is the moment to give back: once behind each change, when nothing moves any
    /// more. To be called a few times a second.
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

    /// How often it is the moment in so many looks at this.
    fn looks(idle_trim: &mut IdleTrim, count: u32, now: Activity) -> usize {
        (0..count).filter(|_| idle_trim.look(now)).count()
    }

    #[test]
    fn it_is_given_back_once_behind_each_change() {
        let mut idle_trim = IdleTrim::default();
        let open = Activity { tasks: 3, ..Activity::default() };
        assert_eq!(looks(&mut idle_trim, 20, Activity::default()), 0, "nothing was afoot yet");
        assert_eq!(looks(&mut idle_trim, QUIET, open), 0);
        assert_eq!(looks(&mut idle_trim, 20, open), 1, "connections may stay open");
        assert_eq!(looks(&mut idle_trim, 20, Activity { idle: 1, ..open }), 1);
        assert_eq!(looks(&mut idle_trim, 20, Activity::default()), 1);
    }

    #[test]
    fn nobody_who_works_is_disturbed() {
        let mut idle_trim = IdleTrim::default();
        let busy = Activity { kept: 1, tasks: 3, idle: 0 };
        assert_eq!(looks(&mut idle_trim, 100, busy), 0);
        for tasks in 0..100 {
            assert!(!idle_trim.look(Activity { tasks, ..Activity::default() }));
        }
    }
}
