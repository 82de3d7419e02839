//! The life of the process: what a reload, a signal or a shortage costs those who are served.
//!
//! Every test runs the real binary and sees what an operator and a client see. Short forms of
//! what `portcullis-bench soak` runs at length.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

mod certificates;
mod connections;
mod drain;
mod endpoints;
mod examples;
mod gateway;
mod listeners;
mod log;
mod memory;
mod passwords;
mod reload;
mod shortage;
mod watch;
mod websocket;
