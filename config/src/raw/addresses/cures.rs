//! What was probably meant by a text that is no address: the form that would be right.
//!
//! It knows what people write elsewhere (URLs, names, ports alone), and nothing of references:
//! what one resolved to never comes here.

use std::net::{IpAddr, Ipv6Addr};

use super::host_name;

/// What an address is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    Listen,
    Reach,
}

/// How to write `text`, which does not parse as an address.
pub(super) fn cure(text: &str, purpose: Purpose) -> String {
    let parts = Parts::of(text);
    if let Some(("unix", path)) = parts.scheme.map(|scheme| (scheme, parts.after_scheme)) {
        return format!("write `unix:{path}`");
    }
    if parts.scheme.is_none() && parts.path.is_some() && !parts.authority.contains(':') {
        return format!("the path of a Unix socket is written `unix:{text}`");
    }
    let form = match right_form(parts.authority, parts.default_port(), purpose) {
        Ok(form) => form,
        Err(cure) => return cure,
    };
    let mut cure = match parts.surplus() {
        Some(surplus) => format!("leave out {surplus}: {form}"),
        None => form,
    };
    if purpose == Purpose::Reach && parts.scheme == Some("https") {
        cure.push_str("; `tls: {}` beside `endpoints` speaks TLS");
    }
    if purpose == Purpose::Reach && parts.path.is_some_and(|path| path.len() > 1) {
        cure.push_str("; `rewrite` on the route sets the path");
    }
    cure
}

/// How to write `text`, which is no host name, as an endpoint of `dns`; `None` when that is not known.
pub(super) fn cure_of_dns(text: &str) -> Option<String> {
    let parts = Parts::of(text);
    let known = parts.surplus().is_some() || parts.authority.contains(':');
    let form = right_form(parts.authority, parts.default_port(), Purpose::Reach);
    let form = form.ok().filter(|_| known)?;
    // An address alone is another key.
    match form.strip_prefix('`').and_then(|form| form.strip_suffix('`')) {
        Some(address) => Some(format!("write `{{address: \"{address}\"}}`")),
        None => Some(form),
    }
}

/// The host in `text`, without scheme, port and path, when that makes a host name of it.
pub(super) fn bare_host(text: &str) -> Option<String> {
    let authority = Parts::of(text).authority;
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if is_number(port) && !host.contains(':') => host,
        _ => authority,
    };
    if host == text { None } else { host_name(host).ok() }
}

/// What URLs consist of.
struct Parts<'a> {
    scheme: Option<&'a str>,
    after_scheme: &'a str,
    authority: &'a str,
    /// From its slash on.
    path: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let (scheme, after_scheme) = match text.split_once("://") {
            Some((scheme, rest)) => (Some(scheme), rest),
            None => (None, text),
        };
        let slash = after_scheme.find('/');
        let (authority, path) = match slash.and_then(|at| after_scheme.split_at_checked(at)) {
            Some((authority, path)) => (authority, Some(path)),
            None => (after_scheme, None),
        };
        Self { scheme, after_scheme, authority, path }
    }

    fn default_port(&self) -> Option<&'static str> {
        match self.scheme? {
            "http" | "h2c" | "ws" => Some("80"),
            "https" | "h2" | "wss" => Some("443"),
            _ => None,
        }
    }

    fn surplus(&self) -> Option<&'static str> {
        match (self.scheme, self.path) {
            (Some(_), None | Some("/")) => Some("the scheme"),
            (Some(_), Some(_)) => Some("the scheme and the path"),
            (None, Some(_)) => Some("the path"),
            (None, None) => None,
        }
    }
}

