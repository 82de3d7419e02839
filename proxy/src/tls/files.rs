//! Files of certificates, keys and revocation lists: read within bounds, split, and compared
//! by digest. It knows PEM and nothing of what the parts mean.

use std::fs::File;
use std::io::Read;

use portcullis_config::location::FileRef;
use rustls::crypto::aws_lc_rs::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use crate::world::WorldError;

/// SHA-256.
pub(super) type Digest = [u8; 32];

/// A chain, a key or a bundle of authorities; the system's store is a quarter of a MiB.
const FILE_LIMIT: u64 = 8 << 20;

/// A revocation list of a public authority can hold a million entries.
const LIST_FILE_LIMIT: u64 = 64 << 20;

pub(super) fn sha256(parts: &[&[u8]]) -> Digest {
    // The digest of the cipher suite: the provider offers no other access to it.
    let mut digest = [0; 32];
    if let Some(suite) = TLS13_AES_128_GCM_SHA256.tls13() {
        let mut context = suite.common.hash_provider.start();
        for part in parts {
            context.update(part);
        }
        digest.copy_from_slice(context.finish().as_ref());
    }
    digest
}

pub(super) fn read(file: &FileRef) -> Result<Vec<u8>, WorldError> {
    read_within(file, FILE_LIMIT)
}

pub(super) fn read_list(file: &FileRef) -> Result<Vec<u8>, WorldError> {
    read_within(file, LIST_FILE_LIMIT)
}

fn read_within(file: &FileRef, limit: u64) -> Result<Vec<u8>, WorldError> {
    let unreadable = |error: std::io::Error| {
        let help = match error.kind() {
            std::io::ErrorKind::NotFound => {
                "create the file, or correct the path: it is relative to the configuration file"
            }
            std::io::ErrorKind::PermissionDenied => "let the user of this process read it",
            _ => "the process must be able to read it",
        };
        WorldError::of_file(file, format!("cannot be read: {error}"), help)
    };
    // Opening a pipe would wait for its writer.
    if !std::fs::metadata(&file.path).map_err(unreadable)?.is_file() {
        return Err(WorldError::of_file(file, "is not a file", "name a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(&file.path)
        .and_then(|open| open.take(limit + 1).read_to_end(&mut bytes))
        .map_err(unreadable)?;
    if bytes.len() as u64 > limit {
        let message = format!("is larger than {} MiB", limit >> 20);
        return Err(WorldError::of_file(file, message, "name a file of PEM sections"));
    }
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(WorldError::of_file(
            file,
            "is empty",
            "write it whole under another name, then rename it",
        ));
    }
    Ok(bytes)
}

/// The PEM sections of a file, by kind.
#[derive(Default)]
pub(super) struct Sections {
    pub(super) certificates: Vec<CertificateDer<'static>>,
    pub(super) keys: Vec<PrivateKeyDer<'static>>,
    pub(super) lists: Vec<CertificateRevocationListDer<'static>>,
}

impl Sections {
    pub(super) fn parse(file: &FileRef, bytes: &[u8]) -> Result<Self, WorldError> {
        // PKCS #8 and the older form of OpenSSL.
        let marks = [b"BEGIN ENCRYPTED PRIVATE KEY".as_slice(), b"Proc-Type: 4,ENCRYPTED"];
        if marks.iter().any(|mark| memchr::memmem::find(bytes, mark).is_some()) {
            return Err(WorldError::of_file(
                file,
                "holds an encrypted key",
                "decrypt it (`openssl pkey -in KEY -out PLAIN`) and guard it by file permissions",
            ));
        }
        let mut sections = Self::default();
        for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(bytes) {
            let (kind, der) = section.map_err(|error| broken(file, &error))?;
            match kind {
                SectionKind::Certificate => sections.certificates.push(der.into()),
                SectionKind::Crl => sections.lists.push(der.into()),
                _ => sections.keys.extend(PrivateKeyDer::from_pem(kind, der)),
            }
        }
        Ok(sections)
    }

    /// For messages: what the file holds instead of what was wanted.
    pub(super) fn describe(&self) -> &'static str {
        match (self.certificates.is_empty(), self.keys.is_empty(), self.lists.is_empty()) {
            (false, _, _) => "it holds a certificate",
            (_, false, _) => "it holds a private key",
            (_, _, false) => "it holds a revocation list",
            _ => "it holds no PEM section that is known here",
        }
    }
}

fn broken(file: &FileRef, error: &pem::Error) -> WorldError {
    // The library's text shows byte lists, and could show a part of a key.
    let message = match error {
        pem::Error::MissingSectionEnd { .. } => "ends within a PEM section",
        pem::Error::Base64Decode(_) => "has a PEM section that is not base64",
        _ => "is not PEM",
    };
    WorldError::of_file(file, message, "write it again from its source; it may be cut short")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_is_sha256_of_the_parts_in_a_row() {
        let empty = sha256(&[]);
        assert_eq!(empty[..4], [0xe3, 0xb0, 0xc4, 0x42]);
        assert_eq!(sha256(&[b"ab", b"c"]), sha256(&[b"abc"]));
        assert_eq!(sha256(&[b"abc"])[..4], [0xba, 0x78, 0x16, 0xbf]);
    }
}
