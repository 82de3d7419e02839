//! Development certificates: made at start, held in memory, trusted by no client.
//!
//! It knows how to make one, not which listener shows it.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use portcullis_config::location::Location;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;

use super::certificate::{Certificate, CertificateOrigin, Source, describe, unix_now};
use super::files::sha256;
use crate::world::WorldError;

/// How long a development certificate is good for, and how long before that it is made anew.
const SELF_SIGNED_LIFE: Duration = Duration::from_secs(365 * 24 * 60 * 60);
const SELF_SIGNED_RENEWAL: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Makes one, or hands back the previous one while it is for the same names and good for long.
pub(super) fn make(
    source: &Source,
    names: &[String],
    location: &Location,
    provider: &CryptoProvider,
    previous: Option<&Arc<Certificate>>,
) -> Result<Arc<Certificate>, Vec<WorldError>> {
    let renewal = unix_now().saturating_add(SELF_SIGNED_RENEWAL.as_secs().cast_signed());
    let still_good = |previous: &&Arc<Certificate>| {
        let same =
            matches!(&previous.source, Source::SelfSigned { names: old, .. } if old == names);
        same && previous.information.not_after > renewal
    };
    if let Some(previous) = previous.filter(still_good) {
        return Ok(previous.clone());
    }
    let failed = |message: String| {
        let message = format!("no certificate can be made for {}: {message}", names.join(", "));
        vec![WorldError::new(location, message, "use DNS names and IP addresses")]
    };
    let (der, key) = generate(names).map_err(|error| failed(error.to_string()))?;
    let chain = vec![der];
    let signing_key =
        provider.key_provider.load_private_key(key).map_err(|error| failed(error.to_string()))?;
    let (_, leaf) =
        X509Certificate::from_der(&chain[0]).map_err(|error| failed(error.to_string()))?;
    let digest = sha256(&[&chain[0]]);
    let origin = CertificateOrigin::SelfSigned;
    Ok(Arc::new(describe(source, &leaf, &chain, signing_key, origin, digest)))
}

fn generate(
    names: &[String],
) -> Result<(CertificateDer<'static>, PrivateKeyDer<'static>), rcgen::Error> {
    let key = rcgen::KeyPair::generate()?;
    let mut params = rcgen::CertificateParams::new(names.to_vec())?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, "Portcullis development certificate");
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    // An hour of grace for the clocks of other machines.
    let begin = now.saturating_sub(Duration::from_secs(60 * 60));
    params.not_before = rcgen::date_time_ymd(1970, 1, 1) + begin;
    params.not_after = rcgen::date_time_ymd(1970, 1, 1) + now + SELF_SIGNED_LIFE;
    // No key usage: with one, some verifiers would not take the certificate as its own anchor.
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    let certificate = params.self_signed(&key)?;
    let key = PrivatePkcs8KeyDer::from(key.serialize_der());
    Ok((certificate.der().clone(), key.into()))
}
