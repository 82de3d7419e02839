//! Where the gateway is, as its URL says.

use std::str::FromStr;

use http::Uri;
use http::uri::Scheme;

/// `http://HOST:PORT` or `https://HOST:PORT`, nothing behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    secure: bool,
    /// As it stands in the URL: an IPv6 address has its brackets.
    host: String,
    port: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("write the gateway's address: https://localhost:8443")]
pub(crate) struct TargetError;

impl FromStr for Target {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        let uri: Uri = text.parse().map_err(|_| TargetError)?;
        let secure = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(TargetError),
        };
        let authority = uri.authority().ok_or(TargetError)?;
        let bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        if !bare || authority.as_str().contains('@') || authority.host().is_empty() {
            return Err(TargetError);
        }
        let port = match authority.port_u16() {
            Some(port) => port,
            // A port that is none.
            None if authority.as_str().len() > authority.host().len() => return Err(TargetError),
            None if secure => 443,
            None => 80,
        };
        Ok(Self { secure, host: authority.host().to_owned(), port })
    }
}

impl Target {
    pub(crate) fn is_secure(&self) -> bool {
        self.secure
    }

    /// What `Host` says.
    pub(crate) fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// What is connected to, and whose name the certificate has.
    pub(crate) fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_a_host_and_a_port() {
        let check = |text: &str, expected: Option<(bool, &str, u16)>| {
            let found = text.parse::<Target>().ok();
            let found = found.as_ref().map(|t| (t.is_secure(), t.host(), t.port()));
            assert_eq!(found, expected, "{text:?}");
        };
        check("https://localhost:8443", Some((true, "localhost", 8443)));
        check("https://localhost:8443/", Some((true, "localhost", 8443)));
        check("http://127.0.0.1:8080", Some((false, "127.0.0.1", 8080)));
        check("https://[::1]:8443", Some((true, "::1", 8443)));
        check("https://shop.example", Some((true, "shop.example", 443)));
        check("http://shop.example", Some((false, "shop.example", 80)));
        for wrong in [
            "",
            "localhost:8443",
            "/v1",
            "ftp://localhost",
            "https://localhost:8443/v1",
            "https://localhost/?a=b",
            "https://user@localhost",
            "https://localhost:99999",
        ] {
            check(wrong, None);
        }
    }

    #[test]
    fn an_address_keeps_its_brackets_in_the_host_header() {
        let target: Target = "https://[::1]:8443".parse().unwrap();
        assert_eq!(target.authority(), "[::1]:8443");
    }
}
