//! What is wrong with the world as a valid configuration describes it: a file that is not there,
//! a key that does not fit. It knows nothing of what was being built.

use portcullis_config::location::{FileRef, Location};

/// One problem, at the place in the configuration that leads to it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{location}: {message}")]
pub struct WorldError {
    pub location: Location,
    pub message: String,
    /// What to do about it.
    pub help: Option<String>,
}

impl WorldError {
    pub(crate) fn new(
        location: &Location,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { location: location.clone(), message: message.into(), help: Some(help.into()) }
    }

    /// About a file: the message begins with its path.
    pub(crate) fn of_file(
        file: &FileRef,
        message: impl AsRef<str>,
        help: impl Into<String>,
    ) -> Self {
        let message = format!("{}: {}", file.path.display(), message.as_ref());
        Self::new(&file.location, message, help)
    }
}
