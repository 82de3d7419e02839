//! Which client certificates a listener accepts: its authorities and revocation lists.
//!
//! It knows chains and lists, neither listeners' names nor what an identity may do.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;

use portcullis_config::location::FileRef;
use portcullis_config::model::{ClientAuth, ClientAuthMode};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DistinguishedName, Error};
use x509_parser::certificate::X509Certificate;
use x509_parser::prelude::FromDer;
use x509_parser::revocation_list::CertificateRevocationList;

use super::certificate::{AlternativeNames, both};
use super::files::{self, Digest, Sections, sha256};
use super::identity::{PeerIdentity, mark};
use super::signatures::checks_signatures;
use super::trust::{self, Anchors, BundleInfo};
use crate::world::WorldError;

/// The client certificates that a listener accepts, as its files said when they were read.
#[derive(Debug)]
pub(super) struct ClientTrust {
    pub(super) verifier: Arc<dyn ClientCertVerifier>,
    pub(super) mode: ClientAuthMode,
    pub(super) lists: Vec<RevocationListInfo>,
    pub(super) bundle: BundleInfo,
    revoked: HashSet<Digest, ahash::RandomState>,
    /// Of both files and the mode: a session begun under another may not be resumed.
    digest: Digest,
}

/// A revocation list as the admin interface and a staleness metric show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RevocationListInfo {
    pub issuer: String,
    /// Seconds since 1970; a list past it still counts, for it only ever refuses more.
    pub next_update: Option<i64>,
    /// How many certificates it revokes.
    pub entries: usize,
    pub file: PathBuf,
}

impl ClientTrust {
    /// Loads both files, or hands back what was loaded before if nothing has changed.
    pub(super) fn load(
        auth: &ClientAuth,
        provider: &Arc<CryptoProvider>,
        previous: Option<&Arc<Self>>,
    ) -> Result<Arc<Self>, Vec<WorldError>> {
        let authorities = files::read(&auth.ca);
        let lists = auth.crl.as_ref().map(|file| (file, files::read_list(file)));
        let digest = digest(auth.mode, &authorities, lists.as_ref().map(|(_, bytes)| bytes));
        if let Some(previous) = previous.filter(|previous| previous.digest == digest) {
            return Ok(previous.clone());
        }
        let anchors = authorities.and_then(|bytes| trust::anchors(&auth.ca, &bytes));
        let lists = match lists {
            Some((file, bytes)) => bytes.and_then(|bytes| RevocationLists::parse(file, &bytes)),
            None => Ok(RevocationLists::default()),
        };
        let (anchors, lists) = both(anchors, lists)?;
        if let Some(file) = &auth.crl {
            lists.belong_to(&anchors, file, auth).map_err(|problem| vec![problem])?;
        }
        let bundle = anchors.bundle.clone();
        let verifier = verifier(auth, anchors, lists.der, provider)?;
        let RevocationLists { information, revoked, .. } = lists;
        Ok(Arc::new(Self {
            verifier,
            mode: auth.mode,
            lists: information,
            bundle,
            revoked,
            digest,
        }))
    }

    /// Whether sessions begun under the other may be resumed under this one.
    pub(super) fn same_as(&self, other: &Self) -> bool {
        self.digest == other.digest
    }

    /// Whether a list names any certificate of the chain that the peer showed.
    pub(super) fn is_revoked(&self, peer: &PeerIdentity) -> bool {
        peer.marks().iter().any(|mark| self.revoked.contains(mark))
    }
}

/// A file that cannot be read counts as empty, as no good file was.
fn digest(mode: ClientAuthMode, authorities: &FileBytes, lists: Option<&FileBytes>) -> Digest {
    let mode = match mode {
        ClientAuthMode::Optional => b"optional".as_slice(),
        ClientAuthMode::Required => b"required".as_slice(),
    };
    let of = |bytes: &FileBytes| sha256(&[bytes.as_deref().unwrap_or_default()]);
    sha256(&[&of(authorities), &lists.map(of).unwrap_or_default(), mode])
}

type FileBytes = Result<Vec<u8>, WorldError>;

