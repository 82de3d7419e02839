//! One customer, from its registration until the till closes: it does what [`behaviour`] draws.
//!
//! [`behaviour`]: crate::behaviour

mod goods;
mod orders;
mod purchase;

use std::sync::Arc;
use std::time::Duration;

use fastrand::Rng;
use serde_json::json;
use tokio::time::{Instant, sleep};
use uuid::Uuid;

use crate::audit::ledger::Ledger;
use crate::audit::notices::WELCOME;
use crate::behaviour::{self, Act, Situation};
use crate::card::Card;
use crate::courier::{Courier, Found};
use crate::documents::{NotificationPage, PaymentMethod, Product};
use crate::feed::Feed;
use crate::record::{Call, Recorder};
use crate::session::{Credentials, Session};
use crate::till::Till;
use crate::wire::Request;
use crate::wire::dial::Dialer;
use crate::wire::patience::Patience;

/// Of a hundred customers so many hold a feed open.
const WITH_FEED: u32 = 40;
/// Of a hundred orders so many are paid by the card that is known to be good.
const BY_GOOD_CARD: u32 = 70;
/// Who meets so many findings in a row goes home: there is no shop.
const ENOUGH: u32 = 10;
const AFTER_A_FINDING: Duration = Duration::from_millis(100);
/// From the registration until it is told of: the event goes by the broker.
const WELCOMED_WITHIN: Duration = Duration::from_secs(30);
const LOOK: Duration = Duration::from_millis(200);

/// What all customers share.
#[derive(Clone)]
pub(crate) struct Shop {
    pub(crate) dialer: Arc<Dialer>,
    pub(crate) recorder: Arc<Recorder>,
    pub(crate) patience: Patience,
    pub(crate) till: Arc<Till>,
    pub(crate) seed: u64,
    /// Like no other run's: in addresses and keys.
    pub(crate) run: Arc<str>,
    pub(crate) think: Duration,
}

/// What is left of a customer that has gone.
pub(crate) struct Visit {
    pub(crate) number: u32,
    pub(crate) session: Arc<Session>,
    pub(crate) ledger: Ledger,
    pub(crate) feed: Option<Feed>,
}

struct Customer {
    shop: Shop,
    number: u32,
    session: Arc<Session>,
    random: Rng,
    /// Never empty.
    cards: Vec<(Uuid, Card)>,
    /// Products that it remembers.
    products: Vec<Product>,
    /// Pages of the catalogue, as far as it knows.
    pages: u32,
    cart: Vec<(Product, u32)>,
    ledger: Ledger,
    /// Idempotency keys so far.
    keys: u32,
}

/// A whole visit; nothing of one that could not even begin, which is a finding.
pub(crate) async fn visit(shop: Shop, number: u32) -> Option<Visit> {
    let mut customer = Customer::arrive(shop, number).await.ok()?;
    let feed = customer.open_feed().await;
    customer.stay().await;
    let Customer { number, session, ledger, .. } = customer;
    Some(Visit { number, session, ledger, feed: feed.ok().flatten() })
}

impl Customer {
    /// Registers, logs in, and adds a card that is good.
    async fn arrive(shop: Shop, number: u32) -> Result<Self, Found> {
        let courier = Courier::new(
            Arc::clone(&shop.dialer),
            Arc::clone(&shop.recorder),
            shop.patience,
            Some(number),
        );
        let email = format!("sim-{}-{number}@customers.example", shop.run);
        let password = format!("a good password of {number}");
        let name = format!("Customer {number}");
        let body = json!({"email": email, "password": password, "display_name": name});
        let request = Request::post("/v1/users").json(&body).key(&format!("{}-{number}", shop.run));
        courier.call(Call::Register, &request, &[201]).await?;
        let session = Session::begin(courier, Credentials::Customer { email, password }).await?;
        let mut customer = Self {
            number,
            session: Arc::new(session),
            random: behaviour::random_of(shop.seed, number),
            cards: Vec::new(),
            products: Vec::new(),
            pages: 1,
            cart: Vec::new(),
            ledger: Ledger::default(),
            keys: 0,
            shop,
        };
        customer.add_card(Card::Good).await?;
        Ok(customer)
    }

