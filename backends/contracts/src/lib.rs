//! What the shop's services ask of each other by gRPC: generated from `proto`.

#![allow(missing_docs, unreachable_pub, reason = "generated; the protos have the words")]

/// Orders to products.
pub mod inventory {
    tonic::include_proto!("shop.inventory.v1");
}

/// Orders to payments.
pub mod payments {
    tonic::include_proto!("shop.payments.v1");
}

/// What reflection tells, of all packages.
pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/descriptors.bin"));
