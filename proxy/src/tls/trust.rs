//! Whom to trust: bundles of authorities, from a file or from the system.
//!
//! It knows certificates as anchors alone; what is verified against them is elsewhere.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use portcullis_config::location::{FileRef, Location};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::certificate::unix_now;
use super::files::{self, Digest, Sections, sha256};
use crate::world::WorldError;

/// Where systems keep their store in one file: Debian and Alpine, Fedora, OpenSUSE, the BSDs.
const SYSTEM_STORES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The anchors of a bundle, and their subjects.
pub(super) struct Anchors {
    pub(super) store: Arc<RootCertStore>,
    /// In DER.
    pub(super) subjects: Vec<Vec<u8>>,
    /// When the last of them expires.
    pub(super) bundle: BundleInfo,
}

/// A bundle of authorities as the expiry metric and the log show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BundleInfo {
    pub file: PathBuf,
    /// Of the authority that lasts longest.
    pub subject: String,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
    /// Of all that it holds.
    pub fingerprint: Digest,
}

/// Every certificate of a `caFile` counts as an anchor; one that does not parse spoils the file.
pub(super) fn anchors(file: &FileRef, bytes: &[u8]) -> Result<Anchors, WorldError> {
    let sections = Sections::parse(file, bytes)?;
    if sections.certificates.is_empty() {
        let message = format!("has no certificate: {}", sections.describe());
        let help = "name a file with the authority's `-----BEGIN CERTIFICATE-----`";
        return Err(WorldError::of_file(file, message, help));
    }
    let mut subjects = Vec::new();
    let mut store = RootCertStore::empty();
    let mut expired = None;
    let mut last = (i64::MIN, i64::MIN, String::new());
    for (index, der) in sections.certificates.into_iter().enumerate() {
        let broken = || {
            let message = format!("certificate {} of it does not parse", index + 1);
            WorldError::of_file(file, message, "export the authority's certificate again")
        };
        let (_, certificate) = X509Certificate::from_der(&der).map_err(|_| broken())?;
        let not_after = certificate.validity().not_after;
        if not_after.timestamp() < unix_now() {
            expired = Some(not_after);
            continue;
        }
        if not_after.timestamp() > last.0 {
            let not_before = certificate.validity().not_before.timestamp();
            last = (not_after.timestamp(), not_before, certificate.subject().to_string());
        }
        subjects.push(certificate.subject().as_raw().to_vec());
        store.add(CertificateDer::from(der.as_ref())).map_err(|_| broken())?;
    }
    match expired {
        Some(date) if store.is_empty() => {
            let message = format!("its certificate expired on {date}");
            let help = "name the authority's current certificate; nothing can verify against this";
            Err(WorldError::of_file(file, message, help))
        }
        _ => {
            let (file, fingerprint) = (file.path.clone(), sha256(&[bytes]));
            let (not_after, not_before, subject) = last;
            let bundle = BundleInfo { file, subject, not_before, not_after, fingerprint };
            Ok(Anchors { store: Arc::new(store), subjects, bundle })
        }
    }
}

/// The system's store: the file that `SSL_CERT_FILE` names, else the first known one that exists.
pub(super) fn system_store(location: &Location) -> Result<FileRef, WorldError> {
    let named = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let path = named
        .or_else(|| SYSTEM_STORES.iter().map(PathBuf::from).find(|path| Path::is_file(path)))
        .ok_or_else(|| {
            WorldError::new(
                location,
                "this system has no store of certificate authorities",
                "install the package ca-certificates, or set `caFile`",
            )
        })?;
    Ok(FileRef { path, location: location.clone() })
}

/// The system's store is taken as it is: what does not parse in it is passed over.
pub(super) fn system_anchors(file: &FileRef) -> Result<Arc<RootCertStore>, WorldError> {
    let bytes = files::read(file)?;
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(Sections::parse(file, &bytes)?.certificates);
    if store.is_empty() {
        let help = "install the package ca-certificates, or set `caFile`";
        return Err(WorldError::of_file(file, "has no usable certificate", help));
    }
    Ok(Arc::new(store))
}

#[cfg(test)]
mod tests {
    use portcullis_testkit::ca::{Authority, PemDirectory};

    use super::*;

    fn file(path: PathBuf) -> FileRef {
        let config: Arc<Path> = Path::new("gateway.yaml").into();
        FileRef { path, location: Location { file: config, line: 1, column: 1, start: 0, end: 1 } }
    }

    const BROKEN: &str = "-----BEGIN CERTIFICATE-----\nMAA=\n-----END CERTIFICATE-----\n";

    #[test]
    fn the_system_store_is_taken_as_far_as_it_parses() {
        let directory = PemDirectory::create();
        let mixed = BROKEN.to_owned() + &Authority::root("good").certificate_pem();
        let store = system_anchors(&file(directory.write("store.pem", mixed))).unwrap();
        assert_eq!(store.len(), 1);
        let problem = system_anchors(&file(directory.write("store.pem", BROKEN))).unwrap_err();
        assert!(problem.message.ends_with("store.pem: has no usable certificate"), "{problem}");
    }

    #[test]
    fn a_bundle_is_taken_whole_but_for_what_has_expired() {
        let directory = PemDirectory::create();
        let root = Authority::root("good");
        let expired = root.server("old").expired().issue().chain_pem();
        let good = root.certificate_pem();
        for (pem, expected) in [
            (good.clone(), Ok(1)),
            (good.clone() + &expired, Ok(1)),
            (good.clone() + &Authority::root("other").certificate_pem(), Ok(2)),
            (expired, Err("its certificate expired on")),
            (good + BROKEN, Err("certificate 2 of it does not parse")),
            ("rubbish".to_owned(), Err("has no certificate")),
        ] {
            let file = file(directory.write("bundle.pem", &pem));
            match (anchors(&file, pem.as_bytes()), expected) {
                (Ok(anchors), Ok(count)) => {
                    assert_eq!((anchors.store.len(), anchors.subjects.len()), (count, count));
                }
                (Err(problem), Err(message)) => {
                    assert!(problem.message.contains(message), "{problem}");
                }
                (result, expected) => panic!("{:?} for {expected:?}", result.map(|_| ())),
            }
        }
    }
}