    /// Some watch their feed, from the first notification on.
    async fn open_feed(&mut self) -> Result<Option<Feed>, Found> {
        if self.random.u32(0..100) >= WITH_FEED {
            return Ok(None);
        }
        let welcome = self.welcome().await?;
        Ok(Some(Feed::begin(Arc::clone(&self.session), welcome)))
    }

    /// The notification of the registration, as soon as it is there.
    async fn welcome(&self) -> Result<Uuid, Found> {
        let until = Instant::now() + WELCOMED_WITHIN;
        loop {
            let call = Call::ListNotifications;
            let request = Request::get("/v1/notifications");
            let reply = self.session.call(call, request, &[200]).await?;
            let page: NotificationPage = self.courier().read(call, &reply)?;
            if let Some(welcome) = page.items.iter().find(|told| told.kind == WELCOME) {
                return Ok(welcome.id);
            }
            if Instant::now() >= until {
                return Err(self.courier().found(call, "nobody told of the registration"));
            }
            sleep(LOOK).await;
        }
    }

    /// Until the till closes, or there is no shop to stay in.
    async fn stay(&mut self) {
        let mut in_a_row = 0;
        while self.shop.till.is_open() && in_a_row < ENOUGH {
            let situation = self.situation();
            let act = Act::draw(&mut self.random, situation);
            match Box::pin(self.act(act)).await {
                Ok(()) => in_a_row = 0,
                Err(Found) => {
                    in_a_row += 1;
                    sleep(AFTER_A_FINDING).await;
                }
            }
            let thought = behaviour::thought(&mut self.random, self.shop.think);
            if !thought.is_zero() {
                sleep(thought).await;
            }
        }
    }

    async fn act(&mut self, act: Act) -> Result<(), Found> {
        match act {
            Act::Browse => self.browse().await,
            Act::Search => self.search().await,
            Act::Look => self.look().await,
            Act::PutInCart => {
                self.put_in_cart();
                Ok(())
            }
            Act::TakeFromCart => {
                self.cart.pop();
                Ok(())
            }
            Act::Order => self.purchase().await,
            Act::Cancel => self.change_mind().await,
            Act::Complain => self.complain().await,
            Act::ReadNotifications => self.read_notifications().await,
            Act::LookAtOrders => self.look_at_orders().await,
            Act::AddCard => {
                let card = Card::draw(&mut self.random);
                self.add_card(card).await
            }
            Act::LogInAgain => self.session.renew().await,
        }
    }

    fn situation(&self) -> Situation {
        Situation {
            products: self.products.len(),
            cart: self.cart.len(),
            orders: self.ledger.kept(),
            cards: self.cards.len(),
        }
    }

    async fn add_card(&mut self, card: Card) -> Result<(), Found> {
        let body = json!({"card_number": card.number(), "expiry_month": 12, "expiry_year": 2099});
        let key = self.key();
        let request = Request::post("/v1/payment-methods").json(&body).key(&key);
        let reply = self.session.call(Call::AddCard, request, &[201]).await?;
        let method: PaymentMethod = self.courier().read(Call::AddCard, &reply)?;
        self.cards.push((method.id, card));
        Ok(())
    }

    /// The first card, which is good, or any.
    fn pick_card(&mut self) -> Option<(Uuid, Card)> {
        if self.random.u32(0..100) < BY_GOOD_CARD {
            return self.cards.first().copied();
        }
        self.random.choice(&self.cards).copied()
    }

    fn courier(&self) -> &Courier {
        self.session.courier()
    }

    /// A name for one write.
    fn key(&mut self) -> String {
        self.keys += 1;
        format!("{}-{}-{}", self.shop.run, self.number, self.keys)
    }
}
