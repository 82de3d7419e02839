//! One listener's TLS: its certificates and client authentication, live under a generation of
//! their own, so that a renewed certificate rebuilds nothing else.
//!
//! It knows handshakes; sockets, requests and file watching are the integrating layers'.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use portcullis_config::model::{ClientAuth, ClientAuthMode, ListenerTls};
use rustls::crypto::CryptoProvider;
use rustls::crypto::aws_lc_rs::Ticketer;
use rustls::pki_types::UnixTime;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};
use rustls::{HandshakeKind, ServerConfig, ServerConnection};

use super::certificate::{self, Certificate, CertificateInfo, Purpose, Source};
use super::client_auth::{ClientTrust, RevocationListInfo};
use super::identity::PeerIdentity;
use super::names::{NameTable, host_name};
use super::trust::BundleInfo;
use super::{protocol_versions, provider};
use crate::world::WorldError;

/// The TLS of one listener.
pub struct ServerTls {
    settings: ListenerTls,
    sources: Vec<Source>,
    watched: Vec<PathBuf>,
    provider: Arc<CryptoProvider>,
    /// Held while files are read, so that two reloads cannot overtake each other.
    reloading: Mutex<()>,
    current: ArcSwap<ServerGeneration>,
}

/// Whether a reload found anything new.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Changed {
    Yes,
    No,
}

/// Why a finished handshake does not let its peer in after all.
#[derive(Debug, thiserror::Error)]
pub enum PeerRefused {
    #[error("the session was resumed without the client certificate that is required")]
    Missing,
    #[error("the client certificate no longer verifies: {0}")]
    Unverified(#[from] rustls::Error),
    #[error("the client certificate is revoked")]
    Revoked,
    #[error("the client certificate does not parse")]
    Unreadable,
}

/// What new handshakes are done with.
struct ServerGeneration {
    number: u64,
    config: Arc<ServerConfig>,
    names: Arc<NameTable>,
    certificates: Vec<Arc<Certificate>>,
    client_trust: Option<Arc<ClientTrust>>,
    ticketer: Arc<dyn ProducesTickets>,
}

impl ServerTls {
    /// Loads everything that the listener needs; every problem goes to the diagnostics.
    pub fn build(config: &ListenerTls, diagnostics: &mut Vec<WorldError>) -> Option<Self> {
        Self::build_after(None, config, diagnostics)
    }

    /// [`ServerTls::build`] for a listener that an earlier configuration had too: self-signed
    /// certificates of the same names stay, and clients go on resuming their sessions unless what
    /// is asked of their certificates has changed.
    pub fn build_after(
        previous: Option<&Self>,
        config: &ListenerTls,
        diagnostics: &mut Vec<WorldError>,
    ) -> Option<Self> {
        let provider = provider();
        let previous = previous.map(|previous| previous.current.load_full());
        let sources: Vec<_> = config.certificates.iter().map(Source::from).collect();
        let old = previous.as_deref();
        let carried: Vec<_> = sources.iter().map(|source| old?.carried_for(source)).collect();
        let mut parts = ServerParts::load(&sources, config, &provider, &carried, old);
        let generation = parts.generation(&sources, config, &provider, old);
        diagnostics.append(&mut parts.problems);
        let generation = generation?;
        Some(Self {
            settings: config.clone(),
            watched: watched(&sources, config.client_auth.as_ref()),
            sources,
            provider,
            reloading: Mutex::new(()),
            current: ArcSwap::from_pointee(generation),
        })
    }

    /// For new connections. Cheap, yet not free: keep it until [`ServerTls::generation`] moves.
    pub fn server_config(&self) -> Arc<ServerConfig> {
        self.current.load().config.clone()
    }

    /// Grows by one with each reload that changed anything.
    pub fn generation(&self) -> u64 {
        self.current.load().number
    }

    /// Reads the files again. What is bad keeps its last good version while the rest is taken, so
    /// one broken certificate does not hold up the renewal of another: after an error
    /// [`ServerTls::generation`] tells whether anything changed.
    pub fn reload(&self) -> Result<Changed, Vec<WorldError>> {
        let _one_at_a_time = self.reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.current.load_full();
        let current: Vec<_> = old.certificates.iter().cloned().map(Some).collect();
        let mut parts =
            ServerParts::load(&self.sources, &self.settings, &self.provider, &current, Some(&old));
        parts.keep_last_good(&old);
        let mut changed = Changed::No;
        if parts.differ_from(&old)
            && let Some(next) =
                parts.generation(&self.sources, &self.settings, &self.provider, Some(&old))
        {
            self.current.store(Arc::new(next));
            changed = Changed::Yes;
        }
        if parts.problems.is_empty() { Ok(changed) } else { Err(parts.problems) }
    }

