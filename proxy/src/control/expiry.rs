//! Warns in the log before a certificate expires.
//!
//! Knows dates and owners. Other modules reload files. Nothing here renews a certificate.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::observe::clock::rfc3339;
use crate::snapshot::Snapshot;
use crate::tls::{BundleInfo, CertificateInfo, CertificateOrigin, unix_now};

const DAY: i64 = 24 * 60 * 60;
/// Days before the expiry at which a line is logged. A mark counts only if the certificate is valid
/// for at least twice as long: short-lived ones are renewed in their last hours.
const DAYS: [i64; 5] = [30, 14, 7, 3, 1];
/// How often the system clock is read, since an administrator may set it.
const LOOK_EVERY: i64 = 60;

/// What expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum CertificateKind {
    Listener,
    /// A client certificate for an upstream.
    Upstream,
    /// A bundle of authorities that verifies clients or upstreams.
    Authorities,
}

/// One certificate, or the authority of a bundle that expires last.
#[derive(Debug, Clone)]
pub struct Expiring {
    /// The metric's label: its place in the configuration.
    pub label: String,
    /// Seconds since 1970.
    pub not_after: i64,
    not_before: i64,
    kind: CertificateKind,
    /// Its names, or its subject if it has none.
    names: String,
    /// `None` for a self-signed one, which is renewed here.
    file: Option<PathBuf>,
    fingerprint: [u8; 32],
}

/// Everything in a generation that can expire.
pub fn expiring(snapshot: &Snapshot) -> Vec<Expiring> {
    let mut all = Vec::new();
    for (name, tls) in snapshot.server_tls() {
        let certificates = tls.certificates().into_iter().enumerate();
        all.extend(certificates.map(|(index, certificate)| {
            Expiring::of(format!("{name}/{index}"), CertificateKind::Listener, certificate)
        }));
        let authorities = tls.authorities();
        all.extend(authorities.map(|bundle| Expiring::of_bundle(format!("{name}/ca"), bundle)));
    }
    for upstream in &snapshot.upstreams {
        let Some(tls) = &upstream.tls else { continue };
        let label = |what: &str| format!("upstream/{}/{what}", upstream.name);
        let shown = tls.certificate();
        all.extend(
            shown.map(|shown| Expiring::of(label("client"), CertificateKind::Upstream, shown)),
        );
        let authorities = tls.authorities();
        all.extend(authorities.map(|bundle| Expiring::of_bundle(label("ca"), bundle)));
    }
    all
}

impl Expiring {
    fn of(label: String, kind: CertificateKind, certificate: CertificateInfo) -> Self {
        let names = match certificate.names.as_slice() {
            [] => certificate.subject,
            names => names.join(", "),
        };
        Self {
            label,
            not_after: certificate.not_after,
            not_before: certificate.not_before,
            kind,
            names,
            file: match certificate.source {
                CertificateOrigin::File(path) => Some(path),
                CertificateOrigin::SelfSigned => None,
            },
            fingerprint: certificate.fingerprint,
        }
    }

    fn of_bundle(label: String, bundle: BundleInfo) -> Self {
        Self {
            label,
            not_after: bundle.not_after,
            not_before: bundle.not_before,
            kind: CertificateKind::Authorities,
            names: bundle.subject,
            file: Some(bundle.file),
            fingerprint: bundle.fingerprint,
        }
    }

    /// When to log, with the days left at that moment.
    fn marks(&self) -> impl Iterator<Item = (i64, i64)> {
        let life = self.not_after - self.not_before;
        let counts = move |days: &i64| *days == 0 || 2 * days * DAY <= life;
        let days = DAYS.into_iter().chain([0]).filter(counts);
        days.map(|days| (self.not_after - days * DAY, days))
    }

    fn log(&self, days: i64) {
        let (certificate, names) = (&*self.label, &*self.names);
        let file = self.file.as_ref().map(|file| tracing::field::display(file.display()));
        let expires = rfc3339(self.not_after);
        let help = match self.kind {
            CertificateKind::Listener | CertificateKind::Upstream => {
                "renew it and replace its file, which is read again by itself; if an ACME client or \
                 cert-manager does that, see why it did not"
            }
            CertificateKind::Authorities => {
                "add the authority's new certificate to caFile, which is read again by itself"
            }
        };
        match (days, self.kind) {
            (0, CertificateKind::Listener) => tracing::error!(
                certificate,
                names,
                file,
                expires,
                help,
                "a listener's certificate has expired: clients refuse it"
            ),
            (0, CertificateKind::Upstream) => tracing::error!(
                certificate,
                names,
                file,
                expires,
                help,
                "the certificate for an upstream has expired: the upstream refuses it"
            ),
            (0, CertificateKind::Authorities) => tracing::error!(
                certificate,
                names,
                file,
                expires,
                help,
                "every authority of a bundle has expired: no peer can be verified"
            ),
            (days, _) => tracing::warn!(
                certificate,
                names,
                file,
                expires,
                days,
                help,
                "a certificate expires soon"
            ),
        }
    }
}

