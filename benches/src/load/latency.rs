//! The tail of the latency at a part of the load that an engine could bear.
//!
//! The rate is the same for all engines of a row, a share of what the reference among them
//! answers in a closed loop, so that none is helped by being slow.

use std::time::Duration;

use anyhow::bail;

use super::open::OpenLoop;
use super::{Load, Slice, on_generator_core, wrk};
use crate::engines::Running;
use crate::numbers::as_float;

/// What clients ask, and how often.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Requests {
    pub(crate) path: &'static str,
    pub(crate) connections: usize,
    pub(crate) rate: Rate,
}

#[derive(Debug, Clone, Copy)]
pub(crate) enum Rate {
    /// A part of what the reference answers, which is still to be found out.
    ShareOfCapacity(f64),
    /// Requests a second.
    Known(f64),
}

/// Slices of the suite's length that one slice of this takes: a tail wants many samples.
pub(super) const SLICES: u32 = 2;

/// Long enough that the moods of a machine even out somewhat.
const CAPACITY: Duration = Duration::from_secs(3);

impl Load {
    /// Whether the reference has to be asked first how much it can bear.
    pub(crate) fn wants_a_capacity(&self) -> bool {
        matches!(self, Self::Latency(Requests { rate: Rate::ShareOfCapacity(_), .. }))
    }

    /// The same load with the rate that follows from this engine's capacity.
    pub(crate) fn below_the_capacity_of(self, reference: &Running) -> anyhow::Result<Self> {
        let Self::Latency(requests @ Requests { rate: Rate::ShareOfCapacity(share), .. }) = self
        else {
            return Ok(self);
        };
        let closed =
            wrk::Requests { path: requests.path, connections: requests.connections, body: 0 };
        Ok(Self::Latency(Requests {
            rate: Rate::Known(share * capacity(&closed, reference)?),
            ..requests
        }))
    }
}

/// Requests a second that an engine answers when it is asked as fast as it answers.
pub(crate) fn capacity(requests: &wrk::Requests, engine: &Running) -> anyhow::Result<f64> {
    let slice = wrk::run(requests, engine, CAPACITY)?;
    if slice.errors > 0 || slice.requests == 0 {
        bail!("the reference fails requests: {slice:?}");
    }
    Ok(as_float(slice.requests) / slice.seconds)
}

/// What wrk would send.
pub(crate) fn request(engine: &Running, path: &str) -> Vec<u8> {
    let mut request =
        format!("GET {} HTTP/1.1\r\nHost: {}\r\n", engine.target(path), engine.host());
    for header in wrk::headers() {
        request.push_str(header);
        request.push_str("\r\n");
    }
    request.push_str("\r\n");
    request.into_bytes()
}

/// The figure is the 99th percentile in microseconds.
pub(super) fn run(
    requests: &Requests,
    engine: &Running,
    duration: Duration,
) -> anyhow::Result<Slice> {
    let Rate::Known(rate) = requests.rate else { bail!("the rate was not found out") };
    let load = OpenLoop {
        connections: requests.connections,
        ..OpenLoop::new(engine.address, request(engine, requests.path), rate, duration * SLICES)
    };
    let report = on_generator_core(engine.setting.cores, || load.run())?;
    Ok(Slice {
        requests: report.answered(),
        seconds: report.elapsed().as_secs_f64(),
        errors: report.failed(),
        figure: Some(report.latency(0.99).as_secs_f64() * 1e6),
        fell_behind: report.fell_behind(),
    })
}