/// The right form in backticks with what is to be known of it, or why there is none.
fn right_form(
    authority: &str,
    default_port: Option<&str>,
    purpose: Purpose,
) -> Result<String, String> {
    const EXAMPLES: &str = "for example `127.0.0.1:8080`, `[::]:8080` or `unix:run/shop.sock`";
    if let Ok(whole) = authority.parse::<Ipv6Addr>() {
        // `::1:8080` is an address as a whole, though its end was probably meant as a port.
        return Ok(match authority.rsplit_once(':') {
            Some((host, port)) if host.parse::<Ipv6Addr>().is_ok() && port.len() > 1 => {
                format!("IPv6 stands in brackets: `[{host}]:{port}`, or `[{whole}]:8080`")
            }
            _ => form(&format!("[{whole}]"), default_port, purpose),
        });
    }
    if is_number(authority) {
        return port_alone(authority, purpose);
    }
    if authority.parse::<IpAddr>().is_ok() || is_bracketed(authority) {
        return Ok(form(authority, default_port, purpose));
    }
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (authority, None),
    };
    if let Some(port) = port {
        match port.parse::<u16>() {
            Ok(0) if purpose == Purpose::Reach => return Err(PORTS.to_owned()),
            Ok(_) => {}
            Err(_) if is_number(port) => return Err(PORTS.to_owned()),
            Err(_) if port.is_empty() => {
                return Err(format!("the port is missing behind `{host}:`"));
            }
            Err(_) => return Err(format!("a port is a number, which `{port}` is not")),
        }
    }
    let bracketed = format!("[{host}]");
    match port.or(default_port) {
        Some(port) if host.is_empty() || host == "*" => port_alone(port, purpose),
        Some(_) if looks_like_ipv4(host) && host.parse::<IpAddr>().is_err() => {
            Err(format!("`{host}` is not an IPv4 address: four numbers from 0 to 255"))
        }
        Some(port) if is_bracketed(&bracketed) => Ok(form(&bracketed, Some(port), purpose)),
        Some(port) if host.parse::<IpAddr>().is_ok() || is_bracketed(host) => {
            Ok(form(host, Some(port), purpose))
        }
        _ if looks_like_ipv4(host) => {
            Err(format!("`{host}` is not an IPv4 address: four numbers from 0 to 255"))
        }
        port if host_name(host).is_ok() => Ok(named(host, port, purpose)),
        _ => Err(EXAMPLES.to_owned()),
    }
}

const PORTS: &str = "a port is a number from 1 to 65535";

fn form(address: &str, port: Option<&str>, purpose: Purpose) -> String {
    let is_any = matches!(address, "0.0.0.0" | "[::]");
    match port {
        Some(port) if is_any && purpose == Purpose::Reach => any_address(address, port),
        Some(port) => format!("`{address}:{port}`"),
        None => format!("add the port: `{address}:8080`"),
    }
}

/// The cure of an endpoint that is every address.
pub(super) fn any_address(address: &str, port: impl std::fmt::Display) -> String {
    let loopback = if address.starts_with('[') { "[::1]" } else { "127.0.0.1" };
    format!(
        "only a listener takes every address; an endpoint is one: `{loopback}:{port}` is this \
         machine"
    )
}

fn port_alone(port: &str, purpose: Purpose) -> Result<String, String> {
    let fits = port.parse::<u16>().is_ok_and(|port| port > 0 || purpose == Purpose::Listen);
    match purpose {
        _ if !fits => Err(PORTS.to_owned()),
        Purpose::Listen => Ok(format!("write `[::]:{port}` for every address")),
        Purpose::Reach => Ok(format!(
            "an endpoint needs its host: `127.0.0.1:{port}`, or `{{dns: name, port: {port}}}`"
        )),
    }
}

