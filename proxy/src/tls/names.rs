//! Which certificate answers for which name: what SNI chooses, and what a Host would have chosen.
//!
//! It knows names and keys; files, trust and the handshake's outcome are elsewhere.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use smallvec::{SmallVec, smallvec};

use super::certificate::{Certificate, Source};
use crate::world::WorldError;

/// The longest DNS name in presentation form (RFC 1035, section 2.3.4).
const MAX_NAME: usize = 253;

/// Indices into the listener's certificates, in order of preference; never empty. More than one
/// only when keys of several algorithms share a name.
type Candidates = SmallVec<[usize; 2]>;

/// Exact names win over wildcards; a wildcard stands for one label; all else is the default's.
#[derive(Debug)]
pub(super) struct NameTable {
    keys: Vec<Arc<CertifiedKey>>,
    exact: HashMap<Box<[u8]>, Candidates, ahash::RandomState>,
    /// Under what follows `*.`.
    wildcard: HashMap<Box<[u8]>, Candidates, ahash::RandomState>,
    default: Candidates,
}

impl NameTable {
    /// A certificate that no client could ever be given is an error.
    pub(super) fn build(
        sources: &[Source],
        certificates: &[Arc<Certificate>],
    ) -> Result<Self, Vec<WorldError>> {
        let mut table = Self {
            keys: certificates.iter().map(|certificate| certificate.key.clone()).collect(),
            exact: HashMap::default(),
            wildcard: HashMap::default(),
            default: smallvec![0],
        };
        let mut problems = Vec::new();
        for (index, certificate) in certificates.iter().enumerate() {
            let mut taken_by = None;
            let mut reachable = index == 0;
            for name in &certificate.dns_names {
                match table.insert(name, index) {
                    Insertion::Done => reachable = true,
                    Insertion::TakenBy(earlier) => taken_by = Some(earlier),
                    Insertion::Unmatchable => {}
                }
            }
            if !reachable {
                let earlier = taken_by.map(|earlier| &sources[earlier]);
                problems.push(unreachable_certificate(&sources[index], certificate, earlier));
            }
        }
        if problems.is_empty() { Ok(table) } else { Err(problems) }
    }

    /// The certificate that answers for a name: its place among the listener's.
    pub(super) fn select(&self, name: &[u8]) -> usize {
        self.candidates(name)[0]
    }

    pub(super) fn has_choice(&self) -> bool {
        self.keys.len() > 1
    }

    /// Whether a certificate is for the name, rather than answering for it as the first one.
    pub(super) fn has(&self, name: &[u8]) -> bool {
        self.find(name).is_some()
    }

    fn candidates(&self, name: &[u8]) -> &Candidates {
        self.find(name).unwrap_or(&self.default)
    }

    fn find(&self, name: &[u8]) -> Option<&Candidates> {
        let mut buffer = [0; MAX_NAME];
        let name = name.strip_suffix(b".").unwrap_or(name);
        let lower = buffer.get_mut(..name.len())?;
        lower.copy_from_slice(name);
        lower.make_ascii_lowercase();
        if let Some(found) = self.exact.get(&*lower) {
            return Some(found);
        }
        let parent = memchr::memchr(b'.', lower).map(|dot| &lower[dot + 1..]);
        parent.and_then(|parent| self.wildcard.get(parent))
    }

    fn insert(&mut self, name: &str, index: usize) -> Insertion {
        let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
        let (map, key) = match name.strip_prefix("*.") {
            Some(parent) => (&mut self.wildcard, parent),
            None => (&mut self.exact, name.as_str()),
        };
        // No client takes `*` anywhere but as the whole first label (RFC 9525, section 6.3).
        if key.is_empty() || key.contains('*') || key.len() > MAX_NAME {
            return Insertion::Unmatchable;
        }
        let candidates = map.entry(key.as_bytes().into()).or_default();
        let algorithm = self.keys[index].key.algorithm();
        let same =
            candidates.iter().find(|earlier| self.keys[**earlier].key.algorithm() == algorithm);
        match same {
            // A certificate may repeat a name.
            Some(earlier) if *earlier == index => Insertion::Done,
            Some(earlier) => Insertion::TakenBy(*earlier),
            None => {
                candidates.push(index);
                Insertion::Done
            }
        }
    }
}

impl ResolvesServerCert for NameTable {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let candidates =
            hello.server_name().map_or(&self.default, |name| self.candidates(name.as_bytes()));
        let fits = |index: &&usize| {
            self.keys[**index].key.choose_scheme(hello.signature_schemes()).is_some()
        };
        let chosen = candidates.iter().find(fits).or(candidates.first())?;
        Some(self.keys[*chosen].clone())
    }
}

/// A Host without its port, for [`NameTable::select`]. An IPv6 literal keeps its brackets: no
/// name looks like it.
pub(super) fn host_name(host: &[u8]) -> &[u8] {
    match memchr::memrchr(b':', host) {
        Some(colon) if host[colon + 1..].iter().all(u8::is_ascii_digit) => &host[..colon],
        _ => host,
    }
}

enum Insertion {
    Done,
    /// An earlier certificate with a key of the same algorithm has the name.
    TakenBy(usize),
    Unmatchable,
}

fn unreachable_certificate(
    source: &Source,
    certificate: &Certificate,
    earlier: Option<&Source>,
) -> WorldError {
    let location = source.location();
    let described = source.describe();
    match earlier {
        Some(earlier) => WorldError::new(
            location,
            format!(
                "{described}: no client can ever be given this certificate: each of its names ({}) \
                 belongs to an earlier one, {}",
                certificate.dns_names.join(", "),
                earlier.describe(),
            ),
            "remove one of the two; the first certificate that has a name answers for it",
        ),
        None => WorldError::new(
            location,
            format!(
                "{described}: no client can ever be given this certificate: it has no DNS name in \
                 its subjectAltName"
            ),
            "issue it with the names it is for; the common name is not looked at",
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_loses_its_port_and_nothing_else() {
        for (host, expected) in [
            ("a.example", "a.example"),
            ("a.example:8443", "a.example"),
            ("a.example:", "a.example"),
            ("[::1]", "[::1]"),
            ("[::1]:8443", "[::1]"),
            ("10.0.0.1:80", "10.0.0.1"),
            ("a:b", "a:b"),
            ("", ""),
        ] {
            assert_eq!(host_name(host.as_bytes()), expected.as_bytes(), "{host}");
        }
    }
}
