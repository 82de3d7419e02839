//! Listeners: their kind, their TLS, their limits.

use super::inherit::{Inheritance, built_in, within};
use super::{at, on, refuse, stream};
use crate::diagnostics::{Diagnostic, Report};
use crate::location::{Located, Location, Origin, Sourced};
use crate::model::{
    CertificateSource, ClientAuth, ClientAuthMode, ConnectionLimits, HttpListener, HttpProtocol,
    ListenAddress, Listener, ListenerKind, ListenerTimeouts, ListenerTls, Protocols, ProxyProtocol,
    RequestLimits, StreamKind, TlsVersion, Trust, Underscores, Upgrade, Upgrades,
};
use crate::networks::Networks;
use crate::policy::Policies;
use crate::raw::{self, Address, ClientAuthChoice};

pub(super) fn kind_of(raw: &raw::Listener) -> raw::ListenerKind {
    raw.kind.as_ref().map_or(raw::ListenerKind::Http, |kind| kind.value)
}

pub(super) fn lower(
    raw: &Located<raw::Listener>,
    policies: &Option<Policies>,
    inheritance: &Inheritance<'_>,
    report: &mut Report,
) -> Option<Listener> {
    let raw = &raw.value;
    let address = address(raw, report);
    let kind = match kind_of(raw) {
        raw::ListenerKind::Http => http(raw, inheritance, report),
        raw::ListenerKind::Status => status(raw, report),
        raw::ListenerKind::Tcp => stream::listener(raw, StreamKind::Tcp, inheritance, report),
        raw::ListenerKind::TlsPassthrough => {
            stream::listener(raw, StreamKind::TlsPassthrough, inheritance, report)
        }
    };
    let name = raw.name.as_ref()?;
    Some(Listener {
        name: name.value.clone(),
        location: name.location.clone(),
        address: address?,
        kind: kind?,
        policies: policies.clone()?,
    })
}

fn address(raw: &raw::Listener, report: &mut Report) -> Option<ListenAddress> {
    match &raw.address.as_ref()?.value {
        Address::Unix(path) => {
            refuse(on(&raw.v6only), "a Unix socket has no address family", report)?;
            Some(ListenAddress::Unix(path.clone()))
        }
        Address::Tcp(address) => {
            if address.is_ipv4() {
                refuse(on(&raw.v6only), "`v6only` is for IPv6 addresses", report)?;
            }
            Some(ListenAddress::Tcp { address: *address, v6only: on(&raw.v6only).is_some() })
        }
    }
}

fn status(raw: &raw::Listener, report: &mut Report) -> Option<ListenerKind> {
    let given = [
        ("tls", at(&raw.tls)),
        ("protocols", at(&raw.protocols)),
        ("requestLimits", at(&raw.request_limits)),
        ("connectionLimits", at(&raw.connection_limits)),
        ("timeouts", at(&raw.timeouts)),
        ("headerUnderscores", at(&raw.header_underscores)),
        ("upgrades", at(&raw.upgrades)),
        ("proxyProtocol", at(&raw.proxy_protocol)),
        ("trustedProxies", at(&raw.trusted_proxies)),
        ("trustedHops", at(&raw.trusted_hops)),
    ];
    let mut right = Some(());
    for (key, given) in given {
        right = right.and(refuse(given, format!("a `status` listener has no `{key}`"), report));
    }
    right.map(|()| ListenerKind::Status)
}

fn http(
    raw: &raw::Listener,
    inheritance: &Inheritance<'_>,
    report: &mut Report,
) -> Option<ListenerKind> {
    let protocols = protocols(raw, report);
    let tls = match &raw.tls {
        Some(tls) => lower_tls(tls, protocols.unwrap_or_default().alpn(), report).map(Some),
        None => Some(None),
    };
    let request_limits = request_limits(raw, inheritance, report);
    let trust = trust(raw, report);
    let proxy_protocol = trust.as_ref().and_then(|trust| proxy_protocol(raw, trust, report));
    let timeouts = raw.timeouts.as_ref();
    // Timeouts of clients stand at the listener only: `defaults.timeouts` are those of upstreams.
    let own = |one: Option<&Located<std::time::Duration>>, built_in| {
        inheritance.pick(one, Origin::Listener, |_| None, built_in)
    };
    Some(ListenerKind::Http(Box::new(HttpListener {
        tls: tls?,
        protocols: protocols?,
        request_limits: request_limits?,
        connection_limits: connection_limits(raw, inheritance),
        timeouts: ListenerTimeouts {
            head: own(within(timeouts, |one| &one.head), built_in::HEAD),
            idle: own(within(timeouts, |one| &one.idle), built_in::LISTENER_IDLE),
            body: own(within(timeouts, |one| &one.body), built_in::BODY_PROGRESS),
            handshake: own(within(timeouts, |one| &one.handshake), built_in::HANDSHAKE),
        },
        header_underscores: raw
            .header_underscores
            .as_ref()
            .map_or(Underscores::Reject, |one| one.value),
        trust: trust?,
        proxy_protocol: proxy_protocol?,
        upgrades: upgrades(raw),
    })))
}

