//! Cross-origin resource sharing: the pages of which sites may use a route from a browser.
//!
//! It knows the form of origins and what the lists allow, and nothing of requests and responses.

mod origin;

use std::time::Duration;

use serde_json::{Value, json};

use super::{Policy, bounded};
use crate::diagnostics::{Diagnostic, Report};
use crate::location::{Located, Location};
use crate::raw::scalars::{DurationText, Flag};
use crate::raw::shape::{List, object, scalar};
use crate::raw::texts::Method;
use crate::suggest::foreign::{Cure, Entry};
use crate::units::format_duration;
use crate::values::{HeaderName, MethodName};

pub use origin::OriginPattern;

/// As long as browsers keep an answer of which nothing is said (Fetch, section 4.9).
const MAX_AGE: Duration = Duration::from_secs(5);
/// Longer than any browser keeps one.
const LONGEST_MAX_AGE: Duration = Duration::from_secs(24 * 60 * 60);
/// Origins of one list.
const MOST_ORIGINS: usize = 1_000;
/// Methods or headers of one list.
const MOST_NAMES: usize = 100;
const METHODS: [&str; 3] = ["GET", "HEAD", "POST"];
/// Request headers that scripts may always send (Fetch, "CORS-safelisted request-header"); their
/// values are the browser's business.
const SAFELISTED: [&str; 4] = ["accept", "accept-language", "content-language", "content-type"];

/// Who may read the responses of a route, and what their requests may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cors {
    pub allow_origins: AllowOrigins,
    /// Never empty.
    pub allow_methods: Vec<MethodName>,
    pub allow_headers: AllowHeaders,
    pub expose_headers: Vec<HeaderName>,
    /// Never beside [`AllowOrigins::Any`], which browsers refuse.
    pub allow_credentials: bool,
    /// Whole seconds, at most a day.
    pub max_age: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowOrigins {
    Any,
    /// Never empty.
    Listed(Vec<OriginPattern>),
}

