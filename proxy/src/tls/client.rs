//! One upstream's TLS: whom it trusts, what it shows, and whose name the other side must have.
//!
//! It knows handshakes; endpoints, pools and retries are `upstream`'s.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use portcullis_config::model::{TrustAnchors, UpstreamTls};
use rustls::client::danger::ServerCertVerifier;
use rustls::client::{ClientSessionMemoryCache, ResolvesClientCert, Resumption};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::ServerName;
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, SignatureScheme};

use super::certificate::{self, Certificate, CertificateInfo, Purpose, Source};
use super::files::{self, Digest, sha256};
use super::server::Changed;
use super::trust::{Anchors, BundleInfo};
use super::verify::{Expected, Unverified, chain_verifier};
use super::{protocol_versions, provider, trust};
use crate::world::WorldError;

/// Names whose sessions are kept; each holds at most eight tickets.
const SESSIONS: usize = 64;

/// The TLS of one upstream.
pub struct ClientTls {
    settings: UpstreamTls,
    client_certificate: Option<Source>,
    server_name: Option<ServerName<'static>>,
    expected: Expected,
    watched: Vec<PathBuf>,
    provider: Arc<CryptoProvider>,
    sessions: Arc<ClientSessionMemoryCache>,
    /// Held while files are read, so that two reloads cannot overtake each other.
    reloading: Mutex<()>,
    current: ArcSwap<ClientGeneration>,
}

/// An endpoint's host that no certificate can name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither a DNS name nor an address, so TLS needs a `serverName`")]
pub struct InvalidServerName(pub String);

struct ClientGeneration {
    number: u64,
    config: Arc<ClientConfig>,
    verifier: Verifier,
    shown: Arc<Shown>,
}

/// Sessions are resumed only under the very same verifier, so it is kept while what it was made
/// from is the same.
#[derive(Clone)]
struct Verifier {
    digest: Digest,
    verifier: Arc<dyn ServerCertVerifier>,
    /// Of a `caFile`.
    bundle: Option<BundleInfo>,
}

/// What is shown to an upstream that asks for a certificate.
#[derive(Debug)]
struct Shown(Option<Arc<Certificate>>);

impl ClientTls {
    /// Loads everything that the upstream needs; every problem goes to the diagnostics.
    pub fn build(config: &UpstreamTls, diagnostics: &mut Vec<WorldError>) -> Option<Self> {
        Self::build_after(None, config, diagnostics)
    }

    /// [`ClientTls::build`] for an upstream that an earlier configuration had too: its sessions go
    /// on being resumed unless whom it trusts or what it shows has changed.
    pub fn build_after(
        previous: Option<&Self>,
        config: &UpstreamTls,
        diagnostics: &mut Vec<WorldError>,
    ) -> Option<Self> {
        let provider = provider();
        let already = diagnostics.len();
        let server_name = config.server_name.as_ref().and_then(|name| {
            let parsed = parse_name(name);
            if parsed.is_none() {
                diagnostics.push(WorldError::new(
                    &config.location,
                    format!("`serverName: {name}` is neither a DNS name nor an address"),
                    "write the name that stands in the upstream's certificate",
                ));
            }
            parsed
        });
        let expected = Expected::parse(config, diagnostics);
        let client_certificate = config
            .client_certificate
            .clone()
            .map(|(certificate, key)| Source::Files { certificate, key });
        let old = previous.map(|previous| previous.current.load_full());
        let old = old.as_deref();
        let parts =
            ClientParts::load(config, client_certificate.as_ref(), &expected, &provider, old);
        let (verifier, shown) = match parts {
            ClientParts { verifier: Ok(verifier), shown: Ok(shown) } => (verifier, shown),
            parts => {
                diagnostics.extend(parts.problems());
                return None;
            }
        };
        if diagnostics.len() > already {
            return None;
        }
        let sessions = previous.map_or_else(
            || Arc::new(ClientSessionMemoryCache::new(SESSIONS)),
            |previous| previous.sessions.clone(),
        );
        let client = client_config(config, &provider, &verifier, &shown, &sessions)
            .map_err(|problem| diagnostics.push(problem))
            .ok()?;
        let number = old.map_or(0, |old| old.number + 1);
        let generation = ClientGeneration { number, config: Arc::new(client), verifier, shown };
        Some(Self {
            watched: watched(config, client_certificate.as_ref()),
            settings: config.clone(),
            client_certificate,
            server_name,
            expected,
            provider,
            sessions,
            reloading: Mutex::new(()),
            current: ArcSwap::from_pointee(generation),
        })
    }

