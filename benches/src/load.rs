//! What is done to an engine for the length of a slice, and what came of it.
//!
//! A load is data; each kind has a module of its own. It knows nothing of rounds or of other
//! engines.

pub(crate) mod grpc;
pub(crate) mod h2load;
pub(crate) mod handshakes;
pub(crate) mod latency;
pub(crate) mod memory;
pub(crate) mod open;
mod own;
mod response;
pub(crate) mod shop;
pub(crate) mod websocket;
pub(crate) mod wrk;

use std::process::{Command, Stdio};
use std::time::Duration;

pub(crate) use self::own::on_generator_core;
use crate::engines::{GENERATOR_CORE, Running};
use crate::setting::Cores;
use crate::setup::{self, Need};

#[derive(Debug, Clone, Copy)]
pub(crate) enum Load {
    /// A closed loop of HTTP/1.
    Http1(wrk::Requests),
    /// A closed loop of HTTP/2.
    Http2(h2load::Requests),
    /// Connections that hold memory.
    Memory(memory::Held),
    /// An open loop of HTTP/1; its figure is the tail of the latency.
    Latency(latency::Requests),
    /// TLS connections, each for one request.
    Handshakes(handshakes::Clients),
    /// Messages there and back by WebSocket.
    WebSocket(websocket::Clients),
    /// Messages there and back in calls of gRPC.
    GrpcStreams(grpc::Clients),
    /// Customers of the real shop.
    Shop(shop::Customers),
}

/// What one slice of load found.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Slice {
    /// What was completed: requests, or whatever the row counts.
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    /// What failed.
    pub(crate) errors: u64,
    /// The row's figure where the load finds it itself; otherwise it is the engine's processor
    /// time for each request, from the start of the load to its end.
    pub(crate) figure: Option<f64>,
    /// The generator did not keep up with itself, so that the figure is rather its own.
    pub(crate) fell_behind: bool,
}

impl Load {
    /// Puts a started engine under this load for about so long.
    pub(crate) fn apply(&self, engine: &Running, duration: Duration) -> anyhow::Result<Slice> {
        match self {
            Self::Http1(requests) => wrk::run(requests, engine, duration),
            Self::Http2(requests) => h2load::run(requests, engine, duration),
            Self::Memory(held) => memory::run(held, engine),
            Self::Latency(requests) => latency::run(requests, engine, duration),
            Self::Handshakes(clients) => handshakes::run(clients, engine, duration),
            Self::WebSocket(clients) => websocket::run(clients, engine, duration),
            Self::GrpcStreams(clients) => grpc::run(clients, engine, duration),
            // Their number of orders says how long they stay.
            Self::Shop(customers) => shop::run(customers, engine),
        }
    }

    /// Whether it sends as fast as it is answered, so that the engine should never wait.
    pub(crate) fn is_closed(&self) -> bool {
        match self {
            Self::Http1(_) | Self::Http2(_) | Self::WebSocket(_) | Self::GrpcStreams(_) => true,
            // A handshake costs the client more than the engine.
            Self::Memory(_) | Self::Latency(_) | Self::Handshakes(_) => false,
            // Nor is the engine what customers wait for in the shop.
            Self::Shop(_) => false,
        }
    }

    /// Whether its figures are the engine's processor time.
    pub(crate) fn is_of_processor_time(&self) -> bool {
        !matches!(self, Self::Memory(_) | Self::Latency(_))
    }

    /// Whether every slice wants a process that has served nothing before.
    pub(crate) fn wants_a_new_process(&self) -> bool {
        matches!(self, Self::Memory(_))
    }

    /// Seconds that a slice takes, start of a new process included, for telling how long a run
    /// lasts.
    pub(crate) fn about_seconds(&self, slice: u64) -> u64 {
        match self {
            Self::Http1(_) | Self::Http2(_) => slice,
            Self::Handshakes(_) | Self::WebSocket(_) | Self::GrpcStreams(_) => slice,
            Self::Memory(held) => held.about_seconds(),
            Self::Latency(_) => slice * u64::from(latency::SLICES),
            Self::Shop(_) => shop::ABOUT_SECONDS,
        }
    }

    /// Programs that it uses.
    pub(crate) fn needs(&self) -> &'static [Need] {
        match self {
            Self::Http1(_) | Self::Latency(_) => &[setup::WRK],
            Self::Http2(_) => &[setup::H2LOAD],
            Self::Memory(_) | Self::Handshakes(_) | Self::WebSocket(_) | Self::GrpcStreams(_) => {
                &[]
            }
            Self::Shop(_) => &[setup::SHOP, setup::SIMULATOR],
        }
    }
}

/// A generator, where it disturbs the engine least.
fn generator(program: &str, cores: Cores) -> Command {
    let mut command = match cores {
        Cores::Split => {
            let mut command = Command::new("taskset");
            command.args(["-c", &GENERATOR_CORE.to_string(), program]);
            command
        }
        Cores::Shared => Command::new(program),
    };
    command.stdin(Stdio::null());
    command
}
