//! What the tests share: a certificate authority, scripted origins and clients, processes under
//! test, load that accounts for every request, and the long scenarios built of them.
//!
//! Nothing here knows the proxy's code, so that nothing under test helps to judge itself: it sees
//! what any peer on the network sees, and `/proc`.

pub mod allocations;
pub mod ca;
pub mod chaos;
pub mod client;
pub mod h2;
pub mod http;
pub mod lateness;
pub mod load;
pub mod origin;
pub mod patience;
pub mod process;
pub mod procfs;
pub mod slices;
pub mod soak;
pub mod unverified;
pub mod websocket;
