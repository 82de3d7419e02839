//! Addresses that cannot be bound beside each other.

use std::net::{IpAddr, SocketAddr};

use crate::diagnostics::{Diagnostic, Report};
use crate::location::{Located, Location};
use crate::raw::{self, Address};

struct Bound<'a> {
    owner: String,
    address: &'a Address,
    v6only: bool,
    location: &'a Location,
}

/// Reports each address that an earlier one holds already.
pub(super) fn check(
    listeners: &[&Located<raw::Listener>],
    admin: Option<&Located<raw::Admin>>,
    report: &mut Report,
) {
    let mut bound: Vec<Bound<'_>> = Vec::new();
    let of_listeners = listeners.iter().filter_map(|listener| {
        let address = listener.value.address.as_ref()?;
        let name = listener.value.name.as_ref().map_or("?", |name| name.value.as_str());
        Some(Bound {
            owner: format!("the listener `{name}`"),
            address: &address.value,
            v6only: super::on(&listener.value.v6only).is_some(),
            location: &address.location,
        })
    });
    let of_admin = admin.and_then(|admin| admin.value.address.as_ref()).map(|address| Bound {
        owner: "`admin`".to_owned(),
        address: &address.value,
        v6only: true,
        location: &address.location,
    });
    for next in of_listeners.chain(of_admin) {
        if let Some(first) = bound.iter().find(|one| overlap(one, &next)) {
            let mut wrong = Diagnostic::error(
                next.location.clone(),
                format!("{} already listens on this address", first.owner),
            )
            .related(first.location.clone(), "it listens here");
            if first.address != next.address {
                wrong = wrong.help(
                    "`[::]` takes IPv4 too unless `v6only: true`, and `0.0.0.0` and `[::]` take \
                     every address",
                );
            }
            report.push(wrong);
        }
        bound.push(next);
    }
}

fn overlap(one: &Bound<'_>, other: &Bound<'_>) -> bool {
    match (one.address, other.address) {
        (Address::Unix(one), Address::Unix(other)) => one == other,
        (Address::Tcp(left), Address::Tcp(right)) => {
            // The kernel gives port 0 a new port each time.
            left.port() == right.port()
                && left.port() != 0
                && (covers(left, one.v6only, right) || covers(right, other.v6only, left))
        }
        _ => false,
    }
}

/// Whether `wide` takes connections to `narrow`.
fn covers(wide: &SocketAddr, v6only: bool, narrow: &SocketAddr) -> bool {
    match (wide.ip(), narrow.ip()) {
        (left, right) if left == right => true,
        (IpAddr::V4(wide), IpAddr::V4(_)) => wide.is_unspecified(),
        (IpAddr::V6(wide), IpAddr::V6(_)) => wide.is_unspecified(),
        (IpAddr::V6(wide), IpAddr::V4(_)) => wide.is_unspecified() && !v6only,
        (IpAddr::V4(_), IpAddr::V6(_)) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::*;

    #[test]
    fn overlaps() {
        let file = Arc::from(Path::new("a.yaml"));
        let location = Location { file, line: 1, column: 1, start: 0, end: 0 };
        for (left, v6only, right, expected) in [
            ("[::]:80", false, "0.0.0.0:80", true),
            ("[::]:80", true, "0.0.0.0:80", false),
            ("[::]:80", false, "127.0.0.1:80", true),
            ("[::]:80", true, "[::1]:80", true),
            ("0.0.0.0:80", false, "127.0.0.1:80", true),
            ("127.0.0.1:80", false, "127.0.0.1:80", true),
            ("127.0.0.1:80", false, "127.0.0.2:80", false),
            ("127.0.0.1:80", false, "127.0.0.1:81", false),
            ("127.0.0.1:0", false, "127.0.0.1:0", false),
        ] {
            let (a, b) = (left.parse().unwrap(), right.parse().unwrap());
            let (a, b) = (Address::Tcp(a), Address::Tcp(b));
            let bound = |address, v6only| Bound {
                owner: String::new(),
                address,
                v6only,
                location: &location,
            };
            let (one, other) = (bound(&a, v6only), bound(&b, false));
            assert_eq!(overlap(&one, &other), expected, "{left} {right}");
            assert_eq!(overlap(&other, &one), expected, "{right} {left}");
        }
    }
}
