//! What went wrong at an endpoint, in words for the access log.
//!
//! The words name the cause and what to change. They hold addresses and names, so no client sees
//! them. Written only where something failed.

use std::borrow::Cow;
use std::io;

use rustls::pki_types::ServerName;
use rustls::{AlertDescription, CertificateError, Error, InvalidMessage};

use crate::descriptors;

/// Names of a certificate that are listed; it may hold thousands.
const NAMES: usize = 4;

/// Text for the access log.
pub type Words = Cow<'static, str>;

/// An error of a socket, or of the TLS session over it.
pub fn of_io(error: &io::Error) -> Words {
    if let Some(error) = error.get_ref().and_then(|it| it.downcast_ref::<Error>()) {
        return of_tls(error);
    }
    match error.raw_os_error() {
        _ if descriptors::is_shortage(error) => {
            format!("no file descriptor is left here: {}", descriptors::help(error)).into()
        }
        Some(libc::EADDRNOTAVAIL) => {
            "this machine has no free local port towards the endpoint (EADDRNOTAVAIL)".into()
        }
        Some(libc::ECONNREFUSED) => "the endpoint refused the connection".into(),
        Some(libc::ECONNRESET) => "the endpoint reset the connection".into(),
        Some(libc::EPIPE) => "the endpoint had closed the connection".into(),
        Some(libc::ENOENT) => "the socket of the endpoint does not exist".into(),
        Some(libc::EACCES) => "this process may not open the socket of the endpoint".into(),
        Some(libc::EHOSTUNREACH | libc::ENETUNREACH) => {
            "this machine has no route to the endpoint".into()
        }
        _ if error.kind() == io::ErrorKind::UnexpectedEof => {
            "the endpoint closed the connection".into()
        }
        _ => error.to_string().into(),
    }
}

/// An error of a TLS session with an endpoint.
fn of_tls(error: &Error) -> Words {
    match error {
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::AlertReceived(alert) => of_alert(*alert),
        Error::InvalidMessage(InvalidMessage::InvalidContentType) => {
            "the endpoint does not speak TLS: what it sent is no TLS record".into()
        }
        Error::PeerIncompatible(_) => {
            format!("the endpoint has no TLS version or cipher in common: {error}").into()
        }
        other => other.to_string().into(),
    }
}

fn of_certificate(error: &CertificateError) -> Words {
    match error {
        CertificateError::NotValidForNameContext { expected, presented } => {
            let shown = presented.iter().take(NAMES).map(String::as_str);
            let shown = shown.collect::<Vec<_>>().join(", ");
            let more = if presented.len() > NAMES { ", ..." } else { "" };
            let expected = match expected {
                ServerName::DnsName(name) => name.as_ref().to_owned(),
                ServerName::IpAddress(address) => std::net::IpAddr::from(*address).to_string(),
                _ => String::new(),
            };
            format!("the endpoint's certificate is not for {expected} but for: {shown}{more}")
                .into()
        }
        CertificateError::NotValidForName => {
            "the endpoint's certificate has none of the names that tls.identities lists".into()
        }
        CertificateError::UnknownIssuer => {
            "the endpoint's certificate is of an authority that tls.caFile does not hold".into()
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "the endpoint's certificate has expired".into()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the endpoint's certificate is not valid yet".into()
        }
        CertificateError::Revoked => "the endpoint's certificate is revoked".into(),
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "the endpoint's certificate is not one for servers".into()
        }
        other => format!("the endpoint's certificate is not valid: {other}").into(),
    }
}

fn of_alert(alert: AlertDescription) -> Words {
    let because = match alert {
        AlertDescription::CertificateRequired => ": it asks for a client certificate",
        AlertDescription::UnknownCA
        | AlertDescription::BadCertificate
        | AlertDescription::CertificateExpired
        | AlertDescription::CertificateRevoked
        | AlertDescription::CertificateUnknown
        | AlertDescription::UnsupportedCertificate
        | AlertDescription::AccessDenied => ": it does not accept our client certificate",
        AlertDescription::HandshakeFailure => {
            ": it has no version or cipher in common, or asks for a client certificate"
        }
        AlertDescription::ProtocolVersion => ": it has no TLS version in common",
        AlertDescription::UnrecognisedName => ": it has no certificate for tls.serverName",
        AlertDescription::NoApplicationProtocol => ": it speaks none of the protocols offered",
        _ => "",
    };
    format!("the endpoint ended the TLS session with the alert {alert:?}{because}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(error: io::Error, expected: &str) {
        assert!(of_io(&error).contains(expected), "{error:?}: {}", of_io(&error));
    }

    #[test]
    fn errors_of_sockets_say_whose_shortage_it_is() {
        for (code, words) in [
            (libc::EMFILE, "no file descriptor is left here: the process may open"),
            (libc::EADDRNOTAVAIL, "this machine has no free local port"),
            (libc::ECONNREFUSED, "the endpoint refused"),
            (libc::ENOENT, "does not exist"),
            (libc::EHOSTUNREACH, "this machine has no route"),
        ] {
            check(io::Error::from_raw_os_error(code), words);
        }
        check(io::ErrorKind::UnexpectedEof.into(), "closed the connection");
    }

    #[test]
    fn errors_of_tls_name_what_does_not_fit() {
        let certificate = |error| io::Error::other(Error::InvalidCertificate(error));
        check(certificate(CertificateError::UnknownIssuer), "tls.caFile");
        check(certificate(CertificateError::Expired), "expired");
        check(certificate(CertificateError::NotValidForName), "tls.identities");
        let presented = (0..9).map(|at| format!("DnsName(\"{at}.test\")")).collect();
        let expected = ServerName::try_from("shop.test").unwrap();
        let context = CertificateError::NotValidForNameContext { expected, presented };
        check(certificate(context), "not for shop.test but for: DnsName(\"0.test\"), ");
        let plain = Error::InvalidMessage(InvalidMessage::InvalidContentType);
        check(io::Error::other(plain), "does not speak TLS");
        let alert = Error::AlertReceived(AlertDescription::CertificateRequired);
        check(io::Error::other(alert), "asks for a client certificate");
    }
}
