//! Who a client is by its verified certificate. It knows the names and marks of a certificate, not
//! how it was verified nor what it may do.

use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::certificate::{AlternativeNames, hexadecimal, significant};
use super::files::{Digest, sha256};

/// The identity of a client whose certificate was verified when its handshake was done.
///
/// Its text comes from the certificate as issued: what writes it into a header or a log has to
/// escape it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerIdentity {
    uri: Option<String>,
    dns: Vec<String>,
    subject: String,
    serial: String,
    fingerprint: Digest,
    not_after: i64,
    marks: Box<[Digest]>,
}

impl PeerIdentity {
    /// Of a chain that has been verified, leaf first.
    pub(super) fn of(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let der = chain.first()?;
        let (_, leaf) = X509Certificate::from_der(der).ok()?;
        let names = AlternativeNames::of(&leaf);
        Some(Self {
            uri: names.uris.into_iter().next(),
            dns: names.dns,
            subject: leaf.subject().to_string(),
            serial: hexadecimal(significant(leaf.raw_serial())),
            fingerprint: sha256(&[der]),
            not_after: leaf.validity().not_after.timestamp(),
            marks: chain.iter().filter_map(mark_of).collect(),
        })
    }

    /// The one URI name, as SPIFFE has it; a certificate with two is never verified.
    pub fn uri(&self) -> Option<&str> {
        self.uri.as_deref()
    }

    pub fn dns_names(&self) -> &[String] {
        &self.dns
    }

    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// In hexadecimal.
    pub fn serial(&self) -> &str {
        &self.serial
    }

    /// SHA-256 of the certificate.
    pub fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }

    /// Seconds since 1970.
    pub fn not_after(&self) -> i64 {
        self.not_after
    }

    /// One for each certificate that was shown, in the form of [`mark`].
    pub(super) fn marks(&self) -> &[Digest] {
        &self.marks
    }
}

/// What names a certificate in a revocation list: its issuer and its serial number.
pub(super) fn mark(issuer: &[u8], serial: &[u8]) -> Digest {
    sha256(&[&sha256(&[issuer]), significant(serial)])
}

fn mark_of(der: &CertificateDer<'_>) -> Option<Digest> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(mark(certificate.issuer().as_raw(), certificate.raw_serial()))
}
