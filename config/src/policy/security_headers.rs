//! Response headers that turn on protections of browsers.
//!
//! It knows which headers there are and what the presets say, and not when a response is sent.

use serde_json::{Map, Value, json};

use super::Policy;
use crate::diagnostics::{Diagnostic, Report};
use crate::location::{Located, Location};
use crate::raw::shape::{Reader, Shape, choice, object, scalar};
use crate::raw::texts::HeaderValue;
use crate::suggest::foreign::{Cure, Entry};
use crate::text::Template;
use crate::tree::{Content, Node, is_boolean, old_boolean};

/// Which headers responses have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityHeaders {
    pub preset: Preset,
    /// With the preset applied, and without those that are left out; each name once.
    pub headers: Vec<SecurityHeader>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecurityHeader {
    /// In lower case.
    pub name: &'static str,
    pub value: Template,
    /// Means something only where the client's connection is TLS, and is sent only there.
    pub tls_only: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Preset {
    /// Breaks hardly any site.
    #[default]
    Basic,
    /// Follows the OWASP Secure Headers Project.
    Strict,
}

/// What is known of a header.
struct Known {
    key: &'static str,
    name: &'static str,
    basic: Option<&'static str>,
    strict: &'static str,
}

/// In the order of the keys.
#[rustfmt::skip]
const KNOWN: [Known; 9] = [
    Known { key: "strictTransportSecurity", name: "strict-transport-security", basic: Some("max-age=31536000"), strict: "max-age=31536000; includeSubDomains" },
    Known { key: "contentTypeOptions", name: "x-content-type-options", basic: Some("nosniff"), strict: "nosniff" },
    Known { key: "frameOptions", name: "x-frame-options", basic: Some("SAMEORIGIN"), strict: "DENY" },
    Known { key: "referrerPolicy", name: "referrer-policy", basic: Some("strict-origin-when-cross-origin"), strict: "no-referrer" },
    Known { key: "contentSecurityPolicy", name: "content-security-policy", basic: None, strict: "default-src 'self'; form-action 'self'; base-uri 'self'; object-src 'none'; frame-ancestors 'none'; upgrade-insecure-requests" },
    Known { key: "permissionsPolicy", name: "permissions-policy", basic: None, strict: "accelerometer=(), camera=(), display-capture=(), geolocation=(), gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), usb=()" },
    Known { key: "crossOriginOpenerPolicy", name: "cross-origin-opener-policy", basic: None, strict: "same-origin" },
    Known { key: "crossOriginResourcePolicy", name: "cross-origin-resource-policy", basic: None, strict: "same-origin" },
    Known { key: "crossOriginEmbedderPolicy", name: "cross-origin-embedder-policy", basic: None, strict: "require-corp" },
];

const TRANSPORT: &str = "strict-transport-security";

object! {
    /// Response headers that turn on protections of browsers.
    SecurityHeadersKeys, "`securityHeaders`" {
        /// What holds for the headers that are not written: `basic`, which breaks hardly any site, or
        /// `strict`, which follows OWASP; default: `basic`.
        preset: optional PresetText = "preset",
        /// For how long browsers use HTTPS only. Sent over TLS only.
        strict_transport_security: optional HeaderOrNot = "strictTransportSecurity",
        /// Whether browsers may guess the type of a response: `x-content-type-options`.
        content_type_options: optional HeaderOrNot = "contentTypeOptions",
        /// Which sites may show the page in a frame: `x-frame-options`.
        frame_options: optional HeaderOrNot = "frameOptions",
        /// What other sites learn of the page that a link stood on.
        referrer_policy: optional HeaderOrNot = "referrerPolicy",
        /// From where a page may load what.
        content_security_policy: optional HeaderOrNot = "contentSecurityPolicy",
        /// Which features of the browser a page may use.
        permissions_policy: optional HeaderOrNot = "permissionsPolicy",
        /// Whether windows of other sites keep a reference to the page.
        cross_origin_opener_policy: optional HeaderOrNot = "crossOriginOpenerPolicy",
        /// Which sites may embed the response.
        cross_origin_resource_policy: optional HeaderOrNot = "crossOriginResourcePolicy",
        /// Whether what a page embeds must agree to that.
        cross_origin_embedder_policy: optional HeaderOrNot = "crossOriginEmbedderPolicy",
    }
}

choice! {
    /// What holds for the headers that are not written.
    PresetText: Preset { "basic" => Preset::Basic, "strict" => Preset::Strict, }
}

scalar! {
    /// The header's value, or `false` to leave the header out. `${env:NAME}` and `${file:path}` are
    /// resolved.
    HeaderOrNot: Option<Template> = header_or_not, {
        "anyOf": [{"const": false}, {"type": "string", "minLength": 1}],
        "title": "text or `false`"
    }
}

fn header_or_not(node: &Node, reader: &mut Reader<'_>) -> Option<Option<Template>> {
    let cure = "write the value of the header, or `false` to leave it out";
    match &node.content {
        Content::Scalar { text, plain: true } if is_boolean(text) => {
            if text.eq_ignore_ascii_case("false") {
                return Some(None);
            }
        }
        Content::Scalar { text, plain: true } if old_boolean(text).is_some() => {}
        Content::Scalar { text, .. } if text.is_empty() => {}
        _ => return HeaderValue::read(node, reader).map(Some),
    }
    let message = "this is not the value of a header";
    reader.report.push(Diagnostic::error(node.location.clone(), message).help(cure));
    None
}

impl Policy for SecurityHeaders {
    type Keys = SecurityHeadersKeys;

    #[rustfmt::skip]
    const FOREIGN: &'static [Entry] = &[
        ("a route", &["hsts", "stsSeconds", "strictTransportSecurity", "contentSecurityPolicy", "csp", "frameOptions", "referrerPolicy", "permissionsPolicy", "secureHeaders", "helmet"], Cure::Key("routes.securityHeaders", "`securityHeaders: {...}`")),
        ("a listener", &["hsts", "strictTransportSecurity", "contentSecurityPolicy", "frameOptions", "secureHeaders"], Cure::Key("listeners.securityHeaders", "`securityHeaders: {...}`")),
        ("`securityHeaders`", &["hsts", "stsSeconds", "stsIncludeSubdomains", "stsPreload"], Cure::Key("routes.securityHeaders.strictTransportSecurity", "`strictTransportSecurity: max-age=31536000; includeSubDomains`")),
        ("`securityHeaders`", &["csp"], Cure::Key("routes.securityHeaders.contentSecurityPolicy", "`contentSecurityPolicy: default-src 'self'`")),
        ("`securityHeaders`", &["frameDeny", "xFrameOptions", "customFrameOptionsValue"], Cure::Key("routes.securityHeaders.frameOptions", "`frameOptions: DENY`")),
        ("`securityHeaders`", &["contentTypeNosniff", "xContentTypeOptions"], Cure::Key("routes.securityHeaders.contentTypeOptions", "`contentTypeOptions: nosniff`")),
        ("`securityHeaders`", &["coop"], Cure::Key("routes.securityHeaders.crossOriginOpenerPolicy", "`crossOriginOpenerPolicy: same-origin`")),
        ("`securityHeaders`", &["corp"], Cure::Key("routes.securityHeaders.crossOriginResourcePolicy", "`crossOriginResourcePolicy: same-origin`")),
        ("`securityHeaders`", &["coep"], Cure::Key("routes.securityHeaders.crossOriginEmbedderPolicy", "`crossOriginEmbedderPolicy: require-corp`")),
        ("`securityHeaders`", &["featurePolicy"], Cure::Key("routes.securityHeaders.permissionsPolicy", "`permissionsPolicy: geolocation=()`")),
        ("`securityHeaders`", &["browserXssFilter", "xssProtection", "xXssProtection", "expectCt"], Cure::Elsewhere("browsers have removed what this header was for")),
    ];

    #[cfg(test)]
    const LEAST: &'static str = "{}";

    fn lower(keys: &SecurityHeadersKeys, _: &Location, _: &mut Report) -> Option<Self> {
        let preset = keys.preset.as_ref().map_or(Preset::default(), |one| one.value);
        let written = KNOWN.iter().zip(keys.in_order());
        let headers = written.filter_map(|(known, written)| {
            let preset = match preset {
                Preset::Basic => known.basic,
                Preset::Strict => Some(known.strict),
            };
            let value = match written {
                Some(written) => written.value.clone()?,
                None => Template::plain(preset?),
            };
            Some(SecurityHeader { name: known.name, value, tls_only: known.name == TRANSPORT })
        });
        Some(Self { preset, headers: headers.collect() })
    }

    fn show(&self) -> Value {
        let preset = match self.preset {
            Preset::Basic => "basic",
            Preset::Strict => "strict",
        };
        let value = |known: &Known| {
            let header = self.headers.iter().find(|one| one.name == known.name);
            header.map_or(json!(false), |header| json!(header.value.source()))
        };
        let headers = KNOWN.iter().map(|known| (known.key.to_owned(), value(known)));
        let preset = std::iter::once(("preset".to_owned(), json!(preset)));
        Value::Object(preset.chain(headers).collect::<Map<_, _>>())
    }
}

