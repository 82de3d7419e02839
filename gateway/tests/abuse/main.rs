//! What clients can do to the real binary, and what it costs: floods, slowness, numbers, sizes.
//!
//! `docs/hardening.md` says which figure is held where.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

mod floods;
mod gateway;
mod idle;
mod levels;
mod memory;
mod sizes;
mod slow;
mod victims;

/// Held alone by tests that measure time, and together by all others: what runs beside a test is
/// no concern of its figures.
static ALONE: tokio::sync::RwLock<()> = tokio::sync::RwLock::const_new(());
