//! Connections that are refused when they are accepted: no descriptor is left, the connection limit
//! or the memory limit is reached, or the PROXY protocol header is missing.

use std::io;
use std::net::SocketAddr;

use tokio::time::Instant;

use crate::descriptors;
use crate::observe::failure::Failure;
use crate::proxy_protocol::Refused;
use crate::snapshot::LiveListener;
use crate::unserved::ConnectionFailure;
use crate::worker::{Bound, Worker};

/// Reports that accepting pauses. Clients wait in the kernel's queue meanwhile.
pub(super) fn report_exhausted(worker: &Worker, bound: &Bound, error: &io::Error) {
    let Some(listener) = worker.current_of(bound).live(bound.id) else { return };
    let is_shortage = descriptors::is_shortage(error);
    let failure = if is_shortage { Failure::Descriptors } else { Failure::KernelMemory };
    let failed = ConnectionFailure::new(failure, listener.metrics(), worker.id(), None);
    match is_shortage {
        true => {
            let help = descriptors::help(error);
            failed.report(format_args!("out of descriptors: {error}; {help}"));
        }
        false => failed.report(format_args!("the kernel has no memory for it: {error}")),
    }
}

/// Reports a connection that was closed before anything was read from it.
pub(super) fn report_refused(
    worker: &Worker,
    bound: &Bound,
    listener: &LiveListener,
    peer: Option<SocketAddr>,
    over: bool,
) {
    let failure = if over { Failure::MemoryLimit } else { Failure::ConnectionLimit };
    let failed = ConnectionFailure::new(failure, listener.metrics(), worker.id(), peer);
    if over {
        let memory = worker.memory();
        let (resident, limit) = (memory.resident(), memory.limit().unwrap_or_default());
        failed.report(format_args!("{resident} bytes are resident, the limit is {limit}"));
    } else {
        bound.balancer.refused(Instant::now());
        let limit = listener.most_connections();
        failed
            .report(format_args!("the listener has {limit} connections, its connectionLimits.max"));
    }
}

/// The failure to count when a PROXY protocol header was required and did not come.
pub(super) fn of_header(refused: &Refused) -> Failure {
    match refused {
        Refused::Untrusted => Failure::ProxyHeaderUntrusted,
        Refused::Absent => Failure::ProxyHeaderMissing,
        Refused::Header(_) => Failure::ProxyHeaderMalformed,
        Refused::Closed | Refused::Socket(_) => Failure::ProxyHeaderClosed,
    }
}
