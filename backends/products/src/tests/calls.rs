//! The inventory over real gRPC, on a port of the kernel's choice.

use shop_contracts::inventory::inventory_client::InventoryClient;
use shop_contracts::inventory::{
    CommitRequest, Line, QuoteRequest, ReleaseRequest, ReserveRequest,
};
use tonic::transport::Channel;
use tonic::{Code, Status};

use super::*;

const LAMP: &str = "walnut-desk-lamp";

/// A service that listens, and a client of it.
async fn client() -> InventoryClient<Channel> {
    let shutdown = Box::pin(std::future::pending());
    let bound =
        build(&options(&shop_platform::testing::database()), Arc::new(SystemClock), shutdown)
            .await
            .unwrap();
    let address = bound.grpc.unwrap();
    tokio::spawn(bound.run);
    InventoryClient::connect(format!("http://{address}")).await.unwrap()
}

fn line(product: &str, quantity: u32) -> Line {
    Line { product_id: product.to_owned(), quantity }
}

fn reserve(id: &str, lines: Vec<Line>) -> ReserveRequest {
    ReserveRequest { reservation_id: id.to_owned(), lines, hold_seconds: 0 }
}

fn code_and_message(status: &Status) -> (Code, &str) {
    (status.code(), status.message())
}

#[tokio::test]
async fn a_quote_has_the_prices_in_the_order_of_the_question() {
    let mut client = client().await;
    let lines = vec![line("wall-clock-oak", 1), line(LAMP, 2), line("wall-clock-oak", 3)];
    let quote = client.quote(QuoteRequest { lines }).await.unwrap().into_inner();
    let found: Vec<_> = quote
        .lines
        .iter()
        .map(|line| {
            let price = line.unit_price.as_ref().unwrap();
            (line.product_id.as_str(), line.quantity, price.minor_units, price.currency.as_str())
        })
        .collect();
    let expected = [
        ("wall-clock-oak", 1, 4590, "EUR"),
        (LAMP, 2, 8900, "EUR"),
        ("wall-clock-oak", 3, 4590, "EUR"),
    ];
    assert_eq!(found, expected);
    assert_eq!(quote.total.unwrap().minor_units, 4 * 4590 + 2 * 8900);
}

#[tokio::test]
async fn wrong_questions_are_told_from_unknown_products() {
    let mut client = client().await;
    for (lines, code) in [
        (vec![], Code::InvalidArgument),
        (vec![line(LAMP, 0)], Code::InvalidArgument),
        (vec![line(LAMP, 1_000_001)], Code::InvalidArgument),
        (vec![line(LAMP, 1); 101], Code::InvalidArgument),
        (vec![line(LAMP, 1), line("nothing", 1)], Code::NotFound),
        (vec![line("'; DROP TABLE stock; --\0", 1)], Code::NotFound),
    ] {
        let request = QuoteRequest { lines: lines.clone() };
        let quoted = client.quote(request).await.unwrap_err();
        assert_eq!(quoted.code(), code, "{lines:?}");
        let id = Uuid::now_v7().to_string();
        let reserved = client.reserve(reserve(&id, lines)).await.unwrap_err();
        assert_eq!(reserved.code(), code, "{reserved:?}");
        assert_eq!(reserved.message(), quoted.message());
    }
    for id in ["", "1", "0198f2c1-7d3e-7a44-9c55", "not-a-uuid"] {
        let id = id.to_owned();
        let reserved = client.reserve(reserve(&id, vec![line(LAMP, 1)])).await.unwrap_err();
        let committed = client.commit(CommitRequest { reservation_id: id.clone() }).await;
        let released = client.release(ReleaseRequest { reservation_id: id }).await;
        for status in [reserved, committed.unwrap_err(), released.unwrap_err()] {
            assert_eq!(status.code(), Code::InvalidArgument, "{status:?}");
        }
    }
    let forever = ReserveRequest {
        hold_seconds: u32::MAX,
        ..reserve(&Uuid::now_v7().to_string(), vec![line(LAMP, 1)])
    };
    assert_eq!(client.reserve(forever).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_reservation_is_held_sold_and_returned() {
    let mut client = client().await;
    let id = Uuid::now_v7().to_string();
    let (commit, release) = (
        CommitRequest { reservation_id: id.clone() },
        ReleaseRequest { reservation_id: id.clone() },
    );
    let refused = client.commit(commit.clone()).await.unwrap_err();
    assert_eq!(code_and_message(&refused), (Code::FailedPrecondition, "not-held"));
    let request = ReserveRequest { hold_seconds: 60, ..reserve(&id, vec![line(LAMP, 999)]) };
    let first = client.reserve(request.clone()).await.unwrap().into_inner();
    let again = client.reserve(request.clone()).await.unwrap().into_inner();
    assert_eq!(first, again);
    let now = SystemClock.now().millis().cast_signed();
    assert!((now + 50_000..=now + 60_000).contains(&first.expires_at));
    let refused = client.reserve(reserve(&id, vec![line(LAMP, 1)])).await.unwrap_err();
    assert_eq!(code_and_message(&refused), (Code::FailedPrecondition, "other-lines"));
    let other = Uuid::now_v7().to_string();
    let refused = client.reserve(reserve(&other, vec![line(LAMP, 2)])).await.unwrap_err();
    assert_eq!(code_and_message(&refused), (Code::FailedPrecondition, "out-of-stock"));
    client.commit(commit.clone()).await.unwrap();
    client.commit(commit.clone()).await.unwrap();
    client.release(release.clone()).await.unwrap();
    client.release(release).await.unwrap();
    for refused in [
        client.commit(commit).await.map(drop).unwrap_err(),
        client.reserve(request).await.map(drop).unwrap_err(),
    ] {
        assert_eq!(code_and_message(&refused), (Code::FailedPrecondition, "released"));
    }
    client.reserve(reserve(&other, vec![line(LAMP, 1000)])).await.unwrap();
}

#[tokio::test]
async fn many_orders_at_once_share_out_what_there_is() {
    let client = client().await;
    let calls = (0..50).map(|_| {
        let mut client = client.clone();
        tokio::spawn(async move {
            let id = Uuid::now_v7().to_string();
            client.reserve(reserve(&id, vec![line(LAMP, 50), line("wall-clock-oak", 1)])).await
        })
    });
    let mut held = 0;
    for call in calls.collect::<Vec<_>>() {
        match call.await.unwrap() {
            Ok(_) => held += 1,
            Err(refused) => {
                assert_eq!(code_and_message(&refused), (Code::FailedPrecondition, "out-of-stock"));
            }
        }
    }
    assert_eq!(held, 20);
}
