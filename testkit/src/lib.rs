//! What the tests of several crates share. It depends on the configuration's forms at most, never
//! on the proxy, so that nothing under test helps to judge itself.

pub mod ca;
