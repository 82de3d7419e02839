//! Who may ask: the operator on this machine, never a web page that runs in a browser here.
//!
//! A page of another site can make a browser send requests to loopback, and a name that it
//! controls can be made to lead here (DNS rebinding). So a request over TCP must name a loopback
//! host, and one that a browser sends for another site is refused. What changes something needs
//! the token besides.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header, uri::Authority};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use subtle::ConstantTimeEq;

use super::problem::Problem;
use super::shared::Shared;

/// How a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AdminTransport {
    Tcp,
    /// Only the owner of the socket's file can connect, by its mode.
    Unix,
}

/// Refuses what a foreign page may have sent.
pub(super) async fn same_site(
    State(transport): State<AdminTransport>,
    request: Request,
    next: Next,
) -> Response {
    match check_site(transport, request.uri(), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Refuses changes by those who may only look.
pub(super) async fn authorized(
    State((transport, shared)): State<(AdminTransport, Arc<Shared>)>,
    request: Request,
    next: Next,
) -> Response {
    let config = Arc::clone(&shared.published.load().config);
    let token = config.admin.as_ref().and_then(|admin| admin.token.as_ref());
    match check_token(transport, token.map(|token| token.expose()), request.headers()) {
        Ok(()) => next.run(request).await,
        Err(problem) => {
            let mut response = problem.into_response();
            if response.status() == StatusCode::UNAUTHORIZED {
                let challenge = HeaderValue::from_static("Bearer realm=\"portcullis\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
            }
            response
        }
    }
}

fn check_site(transport: AdminTransport, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok());
    if hosts.next().is_some() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "`host` stands twice"));
    }
    if transport == AdminTransport::Tcp {
        let target = uri.authority().map(Authority::as_str);
        let named = [host, target].into_iter().flatten();
        if host.is_none() || !named.into_iter().all(is_loopback) {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "the admin API answers to `localhost` and loopback addresses only, whatever \
                 other name leads here",
            ));
        }
    }
    let foreign = Problem::new(StatusCode::FORBIDDEN, "the admin API does not serve other sites");
    let same = |origin: &HeaderValue| {
        let origin = origin.to_str().ok().and_then(|origin| origin.strip_prefix("http://"));
        origin.is_some() && origin == host
    };
    if !headers.get_all(header::ORIGIN).iter().all(same) {
        return Err(foreign);
    }
    let own = |site: &HeaderValue| matches!(site.as_bytes(), b"same-origin" | b"none");
    if !headers.get_all("sec-fetch-site").iter().all(own) {
        return Err(foreign);
    }
    Ok(())
}

/// Whether an authority (host, perhaps with a port) is this machine, whichever resolver is used.
fn is_loopback(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((host, port)) => (host, port),
            None => return false,
        },
        None => {
            let colon = authority.find(':').unwrap_or(authority.len());
            authority.split_at(colon)
        }
    };
    let digits = match port.strip_prefix(':') {
        Some(digits) => digits,
        None if port.is_empty() => "",
        None => return false,
    };
    let bracketed = authority.starts_with('[');
    digits.bytes().all(|digit| digit.is_ascii_digit())
        && match host.parse::<IpAddr>() {
            Ok(address) => address.is_ipv6() == bracketed && address.to_canonical().is_loopback(),
            Err(_) => !bracketed && host.eq_ignore_ascii_case("localhost"),
        }
}

fn check_token(
    transport: AdminTransport,
    token: Option<&str>,
    headers: &HeaderMap,
) -> Result<(), Problem> {
    // A reference may have resolved to nothing; nothing is no secret.
    let Some(token) = token.filter(|token| !token.is_empty()) else {
        return match transport {
            AdminTransport::Unix => Ok(()),
            AdminTransport::Tcp => Err(Problem::new(
                StatusCode::FORBIDDEN,
                "changes over TCP need a token: set `admin.token`, for example to \
                 `${env:PORTCULLIS_ADMIN_TOKEN}`, or let `admin.address` be a Unix socket",
            )),
        };
    };
    let mut credentials = headers.get_all(header::AUTHORIZATION).iter();
    let shown = credentials.next().and_then(|value| bearer(value.as_bytes()));
    let refused = |detail| Err(Problem::new(StatusCode::UNAUTHORIZED, detail));
    match shown {
        _ if credentials.next().is_some() => refused("`authorization` stands twice"),
        None => refused("send the token of `admin.token` as `authorization: Bearer TOKEN`"),
        // Their lengths may differ in time, their contents do not.
        Some(shown) if bool::from(shown.ct_eq(token.as_bytes())) => Ok(()),
        Some(_) => refused("this is not the token of `admin.token`"),
    }
}

/// The token of `Bearer token`; the scheme's case does not matter (RFC 9110, section 11.1).
fn bearer(value: &[u8]) -> Option<&[u8]> {
    let (scheme, token) = value.split_at_checked(7)?;
    scheme.eq_ignore_ascii_case(b"bearer ").then(|| token.trim_ascii())
}

#[cfg(test)]
mod tests;
