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
use super::files::{self, Sections};
use super::world::WorldError;

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
        subjects.push(certificate.subject().as_raw().to_vec());
        store.add(CertificateDer::from(der.as_ref())).map_err(|_| broken())?;
    }
    match expired {
        Some(date) if store.is_empty() => {
            let message = format!("its certificate expired on {date}");
            let help = "name the authority's current certificate; nothing can verify against this";
            Err(WorldError::of_file(file, message, help))
        }
        _ => Ok(Anchors { store: Arc::new(store), subjects }),
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
pub(super) fn system_anchors(file: &FileRef) -> Result<(Vec<u8>, Arc<RootCertStore>), WorldError> {
    let bytes = files::read(file)?;
    let mut store = RootCertStore::empty();
    store.add_parsable_certificates(Sections::parse(file, &bytes)?.certificates);
    if store.is_empty() {
        let help = "install the package ca-certificates, or set `caFile`";
        return Err(WorldError::of_file(file, "has no usable certificate", help));
    }
    Ok((bytes, Arc::new(store)))
}
