//! The policies: one file each, prepared when the configuration is, applied per request.
//!
//! Those that a route lists under their own key are [`Policy`] values; `policies!` below is their
//! registry and the order in which they run. What every request goes through (provenance, request
//! ids, forwarded fields) stands in files of its own and is called by name. Header edits of the
//! configuration come last, so that they see (and may remove) what policies add.

mod fault;
pub mod forwarded;
pub mod grpc;
pub mod grpc_web;
mod hex;
pub mod judge;
pub mod provenance;
pub mod redirect;
pub mod reply;
pub mod request_id;
pub mod rewrite;
#[cfg(test)]
pub mod sample;
pub mod sticky;
pub mod trace;

use std::sync::Arc;

use portcullis_config::model::{self, ListenerId};

pub use fault::PolicyFault;
use judge::{Answer, Inspected, Judge, Lists, Verdict};

/// The registry: one line for each policy, in the order in which they run. A line names the
/// variant, and the file with a type of the same name that implements [`Judge`].
macro_rules! policies {
    ($($(#[$attribute:meta])* $variant:ident = $file:ident,)*) => {
        /// A policy of a route, prepared.
        #[derive(Debug)]
        pub enum Policy {
            $($(#[$attribute])* $variant(Box<$file::$variant>),)*
        }

        impl Policy {
            /// Its key in the configuration.
            pub fn name(&self) -> &'static str {
                match *self {
                    $($(#[$attribute])* Self::$variant(_) => <$file::$variant as Judge>::NAME,)*
                }
            }

            /// Whether it answers the preflights of browsers.
            pub fn answers_preflights(&self) -> bool {
                self.name() == "cors"
            }

            /// See [`Judge::judge`].
            pub fn judge(&self, request: &Inspected<'_>, lists: &mut Lists) -> Verdict {
                match *self {
                    $($(#[$attribute])* Self::$variant(ref policy) => policy.judge(request, lists),)*
                }
            }

            /// See [`Judge::resume`].
            pub fn resume(
                &self,
                request: &Inspected<'_>,
                lists: &mut Lists,
                answer: Answer,
            ) -> Verdict {
                match *self {
                    $($(#[$attribute])* Self::$variant(ref policy) => {
                        policy.resume(request, lists, answer)
                    })*
                }
            }
        }
    };
}

policies! {
    #[cfg(test)]
    Sample = sample,
}

/// The policies of a route, by the listener that a request came by.
#[derive(Debug, Default)]
pub struct RoutePolicies {
    /// Listeners whose list is empty are left out.
    lists: Vec<(ListenerId, Arc<[Policy]>)>,
}

impl RoutePolicies {
    /// # Errors
    /// A policy that cannot be made live.
    pub fn compile(route: &model::Route, _before: Option<&Self>) -> Result<Self, PolicyFault> {
        #[cfg(test)]
        if route.name == "sampled" {
            let list = Arc::from([Policy::Sample(Box::new(sample::Sample))]);
            return Ok(Self { lists: vec![(ListenerId(0), list)] });
        }
        let _ = route;
        Ok(Self::default())
    }

    /// In the order in which they run.
    pub fn at(&self, listener: ListenerId) -> &[Policy] {
        let of_listener = self.lists.iter().find(|(id, _)| *id == listener);
        of_listener.map_or(&[], |(_, list)| list)
    }
}
