//! From which addresses a route may be used.
//!
//! It knows networks, and not how the address of a client is found out.

use std::net::IpAddr;

use ipnet::IpNet;
use serde_json::{Map, Value, json};

use super::Policy;
use crate::diagnostics::{Diagnostic, Report};
use crate::location::{Located, Location};
use crate::networks::Networks;
use crate::raw::Items;
use crate::raw::addresses::NetworkText;
use crate::raw::shape::{List, object};
use crate::suggest::foreign::{Cure, Entry};

/// Networks that are allowed and that are refused. At least one of the two has an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddressRules {
    /// Where there is one, other addresses are refused.
    pub allow: Networks,
    /// These are refused, also where they are allowed.
    pub deny: Networks,
}

/// What the rules say of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Allowed,
    /// Its address is in `deny`.
    Denied,
    /// There is an `allow`, and its address is not in it.
    NotListed,
}

impl AddressRules {
    /// A client on a Unix socket has no address, and is in no network.
    pub fn judge(&self, client: Option<IpAddr>) -> Verdict {
        let within = |networks: &Networks| client.is_some_and(|address| networks.contains(address));
        if within(&self.deny) {
            Verdict::Denied
        } else if self.allow.is_empty() || within(&self.allow) {
            Verdict::Allowed
        } else {
            Verdict::NotListed
        }
    }
}

object! {
    /// From which addresses clients may come.
    AddressRulesKeys, "`addressRules`" {
        /// Networks that may use it; where one is listed, others are refused. Default: any.
        allow: optional List<NetworkText> = "allow",
        /// Networks that are refused, also where they are allowed; default: none.
        deny: optional List<NetworkText> = "deny",
    }
}

impl Policy for AddressRules {
    type Keys = AddressRulesKeys;

    const STREAMS: bool = true;

    #[rustfmt::skip]
    const FOREIGN: &'static [Entry] = &[
        ("a route", &["allow", "ipAllowList", "ipWhiteList", "whitelistSourceRange", "allowlist", "denylist", "ipRestriction", "ipFilter", "rbac", "remoteIp", "acl"], Cure::Key("routes.addressRules", "`addressRules: {allow: [10.0.0.0/8]}`")),
        ("a listener", &["allow", "deny", "ipAllowList", "ipWhiteList", "allowlist", "denylist", "ipFilter", "acl", "sourcePrefixRanges"], Cure::Key("listeners.addressRules", "`addressRules: {allow: [10.0.0.0/8]}`")),
        ("`match`", &["remoteIp", "clientIp", "sourceIp", "sourceIps", "remoteAddr", "sourcePrefixRanges"], Cure::Key("routes.addressRules", "a route does not match addresses: `addressRules` refuses those that may not use it")),
        ("`addressRules`", &["allowed", "whitelist", "allowList", "sourceRange", "sourceRanges", "ranges", "cidrs"], Cure::Key("routes.addressRules.allow", "`allow: [10.0.0.0/8]`")),
        ("`addressRules`", &["denied", "blacklist", "denyList", "blocked", "block"], Cure::Key("routes.addressRules.deny", "`deny: [192.0.2.0/24]`")),
        ("`addressRules`", &["default", "action", "policy"], Cure::Elsewhere("where something is allowed, nothing else is; `deny` goes before `allow`")),
        ("`addressRules`", &["status", "rejectStatusCode", "message"], Cure::Elsewhere("who may not is answered with 403")),
        ("`addressRules`", &["ipStrategy", "depth", "excludedIPs", "trustedProxies"], Cure::Key("listeners.trustedProxies", "whose word on the client's address counts are `trustedProxies` of the listener")),
    ];

    #[cfg(test)]
    const LEAST: &'static str = r#"{"deny": ["192.0.2.0/24"]}"#;

    fn lower(keys: &AddressRulesKeys, at: &Location, report: &mut Report) -> Option<Self> {
        let (allow, deny) = (networks(&keys.allow), networks(&keys.deny));
        if allow.is_empty() && deny.is_empty() {
            if keys.spoiled.is_empty() {
                report.push(
                    Diagnostic::error(at.clone(), "`addressRules` needs at least one network")
                        .help("`allow: [10.0.0.0/8]`, or `disabled` for no rules here"),
                );
            }
            return None;
        }
        warn_of_vain(keys.allow.as_ref(), &deny, report);
        Some(Self { allow, deny })
    }

    fn show(&self) -> Value {
        let listed =
            |networks: &Networks| networks.iter().map(|one| json!(one.to_string())).collect();
        let keys: [(&str, Value); 2] =
            [("allow", listed(&self.allow)), ("deny", listed(&self.deny))];
        let written = keys.into_iter().filter(|(_, list)| *list != json!([]));
        Value::Object(written.map(|(key, list)| (key.to_owned(), list)).collect::<Map<_, _>>())
    }
}

fn networks(written: &Items<IpNet>) -> Networks {
    let listed = written.iter().flat_map(|listed| &listed.value);
    Networks::new(listed.map(|one| one.value).collect())
}

/// Warns of an entry of `allow` that `deny` covers as a whole.
fn warn_of_vain(
    allow: Option<&Located<Vec<Located<IpNet>>>>,
    deny: &Networks,
    report: &mut Report,
) {
    for one in allow.into_iter().flat_map(|listed| &listed.value) {
        if deny.covers(&one.value) {
            let message =
                format!("`{}` is denied as a whole: to allow it means nothing", one.value);
            report.push(Diagnostic::warning(one.location.clone(), message));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::networks::parse_network;

    #[test]
    fn deny_goes_before_allow_and_allow_is_all_there_is() {
        let networks = |listed: &[&str]| {
            Networks::new(listed.iter().map(|one| parse_network(one).unwrap()).collect())
        };
        let both = (&["10.0.0.0/8"][..], &["10.1.0.0/16"][..]);
        let (allow, deny) = ((&["10.0.0.0/8"][..], &[][..]), (&[][..], &["10.1.0.0/16"][..]));
        for ((allow, deny), client, expected) in [
            (both, Some("10.2.0.1"), Verdict::Allowed),
            (both, Some("::ffff:10.2.0.1"), Verdict::Allowed),
            (both, Some("10.1.0.1"), Verdict::Denied),
            (both, Some("192.0.2.1"), Verdict::NotListed),
            (both, Some("::1"), Verdict::NotListed),
            (both, None, Verdict::NotListed),
            (allow, Some("10.1.0.1"), Verdict::Allowed),
            (allow, Some("192.0.2.1"), Verdict::NotListed),
            (allow, None, Verdict::NotListed),
            (deny, Some("10.1.0.1"), Verdict::Denied),
            (deny, Some("192.0.2.1"), Verdict::Allowed),
            (deny, None, Verdict::Allowed),
        ] {
            let rules = AddressRules { allow: networks(allow), deny: networks(deny) };
            let found = rules.judge(client.map(|one| one.parse().unwrap()));
            assert_eq!(found, expected, "{allow:?} {deny:?} {client:?}");
        }
    }
}