fn verifier(
    auth: &ClientAuth,
    anchors: Anchors,
    lists: Vec<CertificateRevocationListDer<'static>>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, Vec<WorldError>> {
    // The builder's own defaults are kept on purpose: every certificate below the anchor is looked
    // up, and one whose issuer published no list is refused.
    let mut builder = WebPkiClientVerifier::builder_with_provider(anchors.store, provider.clone())
        .with_crls(lists);
    if auth.mode == ClientAuthMode::Optional {
        builder = builder.allow_unauthenticated();
    }
    let chain = builder.build().map_err(|error| {
        let file = auth.crl.as_ref().unwrap_or(&auth.ca);
        let help = "publish a full list, version 2, signed by the authority itself";
        vec![WorldError::of_file(file, format!("cannot be used: {error}"), help)]
    })?;
    Ok(Arc::new(OneIdentity { chain, algorithms: provider.signature_verification_algorithms }))
}

/// The revocation lists of a file.
#[derive(Default)]
struct RevocationLists {
    der: Vec<CertificateRevocationListDer<'static>>,
    information: Vec<RevocationListInfo>,
    issuers: Vec<Vec<u8>>,
    revoked: HashSet<Digest, ahash::RandomState>,
}

impl RevocationLists {
    fn parse(file: &FileRef, bytes: &[u8]) -> Result<Self, WorldError> {
        let mut lists = Self { der: list_sections(file, bytes)?, ..Self::default() };
        for (index, der) in lists.der.iter().enumerate() {
            let (_, list) = CertificateRevocationList::from_der(der).map_err(|_| {
                let message = format!("revocation list {} of it does not parse", index + 1);
                WorldError::of_file(file, message, "fetch the list again from its authority")
            })?;
            let issuer = list.issuer().as_raw();
            let mut entries = 0;
            for entry in list.iter_revoked_certificates() {
                entries += 1;
                lists.revoked.insert(mark(issuer, entry.raw_serial()));
            }
            lists.issuers.push(issuer.to_vec());
            lists.information.push(RevocationListInfo {
                issuer: list.issuer().to_string(),
                next_update: list.next_update().map(|date| date.timestamp()),
                entries,
                file: file.path.clone(),
            });
        }
        Ok(lists)
    }

    /// With a list missing for one anchor, every client would be refused.
    fn belong_to(
        &self,
        anchors: &Anchors,
        file: &FileRef,
        auth: &ClientAuth,
    ) -> Result<(), WorldError> {
        if self.issuers.iter().any(|issuer| anchors.subjects.contains(issuer)) {
            return Ok(());
        }
        let issuers: Vec<_> = self.information.iter().map(|list| list.issuer.as_str()).collect();
        Err(WorldError::of_file(
            file,
            format!(
                "no list in it comes from an authority in {}; it has lists of: {}",
                auth.ca.path.display(),
                issuers.join("; ")
            ),
            "put the list of each authority, intermediate ones too, into this file",
        ))
    }
}

/// In PEM, or one list in DER, as authorities publish it.
fn list_sections(
    file: &FileRef,
    bytes: &[u8],
) -> Result<Vec<CertificateRevocationListDer<'static>>, WorldError> {
    const DER_SEQUENCE: u8 = 0x30;
    if bytes.first() == Some(&DER_SEQUENCE) {
        return Ok(vec![bytes.to_vec().into()]);
    }
    let sections = Sections::parse(file, bytes)?;
    if sections.lists.is_empty() {
        let message = format!("has no revocation list: {}", sections.describe());
        let help = "name a file with a section `-----BEGIN X509 CRL-----`";
        return Err(WorldError::of_file(file, message, help));
    }
    Ok(sections.lists)
}

/// Chain validation by webpki, and one URI name at most: with two, a reader of the first and a
/// reader of the second would see two different clients (X509-SVID, section 4.2).
#[derive(Debug)]
struct OneIdentity {
    chain: Arc<dyn ClientCertVerifier>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ClientCertVerifier for OneIdentity {
    fn offer_client_auth(&self) -> bool {
        self.chain.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.chain.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.chain.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let verified = self.chain.verify_client_cert(end_entity, intermediates, now)?;
        one_uri_at_most(end_entity)?;
        Ok(verified)
    }

    checks_signatures!();
}

/// The URI name of a certificate; two, or names that do not parse, are refused.
pub(super) fn one_uri_at_most(der: &CertificateDer<'_>) -> Result<AlternativeNames, Error> {
    let (_, certificate) =
        X509Certificate::from_der(der).map_err(|_| CertificateError::BadEncoding)?;
    certificate.subject_alternative_name().map_err(|_| CertificateError::BadEncoding)?;
    let names = AlternativeNames::of(&certificate);
    if names.uris.len() > 1 {
        return Err(CertificateError::ApplicationVerificationFailure.into());
    }
    Ok(names)
}
