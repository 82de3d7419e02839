//! gRPC as others speak it: tonic and grpcio as clients, tonic as the service, the proxy between.

#![allow(clippy::unwrap_used, reason = "what cannot be set up is a failed test")]

mod calls;
mod example;
mod failures;
mod harness;
mod python;
mod service;
mod web;
