//! The programs of the demo with their flags, so that they find each other and nothing else.

use std::net::SocketAddr;
use std::path::Path;

use crate::places::Places;
use crate::secret::Secret;

pub(crate) const GATEWAY: &str = "portcullis-gateway";
pub(crate) const SIMULATOR: &str = "shop-simulator";

/// A program, and what it is told.
pub(crate) struct Program<'a> {
    pub(crate) name: &'static str,
    pub(crate) arguments: Vec<String>,
    /// The back office's, for who must know it.
    pub(crate) secret: Option<&'a Secret>,
}

/// What is the same for all programs of a run.
pub(crate) struct Premises<'a> {
    pub(crate) places: &'a Places,
    /// Everything that they write is in here.
    pub(crate) folder: &'a Path,
    pub(crate) secret: Secret,
}

impl<'a> Program<'a> {
    fn new(name: &'static str) -> Self {
        Self { name, arguments: Vec::new(), secret: None }
    }

    fn flag(mut self, name: &str, value: impl ToString) -> Self {
        self.arguments.push(format!("--{name}"));
        self.arguments.push(value.to_string());
        self
    }

    fn knowing(self, secret: &'a Secret) -> Self {
        Self { secret: Some(secret), ..self }
    }
}

impl Premises<'_> {
    /// All services with where their REST is, each behind those that it asks.
    pub(crate) fn services(&self) -> [(Program<'_>, SocketAddr); 5] {
        let places = self.places;
        let url = |address: SocketAddr| format!("http://{address}");
        let users = self.service("shop-users", places.users).knowing(&self.secret);
        let products = self
            .checking_tokens("shop-products", places.products)
            .flag("grpc-listen", places.inventory);
        let payments = self
            .checking_tokens("shop-payments", places.payments)
            .flag("grpc-listen", places.payments_grpc);
        let orders = self
            .checking_tokens("shop-orders", places.orders)
            .flag("products-url", url(places.inventory))
            .flag("payments-url", url(places.payments_grpc));
        let notifications = self
            .checking_tokens("shop-notifications", places.notifications)
            .flag("mail", format!("file:{}", self.file("mail")));
        [
            (users, places.users),
            (products, places.products),
            (payments, places.payments),
            (orders, places.orders),
            (notifications, places.notifications),
        ]
    }

    pub(crate) fn gateway(&self) -> Program<'_> {
        let mut gateway = Program::new(GATEWAY);
        gateway.arguments.push("run".to_owned());
        gateway.flag("config", self.places.config.display())
    }

    /// Customers through the gateway, who write what they found to a file.
    pub(crate) fn simulator(&self, customers: u32, orders: u32, json: &str) -> Program<'_> {
        let mut simulator = Program::new(SIMULATOR);
        simulator.arguments.push("--insecure".to_owned());
        simulator
            .flag("url", self.places.url())
            .flag("customers", customers)
            .flag("orders", orders)
            .flag("settle", "60s")
            .flag("json", self.file(json))
            .knowing(&self.secret)
    }

    /// The path of a file of the run.
    pub(crate) fn file(&self, name: &str) -> String {
        self.folder.join(name).display().to_string()
    }

    fn service(&self, name: &'static str, rest: SocketAddr) -> Program<'_> {
        Program::new(name)
            .flag("listen", rest)
            .flag("database", format!("sqlite:{}", self.file(&format!("{name}.db"))))
            .flag("broker", format!("log:{}", self.file("events.db")))
            .flag("log-level", "warn")
    }

    fn checking_tokens(&self, name: &'static str, rest: SocketAddr) -> Program<'_> {
        let keys = format!("http://{}/.well-known/jwks.json", self.places.users);
        self.service(name, rest).flag("jwks-url", keys)
    }
}
