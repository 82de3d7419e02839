//! The allocator of whoever hosts this service, and when it gives back what passwords took.
//!
//! A hash takes 19 MiB on whichever thread is free. The C library would keep that much for each
//! thread: hundreds of MiB after a busy minute. This one keeps less, and what it keeps is handed
//! back when nobody has logged in for a while; to do so after each hash would make each take half
//! as long again.

#![allow(unsafe_code, reason = "the allocator is a library of C")]

use std::convert::Infallible;
use std::time::Duration;

use mimalloc::MiMalloc;
use prometheus::IntCounter;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Without a hash for so long, the memory of those before is given back.
const REST: Duration = Duration::from_secs(1);

/// Gives memory back when no more passwords are hashed, by their number so far.
pub(crate) async fn keep_small(hashes: IntCounter) -> Infallible {
    let (mut before, mut given_back) = (0, 0);
    loop {
        tokio::time::sleep(REST).await;
        let now = hashes.get();
        if now == before && now != given_back {
            give_back();
            given_back = now;
        }
        before = now;
    }
}

fn give_back() {
    // SAFETY: it takes no pointer, and may be called by any thread at any time.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
