//! One connection of a `tcp` or `tls-passthrough` listener, from its accept to its record.
//!
//! Bytes are passed on unread; of TLS that is passed on, the first message is looked at for the
//! name that chooses the route. Knows no HTTP.

mod open;
mod record;

use crate::client::Client;
use crate::error::Reason;
use crate::relay::tunnel::{Early, Tunnel, TunnelEnd};
use crate::upstream::outcome::AttemptOutcome;
use crate::worker::Worker;
use open::Opened;
use record::TunnelFacts;
use std::rc::Rc;
use tokio::time::Instant;

/// Serves until both sides have closed, or a limit is reached. A drain does not end
/// it: it goes on until the process ends.
pub async fn serve(worker: Rc<Worker>, client: Rc<Client>) {
    let current = worker.current_of(&client.listener);
    let mut facts = TunnelFacts::begin(worker, client, current.snapshot.generation);
    // Boxed: what opening needs is gone before the first byte passes.
    let opened = Box::pin(open::open(&current, &mut facts)).await;
    // From here on the generation is not needed, and may die.
    drop(current);
    match opened {
        Ok(opened) => {
            let reason = relay(&facts, opened).await;
            facts.end(reason);
        }
        Err(reason) => facts.end(Some(reason)),
    }
}

async fn relay(facts: &TunnelFacts, opened: Opened) -> Option<Reason> {
    let (worker, client) = (&facts.worker, &facts.client);
    let Opened { connection, trial, metrics, early, gone, idle } = opened;
    let shard = metrics.of(worker.id());
    let tunnel = Tunnel {
        client: &client.io,
        upstream: &connection.io,
        buffers: worker.buffers(),
        pipes: worker.pipes(),
        deadline: &client.deadline,
        idle,
        until: client.ends_at,
        counters: &facts.counters,
    };
    let early = Early { from_client: early, from_upstream: None };
    let reason = tokio::select! {
        biased;
        end = tunnel.run(early) => match end {
            TunnelEnd::Closed => None,
            TunnelEnd::ClientBroke => Some(Reason::ClientAborted),
            TunnelEnd::UpstreamBroke => Some(Reason::UpstreamReset),
            TunnelEnd::Idle => Some(Reason::TunnelIdle),
            TunnelEnd::Expired => Some(Reason::MaxAge),
        },
        () = gone.draining() => {
            tunnel.cut();
            Some(Reason::RouteGone)
        }
        () = client.registration.dismissed() => {
            tunnel.cut();
            Some(Reason::ClientRevoked)
        }
    };
    if reason == Some(Reason::UpstreamReset) {
        trial.record(AttemptOutcome::TunnelReset, Instant::now());
    }
    drop(trial);
    shard.closed.increment();
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tunnel at rest is this, its two connections and their sockets' registrations.
    #[test]
    fn a_tunnel_at_rest_is_small() {
        let future = std::mem::size_of_val(&future_of(serve));
        assert!(future <= 2_048, "the task's future takes {future} bytes");
    }

    fn future_of<F: Future>(_: impl Fn(Rc<Worker>, Rc<Client>) -> F) -> std::mem::MaybeUninit<F> {
        std::mem::MaybeUninit::uninit()
    }
}
