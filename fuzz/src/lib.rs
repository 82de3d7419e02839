//! What the targets share: the claims of the codec's own tests, over the public interface.

/// The names that the shared modules use.
mod codec {
    pub(crate) use portcullis_config::model::Underscores;
    pub(crate) use portcullis_proxy::error::Reason;
    pub(crate) use portcullis_proxy::http1::*;
    pub(crate) use portcullis_proxy::message::*;
}

#[path = "../../proxy/src/http1/tests/forward.rs"]
pub mod forward;
#[path = "../../proxy/src/http1/tests/judge.rs"]
pub mod judge;
#[path = "../../proxy/src/http1/tests/oracle.rs"]
pub mod oracle;
