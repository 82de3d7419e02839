//! Who listens on a port: asked before anything starts, so that a clash has a name.

use std::fs;
use std::net::{SocketAddr, TcpListener};

/// Fails when the address cannot be had, and says who has it as far as this user may know.
pub(crate) fn check_free(purpose: &str, address: SocketAddr) -> anyhow::Result<()> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
            let holder = holder(address.port())
                .unwrap_or_else(|| "a process that this user may not look at".to_owned());
            anyhow::bail!(
                "port {} ({purpose}) is taken by {holder}. End it, or let the demo choose: \
                 make demo DEMO_PORTS=free",
                address.port()
            )
        }
        Err(error) => anyhow::bail!("{address} ({purpose}) cannot be listened on: {error}"),
    }
}

/// Name and id of a process that listens on the port.
fn holder(port: u16) -> Option<String> {
    let sockets: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|table| fs::read_to_string(table).ok())
        .flat_map(|table| inodes(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let id = process.file_name().to_string_lossy().into_owned();
        // Among them stands `self`, which is nobody's number.
        if !id.starts_with(|first: char| first.is_ascii_digit()) {
            continue;
        }
        let Ok(descriptors) = fs::read_dir(process.path().join("fd")) else { continue };
        let mut links = descriptors.flatten().filter_map(|entry| fs::read_link(entry.path()).ok());
        if links.any(|link| sockets.iter().any(|socket| link.as_os_str() == socket.as_str())) {
            let name = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(format!("{} (process {id})", name.trim()));
        }
    }
    None
}

/// Inodes of the sockets that listen on the port, from the kernel's table.
fn inodes(table: &str, port: u16) -> Vec<String> {
    const LISTEN: &str = "0A";
    let end = format!(":{port:04X}");
    let lines = table.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines
        .filter(|fields| fields.len() > 9 && fields[1].ends_with(&end) && fields[3] == LISTEN)
        .map(|fields| fields[9].to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_named_with_its_holder() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let error = check_free("the test", address).unwrap_err().to_string();
        assert!(error.contains(&address.port().to_string()), "{error}");
        assert!(error.contains(&format!("(process {})", std::process::id())), "{error}");
        drop(listener);
        check_free("the test", address).unwrap();
    }

    #[test]
    fn only_listeners_of_that_port_count() {
        let table = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n   \
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 111 1\n   \
            1: 0100007F:1F90 0100007F:C000 01 00000000:00000000 00:00000000 00000000     0        0 222 1\n   \
            2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 333 1\n";
        assert_eq!(inodes(table, 8080), ["111"]);
    }
}
