//! A certificate chain with its key: loaded, judged before any peer sees it, and described.
//!
//! It knows what a server or a client has to show, not who asks for it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use portcullis_config::location::{FileRef, Location};
use portcullis_config::model::CertificateSource;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::ParsedCertificate;
use rustls::sign::{CertifiedKey, SigningKey};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

use super::files::{self, Digest, Sections, sha256};
use super::self_signed;
use crate::world::WorldError;

/// A chain whose key fits, of the right use and within its dates when it was loaded.
#[derive(Debug)]
pub(super) struct Certificate {
    pub(super) source: Source,
    pub(super) key: Arc<CertifiedKey>,
    /// As they stand in the subjectAltName.
    pub(super) dns_names: Vec<String>,
    pub(super) information: CertificateInfo,
    /// Of all that it was made from.
    digest: Digest,
}

/// A certificate as the admin interface and the expiry metric show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInfo {
    pub subject: String,
    /// Subject alternative names: DNS names, addresses and URIs.
    pub names: Vec<String>,
    /// Seconds since 1970.
    pub not_before: i64,
    /// Seconds since 1970.
    pub not_after: i64,
    /// In hexadecimal.
    pub serial: String,
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
    pub source: CertificateOrigin,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CertificateOrigin {
    File(PathBuf),
    SelfSigned,
}

/// Where a certificate comes from; more kinds (an ACME account, a workload API) fit in beside.
#[derive(Debug, Clone)]
pub(super) enum Source {
    Files { certificate: FileRef, key: FileRef },
    SelfSigned { names: Vec<String>, location: Location },
}

impl From<&CertificateSource> for Source {
    fn from(source: &CertificateSource) -> Self {
        match source.clone() {
            CertificateSource::Files { cert, key } => Self::Files { certificate: cert, key },
            CertificateSource::SelfSigned { names, location } => {
                Self::SelfSigned { names, location }
            }
        }
    }
}

impl Source {
    pub(super) fn location(&self) -> &Location {
        match self {
            Self::Files { certificate, .. } => &certificate.location,
            Self::SelfSigned { location, .. } => location,
        }
    }

    pub(super) fn describe(&self) -> String {
        match self {
            Self::Files { certificate, .. } => certificate.path.display().to_string(),
            Self::SelfSigned { names, .. } => format!("self-signed for {}", names.join(", ")),
        }
    }

    pub(super) fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Files { certificate, key } => vec![certificate.path.clone(), key.path.clone()],
            Self::SelfSigned { .. } => Vec::new(),
        }
    }
}

/// What the certificate is shown for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Server,
    Client,
}

/// Loads a certificate, or hands back the previous one if nothing about it has changed.
pub(super) fn load(
    source: &Source,
    purpose: Purpose,
    provider: &CryptoProvider,
    previous: Option<&Arc<Certificate>>,
) -> Result<Arc<Certificate>, Vec<WorldError>> {
    match source {
        Source::Files { certificate, key } => {
            load_files(source, certificate, key, purpose, provider, previous)
        }
        Source::SelfSigned { names, location } => {
            self_signed::make(source, names, location, provider, previous)
        }
    }
}

fn load_files(
    source: &Source,
    certificate: &FileRef,
    key: &FileRef,
    purpose: Purpose,
    provider: &CryptoProvider,
    previous: Option<&Arc<Certificate>>,
) -> Result<Arc<Certificate>, Vec<WorldError>> {
    let chain_bytes = files::read(certificate);
    let key_bytes = files::read(key);
    // A file that cannot be read counts as empty, as no good file was.
    let digest_of =
        |bytes: &Result<Vec<u8>, WorldError>| sha256(&[bytes.as_deref().unwrap_or_default()]);
    let digest = sha256(&[&digest_of(&chain_bytes), &digest_of(&key_bytes)]);
    if let Some(previous) = previous.filter(|previous| previous.digest == digest) {
        return Ok(previous.clone());
    }
    let chain = chain_bytes.and_then(|bytes| parse_chain(certificate, &bytes));
    let signing_key = key_bytes.and_then(|bytes| parse_key(key, &bytes)).and_then(|der| {
        provider.key_provider.load_private_key(der).map_err(|error| {
            let help = "use an RSA key of 2048 bits or more, an ECDSA or an Ed25519 key";
            WorldError::of_file(key, format!("its key cannot be used: {error}"), help)
        })
    });
    let (chain, signing_key) = both(chain, signing_key)?;
    let leaf = parse_leaf(certificate, &chain[0]).map_err(|problem| vec![problem])?;
    let mut problems = judge(certificate, &leaf, purpose);
    problems.extend(mismatch(certificate, key, &chain, signing_key.as_ref()));
    if !problems.is_empty() {
        return Err(problems);
    }
    let origin = CertificateOrigin::File(certificate.path.clone());
    Ok(Arc::new(describe(source, &leaf, &chain, signing_key, origin, digest)))
}

/// Both values, or all of their problems.
pub(super) fn both<A, B>(
    a: Result<A, WorldError>,
    b: Result<B, WorldError>,
) -> Result<(A, B), Vec<WorldError>> {
    match (a, b) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        (a, b) => Err(a.err().into_iter().chain(b.err()).collect()),
    }
}

fn parse_chain(file: &FileRef, bytes: &[u8]) -> Result<Vec<CertificateDer<'static>>, WorldError> {
    let sections = Sections::parse(file, bytes)?;
    if sections.certificates.is_empty() {
        let message = format!("has no certificate: {}", sections.describe());
        let help = "name a file with a section `-----BEGIN CERTIFICATE-----`, the leaf first";
        return Err(WorldError::of_file(file, message, help));
    }
    Ok(sections.certificates)
}