/// What was logged for each certificate, and when to log next.
#[derive(Default)]
struct Reported(HashMap<(String, [u8; 32]), i64>);

impl Reported {
    /// What to log now, with the days of its mark (0 once expired), and the seconds until the next
    /// mark. If several marks were passed, only the last one is logged.
    fn look<'a>(&mut self, all: &'a [Expiring], now: i64) -> (Vec<(&'a Expiring, i64)>, i64) {
        let mut reported = HashMap::with_capacity(all.len());
        let mut news = Vec::new();
        let mut next = now + LOOK_EVERY;
        // Self-signed certificates are renewed by this process.
        for one in all.iter().filter(|one| one.file.is_some()) {
            let key = (one.label.clone(), one.fingerprint);
            let passed = one.marks().filter(|(at, _)| *at <= now).last();
            next = one.marks().map(|(at, _)| at).filter(|at| *at > now).fold(next, i64::min);
            let Some((_, days)) = passed else { continue };
            if self.0.get(&key).is_none_or(|before| days < *before) {
                news.push((one, days));
            }
            reported.insert(key, days);
        }
        self.0 = reported;
        (news, next - now)
    }
}

/// Logs expiries while the process serves. `changed` wakes it when other certificates are in use.
pub async fn watch(published: Arc<ArcSwap<Snapshot>>, changed: Arc<Notify>) {
    let mut reported = Reported::default();
    loop {
        let all = expiring(&published.load());
        let (news, pause) = reported.look(&all, unix_now());
        for (one, days) in news {
            one.log(days);
        }
        let pause = Duration::from_secs(u64::try_from(pause).unwrap_or(1));
        tokio::select! {
            () = changed.notified() => {}
            () = sleep(pause) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn certificate(label: &str, life: i64, left: i64) -> Expiring {
        Expiring {
            label: label.to_owned(),
            not_after: left,
            not_before: left - life,
            kind: CertificateKind::Listener,
            names: "shop.example".to_owned(),
            file: Some("shop.crt".into()),
            fingerprint: [u8::try_from(life / DAY).unwrap(); 32],
        }
    }

    /// The days at which a certificate of this life is logged, if checked every hour.
    fn check(life: i64, expected: &[(i64, i64)]) {
        let one = [certificate("public/0", life * DAY, life * DAY)];
        let mut reported = Reported::default();
        let mut logged = Vec::new();
        for hour in 0..=(life + 1) * 24 {
            let (news, _) = reported.look(&one, hour * DAY / 24);
            logged.extend(news.into_iter().map(|(_, days)| (hour / 24, days)));
        }
        assert_eq!(logged, expected, "{life} days");
    }

    #[test]
    fn each_mark_is_logged_once_and_the_expiry() {
        check(90, &[(60, 30), (76, 14), (83, 7), (87, 3), (89, 1), (90, 0)]);
        check(7, &[(4, 3), (6, 1), (7, 0)]);
        // One that lives a day is renewed in its last hours.
        check(1, &[(1, 0)]);
    }

    #[test]
    fn a_certificate_first_seen_late_is_logged_once_and_a_renewed_one_again() {
        let mut reported = Reported::default();
        let mut days = |all: &[Expiring], now| {
            let (news, _) = reported.look(all, now);
            news.into_iter().map(|(_, days)| days).collect::<Vec<_>>()
        };
        let old = [certificate("public/0", 90 * DAY, 5 * DAY)];
        assert_eq!(days(&old, 0), [7], "of the marks that were passed the last one");
        assert_eq!(days(&old, 1), [0_i64; 0]);
        let renewed = [certificate("public/0", 91 * DAY, 91 * DAY)];
        assert_eq!(days(&renewed, 2), [0_i64; 0]);
        assert_eq!(days(&old, 3), [7], "the old one is back");
        assert_eq!(days(&[], 4), [0_i64; 0]);
        assert_eq!(reported.0.len(), 0, "nothing is kept of what is gone");
    }

    #[test]
    fn self_signed_certificates_are_not_logged() {
        let mut own = certificate("public/0", 90 * DAY, 0);
        own.file = None;
        assert!(Reported::default().look(&[own], 10).0.is_empty());
    }

    #[test]
    fn the_next_look_is_at_the_next_mark() {
        let pause = |left| {
            let one = [certificate("public/0", 90 * DAY, left)];
            Reported::default().look(&one, 0).1
        };
        assert_eq!(pause(3), 3);
        assert_eq!(pause(DAY + 5), 5);
        assert_eq!(pause(DAY - 5), LOOK_EVERY);
    }
}
