//! The live page: three files that read the API and nothing else.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::shared::Shared;

/// Only what this listener serves is run, shown or asked for, and no other page may frame it.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; \
                      frame-ancestors 'none'";

pub(super) fn endpoints() -> Router<Arc<Shared>> {
    Router::new()
        .route("/", get(async || file("text/html; charset=utf-8", include_str!("page.html"))))
        .route("/page.css", get(async || file("text/css", include_str!("page.css"))))
        .route("/page.js", get(async || file("text/javascript", include_str!("page.js"))))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    const NAMES: [HeaderName; 2] = [header::CONTENT_TYPE, header::CONTENT_SECURITY_POLICY];
    let mut response = text.into_response();
    for (name, value) in NAMES.into_iter().zip([kind, POLICY]) {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