fn parse_key(file: &FileRef, bytes: &[u8]) -> Result<PrivateKeyDer<'static>, WorldError> {
    let mut sections = Sections::parse(file, bytes)?;
    match sections.keys.len() {
        1 => Ok(sections.keys.remove(0)),
        0 => Err(WorldError::of_file(
            file,
            format!("has no private key: {}", sections.describe()),
            "name a file with a section `-----BEGIN PRIVATE KEY-----`",
        )),
        _ => Err(WorldError::of_file(
            file,
            "has several private keys",
            "keep the one that belongs to the certificate",
        )),
    }
}

fn parse_leaf<'a>(
    file: &FileRef,
    der: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, WorldError> {
    X509Certificate::from_der(der).map(|(_, leaf)| leaf).map_err(|_| {
        let help = "issue it again: a version 3 certificate in DER within PEM";
        WorldError::of_file(file, "its certificate does not parse", help)
    })
}

/// What every peer would refuse.
fn judge(file: &FileRef, leaf: &X509Certificate<'_>, purpose: Purpose) -> Vec<WorldError> {
    let mut problems = Vec::new();
    let now = unix_now();
    let validity = leaf.validity();
    if validity.not_after.timestamp() < now {
        let message = format!("the certificate expired on {}", validity.not_after);
        problems.push(WorldError::of_file(file, message, "renew it; no peer accepts it"));
    }
    if validity.not_before.timestamp() > now {
        let message = format!("the certificate is valid only from {}", validity.not_before);
        let help = "check the clock of this machine, or issue it with an earlier date";
        problems.push(WorldError::of_file(file, message, help));
    }
    let uses = leaf.extended_key_usage().ok().flatten().map(|extension| extension.value);
    if let Some(uses) = uses {
        let (named, use_name) = match purpose {
            Purpose::Server => (uses.server_auth, "serverAuth"),
            Purpose::Client => (uses.client_auth, "clientAuth"),
        };
        // Some verifiers count anyExtendedKeyUsage, so it is no certain failure.
        if !named && !uses.any {
            let message = format!("the certificate's extendedKeyUsage leaves out {use_name}");
            let help = format!("issue it with extendedKeyUsage {use_name}");
            problems.push(WorldError::of_file(file, message, help));
        }
    }
    problems
}

fn mismatch(
    certificate: &FileRef,
    key: &FileRef,
    chain: &[CertificateDer<'static>],
    signing_key: &dyn SigningKey,
) -> Option<WorldError> {
    let public = signing_key.public_key()?;
    let fits = |der: &CertificateDer<'_>| {
        ParsedCertificate::try_from(der)
            .is_ok_and(|parsed| parsed.subject_public_key_info() == public)
    };
    if fits(&chain[0]) {
        return None;
    }
    if chain.iter().any(fits) {
        return Some(WorldError::of_file(
            certificate,
            "the certificate of the key is not the first one",
            "put the leaf first, then each issuer after what it issued",
        ));
    }
    Some(WorldError::new(
        &key.location,
        format!(
            "{}: the key does not belong to the certificate in {}",
            key.path.display(),
            certificate.path.display()
        ),
        "name the key that the certificate was issued for, or issue the certificate for this key",
    ))
}

pub(super) fn describe(
    source: &Source,
    leaf: &X509Certificate<'_>,
    chain: &[CertificateDer<'static>],
    signing_key: Arc<dyn SigningKey>,
    origin: CertificateOrigin,
    digest: Digest,
) -> Certificate {
    let names = AlternativeNames::of(leaf);
    let information = CertificateInfo {
        subject: leaf.subject().to_string(),
        names: names.dns.iter().chain(&names.addresses).chain(&names.uris).cloned().collect(),
        not_before: leaf.validity().not_before.timestamp(),
        not_after: leaf.validity().not_after.timestamp(),
        serial: hexadecimal(significant(leaf.raw_serial())),
        fingerprint: sha256(&[&chain[0]]),
        source: origin,
    };
    Certificate {
        source: source.clone(),
        key: Arc::new(CertifiedKey::new(chain.to_vec(), signing_key)),
        dns_names: names.dns,
        information,
        digest,
    }
}

/// A certificate's subjectAltName by kind; empty where it has none that parses.
#[derive(Debug, Default)]
pub(super) struct AlternativeNames {
    pub(super) dns: Vec<String>,
    pub(super) addresses: Vec<String>,
    pub(super) uris: Vec<String>,
}

impl AlternativeNames {
    pub(super) fn of(certificate: &X509Certificate<'_>) -> Self {
        let mut names = Self::default();
        let Ok(Some(extension)) = certificate.subject_alternative_name() else { return names };
        for name in &extension.value.general_names {
            match name {
                GeneralName::DNSName(name) => names.dns.push((*name).to_owned()),
                GeneralName::URI(uri) => names.uris.push((*uri).to_owned()),
                GeneralName::IPAddress(bytes) => names.addresses.extend(address(bytes)),
                _ => {}
            }
        }
        names
    }
}

fn address(bytes: &[u8]) -> Option<String> {
    let v4 = <[u8; 4]>::try_from(bytes).map(|octets| std::net::Ipv4Addr::from(octets).to_string());
    v4.or_else(|_| {
        <[u8; 16]>::try_from(bytes).map(|octets| std::net::Ipv6Addr::from(octets).to_string())
    })
    .ok()
}

/// A serial number without its leading zeros, which some issuers write and others do not.
pub(super) fn significant(serial: &[u8]) -> &[u8] {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    &serial[zeros..]
}

pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    use std::fmt::Write;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// Seconds since 1970.
pub fn unix_now() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(now.as_secs()).unwrap_or(i64::MAX)
}