impl AllowOrigins {
    /// Of the value of `origin`, as it was sent.
    pub fn allows(&self, origin: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(listed) => listed.iter().any(|one| one.matches(origin)),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AllowHeaders {
    Any,
    /// Beside those that browsers always let scripts send.
    Listed(Vec<HeaderName>),
}

impl AllowHeaders {
    /// Of a name in any case.
    pub fn allows(&self, name: &str) -> bool {
        match self {
            Self::Any => true,
            Self::Listed(listed) => {
                let mut known = SAFELISTED.into_iter().chain(listed.iter().map(HeaderName::as_str));
                known.any(|one| one.eq_ignore_ascii_case(name))
            }
        }
    }
}

object! {
    /// Which sites' pages may use the route from a browser.
    CorsKeys, "`cors`" {
        /// Their origins: `https://shop.example`, `https://*.shop.example` for all names below one,
        /// or `*` for any.
        allow_origins: required List<AllowedOrigin> = "allowOrigins",
        /// The methods that scripts may use; default: `[GET, HEAD, POST]`.
        allow_methods: optional List<Method> = "allowMethods",
        /// The headers that scripts may send beside those that browsers always let them, or `*`.
        allow_headers: optional List<AllowedHeader> = "allowHeaders",
        /// The response headers that scripts may read beside those that browsers always let them.
        expose_headers: optional List<ExposedHeader> = "exposeHeaders",
        /// Whether cookies and logins are sent along; default: `false`.
        allow_credentials: optional Flag = "allowCredentials",
        /// How long a browser keeps the answer to a preflight, at most 24h; default: `5s`.
        max_age: optional DurationText = "maxAge",
    }
}

scalar! {
    /// An origin, `https://shop.example`, `https://*.shop.example` for all names below one, or `*`.
    AllowedOrigin: Option<OriginPattern> = |node, reader| {
        let text = reader.text(node, "an origin like `https://shop.example`")?;
        if text == "*" {
            return Some(None);
        }
        reader.accept(node, OriginPattern::parse(text)).map(Some)
    }, {
        "type": "string", "title": "origin",
        "examples": ["https://shop.example", "https://*.shop.example", "*"]
    }
}

scalar! {
    /// The name of a request header, or `*` for any.
    AllowedHeader: Option<HeaderName> = |node, reader| {
        let text = reader.text(node, "the name of a header or `*`")?;
        if text == "*" {
            return Some(None);
        }
        reader.accept(node, HeaderName::parse(text)).map(Some)
    }, {"type": "string", "title": "header name", "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"}
}

scalar! {
    /// The name of a response header.
    ExposedHeader: HeaderName = |node, reader| {
        let text = reader.text(node, "the name of a header")?;
        if text == "*" {
            reader.report.push(star(&node.location, "exposeHeaders"));
            return None;
        }
        reader.accept(node, HeaderName::parse(text))
    }, {"type": "string", "title": "header name", "pattern": "^[!#$%&'*+.^_`|~0-9A-Za-z-]+$"}
}

fn star(at: &Location, key: &str) -> Diagnostic {
    Diagnostic::error(at.clone(), format!("`{key}` has no `*`")).help("list each of them")
}

impl Policy for Cors {
    type Keys = CorsKeys;

    #[rustfmt::skip]
    const FOREIGN: &'static [Entry] = &[
        ("the configuration", &["cors"], Cure::Key("defaults.cors", "`cors: {...}` at a route, at a listener or in `defaults`")),
        ("a route", &["corsPolicy", "enableCors", "crossOrigin"], Cure::Key("routes.cors", "`cors: {allowOrigins: [...]}`")),
        ("`cors`", &["origins", "origin", "allowOrigin", "allowedOrigins", "accessControlAllowOrigin", "accessControlAllowOriginList", "allowOriginStringMatch"], Cure::Key("routes.cors.allowOrigins", "`allowOrigins: [\"https://shop.example\"]`")),
        ("`cors`", &["allowOriginRegex", "accessControlAllowOriginListRegex"], Cure::Key("routes.cors.allowOrigins", "a `*` for the names below one: `allowOrigins: [\"https://*.shop.example\"]`")),
        ("`cors`", &["methods", "allowedMethods", "accessControlAllowMethods"], Cure::Key("routes.cors.allowMethods", "`allowMethods: [GET, POST]`")),
        ("`cors`", &["headers", "allowedHeaders", "accessControlAllowHeaders"], Cure::Key("routes.cors.allowHeaders", "`allowHeaders: [content-type]`")),
        ("`cors`", &["exposedHeaders", "accessControlExposeHeaders"], Cure::Key("routes.cors.exposeHeaders", "`exposeHeaders: [etag]`")),
        ("`cors`", &["credentials", "supportsCredentials", "accessControlAllowCredentials"], Cure::Key("routes.cors.allowCredentials", "`allowCredentials: true`")),
        ("`cors`", &["accessControlMaxAge", "preflightMaxAge"], Cure::Key("routes.cors.maxAge", "`maxAge: 10m`")),
        ("`cors`", &["preflightContinue", "forwardNotMatchingPreflights", "addVaryHeader"], Cure::Elsewhere("preflights are always answered here, and `vary` is always right")),
    ];

    #[cfg(test)]
    const LEAST: &'static str = r#"{"allowOrigins": ["https://shop.example"]}"#;

    fn lower(keys: &CorsKeys, _: &Location, report: &mut Report) -> Option<Self> {
        let allow_credentials = keys.allow_credentials.as_ref().filter(|one| one.value);
        let allow_origins = origins(keys, allow_credentials, report);
        let allow_methods = methods(keys, report);
        let allow_headers = headers(keys, report);
        let max_age = max_age(keys, report);
        let expose_headers = exposed(keys, report);
        Some(Self {
            allow_origins: allow_origins?,
            allow_methods: allow_methods?,
            allow_headers: allow_headers?,
            expose_headers: expose_headers?,
            allow_credentials: allow_credentials.is_some(),
            max_age: max_age?,
        })
    }

    fn show(&self) -> Value {
        let names =
            |names: &[HeaderName]| names.iter().map(|one| json!(one.as_str())).collect::<Value>();
        json!({
            "allowOrigins": match &self.allow_origins {
                AllowOrigins::Any => json!(["*"]),
                AllowOrigins::Listed(listed) => listed.iter().map(|one| json!(one.to_string())).collect(),
            },
            "allowMethods": self.allow_methods.iter().map(MethodName::as_str).collect::<Vec<_>>(),
            "allowHeaders": match &self.allow_headers {
                AllowHeaders::Any => json!(["*"]),
                AllowHeaders::Listed(listed) => names(listed),
            },
            "exposeHeaders": names(&self.expose_headers),
            "allowCredentials": self.allow_credentials,
            "maxAge": format_duration(self.max_age),
        })
    }
}

fn origins(
    keys: &CorsKeys,
    credentials: Option<&Located<bool>>,
    report: &mut Report,
) -> Option<AllowOrigins> {
    let listed = keys.allow_origins.as_ref()?;
    if listed.value.is_empty() {
        report.push(
            Diagnostic::error(listed.location.clone(), "`cors` needs at least one origin")
                .help("`[\"https://shop.example\"]`, or `[\"*\"]` for any"),
        );
        return None;
    }
    bounded(listed, MOST_ORIGINS, report)?;
    let Some(any) = listed.value.iter().find(|one| one.value.is_none()) else {
        let patterns = listed.value.iter().filter_map(|one| one.value.clone());
        return Some(AllowOrigins::Listed(patterns.collect()));
    };
    if let Some(credentials) = credentials {
        let message = "browsers send no credentials where any origin is allowed";
        report.push(
            Diagnostic::error(credentials.location.clone(), message)
                .related(any.location.clone(), "any origin is allowed here")
                .help("list the origins whose pages may send cookies and logins"),
        );
        return None;
    }
    if listed.value.len() > 1 {
        let message = "`*` allows every origin: the others mean nothing beside it";
        report.push(Diagnostic::warning(any.location.clone(), message));
    }
    Some(AllowOrigins::Any)
}

fn methods(keys: &CorsKeys, report: &mut Report) -> Option<Vec<MethodName>> {
    let Some(listed) = &keys.allow_methods else {
        return METHODS.iter().map(|name| MethodName::parse(name).ok()).collect();
    };
    if listed.value.is_empty() {
        report.push(
            Diagnostic::error(listed.location.clone(), "`cors` needs at least one method")
                .help("remove `allowMethods` to allow GET, HEAD and POST"),
        );
        return None;
    }
    bounded(listed, MOST_NAMES, report)?;
    // A star is a token, and would be a method of that name.
    if let Some(one) = listed.value.iter().find(|one| one.value.as_str() == "*") {
        report.push(star(&one.location, "allowMethods"));
        return None;
    }
    Some(listed.value.iter().map(|one| one.value.clone()).collect())
}

fn headers(keys: &CorsKeys, report: &mut Report) -> Option<AllowHeaders> {
    let Some(listed) = &keys.allow_headers else { return Some(AllowHeaders::Listed(Vec::new())) };
    bounded(listed, MOST_NAMES, report)?;
    let listed = &listed.value;
    let Some(any) = listed.iter().find(|one| one.value.is_none()) else {
        let names = listed.iter().filter_map(|one| one.value.clone());
        return Some(AllowHeaders::Listed(names.collect()));
    };
    if listed.len() > 1 {
        let message = "`*` allows every header: the others mean nothing beside it";
        report.push(Diagnostic::warning(any.location.clone(), message));
    }
    Some(AllowHeaders::Any)
}

fn exposed(keys: &CorsKeys, report: &mut Report) -> Option<Vec<HeaderName>> {
    let Some(listed) = &keys.expose_headers else { return Some(Vec::new()) };
    bounded(listed, MOST_NAMES, report)?;
    Some(listed.value.iter().map(|one| one.value.clone()).collect())
}

fn max_age(keys: &CorsKeys, report: &mut Report) -> Option<Duration> {
    let Some(written) = &keys.max_age else { return Some(MAX_AGE) };
    let message = if written.value > LONGEST_MAX_AGE {
        "browsers keep the answer to a preflight for 24h at most"
    } else if written.value.subsec_nanos() != 0 {
        "browsers count `maxAge` in whole seconds"
    } else {
        return Some(written.value);
    };
    report.push(Diagnostic::error(written.location.clone(), message));
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::testing::policies;

    #[test]
    fn what_is_not_written_is_as_browsers_have_it() {
        let policies = policies("cors", r#"{allowOrigins: ["https://shop.example"]}"#);
        let cors = policies.cors.get().unwrap();
        assert!(matches!(&cors.allow_origins, AllowOrigins::Listed(listed) if listed.len() == 1));
        let methods: Vec<_> = cors.allow_methods.iter().map(MethodName::as_str).collect();
        assert_eq!(methods, ["GET", "HEAD", "POST"]);
        assert_eq!(cors.allow_headers, AllowHeaders::Listed(Vec::new()));
        assert!(cors.expose_headers.is_empty() && !cors.allow_credentials);
        assert_eq!(cors.max_age, Duration::from_secs(5));
    }

    #[test]
    fn what_is_listed_is_allowed() {
        let name = |text: &str| HeaderName::parse(text).unwrap();
        let listed = AllowHeaders::Listed(vec![name("X-Channel")]);
        for allowed in ["x-channel", "X-Channel", "Accept", "content-type"] {
            assert!(listed.allows(allowed), "{allowed}");
        }
        for refused in ["x-channels", "authorization", "", "*"] {
            assert!(!listed.allows(refused), "{refused}");
            assert!(AllowHeaders::Any.allows(refused));
        }
        let shop =
            AllowOrigins::Listed(vec![OriginPattern::parse("https://shop.example").unwrap()]);
        assert!(shop.allows("https://shop.example") && !shop.allows("https://other.example"));
        assert!(!shop.allows("null") && AllowOrigins::Any.allows("null"));
    }
}
