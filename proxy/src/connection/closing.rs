//! Closes a connection so that its last response arrives.

use tokio::time::Instant;

use crate::client::{Client, LINGER, LINGER_SILENT};
use crate::relay::read_some;
use crate::worker::Worker;

/// How many bytes are read and dropped at most.
const LINGER_BYTES: usize = 64 * 1024 * 1024;

/// Shuts the write side down, then reads and drops what the client still sends, for a moment.
pub(super) async fn close(worker: &Worker, client: &Client) {
    let start = Instant::now();
    client.deadline.set(start + LINGER_SILENT);
    let goodbye = async {
        if client.io.shutdown().await.is_err() {
            return;
        }
        client.registration.linger();
        let mut heard = 0;
        let mut scrap = None;
        while heard < LINGER_BYTES {
            match read_some(&client.io, worker.buffers(), &mut scrap).await {
                Ok(count) if count > 0 => {
                    heard += count;
                    scrap = None;
                    let silent = Instant::now() + LINGER_SILENT;
                    client.deadline.set(silent.min(start + LINGER));
                }
                _ => return,
            }
        }
    };
    // Whether the client closed in time changes nothing.
    let _ = client.deadline.bound(goodbye).await;
}
