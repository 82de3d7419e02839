//! The codec beside a second reader, beside hyper, and under generated input.

/// What the shared helpers use; fuzz targets name the same items from outside.
mod codec {
    pub(super) use crate::error::Reason;
    pub(super) use crate::http1::*;
    pub(super) use crate::message::*;
    pub(super) use portcullis_config::model::Underscores;
}

mod corpus;
#[allow(unreachable_pub, reason = "fuzz targets include it as a module of their own")]
pub(super) mod forward;
mod hyper;
#[allow(unreachable_pub, reason = "fuzz targets include it as a module of their own")]
pub(super) mod judge;
#[allow(unreachable_pub, reason = "fuzz targets include it as a module of their own")]
mod oracle;
mod properties;
