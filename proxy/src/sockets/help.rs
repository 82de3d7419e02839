//! Why an address cannot be bound, and what to do about it.
//!
//! It knows errors of the kernel and no configuration.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::path::Path;

use portcullis_config::model::ListenAddress;

use crate::descriptors;

/// The file in which the kernel names the first port that needs no capability.
const FIRST_FREE_PORT: &str = "/proc/sys/net/ipv4/ip_unprivileged_port_start";

/// What to do when `address` was refused with `error`.
pub fn help(address: &ListenAddress, error: &io::Error) -> String {
    if descriptors::is_shortage(error) {
        return descriptors::help(error);
    }
    match address {
        ListenAddress::Tcp { address, .. } => of_port(*address, error),
        ListenAddress::Unix(path) => of_path(path, error),
    }
}

fn of_port(address: SocketAddr, error: &io::Error) -> String {
    let port = address.port();
    let first = first_free_port();
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) if port < first => {
            format!(
                "ports below {first} need the capability CAP_NET_BIND_SERVICE: \
                 `AmbientCapabilities=CAP_NET_BIND_SERVICE` of systemd, `setcap \
                 cap_net_bind_service=+ep` on the program, `sysctl \
                 net.ipv4.ip_unprivileged_port_start={port}`, or a port from {first} on"
            )
        }
        Some(libc::EADDRNOTAVAIL) => {
            format!("this machine does not have the address: `[::]:{port}` takes all that it has")
        }
        Some(libc::EAFNOSUPPORT) if address.is_ipv6() => {
            format!("this machine has no IPv6: `0.0.0.0:{port}` takes every IPv4 address")
        }
        Some(libc::EADDRINUSE) => format!(
            "another process listens there (`ss -ltnp 'sport = :{port}'` names it): stop it, or \
             choose another address"
        ),
        _ => "choose another address".to_owned(),
    }
}

fn first_free_port() -> u16 {
    let text = std::fs::read_to_string(FIRST_FREE_PORT).ok();
    text.and_then(|text| text.trim().parse().ok()).unwrap_or(1024)
}

fn of_path(path: &Path, error: &io::Error) -> String {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let folder = folder.display();
    match error.kind() {
        ErrorKind::NotFound => format!(
            "create the folder `{folder}`, or correct the path: it is relative to the \
             configuration file"
        ),
        ErrorKind::NotADirectory => format!("`{folder}` is not a folder: correct the path"),
        ErrorKind::PermissionDenied => {
            format!("let the user of this process write into the folder `{folder}`")
        }
        ErrorKind::ReadOnlyFilesystem => {
            format!("`{folder}` is on a file system that cannot be written to: choose another path")
        }
        ErrorKind::AddrInUse if is_other_file(path) => {
            "what stands at this path is no socket: remove it, or choose another path".to_owned()
        }
        ErrorKind::AddrInUse => {
            "another process listens there: stop it, or choose another path".to_owned()
        }
        _ => "choose another path".to_owned(),
    }
}

fn is_other_file(path: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;

    std::fs::symlink_metadata(path).is_ok_and(|metadata| !metadata.file_type().is_socket())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sockets::bind;

    fn tcp(text: &str) -> ListenAddress {
        ListenAddress::Tcp { address: text.parse().unwrap(), v6only: false }
    }

    #[test]
    fn each_refusal_has_the_help_that_fits() {
        for (address, code, expected) in [
            ("0.0.0.0:443", libc::EACCES, "CAP_NET_BIND_SERVICE"),
            ("0.0.0.0:443", libc::EACCES, "ip_unprivileged_port_start=443"),
            ("[::]:80", libc::EPERM, "setcap cap_net_bind_service=+ep"),
            ("192.0.2.1:80", libc::EADDRNOTAVAIL, "`[::]:80` takes all"),
            ("[::]:80", libc::EAFNOSUPPORT, "`0.0.0.0:80`"),
            ("0.0.0.0:80", libc::EADDRINUSE, "another process listens there"),
            ("0.0.0.0:80", libc::EMFILE, "LimitNOFILE"),
        ] {
            let help = help(&tcp(address), &io::Error::from_raw_os_error(code));
            assert!(help.contains(expected), "{address} {code}: {help}");
        }
    }

    #[test]
    fn what_the_kernel_says_of_sockets_of_this_machine_is_understood() {
        let refused = |address: &ListenAddress| {
            let error = bind(address, 1, &[]).map(drop).unwrap_err();
            help(address, &error)
        };
        let folder = tempfile::tempdir().unwrap();
        let at = |path: &str| ListenAddress::Unix(folder.path().join(path));
        std::fs::write(folder.path().join("file"), "data").unwrap();
        let live = bind(&at("live.sock"), 1, &[]).unwrap();
        for (address, expected) in [
            (at("missing/a.sock"), "create the folder `"),
            (at("file/a.sock"), "is not a folder"),
            (at("file"), "no socket: remove it"),
            (live.address.clone(), "another process listens there"),
            (tcp("192.0.2.1:0"), "does not have the address"),
        ] {
            let help = refused(&address);
            assert!(help.contains(expected), "{address}: {help}");
        }
        let taken = bind(&tcp("127.0.0.1:0"), 1, &[]).unwrap();
        assert!(refused(&taken.address).contains("ss -ltnp"), "{}", refused(&taken.address));
    }
}
