//! How an upstream's certificate is verified: the chain always (unless configured otherwise), then either the
//! name that was dialled or one of the identities that the configuration lists.
//!
//! It knows certificates; where they come from and who dials is elsewhere.

use std::sync::Arc;

use portcullis_config::location::Location;
use portcullis_config::model::UpstreamTls;
use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    WebPkiServerVerifier, verify_server_cert_signed_by_trust_anchor, verify_server_name,
};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{CertificateError, Error, RootCertStore};

use super::client_auth::one_uri_at_most;
use super::files::{Digest, sha256};
use super::signatures::checks_signatures;
use crate::world::WorldError;

/// Whose certificate it must be.
#[derive(Debug, Clone)]
pub(super) enum Expected {
    /// Of the name that was dialled.
    Dialled,
    /// Of one of these, whatever was dialled.
    Identities(Vec<Identity>),
}

#[derive(Debug, Clone)]
pub(super) enum Identity {
    Uri(String),
    /// A DNS name, which a wildcard in the certificate may cover, or an address.
    Name(ServerName<'static>),
}

impl Expected {
    pub(super) fn parse(config: &UpstreamTls, diagnostics: &mut Vec<WorldError>) -> Self {
        if config.identities.is_empty() {
            return Self::Dialled;
        }
        let identities = config.identities.iter().filter_map(|text| {
            let identity = Identity::parse(text);
            if identity.is_none() {
                diagnostics.push(WorldError::new(
                    &config.location,
                    format!("`{text}` in `identities` is neither a URI nor a DNS name"),
                    "write it as it stands in the certificate, such as spiffe://shop/orders",
                ));
            }
            identity
        });
        Self::Identities(identities.collect())
    }

    /// Two verifiers of the same anchors are the same only if this is.
    pub(super) fn digest(&self) -> Digest {
        match self {
            Self::Dialled => Digest::default(),
            Self::Identities(identities) => sha256(&[format!("{identities:?}").as_bytes()]),
        }
    }
}

impl Identity {
    fn parse(text: &str) -> Option<Self> {
        if text.contains("://") {
            return Some(Self::Uri(text.to_owned()));
        }
        ServerName::try_from(text.to_owned()).ok().map(Self::Name)
    }
}

pub(super) fn chain_verifier(
    anchors: Arc<RootCertStore>,
    expected: &Expected,
    provider: &Arc<CryptoProvider>,
    location: &Location,
) -> Result<Arc<dyn ServerCertVerifier>, WorldError> {
    match expected {
        Expected::Dialled => {
            let built =
                WebPkiServerVerifier::builder_with_provider(anchors, provider.clone()).build();
            built.map(|verifier| verifier as Arc<dyn ServerCertVerifier>).map_err(|error| {
                let message = format!("upstreams cannot be verified: {error}");
                WorldError::new(location, message, "check `caFile`")
            })
        }
        Expected::Identities(identities) => Ok(Arc::new(ByIdentity {
            anchors,
            identities: identities.clone(),
            algorithms: provider.signature_verification_algorithms,
        })),
    }
}

/// Chain validation by webpki, then one of the identities in place of the dialled name.
#[derive(Debug)]
struct ByIdentity {
    anchors: Arc<RootCertStore>,
    identities: Vec<Identity>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for ByIdentity {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _dialled: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let certificate = ParsedCertificate::try_from(end_entity)?;
        verify_server_cert_signed_by_trust_anchor(
            &certificate,
            &self.anchors,
            intermediates,
            now,
            self.algorithms.all,
        )?;
        // Two URI names would let one identity pass as the other (X509-SVID, section 4.2).
        let names = one_uri_at_most(end_entity)?;
        let has = |identity: &Identity| match identity {
            Identity::Uri(uri) => names.uris.contains(uri),
            Identity::Name(name) => verify_server_name(&certificate, name).is_ok(),
        };
        if self.identities.iter().any(has) {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::NotValidForName.into())
        }
    }

    checks_signatures!();
}

/// Any certificate passes, as asked for by name in the configuration; its key must still be held.
#[derive(Debug)]
pub(super) struct Unverified {
    algorithms: WebPkiSupportedAlgorithms,
}

impl Unverified {
    pub(super) fn new(provider: &CryptoProvider) -> Self {
        Self { algorithms: provider.signature_verification_algorithms }
    }
}

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _dialled: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    checks_signatures!();
}
