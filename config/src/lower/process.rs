//! What concerns the whole process.

use super::inherit::{built_in, within};
use crate::diagnostics::{Diagnostic, Report};
use crate::location::{FileRef, Located, Origin, Sourced};
use crate::model::{AccessLog, AccessLogSink, Admin, AdminAddress, Limits, MemoryLimit, Shutdown};
use crate::raw::{self, Address, LogTarget};
use crate::values::Share;

pub(super) fn access_log(raw: Option<&Located<raw::AccessLog>>) -> AccessLog {
    let path = within(raw, |one| &one.path);
    let sink = match path.map(|path| (&path.value, &path.location)) {
        None | Some((LogTarget::Stdout, _)) => AccessLogSink::Stdout,
        Some((LogTarget::Stderr, _)) => AccessLogSink::Stderr,
        Some((LogTarget::Disabled, _)) => AccessLogSink::Disabled,
        Some((LogTarget::File(path), location)) => {
            AccessLogSink::File(FileRef { path: path.clone(), location: location.clone() })
        }
    };
    let headers = within(raw, |one| &one.headers);
    AccessLog {
        sink,
        timeline: within(raw, |one| &one.timeline).is_none_or(|timeline| timeline.value),
        sample: within(raw, |one| &one.sample).map_or(Share::ALL, |sample| sample.value),
        headers: headers
            .map(|headers| headers.value.iter().map(|one| one.value.clone()).collect())
            .unwrap_or_default(),
    }
}

pub(super) fn admin(raw: &Located<raw::Admin>, report: &mut Report) -> Option<Admin> {
    let address = raw.value.address.as_ref()?;
    let parsed = match &address.value {
        Address::Unix(path) => AdminAddress::Unix(path.clone()),
        Address::Tcp(tcp) if tcp.ip().to_canonical().is_loopback() => AdminAddress::Loopback(*tcp),
        Address::Tcp(tcp) => {
            report.push(
                Diagnostic::error(address.location.clone(), "admin listens on loopback only").help(
                    format!(
                        "`127.0.0.1:{}`, or `unix:` with a path; a `status` listener shows \
                         metrics to others",
                        tcp.port()
                    ),
                ),
            );
            return None;
        }
    };
    Some(Admin {
        location: raw.location.clone(),
        address: parsed,
        token: raw.value.token.as_ref().map(|token| token.value.clone()),
    })
}

pub(super) fn limits(raw: Option<&Located<raw::Limits>>) -> Limits {
    let memory = match within(raw, |one| &one.memory) {
        Some(one) => Sourced { value: one.value, origin: Origin::Defaults(one.location.clone()) },
        None => Sourced::built_in(MemoryLimit::Auto),
    };
    Limits { memory }
}

pub(super) fn shutdown(raw: Option<&Located<raw::Shutdown>>) -> Shutdown {
    let drain_timeout = match within(raw, |one| &one.drain_timeout) {
        Some(one) => Sourced { value: one.value, origin: Origin::Defaults(one.location.clone()) },
        None => Sourced::built_in(built_in::DRAIN),
    };
    Shutdown { drain_timeout }
}
