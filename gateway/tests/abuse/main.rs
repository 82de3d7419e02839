//! What clients can do to the real binary, and what it costs: floods, slowness, numbers, sizes.
//!
//! `docs/hardening.md` says which figure is held where.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

mod floods;
mod gateway;
mod memory;
