//! Which level's value holds: route or upstream or listener, then `defaults`, then the built-in.

use std::num::NonZeroU32;
use std::time::Duration;

use super::upstream;
use crate::diagnostics::Report;
use crate::location::{Located, Location, Origin, Sourced};
use crate::model::BalancePolicy;
use crate::policy::Policies;
use crate::raw;

/// What holds when no file says anything.
pub(super) mod built_in {
    use super::*;

    pub(in crate::lower) const HEADER_BYTES: u32 = 60 * 1024;
    pub(in crate::lower) const HEADERS: u16 = 100;
    pub(in crate::lower) const URI: u32 = 16 * 1024;
    pub(in crate::lower) const BODY: u64 = 10 * 1024 * 1024;
    pub(in crate::lower) const LISTENER_CONNECTIONS: NonZeroU32 = NonZeroU32::new(50_000).unwrap();
    pub(in crate::lower) const HEAD: Duration = Duration::from_secs(10);
    pub(in crate::lower) const LISTENER_IDLE: Duration = Duration::from_secs(75);
    pub(in crate::lower) const BODY_PROGRESS: Duration = Duration::from_secs(30);
    pub(in crate::lower) const HANDSHAKE: Duration = Duration::from_secs(10);
    pub(in crate::lower) const RESPONSE: Duration = Duration::from_secs(15);
    pub(in crate::lower) const PER_TRY: Duration = Duration::from_secs(5);
    pub(in crate::lower) const ROUTE_IDLE: Duration = Duration::from_secs(60);
    /// As long as nginx and Envoy let a silent TCP connection live, more or less.
    pub(in crate::lower) const STREAM_IDLE: Duration = Duration::from_secs(60 * 60);
    pub(in crate::lower) const RETRIES: u8 = 1;
    pub(in crate::lower) const CONNECT: Duration = Duration::from_secs(5);
    pub(in crate::lower) const MAX_CONNECTIONS: NonZeroU32 = NonZeroU32::new(1_024).unwrap();
    pub(in crate::lower) const MAX_PENDING: u32 = 1_024;
    pub(in crate::lower) const MAX_IDLE: u32 = 256;
    pub(in crate::lower) const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
    pub(in crate::lower) const DRAIN: Duration = Duration::from_secs(30);
}

/// The `defaults` of the files.
pub(super) struct Inheritance<'a> {
    defaults: Option<&'a raw::Defaults>,
    policy: Option<Sourced<BalancePolicy>>,
    policies: Policies,
}

/// A function from a place to the level whose place it is.
pub(super) type Level = fn(Location) -> Origin;

impl<'a> Inheritance<'a> {
    /// Wrong defaults are reported also when nothing inherits them.
    pub(super) fn new(defaults: Option<&'a Located<raw::Defaults>>, report: &mut Report) -> Self {
        let defaults = defaults.map(|one| &one.value);
        let balancer = defaults.and_then(|one| one.load_balancer.as_ref());
        let policy = balancer
            .and_then(|one| upstream::policy(&one.value, Origin::Defaults, report))
            .flatten();
        let policies = defaults.and_then(|one| one.policies.lower(Origin::Defaults, report));
        Self { defaults, policy, policies: policies.unwrap_or_default() }
    }

    /// The value of the nearest level that says one.
    pub(super) fn pick<T: Clone + 'a>(
        &self,
        own: Option<&Located<T>>,
        level: Level,
        inherited: impl FnOnce(&'a raw::Defaults) -> Option<&'a Located<T>>,
        built_in: T,
    ) -> Sourced<T> {
        if let Some(own) = own {
            return Sourced { value: own.value.clone(), origin: level(own.location.clone()) };
        }
        match self.defaults.and_then(inherited) {
            Some(one) => {
                Sourced { value: one.value.clone(), origin: Origin::Defaults(one.location.clone()) }
            }
            None => Sourced::built_in(built_in),
        }
    }

    /// What `defaults` say of the policies of routes.
    pub(super) fn policies(&self) -> &Policies {
        &self.policies
    }

    /// The policy of an upstream that names none.
    pub(super) fn policy(&self) -> Sourced<BalancePolicy> {
        self.policy.clone().unwrap_or_else(|| Sourced::built_in(BalancePolicy::RoundRobin))
    }

    /// The lifetime of connections that `defaults` gives.
    pub(super) fn max_age(&self) -> Option<Sourced<Duration>> {
        let limits = self.defaults.and_then(|one| one.connection_limits.as_ref());
        within(limits, |one| &one.max_age)
            .map(|one| Sourced { value: one.value, origin: Origin::Defaults(one.location.clone()) })
    }

    pub(super) fn slow_start(&self) -> Option<Duration> {
        let balancer = self.defaults.and_then(|one| one.load_balancer.as_ref());
        within(balancer, |one| &one.slow_start).map(|one| one.value)
    }
}

/// A key of an object that may be absent itself.
pub(super) fn within<'a, O, T>(
    object: Option<&'a Located<O>>,
    key: impl FnOnce(&'a O) -> &'a Option<Located<T>>,
) -> Option<&'a Located<T>> {
    object.and_then(|object| key(&object.value).as_ref())
}
