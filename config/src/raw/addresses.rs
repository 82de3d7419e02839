//! Addresses, host names and paths of files.

mod cures;

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use ipnet::IpNet;

use super::shape::{Reader, scalar};
use crate::diagnostics::Diagnostic;
use crate::location::FileRef;
use crate::networks::parse_network;
use crate::secrets::resolve;
use crate::tree::Node;
use crate::values::{HostPattern, ValueError};
use cures::Purpose;

/// Longest path of a Unix socket, without the byte that ends it.
const UNIX_PATH: usize = 107;

/// Where something listens or is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Address {
    Tcp(SocketAddr),
    Unix(PathBuf),
}

scalar! {
    /// An IP address and a port, `127.0.0.1:8080` or `[::]:8080`, or the path of a socket,
    /// `unix:run/shop.sock`. References are resolved here.
    ListenAddressText: Address = |node, reader| address(node, reader, Purpose::Listen), {
        "type": "string", "examples": ["[::]:8080", "127.0.0.1:8080", "unix:run/shop.sock"]
    }
}

scalar! {
    /// An IP address and a port, `127.0.0.1:7001` or `[::1]:7001`, or the path of a socket,
    /// `unix:run/users.sock`. References are resolved here.
    EndpointAddressText: Address = |node, reader| address(node, reader, Purpose::Reach), {
        "type": "string", "examples": ["127.0.0.1:7001", "unix:run/users.sock"]
    }
}

scalar! {
    /// A host name, `users.shop.svc`. References are resolved here.
    DnsName: String = |node, reader| {
        let wanted = "a host name";
        let (source, resolved) = resolved(node, reader, wanted)?;
        let host = match host_name(&resolved) {
            Ok(host) => host,
            // What a reference resolved to is not shown.
            Err(error) if source == resolved => {
                let mut wrong = Diagnostic::error(node.location.clone(), error.0);
                if let Some(cure) = cures::cure_of_dns(&source) {
                    wrong = Diagnostic::error(
                        node.location.clone(),
                        format!("`{source}` is not a host name"),
                    )
                    .help(cure);
                }
                reader.report.push(wrong);
                return None;
            }
            Err(_) => {
                reader.error(&node.location, format!("`{source}` does not resolve to {wanted}"));
                return None;
            }
        };
        if host.parse::<IpAddr>().is_ok() {
            reader.error(&node.location, "this is an address: write it as `address` with its port");
            return None;
        }
        Some(host)
    }, {"type": "string", "examples": ["users.shop.svc"]}
}

scalar! {
    /// A host name or an IP address, without port.
    HostText: String = |node, reader| {
        let text = reader.text(node, "a host name")?;
        reader.accept(node, host(text))
    }, {"type": "string"}
}

scalar! {
    /// A host name, `shop.example.com`, or any name below one, `*.example.com`; without port.
    HostPatternText: HostPattern = |node, reader| {
        let text = reader.text(node, "a host name")?;
        reader.accept(node, host_pattern(text))
    }, {"type": "string", "examples": ["shop.example.com", "*.example.com"]}
}

scalar! {
    /// An IP network, `10.0.0.0/8` or `fd00::/8`, or one address.
    NetworkText: IpNet = |node, reader| {
        let text = reader.text(node, "an IP address or network")?;
        reader.accept(node, parse_network(text))
    }, {"type": "string", "examples": ["10.0.0.0/8", "fd00::/8", "192.0.2.1"]}
}

scalar! {
    /// The path of a file, relative to the file it stands in.
    FilePath: FileRef = |node, reader| {
        let text = reader.text(node, "the path of a file")?;
        if text.is_empty() || text.contains('\0') {
            reader.error(&node.location, "expected the path of a file");
            return None;
        }
        Some(FileRef { path: reader.base.join(text), location: node.location.clone() })
    }, {"type": "string", "minLength": 1}
}

fn resolved(node: &Node, reader: &mut Reader<'_>, wanted: &str) -> Option<(String, String)> {
    let source = reader.scalar(node, wanted)?;
    match resolve(source, reader.base, reader.secrets) {
        Ok(template) => Some((source.to_owned(), template.expose().to_owned())),
        Err(error) => {
            reader.error(&node.location, error.to_string());
            None
        }
    }
}

fn address(node: &Node, reader: &mut Reader<'_>, purpose: Purpose) -> Option<Address> {
    let wanted = match purpose {
        Purpose::Listen => "an address like `[::]:8080`",
        Purpose::Reach => "an address like `127.0.0.1:8080`",
    };
    let (source, resolved) = resolved(node, reader, wanted)?;
    match parse_address(&resolved, reader.base, purpose) {
        Ok(address) => Some(address),
        Err((message, help)) => {
            let at = node.location.clone();
            let wrong = if source == resolved {
                let wrong = Diagnostic::error(at, message);
                if help.is_empty() { wrong } else { wrong.help(help) }
            } else {
                Diagnostic::error(at, format!("`{source}` does not resolve to an address"))
            };
            reader.report.push(wrong);
            None
        }
    }
}

