//! Response headers that tell browsers to be strict, on every response of the route: also on those
//! that the gateway gives itself.

use portcullis_config::policy::security_headers::SecurityHeaders as Settings;

use super::PolicyFault;
use super::judge::{Inspected, Judge, Lists, Verdict};

#[derive(Debug)]
pub struct SecurityHeaders(Settings);

impl Judge for SecurityHeaders {
    const NAME: &'static str = "securityHeaders";
    type Settings = Settings;

    fn compile(settings: &Settings, _: Option<&Self>) -> Result<Self, PolicyFault> {
        Ok(Self(settings.clone()))
    }

    fn judge(&self, request: &Inspected<'_>, lists: &mut Lists) -> Verdict {
        // Over plain text a browser ignores what holds for TLS alone, and a server must not say it
        // (RFC 6797, section 7.2).
        for header in self.0.headers.iter().filter(|header| !header.tls_only || request.tls) {
            lists.response.set(header.name, &[header.value.expose().as_bytes()]);
        }
        Verdict::Pass
    }
}

#[cfg(test)]
mod tests;
