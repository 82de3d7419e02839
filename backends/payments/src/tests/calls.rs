//! Payments over real gRPC, on a port of the kernel's choice.

use shop_contracts::payments::payments_client::PaymentsClient;
use shop_contracts::payments::{
    AuthorizeRequest, CaptureRequest, Money, PaymentReply, PaymentStatus, UndoRequest,
};
use tonic::transport::Channel;
use tonic::{Code, Response, Status};

use super::*;

/// A service that listens for gRPC, and is reached by REST too.
struct Listening {
    client: PaymentsClient<Channel>,
    shop: Shop,
    _directory: tempfile::TempDir,
}

impl Listening {
    async fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let database = format!("sqlite:{}/payments.db", directory.path().display());
        let shop = shop_at(&database).await;
        let shutdown = Box::pin(std::future::pending());
        let bound = build(&options(&database), Arc::new(SystemClock), shutdown).await.unwrap();
        let address = bound.grpc.unwrap();
        tokio::spawn(bound.run);
        let client = PaymentsClient::connect(format!("http://{address}")).await.unwrap();
        Self { client, shop, _directory: directory }
    }

    /// What an order of a new account would ask for.
    async fn request(&self, number: &str) -> AuthorizeRequest {
        let account = Uuid::now_v7();
        AuthorizeRequest {
            order_id: Uuid::now_v7().to_string(),
            account_id: account.to_string(),
            amount: Some(Money { minor_units: 250, currency: "EUR".to_owned() }),
            payment_method: self.shop.method(account, number).await.to_string(),
        }
    }
}

type Answer = Result<Response<PaymentReply>, Status>;

/// What matters of an answer, in one line.
fn line(answer: &Answer) -> String {
    match answer {
        Ok(reply) => {
            let reply = reply.get_ref();
            assert!(Uuid::parse_str(&reply.payment_id).is_ok());
            format!("{:?} {}", reply.status(), reply.decline_code).trim_end().to_owned()
        }
        Err(status) => format!("{:?} {}", status.code(), status.message()),
    }
}

#[tokio::test]
async fn money_is_held_taken_and_given_back() {
    let mut listening = Listening::start().await;
    let request = listening.request("4242424242424242").await;
    let client = &mut listening.client;
    let capture = CaptureRequest { order_id: request.order_id.clone() };
    let undo = UndoRequest { order_id: request.order_id.clone() };
    assert_eq!(line(&client.capture(capture.clone()).await), "FailedPrecondition not-held");
    let first = client.authorize(request.clone()).await.unwrap().into_inner();
    let again = client.authorize(request.clone()).await.unwrap().into_inner();
    assert_eq!((&first, first.status()), (&again, PaymentStatus::Authorized));
    let mut other = request.clone();
    other.amount = Some(Money { minor_units: 251, currency: "EUR".to_owned() });
    assert_eq!(line(&client.authorize(other).await), "FailedPrecondition other-payment");
    for _ in 0..2 {
        let captured = client.capture(capture.clone()).await.unwrap().into_inner();
        assert_eq!(captured.payment_id, first.payment_id);
        assert_eq!(captured.status(), PaymentStatus::Captured);
    }
    for _ in 0..2 {
        let undone = client.undo(undo.clone()).await.unwrap().into_inner();
        assert_eq!(undone.payment_id, first.payment_id);
        assert_eq!(undone.status(), PaymentStatus::Refunded);
    }
    assert_eq!(line(&client.authorize(request).await), "FailedPrecondition refunded");
    assert_eq!(line(&client.capture(capture).await), "FailedPrecondition refunded");
}

#[tokio::test]
async fn an_order_that_was_undone_is_not_paid_later() {
    let mut listening = Listening::start().await;
    let request = listening.request("4242424242424242").await;
    let client = &mut listening.client;
    let undo = UndoRequest { order_id: request.order_id.clone() };
    let capture = CaptureRequest { order_id: request.order_id.clone() };
    let first = client.undo(undo.clone()).await.unwrap().into_inner();
    let again = client.undo(undo).await.unwrap().into_inner();
    assert_eq!((&first, first.status()), (&again, PaymentStatus::Voided));
    assert_eq!(line(&client.authorize(request).await), "FailedPrecondition voided");
    assert_eq!(line(&client.capture(capture).await), "FailedPrecondition voided");
}

#[tokio::test]
async fn every_test_number_does_what_it_says() {
    let mut listening = Listening::start().await;
    for (number, authorized, captured) in [
        ("4242424242424242", &["Authorized"][..], &["Captured"][..]),
        ("4000000000009995", &["Declined insufficient_funds"], &["FailedPrecondition declined"]),
        ("4000000000000002", &["Declined card_declined"], &["FailedPrecondition declined"]),
        ("4000000000000069", &["Declined expired_card"], &["FailedPrecondition declined"]),
        ("4100000000000019", &["Declined fraud_suspected"], &["FailedPrecondition declined"]),
        ("4000000000000101", &["Authorized"], &["Captured"]),
        ("4000000000000119", &["Unavailable processor", "Authorized"], &["Captured"]),
        ("4000000000000341", &["Authorized"], &["Unavailable processor", "Captured"]),
    ] {
        let request = listening.request(number).await;
        let client = &mut listening.client;
        for expected in authorized {
            assert_eq!(line(&client.authorize(request.clone()).await), *expected, "{number}");
        }
        let capture = CaptureRequest { order_id: request.order_id };
        for expected in captured {
            assert_eq!(line(&client.capture(capture.clone()).await), *expected, "{number}");
        }
    }
}

#[tokio::test]
async fn wrong_requests_are_refused() {
    let mut listening = Listening::start().await;
    let good = listening.request("4242424242424242").await;
    let client = &mut listening.client;
    let money = |minor_units, currency: &str| Money { minor_units, currency: currency.to_owned() };
    let with_amount = |amount| AuthorizeRequest { amount, ..good.clone() };
    for (request, code) in [
        (with_amount(None), Code::InvalidArgument),
        (with_amount(Some(money(-1, "EUR"))), Code::InvalidArgument),
        (with_amount(Some(money(1, ""))), Code::InvalidArgument),
        (with_amount(Some(money(1, "eur"))), Code::InvalidArgument),
        (AuthorizeRequest { order_id: "1".into(), ..good.clone() }, Code::InvalidArgument),
        (AuthorizeRequest { account_id: String::new(), ..good.clone() }, Code::InvalidArgument),
        (AuthorizeRequest { payment_method: "\0".into(), ..good.clone() }, Code::NotFound),
        (
            AuthorizeRequest { payment_method: Uuid::now_v7().to_string(), ..good.clone() },
            Code::NotFound,
        ),
        (
            AuthorizeRequest { account_id: Uuid::now_v7().to_string(), ..good.clone() },
            Code::NotFound,
        ),
    ] {
        let refused = client.authorize(request.clone()).await.unwrap_err();
        assert_eq!(refused.code(), code, "{request:?}: {refused:?}");
    }
    for order_id in ["", "none", "\0"] {
        let order_id = order_id.to_owned();
        let captured = client.capture(CaptureRequest { order_id: order_id.clone() }).await;
        assert_eq!(captured.unwrap_err().code(), Code::InvalidArgument);
        let undone = client.undo(UndoRequest { order_id }).await;
        assert_eq!(undone.unwrap_err().code(), Code::InvalidArgument);
    }
    assert_eq!(line(&client.authorize(good).await), "Authorized");
}