    /// Whether it was built from a configuration that says the same.
    pub fn is_for(&self, config: &UpstreamTls) -> bool {
        self.settings == *config
    }

    /// For new connections. Cheap, yet not free: keep it until [`ClientTls::generation`] moves.
    pub fn client_config(&self) -> Arc<ClientConfig> {
        self.current.load().config.clone()
    }

    /// Grows by one with each reload that changed anything.
    pub fn generation(&self) -> u64 {
        self.current.load().number
    }

    /// Sent as SNI and checked: the configured name, else the endpoint's own DNS name or address
    /// (without port; of a Unix socket there is none). An address is never sent as SNI.
    pub fn server_name(
        &self,
        endpoint_host: &str,
    ) -> Result<ServerName<'static>, InvalidServerName> {
        match &self.server_name {
            Some(name) => Ok(name.clone()),
            None => {
                parse_name(endpoint_host).ok_or_else(|| InvalidServerName(endpoint_host.to_owned()))
            }
        }
    }

    /// Reads the files again. A bad one keeps its last good version; see
    /// [`super::ServerTls::reload`].
    pub fn reload(&self) -> Result<Changed, Vec<WorldError>> {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.current.load_full();
        let parts = ClientParts::load(
            &self.settings,
            self.client_certificate.as_ref(),
            &self.expected,
            &self.provider,
            Some(&old),
        );
        let mut problems = Vec::new();
        let mut fail = |mut found: Vec<WorldError>| problems.append(&mut found);
        let verifier = parts.verifier.map_err(&mut fail).unwrap_or_else(|()| old.verifier.clone());
        let shown = parts.shown.map_err(&mut fail).unwrap_or_else(|()| old.shown.clone());
        let same = verifier.digest == old.verifier.digest && Arc::ptr_eq(&shown, &old.shown);
        if !same {
            let built =
                client_config(&self.settings, &self.provider, &verifier, &shown, &self.sessions);
            match built {
                Ok(config) => {
                    let number = old.number + 1;
                    let next =
                        ClientGeneration { number, config: Arc::new(config), verifier, shown };
                    self.current.store(Arc::new(next));
                }
                Err(problem) => problems.push(problem),
            }
        }
        match (problems.is_empty(), same) {
            (false, _) => Err(problems),
            (true, true) => Ok(Changed::No),
            (true, false) => Ok(Changed::Yes),
        }
    }

    /// The files whose change asks for [`ClientTls::reload`].
    pub fn watched_files(&self) -> &[PathBuf] {
        &self.watched
    }

    /// The authorities of a `caFile`; the system's own are the system's to look after.
    pub fn authorities(&self) -> Option<BundleInfo> {
        self.current.load().verifier.bundle.clone()
    }

    /// The certificate that is shown to the upstream.
    pub fn certificate(&self) -> Option<CertificateInfo> {
        let current = self.current.load();
        current.shown.0.as_ref().map(|certificate| certificate.information.clone())
    }
}

struct ClientParts {
    verifier: Result<Verifier, Vec<WorldError>>,
    shown: Result<Arc<Shown>, Vec<WorldError>>,
}

impl ClientParts {
    fn load(
        settings: &UpstreamTls,
        client_certificate: Option<&Source>,
        expected: &Expected,
        provider: &Arc<CryptoProvider>,
        previous: Option<&ClientGeneration>,
    ) -> Self {
        let old = previous.map(|previous| &previous.verifier);
        let verifier =
            load_verifier(settings, expected, provider, old).map_err(|problem| vec![problem]);
        let old = previous.map(|previous| &previous.shown);
        Self { verifier, shown: load_shown(client_certificate, provider, old) }
    }

    fn problems(self) -> impl Iterator<Item = WorldError> {
        let problems = [self.verifier.err(), self.shown.err()];
        problems.into_iter().flatten().flatten()
    }
}

