//! The HTTP/1 engine over real sockets: what a client and an origin see of each other through it.

mod harness;

mod basics;
mod bodies;
mod faults;
mod limits;
mod upstreams;
