//! One of the load's connections: takes turns, sends, reads, and says how each request ended.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::arrival::acknowledged;
use super::pacer::{Pacer, Turn};
use super::report::{Failure, Outcome, Report};
use super::{Load, LoadRequest, Progress};
use crate::client::Stream;
use crate::http::{Decoder, Response};

pub(super) struct Worker {
    number: usize,
    load: Arc<Load>,
    pacer: Arc<Pacer>,
    progress: Arc<Progress>,
    start: Instant,
    report: Report,
}

pub(super) struct Connection {
    stream: Stream,
    decoder: Decoder,
    bytes: Vec<u8>,
    /// Requests answered on it.
    answered: u64,
}

/// What stirred on a connection between two requests.
enum Stir {
    Closed,
    /// Bytes that answer nothing.
    Unasked,
}

/// Why there is no response.
pub(super) type Unhappy = (Outcome, String);

impl Worker {
    pub(super) fn new(
        number: usize,
        load: Arc<Load>,
        pacer: Arc<Pacer>,
        progress: Arc<Progress>,
    ) -> Self {
        let start = Instant::now();
        Self { number, load, pacer, progress, start, report: Report::new(0) }
    }

    pub(super) async fn run(mut self) -> Report {
        let mut connection: Option<Connection> = None;
        loop {
            // A close that has already come is noticed before a request is lost to it.
            let turn = match &mut connection {
                None => self.pacer.turn().await,
                Some(idle) => tokio::select! {
                    biased;
                    stir = idle.stir() => {
                        self.report.idle_closes += 1;
                        if let Stir::Unasked = stir {
                            tracing_note(&mut self.report, self.number);
                        }
                        connection = None;
                        continue;
                    }
                    turn = self.pacer.turn() => turn,
                },
            };
            let Some(turn) = turn else { return self.report };
            connection = self.request(turn, connection.take()).await;
        }
    }
}
