//! The hot pieces of the engine, each as a case that can be repeated at will.
//!
//! A case is defined once, here; `benches/time.rs` and `benches/instructions.rs` drive it and know
//! no piece by name. Cases know nothing of who measures them, open no port and read no clock in
//! what they repeat: what is counted twice is the same twice.

mod cases;
mod fixture;

pub use cases::CASES;

/// One measured piece: each call does it once more, with buffers as the call before left them.
pub type Work = Box<dyn FnMut()>;

/// A piece of the engine under its name in tables and in the baseline.
#[derive(Clone, Copy)]
pub struct Case {
    pub name: &'static str,
    prepare: fn() -> Work,
}

/// Calls before anything is measured: buffers get their size, lazy things are looked up, and every
/// endpoint has answered often enough to be known.
const WARM: usize = 64;

impl Case {
    /// Everything that is not to be measured: the work, set up and warm.
    pub fn warm(&self) -> Work {
        let mut work = (self.prepare)();
        (0..WARM).for_each(|_| work());
        work
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::CASES;

    /// Set-ups assert that what they measure succeeds.
    #[test]
    fn every_case_runs() {
        CASES.iter().for_each(|case| case.warm()());
    }

    #[test]
    fn names_are_unique() {
        let names: HashSet<_> = CASES.iter().map(|case| case.name).collect();
        assert_eq!(names.len(), CASES.len());
    }
}
