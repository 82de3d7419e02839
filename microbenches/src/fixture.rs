//! The messages and configurations that the cases share. Nothing is measured here.

use portcullis_config::model::{Config, Underscores};
use portcullis_config::values::{HostPattern, PathPattern};
use portcullis_proxy::http1::{Parsed, RequestRules, ResponseRules, parse_request, parse_response};
use portcullis_proxy::message::{RequestHead, RequestParts, ResponseHead, ResponseParts};

/// What a browser sends: eight header lines.
pub(crate) const REQUEST: &[u8] = b"GET /segment-7/items/42?page=2 HTTP/1.1\r\n\
    host: host-0.example\r\n\
    user-agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0\r\n\
    accept: text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8\r\n\
    accept-language: en-GB,en;q=0.5\r\n\
    accept-encoding: gzip, deflate, br\r\n\
    referer: https://host-0.example/segment-7\r\n\
    cookie: session=0123456789abcdef; theme=dark\r\n\
    x-debug: 1\r\n\r\n";

/// What a service answers: eight header lines.
pub(crate) const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\n\
    content-type: application/json; charset=utf-8\r\n\
    content-length: 128\r\n\
    date: Mon, 23 Nov 2026 00:00:00 GMT\r\n\
    server: origin/1.0\r\n\
    cache-control: private, max-age=60\r\n\
    etag: \"0123456789abcdef\"\r\n\
    vary: accept-encoding\r\n\
    x-powered-by: origin\r\n\r\n";

pub(crate) const REQUEST_RULES: RequestRules = RequestRules {
    head_bytes: 32 * 1024,
    uri_bytes: 8 * 1024,
    headers: 100,
    underscores: Underscores::Reject,
};

pub(crate) const RESPONSE_RULES: ResponseRules =
    ResponseRules { head_bytes: 60 * 1024, headers: 256 };

/// The parts of [`REQUEST`].
pub(crate) fn request_parts() -> RequestParts {
    let mut parts = RequestParts::default();
    assert_eq!(parse_request(REQUEST, &REQUEST_RULES, &mut parts), Ok(Parsed::Complete));
    assert_eq!(parts.fields.len(), 8);
    parts
}

/// The parts of [`RESPONSE`].
pub(crate) fn response_parts() -> ResponseParts {
    let mut parts = ResponseParts::default();
    let parsed = parse_response(RESPONSE, &RESPONSE_RULES, b"GET", &mut parts);
    assert_eq!(parsed, Ok(Parsed::Complete));
    assert_eq!(parts.fields.len(), 8);
    parts
}

pub(crate) fn request_head(parts: &RequestParts) -> RequestHead<'_> {
    RequestHead { bytes: REQUEST, parts }
}

pub(crate) fn response_head(parts: &ResponseParts) -> ResponseHead<'_> {
    ResponseHead { bytes: RESPONSE, parts }
}

/// One upstream balanced as told, and one route that edits heads as configurations do.
pub(crate) fn config(load_balancer: &str, endpoints: usize) -> Config {
    let endpoints: Vec<_> =
        (1..=endpoints).map(|number| format!("{{address: \"192.0.2.{number}:80\"}}")).collect();
    let text = format!(
        "version: v1\n\
         listeners:\n  - {{name: public, address: \"127.0.0.1:8080\"}}\n\
         upstreams:\n  - name: products\n    endpoints: [{}]\n    loadBalancer: {{{load_balancer}}}\n\
         routes:\n  - name: products\n    backends: [{{upstream: products}}]\n    \
         match: {{hosts: [host-0.example], path: {{prefix: /segment-7}}}}\n    \
         requestHeaders: {{remove: [x-debug], set: [{{name: x-channel, value: web}}]}}\n    \
         responseHeaders: {{remove: [server, x-powered-by], \
         set: [{{name: x-content-type-options, value: nosniff}}]}}\n",
        endpoints.join(", "),
    );
    portcullis_config::parse_str("bench.yaml", &text).expect("the fixture is in order").config
}

/// The same with so many routes: ten path prefixes for each host.
pub(crate) fn config_of_routes(count: usize) -> Config {
    let mut config = config("policy: random", 1);
    let template = config.routes.remove(0);
    config.routes = (0..count)
        .map(|index| {
            let mut route = template.clone();
            route.name = format!("route-{index}");
            route.matcher.hosts = vec![HostPattern::Exact(format!("host-{}.example", index / 10))];
            route.matcher.path = PathPattern::Prefix(format!("/segment-{}", index % 10));
            route
        })
        .collect();
    config
}
