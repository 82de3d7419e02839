//! What stands before the shop: every request goes where it belongs, and the feed is a WebSocket.

use portcullis_testkit::client::RawClient;
use portcullis_testkit::origin::Origin as EchoOrigin;

use super::*;
use crate::engines::shop::{PROGRAM, SIMULATOR, Services};
use crate::load::shop::Customers;

const SETTING: Setting = Setting { origin: Origin::Shop, ..Setting::PLAIN };

/// Everything that customers and their auditor ask for, by who answers it.
const ASKED: &[(&str, &str)] = &[
    ("/v1/users", "users"),
    ("/v1/sessions", "users"),
    ("/oauth/token", "users"),
    ("/v1/products?search=lamp", "products"),
    ("/v1/products/walnut-desk-lamp", "products"),
    ("/v1/products/walnut-desk-lamp/stock", "products"),
    ("/v1/products/walnut-desk-lamp/supply", "products"),
    ("/v1/stock/books", "products"),
    ("/v1/orders?limit=100", "orders"),
    ("/v1/orders/0193/cancel", "orders"),
    ("/v1/orders/books", "orders"),
    ("/v1/payment-methods", "payments"),
    ("/v1/payments?limit=100", "payments"),
    ("/v1/payments/books", "payments"),
    ("/v1/notifications?unread=true", "notifications"),
    ("/v1/notifications/7/read", "notifications"),
    ("/v1/feed?after=0", "notifications"),
];

fn contestants() -> Vec<&'static Engine> {
    let row = ROWS.iter().find(|row| row.name == "shop").unwrap();
    assert_eq!(row.setting, SETTING);
    let engines = row.contestants.iter().map(|contestant| Engine::find(contestant.engine).unwrap());
    engines.filter(|engine| is_present(engine)).collect()
}

#[tokio::test]
async fn every_request_goes_to_its_service() {
    let base = tempfile::tempdir().unwrap();
    let mut origins = Vec::new();
    for name in ["users", "products", "orders", "payments", "notifications"] {
        origins.push(EchoOrigin::start(name).await.unwrap());
    }
    let [users, products, orders, payments, notifications] =
        [0, 1, 2, 3, 4].map(|index| origins[index].address());
    let services = Services { users, products, orders, payments, notifications };
    for engine in contestants() {
        let running = engine.start(Upstreams::Shop(services), SETTING, base.path(), &[]).unwrap();
        let mut client = RawClient::connect(running.address).await.unwrap();
        for (target, service) in ASKED {
            let request = format!("GET {target} HTTP/1.1\r\nhost: {}\r\n\r\n", running.host());
            client.send(request.as_bytes()).await.unwrap();
            let response = client.final_response().await.unwrap();
            assert_eq!(response.status, 200, "{} at {target}", engine.name);
            let echo = response.json();
            assert_eq!(echo["origin"], *service, "{} at {target}", engine.name);
            assert_eq!(echo["target"], *target, "{}", engine.name);
            let headers = echo["headers"].to_string().to_ascii_lowercase();
            for name in ["x-forwarded-for", "x-forwarded-proto", "x-request-id"] {
                assert!(headers.contains(name), "{} at {target}: {headers}", engine.name);
            }
        }
    }
}

#[tokio::test]
async fn the_feed_is_switched() {
    let base = tempfile::tempdir().unwrap();
    let echo = in_a_thread(|announce| websocket::echo::run(0, announce));
    let services =
        Services { users: echo, products: echo, orders: echo, payments: echo, notifications: echo };
    for engine in contestants() {
        let running = engine.start(Upstreams::Shop(services), SETTING, base.path(), &[]).unwrap();
        let mut client = RawClient::connect(running.address).await.unwrap();
        let request = "GET /v1/feed?after=0 HTTP/1.1\r\nhost: shop.example\r\nconnection: Upgrade\r\n\
             upgrade: websocket\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: cG9ydGN1bGxpcyBiZW5jaA==\r\n\r\n";
        client.send(request.as_bytes()).await.unwrap();
        assert_eq!(client.response().await.unwrap().status, 101, "{}", engine.name);
    }
}

/// The programs themselves, where they are built.
#[tokio::test]
async fn customers_shop_through_ours() {
    let ours = Engine::find("portcullis").unwrap();
    let programs = [ours.command[0], PROGRAM, SIMULATOR];
    if let Some(missing) = programs.into_iter().find(|name| program(name).is_err()) {
        eprintln!("==> SHOPPING IS NOT CHECKED: {missing} is not built");
        return;
    }
    let base = tempfile::tempdir().unwrap();
    let shop = start_origin(SETTING, base.path()).unwrap();
    let running = ours.start(shop.upstreams(), SETTING, base.path(), &[]).unwrap();
    let load = Load::Shop(Customers { count: 3, orders: 3, seed: 1 });
    for _ in 0..2 {
        // The second run finds what the first one left.
        let slice = load.apply(&running, Duration::from_secs(1)).unwrap();
        assert!(slice.requests > 50 && slice.errors == 0, "{slice:?}");
    }
}