fn parse_address(text: &str, base: &Path, purpose: Purpose) -> Result<Address, (String, String)> {
    if let Some(path) = text.strip_prefix("unix:") {
        let path = base.join(path);
        return match path.as_os_str().len() {
            _ if text == "unix:" || text.contains('\0') => {
                Err(("expected a path after `unix:`".to_owned(), String::new()))
            }
            length if length > UNIX_PATH => {
                let message = format!("the path of a Unix socket has at most {UNIX_PATH} bytes");
                Err((message, format!("this one has {length}: {}", path.display())))
            }
            _ => Ok(Address::Unix(path)),
        };
    }
    let Ok(address) = text.parse::<SocketAddr>() else {
        let message = format!("`{text}` is not an IP address with a port");
        return Err((message, cures::cure(text, purpose)));
    };
    if purpose == Purpose::Reach && (address.port() == 0 || address.ip().is_unspecified()) {
        let help = if address.port() == 0 {
            "a port is a number from 1 to 65535; a listener's 0 lets the kernel choose one"
                .to_owned()
        } else {
            let ip = if address.is_ipv6() { "[::]" } else { "0.0.0.0" };
            cures::any_address(ip, address.port())
        };
        return Err((format!("nothing can be reached at `{text}`"), help));
    }
    Ok(Address::Tcp(address))
}

/// A host name in lower case.
fn host_name(text: &str) -> Result<String, ValueError> {
    if !text.is_ascii() {
        return Err(ValueError(format!("`{text}`: write the name in its ASCII form (`xn--`)")));
    }
    let label = |label: &str| {
        let bytes = label.as_bytes();
        (1..=63).contains(&bytes.len())
            && bytes.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    if text.len() <= 253 && text.split('.').all(label) {
        return Ok(text.to_ascii_lowercase());
    }
    let cure = match cures::bare_host(text) {
        Some(host) => format!(": write `{host}`, without scheme, port and path"),
        None if text.ends_with('.') => ": leave out the last dot".to_owned(),
        None => String::new(),
    };
    Err(ValueError(format!("`{text}` is not a host name{cure}")))
}

/// A host name, or an IP address; IPv6 in brackets, as in a `Host` field.
pub(super) fn host(text: &str) -> Result<String, ValueError> {
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    if let Ok(address) = bare.parse::<Ipv6Addr>() {
        return Ok(format!("[{address}]"));
    }
    host_name(text)
}

pub(crate) fn host_pattern(text: &str) -> Result<HostPattern, ValueError> {
    if text == "*" {
        return Err(ValueError("leave out `hosts` to match any host".to_owned()));
    }
    match text.strip_prefix("*.") {
        Some(suffix) => host_name(suffix).map(HostPattern::Suffix),
        None if text.contains('*') => Err(ValueError(format!(
            "`{text}`: a star stands only for the first labels, `*.example.com`"
        ))),
        None => host(text).map(HostPattern::Exact),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let base = Path::new("/etc/shop");
        let check = |text: &str| parse_address(text, base, Purpose::Listen);
        assert_eq!(check("[::]:80"), Ok(Address::Tcp("[::]:80".parse().unwrap())));
        assert_eq!(check("0.0.0.0:0"), Ok(Address::Tcp("0.0.0.0:0".parse().unwrap())));
        assert_eq!(check("unix:run/a"), Ok(Address::Unix("/etc/shop/run/a".into())));
        assert_eq!(check("unix:/run/a"), Ok(Address::Unix("/run/a".into())));
        for (text, cure) in [
            (":80", "[::]:80"),
            ("unix:", ""),
            (&format!("unix:{}", "x".repeat(108)), "this one has"),
        ] {
            assert!(check(text).unwrap_err().1.contains(cure), "{text}: {:?}", check(text));
        }
        let check = |text: &str| parse_address(text, base, Purpose::Reach);
        assert!(check("127.0.0.1:80").is_ok() && check("[::1]:80").is_ok());
        for (text, cure) in [
            ("0.0.0.0:80", "`127.0.0.1:80` is this machine"),
            ("[::]:80", "`[::1]:80` is this machine"),
            ("127.0.0.1:0", "from 1 to 65535"),
        ] {
            let (message, help) = check(text).unwrap_err();
            assert!(message.starts_with("nothing can be reached") && help.contains(cure), "{help}");
        }
    }

    #[test]
    fn hosts() {
        for (text, expected) in [
            ("Shop.Example.com", Some("shop.example.com")),
            ("*.Example.com", Some("*.example.com")),
            ("127.0.0.1", Some("127.0.0.1")),
            ("[::1]", Some("[::1]")),
            ("0:0::1", Some("[::1]")),
            ("_dmarc.shop", Some("_dmarc.shop")),
            ("*", None),
            ("", None),
            ("a..b", None),
            ("a.", None),
            ("-a", None),
            ("shop.*.com", None),
            ("shop:80", None),
            ("http://shop", None),
            ("b\u{fc}cher.example", None),
        ] {
            let parsed = host_pattern(text).map(|host| host.to_string());
            assert_eq!(parsed.as_deref().ok(), expected, "{text}");
        }
    }
}