fn upgrades(raw: &raw::Listener) -> Upgrades {
    let Some(listed) = &raw.upgrades else { return Upgrades::default() };
    Upgrades { websocket: listed.value.iter().any(|one| one.value == Upgrade::WebSocket) }
}

fn protocols(raw: &raw::Listener, report: &mut Report) -> Option<Protocols> {
    let Some(listed) = &raw.protocols else { return Some(Protocols::default()) };
    if listed.value.is_empty() {
        refuse(Some(&listed.location), "a listener speaks at least one protocol", report)?;
    }
    let has = |one| listed.value.iter().any(|listed| listed.value == one);
    Some(Protocols { http1: has(HttpProtocol::Http1), http2: has(HttpProtocol::Http2) })
}

pub(super) fn connection_limits(
    raw: &raw::Listener,
    inheritance: &Inheritance<'_>,
) -> ConnectionLimits {
    ConnectionLimits {
        max: inheritance.pick(
            within(raw.connection_limits.as_ref(), |one| &one.max),
            Origin::Listener,
            |defaults| within(defaults.connection_limits.as_ref(), |one| &one.max),
            built_in::LISTENER_CONNECTIONS,
        ),
        max_age: within(raw.connection_limits.as_ref(), |one| &one.max_age)
            .map(|one| Sourced { value: one.value, origin: Origin::Listener(one.location.clone()) })
            .or_else(|| inheritance.max_age()),
    }
}

/// A PROXY protocol header names the client, so the listener must trust some peer.
pub(super) fn proxy_protocol(
    raw: &raw::Listener,
    trust: &Trust,
    report: &mut Report,
) -> Option<ProxyProtocol> {
    let Some(given) = &raw.proxy_protocol else { return Some(ProxyProtocol::Disabled) };
    if given.value != ProxyProtocol::Disabled && *trust == Trust::None {
        report.push(
            Diagnostic::error(
                given.location.clone(),
                "`proxyProtocol` is on, but this listener trusts no peer",
            )
            .help("list the proxies that send it in `trustedProxies`"),
        );
        return None;
    }
    Some(given.value)
}

pub(super) fn trust(raw: &raw::Listener, report: &mut Report) -> Option<Trust> {
    match (&raw.trusted_proxies, &raw.trusted_hops) {
        (Some(proxies), Some(hops)) => {
            report.push(
                Diagnostic::error(
                    hops.location.clone(),
                    "`trustedHops` stands beside `trustedProxies`",
                )
                .related(proxies.location.clone(), "the proxies stand here")
                .help("trust proxies by their addresses, or by their number where those change"),
            );
            None
        }
        (Some(proxies), None) => {
            if let Some(Address::Unix(_)) = raw.address.as_ref().map(|one| &one.value) {
                report.push(
                    Diagnostic::error(
                        proxies.location.clone(),
                        "who connects to a Unix socket has no address",
                    )
                    .help("`trustedHops: 1` trusts every process that may open the socket"),
                );
                return None;
            }
            for one in proxies.value.iter().filter(|one| one.value.prefix_len() == 0) {
                report.push(Diagnostic::warning(
                    one.location.clone(),
                    format!("`{}` lets any client say who it is", one.value),
                ));
            }
            let networks: Vec<_> = proxies.value.iter().map(|one| one.value).collect();
            Some(if networks.is_empty() {
                Trust::None
            } else {
                Trust::Proxies(Networks::new(networks))
            })
        }
        (None, Some(hops)) => Some(Trust::Hops(hops.value)),
        (None, None) => Some(Trust::None),
    }
}

fn request_limits(
    raw: &raw::Listener,
    inheritance: &Inheritance<'_>,
    report: &mut Report,
) -> Option<RequestLimits> {
    let own = raw.request_limits.as_ref();
    let header_bytes = inheritance.pick(
        within(own, |one| &one.header_bytes),
        Origin::Listener,
        |defaults| within(defaults.request_limits.as_ref(), |one| &one.header_bytes),
        built_in::HEADER_BYTES,
    );
    let mut uri = inheritance.pick(
        within(own, |one| &one.uri),
        Origin::Listener,
        |defaults| within(defaults.request_limits.as_ref(), |one| &one.uri),
        built_in::URI,
    );
    if uri.value > header_bytes.value {
        match uri.origin.place() {
            None => uri.value = header_bytes.value,
            Some(location) => {
                let mut wrong = Diagnostic::error(
                    location.clone(),
                    "the request target is part of `headerBytes` and cannot be longer",
                );
                if let Some(header_bytes) = header_bytes.origin.place() {
                    wrong = wrong.related(header_bytes.clone(), "`headerBytes` is set here");
                }
                report.push(wrong);
                return None;
            }
        }
    }
    let headers = inheritance.pick(
        within(own, |one| &one.headers),
        Origin::Listener,
        |defaults| within(defaults.request_limits.as_ref(), |one| &one.headers),
        built_in::HEADERS,
    );
    let body = inheritance.pick(
        within(own, |one| &one.body),
        Origin::Listener,
        |defaults| within(defaults.request_limits.as_ref(), |one| &one.body),
        built_in::BODY,
    );
    Some(RequestLimits { header_bytes, headers, uri, body })
}

