//! The real shop as an origin: all of its services in one process, with data that last as long as
//! the row.
//!
//! It is known by its flags alone.

use std::net::SocketAddr;
use std::path::Path;

use portcullis_testkit::process::free_address;

use super::{GENERATOR_CORE, Running, Upstreams, program};
use crate::setting::Setting;

pub(crate) const PROGRAM: &str = "shop";
/// Who shops there.
pub(crate) const SIMULATOR: &str = "shop-simulator";

/// By which environment variable shop and simulator know [`SECRET`].
pub(crate) const SECRET_VARIABLE: &str = "SHOP_USERS_BACKOFFICE_SECRET";
/// Opens the books of a shop on loopback that sells nothing: it guards nothing.
pub(crate) const SECRET: &str = "portcullis-bench-reads-the-books-of-its-own-shop";

/// Where the services listen for customers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Services {
    pub(crate) users: SocketAddr,
    pub(crate) products: SocketAddr,
    pub(crate) orders: SocketAddr,
    pub(crate) payments: SocketAddr,
    pub(crate) notifications: SocketAddr,
}

pub(super) fn start(setting: Setting, base: &Path) -> anyhow::Result<Running> {
    let directory = tempfile::Builder::new().prefix(PROGRAM).tempdir_in(base)?.keep();
    let services = Services::try_new()?;
    let mut words = vec!["env".to_owned(), format!("{SECRET_VARIABLE}={SECRET}")];
    words.push(program(PROGRAM)?);
    words.extend(flags(&services, [free_address()?, free_address()?], &directory));
    // The last that it binds: where this one listens, all do.
    let last = services.notifications;
    let mut running = Running::start(PROGRAM, GENERATOR_CORE, &words, last, directory, setting)?;
    running.upstreams = Upstreams::Shop(services);
    Ok(running)
}

impl Services {
    fn try_new() -> std::io::Result<Self> {
        Ok(Self {
            users: free_address()?,
            products: free_address()?,
            orders: free_address()?,
            payments: free_address()?,
            notifications: free_address()?,
        })
    }
}

/// All that says where something is, though some would follow from `--data`: whoever has a shop of
/// his own in the environment is not to find this one's orders in it.
fn flags(services: &Services, grpc: [SocketAddr; 2], directory: &Path) -> Vec<String> {
    let data = directory.join("data").display().to_string();
    let [products_grpc, payments_grpc] = grpc;
    let values = [
        ("--databases", format!("sqlite:{data}")),
        ("--broker", format!("log:{data}/events.db")),
        ("--mail", format!("file:{data}/mail")),
        ("--users-listen", services.users.to_string()),
        ("--products-listen", services.products.to_string()),
        ("--orders-listen", services.orders.to_string()),
        ("--payments-listen", services.payments.to_string()),
        ("--notifications-listen", services.notifications.to_string()),
        ("--products-grpc-listen", products_grpc.to_string()),
        ("--payments-grpc-listen", payments_grpc.to_string()),
        ("--data", data),
        // A line for each request is the engines' business here.
        ("--log-level", "warn".to_owned()),
        ("--drain-timeout", "1s".to_owned()),
    ];
    values.into_iter().flat_map(|(flag, value)| [flag.to_owned(), value]).collect()
}
