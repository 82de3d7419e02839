//! Maps the errors of TLS to the closed list of failures.

use rustls::{AlertDescription, CertificateError, Error, InvalidMessage, PeerIncompatible};

use crate::observe::failure::Failure;
use crate::tls::{PeerRefused, ServerTls};

/// The failure, and the alert if the client sent one.
pub(crate) fn failure_of(error: &Error) -> (Failure, Option<AlertDescription>) {
    let failure = match error {
        Error::AlertReceived(alert) => return (of_alert(*alert), Some(*alert)),
        Error::NoCertificatesPresented => Failure::ClientCertificateMissing,
        Error::InvalidCertificate(error) => of_certificate(error),
        Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::SupportedVersionsExtensionRequired
            | PeerIncompatible::Tls12NotOffered
            | PeerIncompatible::Tls12NotOfferedOrEnabled,
        )
        | Error::InvalidMessage(InvalidMessage::UnknownProtocolVersion) => Failure::NoCommonVersion,
        Error::PeerIncompatible(_) => Failure::NoCommonCipher,
        Error::NoApplicationProtocol => Failure::NoCommonProtocol,
        Error::InvalidMessage(_)
        | Error::InappropriateMessage { .. }
        | Error::InappropriateHandshakeMessage { .. }
        | Error::PeerMisbehaved(_)
        | Error::DecryptError
        | Error::PeerSentOversizedRecord => Failure::HandshakeMalformed,
        _ => Failure::HandshakeInternal,
    };
    (failure, None)
}

/// The same, if the listener may have no certificate for the name that the client asked for.
pub(crate) fn for_name(
    failure: Failure,
    alert: Option<AlertDescription>,
    sni: Option<&str>,
    tls: &ServerTls,
) -> Failure {
    use AlertDescription as Alert;
    // The alerts that clients send for a certificate of other names.
    let may_be_of_name = matches!(
        alert,
        Some(Alert::BadCertificate | Alert::CertificateUnknown | Alert::UnrecognisedName)
    );
    if may_be_of_name && sni.is_some_and(|name| !tls.has_certificate_for(name)) {
        return Failure::NoCertificateForName;
    }
    failure
}

fn of_certificate(error: &CertificateError) -> Failure {
    use CertificateError as Of;
    match error {
        Of::UnknownIssuer | Of::BadSignature => Failure::ClientCertificateUntrusted,
        Of::Expired | Of::ExpiredContext { .. } => Failure::ClientCertificateExpired,
        Of::NotValidYet | Of::NotValidYetContext { .. } => Failure::ClientCertificateNotYetValid,
        Of::Revoked => Failure::ClientCertificateRevoked,
        Of::UnknownRevocationStatus
        | Of::ExpiredRevocationList
        | Of::ExpiredRevocationListContext { .. } => Failure::ClientCertificateStatusUnknown,
        Of::InvalidPurpose | Of::InvalidPurposeContext { .. } => {
            Failure::ClientCertificateWrongUsage
        }
        _ => Failure::ClientCertificateInvalid,
    }
}

fn of_alert(alert: AlertDescription) -> Failure {
    use AlertDescription as Alert;
    match alert {
        Alert::UnknownCA
        | Alert::BadCertificate
        | Alert::CertificateUnknown
        | Alert::CertificateExpired
        | Alert::CertificateRevoked
        | Alert::UnsupportedCertificate
        | Alert::UnrecognisedName
        | Alert::BadCertificateStatusResponse => Failure::ServerCertificateRefused,
        Alert::ProtocolVersion | Alert::InappropriateFallback => Failure::NoCommonVersion,
        Alert::HandshakeFailure | Alert::InsufficientSecurity => Failure::NoCommonCipher,
        Alert::NoApplicationProtocol => Failure::NoCommonProtocol,
        Alert::CloseNotify | Alert::UserCanceled => Failure::HandshakeClientClosed,
        _ => Failure::ClientAlert,
    }
}

/// The failure of a client that is refused after its handshake.
pub(crate) fn failure_of_peer(refused: &PeerRefused) -> Failure {
    match refused {
        PeerRefused::Missing => Failure::ClientCertificateMissing,
        PeerRefused::Unverified(error) => failure_of(error).0,
        PeerRefused::Revoked => Failure::ClientCertificateRevoked,
        PeerRefused::Unreadable => Failure::ClientCertificateInvalid,
    }
}

/// The name in RFC 8446.
pub(super) fn alert_name(alert: AlertDescription) -> &'static str {
    use AlertDescription as Alert;
    match alert {
        Alert::CloseNotify => "close_notify",
        Alert::UnexpectedMessage => "unexpected_message",
        Alert::BadRecordMac => "bad_record_mac",
        Alert::RecordOverflow => "record_overflow",
        Alert::HandshakeFailure => "handshake_failure",
        Alert::BadCertificate => "bad_certificate",
        Alert::UnsupportedCertificate => "unsupported_certificate",
        Alert::CertificateRevoked => "certificate_revoked",
        Alert::CertificateExpired => "certificate_expired",
        Alert::CertificateUnknown => "certificate_unknown",
        Alert::IllegalParameter => "illegal_parameter",
        Alert::UnknownCA => "unknown_ca",
        Alert::AccessDenied => "access_denied",
        Alert::DecodeError => "decode_error",
        Alert::DecryptError => "decrypt_error",
        Alert::ProtocolVersion => "protocol_version",
        Alert::InsufficientSecurity => "insufficient_security",
        Alert::InternalError => "internal_error",
        Alert::InappropriateFallback => "inappropriate_fallback",
        Alert::UserCanceled => "user_canceled",
        Alert::NoRenegotiation => "no_renegotiation",
        Alert::MissingExtension => "missing_extension",
        Alert::UnsupportedExtension => "unsupported_extension",
        Alert::UnrecognisedName => "unrecognized_name",
        Alert::BadCertificateStatusResponse => "bad_certificate_status_response",
        Alert::UnknownPSKIdentity => "unknown_psk_identity",
        Alert::CertificateRequired => "certificate_required",
        Alert::NoApplicationProtocol => "no_application_protocol",
        Alert::EncryptedClientHelloRequired => "ech_required",
        _ => "unknown",
    }
}
