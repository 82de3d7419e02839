//! The data plane: everything between an accepted connection and the record of what was done.
//!
//! The path of a request is the path of the files: `worker`, `listener`, `tls`, `http1`, `handler`,
//! `decide` with `route` and `policy`, `forward` with `upstream`, `relay`, and `observe`.
//! Nothing here knows which role, gateway or sidecar, it plays.

pub mod error;
pub mod message;
pub mod upstream;
