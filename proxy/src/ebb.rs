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
pub(crate) struct Afoot {
    /// Buffers and their like that were of use a moment ago.
    pub(crate) kept: usize,
    /// Connections and whatever else runs.
    pub(crate) tasks: usize,
    /// Idle connections to upstreams.
    pub(crate) idle: usize,
}

#[derive(Debug, Default)]
pub(crate) struct Ebb {
    last: Afoot,
    /// Looks since the last change; `None` once it was acted upon.
    quiet: Option<u32>,
}

impl Ebb {
    /// Whether this is the moment to give back: once behind each change, when nothing moves any
    /// more. To be called a few times a second.
    pub(crate) fn look(&mut self, now: Afoot) -> bool {
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
    fn looks(ebb: &mut Ebb, count: u32, now: Afoot) -> usize {
        (0..count).filter(|_| ebb.look(now)).count()
    }

    #[test]
    fn it_is_given_back_once_behind_each_change() {
        let mut ebb = Ebb::default();
        let open = Afoot { tasks: 3, ..Afoot::default() };
        assert_eq!(looks(&mut ebb, 20, Afoot::default()), 0, "nothing was afoot yet");
        assert_eq!(looks(&mut ebb, QUIET, open), 0);
        assert_eq!(looks(&mut ebb, 20, open), 1, "connections may stay open");
        assert_eq!(looks(&mut ebb, 20, Afoot { idle: 1, ..open }), 1);
        assert_eq!(looks(&mut ebb, 20, Afoot::default()), 1);
    }

    #[test]
    fn nobody_who_works_is_disturbed() {
        let mut ebb = Ebb::default();
        let busy = Afoot { kept: 1, tasks: 3, idle: 0 };
        assert_eq!(looks(&mut ebb, 100, busy), 0);
        for tasks in 0..100 {
            assert!(!ebb.look(Afoot { tasks, ..Afoot::default() }));
        }
    }
}
