//! Paths of the configuration in the form that the paths of requests are in.

use super::path;

/// What no request could have as its target.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TargetFault {
    #[error("`{0}` is not a host")]
    Host(String),
    #[error(
        "no request can have the path `{0}`: it must start with `/` and hold neither dots above the root nor `?`, `#`, `\\` or `%2F`"
    )]
    Path(String),
}

/// A path of the configuration in normal form.
pub(crate) fn normal_path(text: &str, allow_encoded_slash: bool) -> Result<Box<[u8]>, TargetFault> {
    let slash =
        if allow_encoded_slash { path::EncodedSlash::Keep } else { path::EncodedSlash::Refuse };
    path::normalise(text.as_bytes(), &mut Vec::new(), slash)
        .map(Into::into)
        .map_err(|_| TargetFault::Path(text.to_owned()))
}

/// A prefix of the configuration in normal form: without its closing slash.
pub(crate) fn normal_prefix(
    text: &str,
    allow_encoded_slash: bool,
) -> Result<Box<[u8]>, TargetFault> {
    let path = normal_path(text, allow_encoded_slash)?;
    Ok(path.strip_suffix(b"/").map_or_else(|| path.clone(), Into::into))
}
