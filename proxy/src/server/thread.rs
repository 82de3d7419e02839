//! The thread of a worker: its runtime, and the loop that runs commands until their queue is closed.

use std::io;
use std::rc::Rc;

use tokio::runtime::LocalOptions;
use tokio::sync::mpsc;

use crate::idle_trim::GiveBack;
use crate::listener::{self, Acceptor};
use crate::worker::{Command, Setup, Worker, upkeep};

/// Runs a worker on this thread until its command queue is closed.
pub(super) fn run(
    setup: Setup,
    mut commands: mpsc::Receiver<Command>,
    give_back: GiveBack,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .event_interval(61)
        .build_local(LocalOptions::default())?;
    runtime.block_on(async move {
        let worker = Worker::new(setup);
        tokio::task::spawn_local(upkeep(Rc::clone(&worker), give_back));
        while let Some(command) = commands.recv().await {
            obey(&worker, command);
        }
        worker.log().flush();
    });
    Ok(())
}

fn obey(worker: &Rc<Worker>, command: Command) {
    match command {
        Command::Listen { id, socket, handover, balancer, snapshot } => match Acceptor::new(socket)
        {
            Ok(acceptor) => {
                let bound = worker.listen(id, balancer, snapshot);
                let worker = Rc::clone(worker);
                tokio::task::spawn_local(listener::accept(worker, bound, acceptor, handover));
            }
            Err(error) => tracing::error!(%error, "a socket could not be registered"),
        },
        Command::Retire(id) => worker.retire(id),
        Command::Drain { patience, done } => worker.drain(patience, done),
    }
}
