//! References to what must not stand in a file: `${env:NAME}` and `${file:path}`.
//!
//! Messages made here name the reference and never what it resolves to.

use std::fs::File;
use std::io::Read;
use std::path::Path;

use crate::text::Template;

/// Bytes of one secret file.
const SECRET_BYTES: u64 = 64 * 1024;
/// Bytes of one text with its references resolved.
const RESOLVED_BYTES: usize = 256 * 1024;

/// Where references are looked up.
pub trait SecretSource {
    /// The value of an environment variable, or why there is none.
    fn environment(&self, name: &str) -> Result<String, String>;
    /// The text of a file, or why there is none.
    fn file(&self, path: &Path) -> Result<String, String>;
}

/// The environment of this process and its file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemSecrets;

impl SecretSource for SystemSecrets {
    fn environment(&self, name: &str) -> Result<String, String> {
        std::env::var(name).map_err(|error| match error {
            std::env::VarError::NotPresent => "it is not set".to_owned(),
            std::env::VarError::NotUnicode(_) => "its value is not UTF-8".to_owned(),
        })
    }

    fn file(&self, path: &Path) -> Result<String, String> {
        // Opening a pipe would wait for its writer.
        let metadata = std::fs::metadata(path).map_err(|error| error.to_string())?;
        if !metadata.is_file() {
            return Err("it is not a regular file".to_owned());
        }
        let file = File::open(path).map_err(|error| error.to_string())?;
        let mut bytes = Vec::new();
        file.take(SECRET_BYTES + 1).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
        if bytes.len() as u64 > SECRET_BYTES {
            return Err(format!("it is larger than {} KiB", SECRET_BYTES / 1024));
        }
        String::from_utf8(bytes).map_err(|_| "it is not UTF-8".to_owned())
    }
}

/// A reference that cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ReferenceError {
    #[error("`${{` is not closed by `}}`")]
    Unclosed,
    #[error("`${{{0}}}` is neither `${{env:NAME}}` nor `${{file:path}}`")]
    UnknownKind(String),
    #[error("the environment variable `{name}` cannot be used: {reason}")]
    Environment { name: String, reason: String },
    #[error("the file of `${{file:{path}}}` cannot be used: {reason}")]
    File { path: String, reason: String },
    #[error("the text is too long once its references are resolved")]
    TooLong,
}

/// Whether a text holds something that looks like a reference, for places that take none.
pub(crate) fn mentions_reference(text: &str) -> bool {
    text.contains("${env:") || text.contains("${file:")
}

/// Resolves every reference of a text; `$${` stands for a literal `${`.
pub(crate) fn resolve(
    source: &str,
    base: &Path,
    secrets: &dyn SecretSource,
) -> Result<Template, ReferenceError> {
    let mut resolved = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(dollar) = rest.find("${") {
        if rest[..dollar].ends_with('$') {
            resolved.push_str(&rest[..dollar - 1]);
            resolved.push_str("${");
            rest = &rest[dollar + 2..];
            continue;
        }
        resolved.push_str(&rest[..dollar]);
        let body = &rest[dollar + 2..];
        let end = body.find('}').ok_or(ReferenceError::Unclosed)?;
        resolved.push_str(&follow(&body[..end], base, secrets)?);
        if resolved.len() > RESOLVED_BYTES {
            return Err(ReferenceError::TooLong);
        }
        rest = &body[end + 1..];
    }
    resolved.push_str(rest);
    Ok(Template::new(source, resolved))
}

fn follow(
    reference: &str,
    base: &Path,
    secrets: &dyn SecretSource,
) -> Result<String, ReferenceError> {
    let (kind, name) = reference.split_once(':').unwrap_or((reference, ""));
    match kind {
        "env" if is_variable(name) => secrets
            .environment(name)
            .map_err(|reason| ReferenceError::Environment { name: name.to_owned(), reason }),
        "file" if !name.is_empty() && !name.contains('\0') => {
            let text = secrets
                .file(&base.join(name))
                .map_err(|reason| ReferenceError::File { path: name.to_owned(), reason })?;
            // Editors and `echo` end a file with a newline that is no part of the secret.
            let text = text.strip_suffix('\n').unwrap_or(&text);
            Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
        }
        _ => Err(ReferenceError::UnknownKind(reference.to_owned())),
    }
}

fn is_variable(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Fixed;

    impl SecretSource for Fixed {
        fn environment(&self, name: &str) -> Result<String, String> {
            if name == "TOKEN" { Ok("s3cret".to_owned()) } else { Err("it is not set".to_owned()) }
        }

        fn file(&self, path: &Path) -> Result<String, String> {
            if path == Path::new("/etc/shop/key") {
                Ok("from file\r\n".to_owned())
            } else {
                Err("no such file".to_owned())
            }
        }
    }

    #[test]
    fn references_are_resolved() {
        for (source, expected) in [
            ("plain $5 ${", None),
            ("plain $5", Some("plain $5")),
            ("Bearer ${env:TOKEN}!", Some("Bearer s3cret!")),
            ("${file:key}", Some("from file")),
            ("${file:/etc/shop/key}${env:TOKEN}", Some("from files3cret")),
            ("$${env:TOKEN}", Some("${env:TOKEN}")),
            ("a$${b} ${env:TOKEN}", Some("a${b} s3cret")),
            ("${env:OTHER}", None),
            ("${file:other}", None),
            ("${vault:x}", None),
            ("${env:}", None),
            ("${env:A B}", None),
            ("${TOKEN}", None),
        ] {
            let resolved = resolve(source, Path::new("/etc/shop"), &Fixed);
            assert_eq!(resolved.as_ref().ok().map(Template::expose), expected, "{source}");
            if let Ok(template) = resolved {
                assert_eq!(template.source(), source);
                assert!(!format!("{template:?}").contains("s3cret"));
            }
        }
    }

    #[test]
    fn files_that_are_no_secrets_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let large = directory.path().join("large");
        std::fs::write(&large, vec![b'x'; 70_000]).unwrap();
        assert!(SystemSecrets.file(&large).unwrap_err().contains("larger"));
        assert!(SystemSecrets.file(directory.path()).unwrap_err().contains("regular"));
        assert!(SystemSecrets.file(Path::new("/dev/zero")).unwrap_err().contains("regular"));
    }
}
