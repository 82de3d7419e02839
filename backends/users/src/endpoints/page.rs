//! The pages that people see: a form to log in by, and a word when that is not possible.
//!
//! No script, no style, nothing from elsewhere; the policy says so to the browser as well.

use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{Html, IntoResponse, Response};

use crate::oauth::redirect;
use crate::oauth::request::AuthorizationRequest;

/// The login form for a request.
pub(crate) struct LoginForm<'a> {
    pub(crate) request: &'a AuthorizationRequest,
    pub(crate) signed: &'a str,
    /// What stands in the field for the address already.
    pub(crate) email: &'a str,
    /// What was wrong the last time.
    pub(crate) message: Option<&'a str>,
}

impl LoginForm<'_> {
    pub(crate) fn show(&self, status: StatusCode) -> Response {
        let message = self.message.map(|text| format!("<p role=\"alert\">{}</p>\n", escape(text)));
        let body = format!(
            "<h1>Log in</h1>\n\
             <p>to go on to {client}</p>\n\
             {message}\
             <form method=\"post\" action=\"authorize\">\n\
             <input type=\"hidden\" name=\"authorization\" value=\"{signed}\">\n\
             <p><label>Email <input type=\"email\" name=\"email\" value=\"{email}\" \
             autocomplete=\"username\" required></label></p>\n\
             <p><label>Password <input type=\"password\" name=\"password\" \
             autocomplete=\"current-password\" required></label></p>\n\
             <p><button>Log in</button>\n\
             <button name=\"decision\" value=\"cancel\" formnovalidate>Cancel</button></p>\n\
             </form>\n",
            client = escape(&self.request.client_id),
            message = message.unwrap_or_default(),
            signed = escape(self.signed),
            email = escape(self.email),
        );
        // A browser that follows the form's answer to the client asks the policy once more.
        let target = redirect::policy_source(&self.request.redirect_uri);
        page(status, &body, &format!("'self' {target}"))
    }
}

/// What is wrong with a request whose client cannot be told.
pub(crate) fn refuse(status: StatusCode, message: &str) -> Response {
    let body = format!(
        "<h1>This does not work</h1>\n<p>{}</p>\n<p>Go back to where you came from and try \
         again.</p>\n",
        escape(message)
    );
    page(status, &body, "'none'")
}

fn page(status: StatusCode, body: &str, form_action: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>Shop</title>\n{body}</html>\n"
    );
    let policy = format!(
        "default-src 'none'; form-action {form_action}; frame-ancestors 'none'; base-uri 'none'"
    );
    let mut response = (status, Html(html)).into_response();
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    // Whatever the target, never no policy.
    let policy = HeaderValue::try_from(policy);
    let strictest = HeaderValue::from_static("default-src 'none'; frame-ancestors 'none'");
    headers.insert(CONTENT_SECURITY_POLICY, policy.unwrap_or(strictest));
    response
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_cannot_become_markup() {
        assert_eq!(escape("\"><b a='&'>"), "&quot;&gt;&lt;b a=&#39;&amp;&#39;&gt;");
    }
}