fn load_verifier(
    settings: &UpstreamTls,
    expected: &Expected,
    provider: &Arc<CryptoProvider>,
    previous: Option<&Verifier>,
) -> Result<Verifier, WorldError> {
    let known = |kind: &[u8]| {
        let digest = sha256(&[&expected.digest(), kind]);
        (digest, previous.filter(|previous| previous.digest == digest).cloned())
    };
    match &settings.ca {
        TrustAnchors::File(file) => {
            let bytes = files::read(file)?;
            let (digest, previous) = known(&bytes);
            if let Some(previous) = previous {
                return Ok(previous);
            }
            let Anchors { store, bundle, .. } = trust::anchors(file, &bytes)?;
            let verifier = chain_verifier(store, expected, provider, &file.location)?;
            Ok(Verifier { digest, verifier, bundle: Some(bundle) })
        }
        TrustAnchors::System => {
            // A store that changes is taken at the next start, as elsewhere; no PEM file can be
            // mistaken for this word.
            let (digest, previous) = known(b"system");
            if let Some(previous) = previous {
                return Ok(previous);
            }
            let store = trust::system_anchors(&trust::system_store(&settings.location)?)?;
            let verifier = chain_verifier(store, expected, provider, &settings.location)?;
            Ok(Verifier { digest, verifier, bundle: None })
        }
        TrustAnchors::InsecureNoVerify => {
            let (digest, previous) = known(b"insecure");
            let verifier = || Arc::new(Unverified::new(provider));
            Ok(previous.unwrap_or_else(|| Verifier { digest, verifier: verifier(), bundle: None }))
        }
    }
}

fn load_shown(
    source: Option<&Source>,
    provider: &CryptoProvider,
    previous: Option<&Arc<Shown>>,
) -> Result<Arc<Shown>, Vec<WorldError>> {
    let old = previous.and_then(|shown| shown.0.as_ref());
    let loaded = source
        .map(|source| certificate::load(source, Purpose::Client, provider, old))
        .transpose()?;
    let same = match (&loaded, old) {
        (Some(loaded), Some(old)) => Arc::ptr_eq(loaded, old),
        (None, None) => true,
        _ => false,
    };
    match previous {
        Some(previous) if same => Ok(previous.clone()),
        _ => Ok(Arc::new(Shown(loaded))),
    }
}

impl ResolvesClientCert for Shown {
    fn resolve(
        &self,
        _root_hint_subjects: &[&[u8]],
        schemes: &[SignatureScheme],
    ) -> Option<Arc<CertifiedKey>> {
        // The hints are passed over: an upstream that wants another certificate says so better by
        // refusing this one than by meeting none.
        let key = &self.0.as_ref()?.key;
        key.key.choose_scheme(schemes).map(|_| key.clone())
    }

    fn has_certs(&self) -> bool {
        self.0.is_some()
    }
}

fn client_config(
    settings: &UpstreamTls,
    provider: &Arc<CryptoProvider>,
    verifier: &Verifier,
    shown: &Arc<Shown>,
    sessions: &Arc<ClientSessionMemoryCache>,
) -> Result<ClientConfig, WorldError> {
    let versions = protocol_versions(settings.min_version, settings.max_version);
    let mut config = ClientConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(versions)
        .map_err(|error| {
            WorldError::new(
                &settings.location,
                format!("TLS cannot be set up: {error}"),
                "check the versions of this upstream",
            )
        })?
        .dangerous()
        .with_custom_certificate_verifier(verifier.verifier.clone())
        .with_client_cert_resolver(shown.clone());
    config.alpn_protocols = settings.alpn.iter().map(|token| token.clone().into_bytes()).collect();
    config.resumption = Resumption::store(sessions.clone());
    config.enable_early_data = false;
    Ok(config)
}

fn parse_name(name: &str) -> Option<ServerName<'static>> {
    let name = name.strip_suffix('.').unwrap_or(name);
    ServerName::try_from(name.to_owned()).ok()
}

fn watched(settings: &UpstreamTls, client_certificate: Option<&Source>) -> Vec<PathBuf> {
    let authorities = match &settings.ca {
        TrustAnchors::File(file) => Some(file.path.clone()),
        TrustAnchors::System | TrustAnchors::InsecureNoVerify => None,
    };
    authorities.into_iter().chain(client_certificate.iter().flat_map(|it| it.files())).collect()
}
