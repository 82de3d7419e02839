//! The hot pieces of the engine, each as a case that can be repeated at will.
//!
//! A case is defined once, here; `benches/time.rs` and `benches/instructions.rs` drive it and know
//! no piece by name. Cases know nothing of who measures them, open no port and read no clock in
//! what they repeat: what is counted twice is the same twice.

mod case;
mod cases;
mod fixture;

pub use case::{Case, Work};
pub use cases::CASES;

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