fn named(name: &str, port: Option<&str>, purpose: Purpose) -> String {
    let port = port.unwrap_or("8080");
    match purpose {
        Purpose::Reach => format!("a name is written `{{dns: {name}, port: {port}}}`"),
        Purpose::Listen if name.eq_ignore_ascii_case("localhost") => format!(
            "a listener has an address, not a name: `127.0.0.1:{port}`, or `[::1]:{port}` for IPv6"
        ),
        Purpose::Listen => format!(
            "a listener has an address, not a name: `[::]:{port}` is every one of this machine"
        ),
    }
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

fn is_bracketed(text: &str) -> bool {
    let inner = text.strip_prefix('[').and_then(|text| text.strip_suffix(']'));
    inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
}

fn looks_like_ipv4(text: &str) -> bool {
    text.contains('.') && text.split('.').all(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cures_of_addresses() {
        let v6_or_port = "IPv6 stands in brackets: `[::1]:8080`, or `[::1:8080]:8080`";
        let two_five_six = "`256.0.0.1` is not an IPv4 address";
        for (text, listen, reach) in [
            (":80", "write `[::]:80`", "needs its host: `127.0.0.1:80`"),
            ("*:80", "write `[::]:80`", "needs its host: `127.0.0.1:80`"),
            ("80", "write `[::]:80`", "needs its host: `127.0.0.1:80`"),
            ("::1", "add the port: `[::1]:8080`", "add the port: `[::1]:8080`"),
            ("[::1]", "add the port: `[::1]:8080`", "add the port: `[::1]:8080`"),
            ("::1:8080", v6_or_port, v6_or_port),
            (":::8080", "`[::]:8080`", "an endpoint is one: `[::1]:8080`"),
            ("fe80::1%eth0:80", "for example", "for example"),
            ("127.0.0.1", "`127.0.0.1:8080`", "`127.0.0.1:8080`"),
            ("0.0.0.0", "`0.0.0.0:8080`", "`0.0.0.0:8080`"),
            ("127.0.0.1:", "the port is missing", "the port is missing"),
            ("127.0.0.1:http", "`http` is not", "`http` is not"),
            ("127.0.0.1:99999", PORTS, PORTS),
            ("70000", PORTS, PORTS),
            (":0", "write `[::]:0`", PORTS),
            ("users:0", "`[::]:0`", PORTS),
            ("256.0.0.1:80", two_five_six, two_five_six),
            ("256.0.0.1", two_five_six, two_five_six),
            ("localhost:80", "`127.0.0.1:80`, or `[::1]:80`", "`{dns: localhost, port: 80}`"),
            ("localhost", "`127.0.0.1:8080`", "`{dns: localhost, port: 8080}`"),
            ("users.svc:80", "`[::]:80` is every one", "`{dns: users.svc, port: 80}`"),
            ("users.svc", "`[::]:8080` is every one", "`{dns: users.svc, port: 8080}`"),
            ("http://0.0.0.0:80", "leave out the scheme: `0.0.0.0:80`", "an endpoint is one"),
            ("tcp://10.0.0.1:80", "the scheme: `10.0.0.1:80`", "the scheme: `10.0.0.1:80`"),
            ("http://10.0.0.1/", "the scheme: `10.0.0.1:80`", "the scheme: `10.0.0.1:80`"),
            ("http://[::1]:80", "the scheme: `[::1]:80`", "the scheme: `[::1]:80`"),
            ("http://users", "the scheme: a listener", "{dns: users, port: 80}`"),
            ("https://users", "`[::]:443`", "{dns: users, port: 443}`; `tls: {}` beside"),
            ("http://users:81/api", "the scheme and the path", "81}`; `rewrite` on the route"),
            ("10.0.0.1:80/api", "leave out the path: `10.0.0.1:80`", "`rewrite` on the route"),
            ("run/shop.sock", "`unix:run/shop.sock`", "`unix:run/shop.sock`"),
            ("/run/shop.sock", "`unix:/run/shop.sock`", "`unix:/run/shop.sock`"),
            ("", "for example", "for example"),
            ("a b", "for example", "for example"),
        ] {
            for (purpose, wanted) in [(Purpose::Listen, listen), (Purpose::Reach, reach)] {
                let cure = cure(text, purpose);
                assert!(cure.contains(wanted), "{text} {purpose:?}: {cure}");
            }
        }
    }

    #[test]
    fn cures_of_names() {
        for (text, dns, host) in [
            ("users:80", Some("`{dns: users, port: 80}`"), Some("users")),
            ("https://users/a", Some("`{dns: users, port: 443}`"), Some("users")),
            ("users/a", Some("`{dns: users, port: 8080}`"), Some("users")),
            ("127.0.0.1:80", Some("`{address: \"127.0.0.1:80\"}`"), Some("127.0.0.1")),
            ("a..b", None, None),
            ("users", None, None),
        ] {
            let cure = cure_of_dns(text);
            assert_eq!(cure.is_some(), dns.is_some(), "{text}: {cure:?}");
            assert!(cure.unwrap_or_default().contains(dns.unwrap_or_default()), "{text}");
            assert_eq!(bare_host(text).as_deref(), host, "{text}");
        }
    }
}
