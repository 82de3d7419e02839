//! Cross-origin resource sharing (Fetch, section 3.3): answers preflights, and lets scripts of the
//! listed origins read responses.
//!
//! CORS headers of the upstream are dropped: only the route's list counts.

use portcullis_config::policy::cors::{AllowHeaders, AllowOrigins, Cors as Settings};
use portcullis_config::values::HeaderName;

use super::PolicyFault;
use super::judge::{Inspected, Judge, Lists, Verdict};
use crate::cause::Rule;
use crate::error::Reason;
use crate::http1::changes::Changes;
use crate::http1::syntax::elements;
use crate::message::Fields;

/// The CORS headers that an upstream may send.
const FIELDS: [&str; 6] = [
    "access-control-allow-origin",
    "access-control-allow-credentials",
    "access-control-allow-methods",
    "access-control-allow-headers",
    "access-control-expose-headers",
    "access-control-max-age",
];

/// The lists of a route, and the lines that are the same in every response.
#[derive(Debug)]
pub struct Cors {
    settings: Settings,
    methods: Box<str>,
    headers: Box<str>,
    exposed: Box<str>,
    max_age: Box<str>,
}

impl Judge for Cors {
    const NAME: &'static str = "cors";
    type Settings = Settings;

    fn compile(settings: &Settings, _: Option<&Self>) -> Result<Self, PolicyFault> {
        let names = |names: &[HeaderName]| {
            names.iter().map(HeaderName::as_str).collect::<Vec<_>>().join(", ").into_boxed_str()
        };
        let methods = settings.allow_methods.iter().map(|method| method.as_str());
        Ok(Self {
            methods: methods.collect::<Vec<_>>().join(", ").into(),
            headers: match &settings.allow_headers {
                AllowHeaders::Any => Box::default(),
                AllowHeaders::Listed(listed) => names(listed),
            },
            exposed: names(&settings.expose_headers),
            max_age: settings.max_age.as_secs().to_string().into(),
            settings: settings.clone(),
        })
    }

    fn judge(&self, request: &Inspected<'_>, lists: &mut Lists) -> Verdict {
        let response = &mut lists.response;
        for name in FIELDS {
            response.remove(name);
        }
        let any = self.settings.allow_origins == AllowOrigins::Any;
        if !any {
            // Without an origin too: a cache must not give that response to a script.
            response.add("vary", &[b"origin"]);
        }
        let fields = request.head.fields();
        let origin = only(&fields, "origin").filter(|origin| self.allows_origin(origin));
        if let Some(method) = preflight(request) {
            return match self.refusal(origin, method, &fields) {
                Some(rule) => Verdict::refuse(rule),
                None => {
                    self.write_preflight(origin.unwrap_or_default(), &fields, response);
                    Verdict::Answer(Reason::Preflight)
                }
            };
        }
        if any || origin.is_some() {
            self.write_origin(origin.unwrap_or_default(), response);
            if !self.exposed.is_empty() {
                response.set("access-control-expose-headers", &[self.exposed.as_bytes()]);
            }
        }
        Verdict::Pass
    }
}

impl Cors {
    fn allows_origin(&self, origin: &[u8]) -> bool {
        std::str::from_utf8(origin).is_ok_and(|it| self.settings.allow_origins.allows(it))
    }

    /// Why a preflight is refused.
    fn refusal(&self, origin: Option<&[u8]>, method: &[u8], fields: &Fields<'_>) -> Option<Rule> {
        let Settings { allow_methods, allow_headers, .. } = &self.settings;
        if origin.is_none() {
            return Some(Rule::CorsOrigin);
        }
        if !allow_methods.iter().any(|it| it.as_str().as_bytes() == method) {
            return Some(Rule::CorsMethod);
        }
        let mut asked = fields.all(HEADERS).flat_map(elements);
        let allows =
            |name: &[u8]| std::str::from_utf8(name).is_ok_and(|it| allow_headers.allows(it));
        (!asked.all(allows)).then_some(Rule::CorsHeader)
    }

    fn write_preflight(&self, origin: &[u8], fields: &Fields<'_>, response: &mut Changes) {
        self.write_origin(origin, response);
        response.set("access-control-allow-methods", &[self.methods.as_bytes()]);
        let listed = self.headers.as_bytes();
        let asked: smallvec::SmallVec<[&[u8]; 8]> = match self.settings.allow_headers {
            AllowHeaders::Any => joined(fields.all(HEADERS)).collect(),
            AllowHeaders::Listed(_) => {
                std::iter::once(listed).filter(|it| !it.is_empty()).collect()
            }
        };
        if !asked.is_empty() {
            response.set("access-control-allow-headers", &asked);
        }
        response.set("access-control-max-age", &[self.max_age.as_bytes()]);
    }

    fn write_origin(&self, origin: &[u8], response: &mut Changes) {
        let origin = match self.settings.allow_origins {
            AllowOrigins::Any => b"*",
            AllowOrigins::Listed(_) => origin,
        };
        response.set("access-control-allow-origin", &[origin]);
        if self.settings.allow_credentials {
            response.set("access-control-allow-credentials", &[b"true"]);
        }
    }
}

/// The headers that a script wants to send.
const HEADERS: &str = "access-control-request-headers";

/// The method that a preflight asks for; `None` of another request.
fn preflight<'a>(request: &Inspected<'a>) -> Option<&'a [u8]> {
    let fields = request.head.fields();
    if request.head.method() != b"OPTIONS" || fields.first("origin").is_none() {
        return None;
    }
    fields.first("access-control-request-method")
}

/// The value of a field that stands there exactly once.
fn only<'a>(fields: &Fields<'a>, name: &str) -> Option<&'a [u8]> {
    let mut values = fields.all(name);
    values.next().filter(|_| values.next().is_none())
}

/// Lines of one name as one value, in pieces.
fn joined<'a>(lines: impl Iterator<Item = &'a [u8]>) -> impl Iterator<Item = &'a [u8]> {
    lines.enumerate().flat_map(|(index, line)| {
        let separator: &[u8] = if index == 0 { b"" } else { b", " };
        [separator, line]
    })
}

#[cfg(test)]
mod tests;
