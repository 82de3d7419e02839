//! Addresses that cannot be bound beside each other.

use crate::diagnostics::{Diagnostic, Report};
use crate::location::{Located, Location};
use crate::model::ListenAddress;
use crate::raw::{self, Address};

struct Bound<'a> {
    owner: String,
    written: &'a Address,
    address: ListenAddress,
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
            written: &address.value,
            address: listen_address(&address.value, super::on(&listener.value.v6only).is_some()),
            location: &address.location,
        })
    });
    let of_admin = admin.and_then(|admin| admin.value.address.as_ref()).map(|address| Bound {
        owner: "`admin`".to_owned(),
        written: &address.value,
        address: listen_address(&address.value, true),
        location: &address.location,
    });
    for next in of_listeners.chain(of_admin) {
        if let Some(first) = bound.iter().find(|one| one.address.overlaps(&next.address)) {
            let mut wrong = Diagnostic::error(
                next.location.clone(),
                format!("{} already listens on this address", first.owner),
            )
            .related(first.location.clone(), "it listens here");
            if first.written != next.written {
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

fn listen_address(written: &Address, v6only: bool) -> ListenAddress {
    match written {
        Address::Tcp(address) => ListenAddress::Tcp { address: *address, v6only },
        Address::Unix(path) => ListenAddress::Unix(path.clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn overlaps() {
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
            let tcp =
                |text: &str, v6only| ListenAddress::Tcp { address: text.parse().unwrap(), v6only };
            let (one, other) = (tcp(left, v6only), tcp(right, false));
            assert_eq!(one.overlaps(&other), expected, "{left} {right}");
            assert_eq!(other.overlaps(&one), expected, "{right} {left}");
        }
    }
}
