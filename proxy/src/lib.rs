//! The data plane: everything between an accepted connection and the record of what was done.
//!
//! A request passes the modules in this order: `listener` with `tls`, `connection`, `handler` with
//! `http1` and `http2`, `decide` with `target`, `route` and `policy`, `forward` with `upstream`,
//! `relay`, and `exchange` with `observe`. The state that they share on one thread is the `worker`.
//!
//! The modules form layers: each imports only modules beneath it, as drawn in ARCHITECTURE.md.
//! No module knows whether the process is a gateway or a sidecar.

pub mod admin;
pub mod buffer;
pub mod cause;
pub mod client;
pub mod connection;
pub mod connection_balance;
pub mod control;
pub mod deadline;
pub mod decide;
pub mod descriptors;
pub mod drain;
pub mod error;
pub mod exchange;
pub mod explain;
pub mod fault;
pub mod forward;
mod free_list;
pub mod handler;
pub mod http1;
pub mod http2;
pub mod idle_trim;
pub mod io;
pub mod listener;
pub mod memory;
pub mod message;
pub mod observe;
pub mod offload;
pub mod peer;
pub mod pipe;
pub mod policy;
pub mod proxy_protocol;
pub mod relay;
pub mod respond;
pub mod route;
pub mod scratch;
pub mod server;
pub mod snapshot;
pub mod sockets;
pub mod stream;
pub mod target;
pub mod tls;
pub mod unserved;
pub mod upstream;
pub mod websocket;
pub mod worker;
pub mod world;
