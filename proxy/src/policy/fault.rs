//! Why a policy cannot be prepared as it is configured. Found while the configuration is compiled.

use crate::http1::edits::EditError;
use crate::target::TargetFault;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyFault {
    #[error(transparent)]
    Target(#[from] TargetFault),
    #[error("replacing a prefix needs a match by prefix")]
    PrefixWithoutMatch,
    #[error(transparent)]
    Edit(#[from] EditError),
    /// A policy of its own key, in the words of its file.
    #[error("{policy}: {fault}")]
    Unusable { policy: &'static str, fault: String },
    #[error("`{0}` is not a cookie name")]
    CookieName(String),
}
