//! How the services are started: their flags, so that they find each other and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use portcullis_testkit::process::{free_address, workspace_binary};
use shop_platform::testing;
use tokio::process::Command;

use crate::ground::Ground;
use crate::service::Service;

/// The back office's secret; any will do.
pub(crate) const SECRET: &str = "a-secret-of-the-proofs-and-of-nobody-else";

/// What differs between proofs.
#[derive(Debug, Clone)]
pub struct Settings {
    pub log_level: &'static str,
    /// How long a step of a saga waits for its answer.
    pub call_timeout: Duration,
    /// How long a saga rests after the death of whoever drove it: twice the call timeout at least.
    pub saga_lease: Duration,
    pub saga_deadline: Duration,
    /// How long the processor thinks about the slow card: for that long a customer can cancel
    /// before the confirmation. Shorter than a call's timeout.
    pub processor_slow: Duration,
    /// Orders make their read model anew at each start.
    pub rebuild_read_model: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            log_level: "warn",
            call_timeout: Duration::from_millis(600),
            saga_lease: Duration::from_millis(1200),
            saga_deadline: Duration::from_secs(60),
            processor_slow: Duration::from_millis(300),
            rebuild_read_model: false,
        }
    }
}

/// Where the services listen: the same places after each restart.
#[derive(Debug, Clone)]
pub struct Places(BTreeMap<Service, Place>);

#[derive(Debug, Clone, Copy)]
struct Place {
    http: SocketAddr,
    grpc: SocketAddr,
}

impl Places {
    /// Ports that are free now and that the kernel gives to nobody unasked, so that they are free
    /// still when a service that was killed comes back.
    pub fn choose() -> Self {
        let mut taken = BTreeSet::new();
        let mut choose = || loop {
            let address = free_address().unwrap();
            if taken.insert(address) {
                return address;
            }
        };
        let places = Service::ALL.map(|service| {
            let place = Place { http: choose(), grpc: choose() };
            (service, place)
        });
        Self(places.into())
    }

    pub fn http(&self, service: Service) -> SocketAddr {
        self.0[&service].http
    }

    pub fn grpc(&self, service: Service) -> SocketAddr {
        self.0[&service].grpc
    }
}

/// The service's program with all its flags. What the environment says to services is left out.
pub(crate) fn command(
    service: Service,
    places: &Places,
    ground: &Ground,
    settings: &Settings,
    folder: &Path,
) -> Command {
    // It ends with this process, even if that is killed.
    let program = workspace_binary(&service.program()).unwrap();
    let mut command = Command::from(testing::command(&program));
    for (variable, _) in std::env::vars_os() {
        if variable.to_string_lossy().starts_with("SHOP_") {
            command.env_remove(variable);
        }
    }
    command.current_dir(folder);
    flag(&mut command, "log-level", settings.log_level);
    flag(&mut command, "listen", places.http(service).to_string());
    flag(&mut command, "database", ground.database(service));
    flag(&mut command, "broker", ground.bus.url());
    if service.has_grpc() {
        flag(&mut command, "grpc-listen", places.grpc(service).to_string());
    }
    if service != Service::Users {
        let users = places.http(Service::Users);
        flag(&mut command, "jwks-url", format!("http://{users}/.well-known/jwks.json"));
    }
    own_flags(&mut command, service, places, settings, folder);
    command
}

fn own_flags(
    command: &mut Command,
    service: Service,
    places: &Places,
    settings: &Settings,
    folder: &Path,
) {
    match service {
        Service::Users => {
            command.env("SHOP_USERS_BACKOFFICE_SECRET", SECRET);
            // Longer than any proof takes.
            flag(command, "token-lifetime", "6h");
        }
        // There is no stock but what the proofs supply, and account for.
        Service::Products => flag(command, "seed-stock", "0"),
        Service::Payments => flag(command, "processor-slow", millis(settings.processor_slow)),
        Service::Orders => {
            let url = |service| format!("http://{}", places.grpc(service));
            flag(command, "products-url", url(Service::Products));
            flag(command, "payments-url", url(Service::Payments));
            flag(command, "call-timeout", millis(settings.call_timeout));
            flag(command, "saga-lease", millis(settings.saga_lease));
            flag(command, "saga-deadline", millis(settings.saga_deadline));
            if settings.rebuild_read_model {
                command.arg("--rebuild-read-model");
            }
        }
        Service::Notifications => {
            flag(command, "mail", format!("file:{}", folder.join("mail").display()));
        }
    }
}

fn flag(command: &mut Command, name: &str, value: impl AsRef<str>) {
    command.arg(format!("--{name}")).arg(value.as_ref());
}

fn millis(time: Duration) -> String {
    format!("{}ms", time.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_sent_to_a_place_of_another() {
        let places = Places::choose();
        let all: BTreeSet<SocketAddr> =
            places.0.values().flat_map(|place| [place.http, place.grpc]).collect();
        assert_eq!(all.len(), 10);
    }

    #[test]
    fn a_saga_is_held_for_longer_than_a_call_takes() {
        let settings = Settings::default();
        assert!(settings.saga_lease >= settings.call_timeout * 2);
        assert!(settings.processor_slow < settings.call_timeout);
    }
}
