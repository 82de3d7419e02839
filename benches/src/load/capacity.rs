//! How many requests a second an engine answers when it is asked as fast as it answers.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::bail;

use crate::{compare, wrk};

/// The share of the reference's capacity that an open loop asks for.
pub(crate) const LOAD: f64 = 0.4;

/// Long enough that a machine's moods even out somewhat.
const TIME: Duration = Duration::from_secs(3);

/// Requests a second in a closed loop with so many connections.
pub(crate) fn capacity(target: SocketAddr, path: &str, connections: usize) -> anyhow::Result<f64> {
    let slice = wrk::run(target, path, connections, TIME)?;
    if slice.errors > 0 || slice.requests == 0 {
        bail!("the engine fails requests: {slice:?}");
    }
    Ok(compare::as_float(slice.requests) / slice.seconds)
}
