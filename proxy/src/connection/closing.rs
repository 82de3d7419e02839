//! The goodbye of a connection.

use tokio::time::Instant;

use crate::client::{Client, LINGER, LINGER_SILENT};
use crate::relay::read_some;
use crate::worker::Worker;

/// How much a client may send meanwhile.
const LINGER_BYTES: usize = 64 * 1024 * 1024;

/// Sends what says goodbye, then listens for a moment to bytes that nobody wants.
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
    // Whether the client said goodbye in time changes nothing.
    let _ = client.deadline.bound(goodbye).await;
}