    /// The files whose change asks for [`ServerTls::reload`].
    pub fn watched_files(&self) -> &[PathBuf] {
        &self.watched
    }

    /// Whether a request belongs on another connection (421): its Host would have chosen another
    /// certificate than the SNI did. A client without SNI made no choice, so it may ask anything.
    pub fn misdirected(&self, sni: Option<&str>, host: &[u8]) -> bool {
        let Some(sni) = sni else { return false };
        let host = host_name(host);
        if host.eq_ignore_ascii_case(sni.as_bytes()) {
            return false;
        }
        let current = self.current.load();
        let names = &current.names;
        names.has_choice() && names.select(sni.as_bytes()) != names.select(host)
    }

    /// Whether a certificate is for this name; any other name gets the first one.
    pub fn has_certificate_for(&self, name: &str) -> bool {
        self.current.load().names.has(name.as_bytes())
    }

    /// Who the client of a finished handshake is; `None` if it showed no certificate and need not.
    ///
    /// To be called for every connection before its first request: rustls does not verify the
    /// certificate of a resumed session again, and a list may have come in since the handshake.
    pub fn peer(&self, connection: &ServerConnection) -> Result<Option<PeerIdentity>, PeerRefused> {
        let current = self.current.load();
        let Some(trust) = &current.client_trust else { return Ok(None) };
        let chain = connection.peer_certificates().unwrap_or_default();
        let Some((leaf, intermediates)) = chain.split_first() else {
            return match trust.mode {
                ClientAuthMode::Optional => Ok(None),
                ClientAuthMode::Required => Err(PeerRefused::Missing),
            };
        };
        if connection.handshake_kind() == Some(HandshakeKind::Resumed) {
            trust.verifier.verify_client_cert(leaf, intermediates, UnixTime::now())?;
        }
        let peer = PeerIdentity::of(chain).ok_or(PeerRefused::Unreadable)?;
        if trust.is_revoked(&peer) { Err(PeerRefused::Revoked) } else { Ok(Some(peer)) }
    }

    /// Whether the current lists name a certificate of this peer's chain: asked of every live
    /// connection after a reload.
    pub fn is_revoked(&self, peer: &PeerIdentity) -> bool {
        let current = self.current.load();
        current.client_trust.as_ref().is_some_and(|trust| trust.is_revoked(peer))
    }

    /// The certificates in the order of the configuration.
    pub fn certificates(&self) -> Vec<CertificateInfo> {
        let current = self.current.load();
        current.certificates.iter().map(|certificate| certificate.information.clone()).collect()
    }

    /// The authorities of client certificates.
    pub fn authorities(&self) -> Option<BundleInfo> {
        let current = self.current.load();
        current.client_trust.as_ref().map(|trust| trust.bundle.clone())
    }

    pub fn revocation_lists(&self) -> Vec<RevocationListInfo> {
        let current = self.current.load();
        current.client_trust.as_ref().map(|trust| trust.lists.clone()).unwrap_or_default()
    }
}

impl ServerGeneration {
    /// The certificate that an earlier configuration loaded from the same place.
    fn carried_for(&self, source: &Source) -> Option<Arc<Certificate>> {
        let place = source.describe();
        self.certificates.iter().find(|old| old.source.describe() == place).cloned()
    }
}

/// What was loaded, with gaps where loading failed.
struct ServerParts {
    certificates: Vec<Option<Arc<Certificate>>>,
    /// The outer gap is a failure, the inner one a listener that asks for no certificate.
    client_trust: Option<Option<Arc<ClientTrust>>>,
    problems: Vec<WorldError>,
}

impl ServerParts {
    fn load(
        sources: &[Source],
        settings: &ListenerTls,
        provider: &Arc<CryptoProvider>,
        previous_certificates: &[Option<Arc<Certificate>>],
        previous: Option<&ServerGeneration>,
    ) -> Self {
        let mut problems = Vec::new();
        let mut keep = |result: Result<Arc<Certificate>, Vec<WorldError>>| {
            result.map_err(|mut found| problems.append(&mut found)).ok()
        };
        let certificates = sources
            .iter()
            .zip(previous_certificates)
            .map(|(source, old)| {
                keep(certificate::load(source, Purpose::Server, provider, old.as_ref()))
            })
            .collect();
        let previous_trust = previous.and_then(|previous| previous.client_trust.as_ref());
        let client_trust = settings
            .client_auth
            .as_ref()
            .map(|auth| ClientTrust::load(auth, provider, previous_trust))
            .transpose()
            .map_err(|mut found| problems.append(&mut found))
            .ok();
        Self { certificates, client_trust, problems }
    }