pub(super) fn lower_tls(
    raw: &Located<raw::Tls>,
    alpn: Vec<String>,
    report: &mut Report,
) -> Option<ListenerTls> {
    let tls = &raw.value;
    let certificates = certificates(raw, report);
    let versions = versions(&tls.min_version, &tls.max_version, report);
    let client_auth = match &tls.client_auth {
        Some(auth) => client_auth(auth, report),
        None => Some(None),
    };
    let (min_version, max_version) = versions?;
    Some(ListenerTls {
        location: raw.location.clone(),
        certificates: certificates?,
        min_version,
        max_version,
        client_auth: client_auth?,
        alpn,
    })
}

fn certificates(raw: &Located<raw::Tls>, report: &mut Report) -> Option<Vec<CertificateSource>> {
    let listed = raw.value.certificates.as_ref();
    match (on(&raw.value.self_signed), listed) {
        (Some(at), None) => Some(vec![self_signed(None, at)]),
        (Some(at), Some(listed)) => {
            report.push(
                Diagnostic::error(at.clone(), "`selfSigned` stands beside `certificates`")
                    .related(listed.location.clone(), "the certificates stand here")
                    .help("put `{selfSigned: true}` into the list, or remove one of the two"),
            );
            None
        }
        (None, Some(listed)) if !listed.value.is_empty() => {
            super::collect(&listed.value, |one| certificate(one, report))
        }
        (None, _) if !raw.value.spoiled.is_empty() => None,
        (None, _) => {
            report.push(Diagnostic::error(raw.location.clone(), "TLS needs a certificate").help(
                "`certificates: [{certFile: shop.crt, keyFile: shop.key}]`, or `selfSigned: \
                     true` for development",
            ));
            None
        }
    }
}

fn certificate(raw: &Located<raw::Certificate>, report: &mut Report) -> Option<CertificateSource> {
    let one = &raw.value;
    if let Some(at) = on(&one.self_signed) {
        let file = one.cert_file.as_ref().or(one.key_file.as_ref()).map(|one| &one.location);
        refuse(file, "a self-signed certificate is made at start: it has no file", report)?;
        return Some(self_signed(one.names.as_ref(), at));
    }
    refuse(at(&one.names), "`names` are for a self-signed certificate", report)?;
    match (&one.cert_file, &one.key_file) {
        (Some(cert), Some(key)) => {
            Some(CertificateSource::Files { cert: cert.value.clone(), key: key.value.clone() })
        }
        _ if !one.spoiled.is_empty() => None,
        _ => {
            report.push(Diagnostic::error(
                raw.location.clone(),
                "a certificate needs both `certFile` and `keyFile`, or `selfSigned: true`",
            ));
            None
        }
    }
}

fn self_signed(
    names: Option<&Located<Vec<Located<crate::values::HostPattern>>>>,
    at: &Location,
) -> CertificateSource {
    let listed = names.map(|names| names.value.iter().map(|one| one.value.to_string()).collect());
    let names = listed.filter(|names: &Vec<_>| !names.is_empty());
    CertificateSource::SelfSigned {
        names: names.unwrap_or_else(|| vec!["localhost".to_owned()]),
        location: at.clone(),
    }
}

/// The bounds of TLS versions, in order.
pub(super) fn versions(
    min: &Option<Located<TlsVersion>>,
    max: &Option<Located<TlsVersion>>,
    report: &mut Report,
) -> Option<(TlsVersion, TlsVersion)> {
    let least = min.as_ref().map_or(TlsVersion::V12, |one| one.value);
    let most = max.as_ref().map_or(TlsVersion::V13, |one| one.value);
    if least > most {
        let wrong = at(min).or(at(max));
        refuse(wrong, "`minVersion` is newer than `maxVersion`", report)?;
    }
    Some((least, most))
}

fn client_auth(raw: &Located<raw::ClientAuth>, report: &mut Report) -> Option<Option<ClientAuth>> {
    let mode = match raw.value.mode.as_ref()?.value {
        ClientAuthChoice::None => return Some(None),
        ClientAuthChoice::Optional => ClientAuthMode::Optional,
        ClientAuthChoice::Required => ClientAuthMode::Required,
    };
    let Some(ca) = &raw.value.ca_file else {
        if raw.value.spoiled.contains(&"caFile") {
            return None;
        }
        refuse(Some(&raw.location), "`clientAuth` needs `caFile`: who vouches for clients", report);
        return None;
    };
    Some(Some(ClientAuth {
        mode,
        ca: ca.value.clone(),
        crl: raw.value.crl_file.as_ref().map(|one| one.value.clone()),
    }))
}
