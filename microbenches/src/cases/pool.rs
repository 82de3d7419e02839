//! Checks an idle connection out and in again.

use std::rc::Rc;
use std::time::Duration;

use portcullis_proxy::io::{Io, Socket};
use portcullis_proxy::upstream::cluster::Cluster;
use portcullis_proxy::upstream::pool::{Pool, Returned};
use tokio::net::UnixStream;
use tokio::time::Instant;

use super::repeat;
use crate::case::Work;
use crate::fixture;

const ENDPOINT: u64 = 7;

/// The connection is a pair of sockets without an address.
pub(super) fn lend_and_return() -> Work {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime without threads");
    let cluster = Cluster::build(&fixture::config("policy: random", 1).upstreams[0], None);
    let pool = Pool::new(8, Duration::from_secs(60));
    let (ours, peer) = {
        let _inside = runtime.enter();
        UnixStream::pair().expect("descriptors are left")
    };
    let io = Rc::new(Io::plain(Socket::Unix(ours)));
    let permit = pool.try_open(&cluster).expect("nothing is open yet");
    let now = Instant::now();
    pool.checkin(&cluster, permit.connected(io, ENDPOINT), None, now);
    repeat(move || {
        // The peer stays open, and so does what drives the sockets.
        let _open = (&peer, &runtime);
        let mut closed = 0;
        let connection = pool.checkout(ENDPOINT, now, &mut closed).expect("it is idle");
        assert_eq!(pool.checkin(&cluster, connection, None, now), Returned::Idle);
    })
}