    fn keep_last_good(&mut self, old: &ServerGeneration) {
        for (slot, old) in self.certificates.iter_mut().zip(&old.certificates) {
            slot.get_or_insert_with(|| old.clone());
        }
        self.client_trust.get_or_insert_with(|| old.client_trust.clone());
    }

    fn differ_from(&self, old: &ServerGeneration) -> bool {
        let same_certificates = self
            .certificates
            .iter()
            .zip(&old.certificates)
            .all(|(new, old)| new.as_ref().is_some_and(|new| Arc::ptr_eq(new, old)));
        let same_trust = match (&self.client_trust, &old.client_trust) {
            (Some(Some(new)), Some(old)) => Arc::ptr_eq(new, old),
            (Some(None), None) => true,
            _ => false,
        };
        !(same_certificates && same_trust)
    }

    /// `None` while any part is missing, or when the parts do not go together.
    fn generation(
        &mut self,
        sources: &[Source],
        settings: &ListenerTls,
        provider: &Arc<CryptoProvider>,
        previous: Option<&ServerGeneration>,
    ) -> Option<ServerGeneration> {
        let certificates: Vec<_> = self.certificates.iter().cloned().collect::<Option<_>>()?;
        let client_trust = self.client_trust.clone()?;
        let names = match NameTable::build(sources, &certificates) {
            Ok(names) => Arc::new(names),
            Err(mut found) => {
                self.problems.append(&mut found);
                return None;
            }
        };
        let ticketer = ticketer(client_trust.as_deref(), previous);
        let built = ticketer.and_then(|ticketer| {
            let config =
                server_config(settings, provider, &names, client_trust.as_deref(), &ticketer)?;
            Ok((config, ticketer))
        });
        match built {
            Ok((config, ticketer)) => Some(ServerGeneration {
                number: previous.map_or(0, |previous| previous.number + 1),
                config: Arc::new(config),
                names,
                certificates,
                client_trust,
                ticketer,
            }),
            Err(error) => {
                self.problems.push(WorldError::new(
                    &settings.location,
                    format!("TLS cannot be set up: {error}"),
                    "check the versions and certificates of this listener",
                ));
                None
            }
        }
    }
}

/// Keys for session tickets, changed every six hours and good for twelve. They outlive a reload,
/// except that a session begun under other rules for client certificates is never resumed.
fn ticketer(
    trust: Option<&ClientTrust>,
    previous: Option<&ServerGeneration>,
) -> Result<Arc<dyn ProducesTickets>, rustls::Error> {
    let carried = previous.filter(|previous| match (&previous.client_trust, trust) {
        (None, None) => true,
        (Some(old), Some(new)) => new.same_as(old),
        _ => false,
    });
    carried.map_or_else(Ticketer::new, |previous| Ok(previous.ticketer.clone()))
}

fn server_config(
    settings: &ListenerTls,
    provider: &Arc<CryptoProvider>,
    names: &Arc<NameTable>,
    trust: Option<&ClientTrust>,
    ticketer: &Arc<dyn ProducesTickets>,
) -> Result<ServerConfig, rustls::Error> {
    let verifier =
        trust.map_or_else(WebPkiClientVerifier::no_client_auth, |trust| trust.verifier.clone());
    let mut config = ServerConfig::builder_with_provider(provider.clone())
        .with_protocol_versions(protocol_versions(settings.min_version, settings.max_version))?
        .with_client_cert_verifier(verifier)
        .with_cert_resolver(names.clone());
    config.alpn_protocols = settings.alpn.iter().map(|token| token.clone().into_bytes()).collect();
    // Tickets keep sessions with the clients: nothing here grows with their number.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = ticketer.clone();
    // Each resumption brings the next ticket; more would only cost each handshake its sealing.
    config.send_tls13_tickets = 1;
    // A request in 0-RTT data can be replayed.
    config.max_early_data_size = 0;
    Ok(config)
}

fn watched(sources: &[Source], auth: Option<&ClientAuth>) -> Vec<PathBuf> {
    let certificates = sources.iter().flat_map(Source::files);
    let authorities = auth.map(|auth| auth.ca.path.clone());
    let lists = auth.and_then(|auth| auth.crl.as_ref()).map(|file| file.path.clone());
    certificates.chain(authorities).chain(lists).collect()
}
