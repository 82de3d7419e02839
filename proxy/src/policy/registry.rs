//! Code generated from the list of all policies: what is the same for each of them.
//!
//! The list is in the parent module. What a policy does is in the file of its name.

use std::sync::Arc;

use portcullis_config::model::ListenerId;
use portcullis_config::policy as config;

use super::{Policy, PolicyFault, compile};

/// `field: Type,` for each policy, in the order in which they run. The field is that of the
/// configuration's `Policies` and the name of the file; the type implements `Judge`.
macro_rules! policies {
    ($($field:ident: $variant:ident,)*) => {
        /// A policy of a route, prepared.
        #[derive(Debug, Clone)]
        pub enum Policy {
            $($variant(std::sync::Arc<registry::LivePolicy<$field::$variant>>),)*
        }

        impl Policy {
            /// Its key in the configuration.
            pub fn name(&self) -> &'static str {
                match *self {
                    $(Self::$variant(_) => <$field::$variant as judge::Judge>::NAME,)*
                }
            }

            /// See [`judge::Judge::identity_header`].
            pub fn identity_header(&self) -> Option<&str> {
                use judge::Judge as _;
                match *self {
                    $(Self::$variant(ref live) => live.policy.identity_header(),)*
                }
            }

            /// See [`judge::Judge::judge`].
            pub fn judge(
                &self,
                request: &judge::Inspected<'_>,
                lists: &mut judge::Lists,
            ) -> judge::Verdict {
                use judge::Judge as _;
                match *self {
                    $(Self::$variant(ref live) => live.policy.judge(request, lists),)*
                }
            }

            /// See [`judge::Judge::resume`].
            pub fn resume(
                &self,
                request: &judge::Inspected<'_>,
                lists: &mut judge::Lists,
                answer: judge::Answer,
            ) -> judge::Verdict {
                use judge::Judge as _;
                match *self {
                    $(Self::$variant(ref live) => live.policy.resume(request, lists, answer),)*
                }
            }
        }

        /// Those that hold, prepared, in the order in which they run. What is in `made` already is
        /// shared; what is in `before` under the same settings hands on what it has learnt.
        fn compile(
            policies: &portcullis_config::policy::Policies,
            made: &mut Vec<Policy>,
            before: &[Policy],
        ) -> Result<Vec<Policy>, PolicyFault> {
            let mut list = Vec::new();
            $(if let Some(settings) = policies.$field.get() {
                let same = made.iter().find_map(|policy| match policy {
                    Policy::$variant(live) if std::sync::Arc::ptr_eq(&live.settings, settings) => {
                        Some(std::sync::Arc::clone(live))
                    }
                    _ => None,
                });
                let live = match same {
                    Some(live) => live,
                    None => {
                        let before = before.iter().find_map(|policy| match policy {
                            Policy::$variant(live) if live.settings.value == settings.value => {
                                Some(&live.policy)
                            }
                            _ => None,
                        });
                        let policy = <$field::$variant as judge::Judge>::compile(settings, before)?;
                        let settings = std::sync::Arc::clone(settings);
                        let live = std::sync::Arc::new(registry::LivePolicy { policy, settings });
                        made.push(Policy::$variant(std::sync::Arc::clone(&live)));
                        live
                    }
                };
                list.push(Policy::$variant(live));
            })*
            Ok(list)
        }
    };
}

pub(super) use policies;

/// A policy with the settings that it was prepared from.
#[derive(Debug)]
pub struct LivePolicy<P: super::judge::Judge> {
    pub(super) policy: P,
    pub(super) settings: Arc<portcullis_config::location::Sourced<P::Settings>>,
}

impl Policy {
    /// Whether it answers the preflights of browsers.
    pub fn answers_preflights(&self) -> bool {
        self.name() == "cors"
    }
}

/// The policies of a route, by the listener that a request came by.
#[derive(Debug, Default)]
pub struct RoutePolicies {
    /// Listeners whose list is empty are left out.
    lists: Vec<(ListenerId, Box<[Policy]>)>,
}

impl RoutePolicies {
    /// Prepares what holds at each listener. `made` collects what is prepared, so that settings that
    /// many routes inherit are prepared once; `before` is that of the same route in the generation
    /// before.
    ///
    /// # Errors
    /// A policy that cannot be prepared.
    pub(crate) fn compile(
        policies: &config::RoutePolicies,
        made: &mut Vec<Policy>,
        before: Option<&Self>,
    ) -> Result<Self, PolicyFault> {
        let before: Vec<_> = before.iter().flat_map(|before| before.all()).cloned().collect();
        let mut lists = Vec::new();
        for (listener, policies) in policies.iter() {
            let list = compile(policies, made, &before)?;
            if !list.is_empty() {
                lists.push((listener, list.into()));
            }
        }
        Ok(Self { lists })
    }

    /// In the order in which they run.
    pub fn at(&self, listener: ListenerId) -> &[Policy] {
        let of_listener = self.lists.iter().find(|(id, _)| *id == listener);
        of_listener.map_or(&[], |(_, list)| list)
    }

    fn all(&self) -> impl Iterator<Item = &Policy> {
        self.lists.iter().flat_map(|(_, list)| list)
    }
}

/// The policies of a listener, for requests that no route takes.
///
/// # Errors
/// A policy that cannot be prepared.
pub(crate) fn compile_listener(
    policies: &config::Policies,
    before: &[Policy],
) -> Result<Box<[Policy]>, PolicyFault> {
    Ok(compile(policies, &mut Vec::new(), before)?.into())
}

/// The one policy that is set, for tests of single policies.
#[cfg(test)]
pub(crate) fn compile_one(policies: &config::Policies) -> Result<Policy, PolicyFault> {
    let mut list = compile(policies, &mut Vec::new(), &[])?;
    assert_eq!(list.len(), 1, "one policy is set");
    Ok(list.remove(0))
}
