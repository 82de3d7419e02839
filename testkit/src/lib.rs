//! What the tests share: a certificate authority, scripted origins and clients, processes under
//! test, load that accounts for every request, and the long scenarios built of them.
//!
//! It depends on the configuration's forms at most, never on the proxy, so that nothing under test
//! helps to judge itself: it sees what any peer on the network sees, and `/proc`.

pub mod ca;
pub mod client;
pub mod http;
pub mod load;
pub mod origin;
pub mod process;
pub mod procfs;
pub mod soak;
