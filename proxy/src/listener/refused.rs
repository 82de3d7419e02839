//! Clients that are not taken in, as accepting sees them: for want of descriptors, of a place, of
//! memory, or of a PROXY protocol header.

use std::io;
use std::net::SocketAddr;

use tokio::time::Instant;

use crate::descriptors;
use crate::observe::failure::Failure;
use crate::proxy_protocol::Refused;
use crate::snapshot::LiveListener;
use crate::unserved::ConnectionFailure;
use crate::worker::{Bound, Worker};

/// The client waits in the kernel's queue meanwhile.
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

/// Of a client that was closed before anything was read of it.
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

/// Of a connection that should have begun with a PROXY protocol header.
pub(super) fn of_header(refused: &Refused) -> Failure {
    match refused {
        Refused::Untrusted => Failure::ProxyHeaderUntrusted,
        Refused::Absent => Failure::ProxyHeaderMissing,
        Refused::Header(_) => Failure::ProxyHeaderMalformed,
        Refused::Closed | Refused::Socket(_) => Failure::ProxyHeaderClosed,
    }
}
