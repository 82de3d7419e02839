//! TLS by rustls: what each listener shows and asks for, what each upstream is asked for, and the
//! identity of a client that showed a certificate.
//!
//! Versions 1.2 and 1.3, with the provider's suites alone: every one of them is AEAD, and those of
//! 1.2 use ECDHE. Renegotiation, compression and static key exchange do not exist in rustls; 0-RTT
//! and key logging stay off. Secrets live under their own generations: a renewed file swaps what
//! new handshakes use, and connections that are open go on.
//!
//! It knows nothing of sockets, requests or the watching of files.

mod certificate;
mod client;
mod client_auth;
mod files;
pub mod hello;
mod identity;
mod names;
mod self_signed;
mod server;
mod signatures;
mod trust;
mod verify;

use std::sync::Arc;

use portcullis_config::model::TlsVersion;
use rustls::SupportedProtocolVersion;
use rustls::crypto::{CryptoProvider, aws_lc_rs};
use rustls::version::{TLS12, TLS13};

pub use certificate::{CertificateInfo, CertificateOrigin, unix_now};
pub use client::{ClientTls, InvalidServerName};
pub use client_auth::RevocationListInfo;
pub use identity::PeerIdentity;
pub use server::{Changed, PeerRefused, ServerTls};
pub use trust::BundleInfo;

/// Makes aws-lc-rs the process's provider, for libraries that ask for the default one. To be
/// called once at start; again does no harm.
pub fn install_provider() {
    // An error says that one is installed already.
    let _ = aws_lc_rs::default_provider().install_default();
}

/// Named outright: what this module builds does not depend on what is installed.
fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

/// Empty when the bounds cross, which rustls refuses.
fn protocol_versions(
    min: TlsVersion,
    max: TlsVersion,
) -> &'static [&'static SupportedProtocolVersion] {
    static BOTH: [&SupportedProtocolVersion; 2] = [&TLS13, &TLS12];
    match (min, max) {
        (TlsVersion::V12, TlsVersion::V13) => &BOTH,
        (TlsVersion::V13, TlsVersion::V13) => &BOTH[..1],
        (TlsVersion::V12, TlsVersion::V12) => &BOTH[1..],
        (TlsVersion::V13, TlsVersion::V12) => &[],
    }
}

#[cfg(test)]
mod tests;