impl SecurityHeadersKeys {
    /// As in [`KNOWN`].
    fn in_order(&self) -> [&Option<Located<Option<Template>>>; KNOWN.len()] {
        [
            &self.strict_transport_security,
            &self.content_type_options,
            &self.frame_options,
            &self.referrer_policy,
            &self.content_security_policy,
            &self.permissions_policy,
            &self.cross_origin_opener_policy,
            &self.cross_origin_resource_policy,
            &self.cross_origin_embedder_policy,
        ]
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::testing::policies;

    /// What is sent, by name, over TLS.
    fn headers(keys: &str) -> Vec<(&'static str, String)> {
        let policies = policies("securityHeaders", keys);
        let headers = policies.security_headers.get().unwrap().headers.clone();
        headers.into_iter().map(|one| (one.name, one.value.expose().to_owned())).collect()
    }

    fn value<'a>(headers: &'a [(&str, String)], name: &str) -> Option<&'a str> {
        headers.iter().find(|(known, _)| *known == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_preset_holds_where_nothing_is_written() {
        let basic = headers("{}");
        assert_eq!(basic, headers("{preset: basic}"));
        assert_eq!(basic.len(), 4);
        assert_eq!(value(&basic, "x-frame-options"), Some("SAMEORIGIN"));
        assert_eq!(value(&basic, "content-security-policy"), None);
        let strict = headers("{preset: strict}");
        assert_eq!(strict.len(), 9);
        assert_eq!(value(&strict, "x-frame-options"), Some("DENY"));
        let changed = headers("{preset: strict, frameOptions: false, referrerPolicy: same-origin}");
        assert_eq!(changed.len(), 8);
        assert_eq!(value(&changed, "x-frame-options"), None);
        assert_eq!(value(&changed, "referrer-policy"), Some("same-origin"));
        let added = headers("{crossOriginEmbedderPolicy: credentialless}");
        assert_eq!(added.len(), 5);
        assert_eq!(value(&added, "cross-origin-embedder-policy"), Some("credentialless"));
    }

    #[test]
    fn each_key_is_of_its_header() {
        for (key, name) in [
            ("strictTransportSecurity", "strict-transport-security"),
            ("contentTypeOptions", "x-content-type-options"),
            ("frameOptions", "x-frame-options"),
            ("referrerPolicy", "referrer-policy"),
            ("contentSecurityPolicy", "content-security-policy"),
            ("permissionsPolicy", "permissions-policy"),
            ("crossOriginOpenerPolicy", "cross-origin-opener-policy"),
            ("crossOriginResourcePolicy", "cross-origin-resource-policy"),
            ("crossOriginEmbedderPolicy", "cross-origin-embedder-policy"),
        ] {
            let headers = headers(&format!("{{preset: strict, {key}: mine}}"));
            let mine: Vec<_> = headers.iter().filter(|(_, value)| value == "mine").collect();
            assert_eq!(mine, [&(name, "mine".to_owned())]);
        }
        let policies = policies("securityHeaders", "{}");
        let headers = &policies.security_headers.get().unwrap().headers;
        let tls_only: Vec<_> = headers.iter().filter(|one| one.tls_only).collect();
        assert_eq!(tls_only.len(), 1);
        assert_eq!(tls_only[0].name, "strict-transport-security");
    }
}
