//! Allows clients by address: those in `allow`, or all, except those in `deny`.

use std::net::IpAddr;

use portcullis_config::policy::address_rules::{AddressRules as Settings, Verdict as Judged};

use super::PolicyFault;
use super::judge::{Inspected, Judge, Lists, Verdict};
use crate::cause::Rule;

#[derive(Debug)]
pub struct AddressRules(Settings);

impl Judge for AddressRules {
    const NAME: &'static str = "addressRules";
    type Settings = Settings;

    fn compile(settings: &Settings, _: Option<&Self>) -> Result<Self, PolicyFault> {
        Ok(Self(settings.clone()))
    }

    fn judge(&self, request: &Inspected<'_>, _: &mut Lists) -> Verdict {
        refusal(&self.0, request.client).map_or(Verdict::Pass, Verdict::refuse)
    }
}

/// The rule that refuses a client; also used for connections without requests.
pub fn refusal(settings: &Settings, client: Option<IpAddr>) -> Option<Rule> {
    match settings.judge(client) {
        Judged::Allowed => None,
        Judged::Denied => Some(Rule::AddressDenied),
        Judged::NotListed => Some(Rule::AddressNotAllowed),
    }
}

#[cfg(test)]
mod tests;
