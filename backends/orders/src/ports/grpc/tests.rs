//! The ports against servers of the contracts: what is sent, and what answers come to mean.

use std::sync::{Arc, Mutex};

use axum::http::HeaderMap;
use shop_contracts::inventory::inventory_server::{Inventory as Products, InventoryServer};
use shop_contracts::inventory::{CommitResponse, ReleaseResponse, ReserveResponse};
use shop_contracts::payments::payments_server::{Payments as Till, PaymentsServer};
use shop_platform::UnixTime;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::Response;
use tonic::transport::Server;

use super::*;
use crate::lines::{Line, PaymentMethod};
use crate::order::{OrderEvent, Placed};

/// The answer to give next, and the words of the requests that came.
#[derive(Default)]
struct Script {
    reply: Mutex<Option<Result<PaymentReply, Status>>>,
    quote: Mutex<Option<Result<QuoteResponse, Status>>>,
    said: Mutex<Vec<String>>,
}

impl Script {
    fn answer(&self, said: String) -> Result<PaymentReply, Status> {
        self.said.lock().unwrap().push(said);
        self.reply.lock().unwrap().clone().unwrap()
    }
}

#[derive(Clone)]
struct Scripted(Arc<Script>);

#[tonic::async_trait]
impl Products for Scripted {
    async fn quote(&self, _: Request<QuoteRequest>) -> Result<Response<QuoteResponse>, Status> {
        self.0.quote.lock().unwrap().clone().unwrap().map(Response::new)
    }

    async fn reserve(
        &self,
        request: Request<ReserveRequest>,
    ) -> Result<Response<ReserveResponse>, Status> {
        let ReserveRequest { reservation_id, lines, hold_seconds } = request.into_inner();
        let line = &lines[0];
        let said = format!("{reservation_id} {}x{} {hold_seconds}", line.quantity, line.product_id);
        self.0.answer(said).map(|_| Response::new(ReserveResponse { expires_at: 0 }))
    }

    async fn commit(
        &self,
        request: Request<CommitRequest>,
    ) -> Result<Response<CommitResponse>, Status> {
        let said = request.into_inner().reservation_id;
        self.0.answer(said).map(|_| Response::new(CommitResponse {}))
    }

    async fn release(
        &self,
        request: Request<ReleaseRequest>,
    ) -> Result<Response<ReleaseResponse>, Status> {
        let said = request.into_inner().reservation_id;
        self.0.answer(said).map(|_| Response::new(ReleaseResponse {}))
    }
}

#[tonic::async_trait]
impl Till for Scripted {
    async fn authorize(
        &self,
        request: Request<AuthorizeRequest>,
    ) -> Result<Response<PaymentReply>, Status> {
        let asker = request.metadata().get("x-request-id").unwrap().to_str().unwrap().to_owned();
        let AuthorizeRequest { order_id, amount, payment_method, .. } = request.into_inner();
        let amount = amount.unwrap();
        let said = format!(
            "{order_id} {} {} {payment_method} {asker}",
            amount.minor_units, amount.currency
        );
        self.0.answer(said).map(Response::new)
    }

    async fn capture(
        &self,
        request: Request<CaptureRequest>,
    ) -> Result<Response<PaymentReply>, Status> {
        self.0.answer(request.into_inner().order_id).map(Response::new)
    }

    async fn undo(&self, request: Request<UndoRequest>) -> Result<Response<PaymentReply>, Status> {
        self.0.answer(request.into_inner().order_id).map(Response::new)
    }
}

struct Shop {
    script: Arc<Script>,
    inventory: GrpcInventory,
    payments: GrpcPayments,
    context: RequestContext,
}

async fn shop() -> Shop {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let script = Arc::new(Script::default());
    let scripted = Scripted(script.clone());
    let server = Server::builder()
        .add_service(InventoryServer::new(scripted.clone()))
        .add_service(PaymentsServer::new(scripted))
        .serve_with_incoming(TcpListenerStream::new(listener));
    tokio::spawn(server);
    let (failpoints, long) = (Failpoints::default(), Duration::from_secs(20));
    let channel = grpc::channel(&url).unwrap();
    Shop {
        script,
        inventory: GrpcInventory::new(channel.clone(), failpoints.clone(), long),
        payments: GrpcPayments::new(channel, failpoints, long),
        context: RequestContext::of(&HeaderMap::new()),
    }
}

fn euros(minor_units: i64) -> Money {
    Money { minor_units, currency: "EUR".to_owned() }
}

fn order() -> Order {
    let line = PricedLine { product_id: "lamp".to_owned(), quantity: 2, unit_price: euros(250) };
    let placed = OrderEvent::Placed(Placed {
        account_id: Uuid::from_u128(7),
        lines: vec![line],
        total: euros(500),
        payment_method: PaymentMethod::try_new("pm_1".to_owned()).unwrap(),
    });
    Order::begin(Uuid::from_u128(1), &placed, UnixTime::from_seconds(1)).unwrap()
}

fn reply(status: PaymentStatus, code: &str) -> Result<PaymentReply, Status> {
    let (payment_id, decline_code) = ("p-1".to_owned(), code.to_owned());
    Ok(PaymentReply { payment_id, status: status.into(), decline_code })
}

const IN_DOUBT: [Code; 9] = [
    Code::Unavailable,
    Code::DeadlineExceeded,
    Code::Internal,
    Code::Unknown,
    Code::Cancelled,
    Code::Aborted,
    Code::ResourceExhausted,
    Code::Unauthenticated,
    Code::Unimplemented,
];
const REFUSED: [Code; 5] = [
    Code::InvalidArgument,
    Code::NotFound,
    Code::PermissionDenied,
    Code::FailedPrecondition,
    Code::OutOfRange,
];

#[tokio::test]
async fn a_status_is_a_refusal_or_a_doubt() {
    let shop = shop().await;
    let order = order();
    let (context, id, hold) = (&shop.context, order.id(), Duration::from_secs(90));
    let codes = IN_DOUBT.map(|code| (code, None)).into_iter();
    for (code, refused) in codes.chain(REFUSED.map(|code| (code, Some(code)))) {
        *shop.script.reply.lock().unwrap() = Some(Err(Status::new(code, "")));
        let check = |answer: Answer<()>, reason: Reason| {
            let expected = match refused {
                Some(_) => CallError::Refused(reason),
                None => CallError::InDoubt(code),
            };
            assert_eq!(answer, Err(expected), "{code:?}");
        };
        let (inventory, payments) = (&shop.inventory, &shop.payments);
        let reserved = inventory.reserve(context, id, order.lines(), hold).await;
        check(reserved, Reason::OutOfStock);
        check(inventory.commit(context, id).await, Reason::ReservationExpired);
        check(inventory.release(context, id).await, Reason::OutOfStock);
        check(payments.authorize(context, &order).await, Reason::PaymentRefused);
        check(payments.capture(context, id).await, Reason::PaymentRefused);
        check(payments.undo(context, id).await.map(drop), Reason::PaymentRefused);
    }
}

#[tokio::test]
async fn a_reply_means_what_its_payment_has_come_to() {
    use PaymentStatus::{Authorized, Captured, Declined, Refunded, Unspecified, Voided};
    let shop = shop().await;
    let (order, context) = (order(), &shop.context);
    let refused = |reason| Err(CallError::Refused(reason));
    let doubt = || Err(CallError::InDoubt(Code::Unknown));
    let given_back = |refunded| Ok(Undone { refunded });
    for (status, code, authorized, captured, undone) in [
        (Authorized, "", Ok(()), doubt(), Err(CallError::InDoubt(Code::Unknown))),
        (Captured, "", Ok(()), Ok(()), Err(CallError::InDoubt(Code::Unknown))),
        (
            Declined,
            "expired_card",
            refused(Reason::ExpiredCard),
            refused(Reason::ExpiredCard),
            given_back(false),
        ),
        (
            Voided,
            "",
            refused(Reason::PaymentRefused),
            refused(Reason::PaymentRefused),
            given_back(false),
        ),
        (
            Refunded,
            "",
            refused(Reason::PaymentRefused),
            refused(Reason::PaymentRefused),
            given_back(true),
        ),
        (Unspecified, "", doubt(), doubt(), Err(CallError::InDoubt(Code::Unknown))),
    ] {
        *shop.script.reply.lock().unwrap() = Some(reply(status, code));
        assert_eq!(shop.payments.authorize(context, &order).await, authorized, "{status:?}");
        assert_eq!(shop.payments.capture(context, order.id()).await, captured, "{status:?}");
        assert_eq!(shop.payments.undo(context, order.id()).await, undone, "{status:?}");
    }
}

#[tokio::test]
async fn requests_name_the_order_and_whoever_asked_for_it() {
    let shop = shop().await;
    let (order, context) = (order(), &shop.context);
    *shop.script.reply.lock().unwrap() = Some(reply(PaymentStatus::Captured, ""));
    let hold = Duration::from_secs(90);
    shop.inventory.reserve(context, order.id(), order.lines(), hold).await.unwrap();
    shop.inventory.commit(context, order.id()).await.unwrap();
    shop.inventory.release(context, order.id()).await.unwrap();
    shop.payments.authorize(context, &order).await.unwrap();
    shop.payments.capture(context, order.id()).await.unwrap();
    let id = order.id();
    let expected = [
        format!("{id} 2xlamp 90"),
        format!("{id}"),
        format!("{id}"),
        format!("{id} 500 EUR pm_1 {}", context.request_id()),
        format!("{id}"),
    ];
    assert_eq!(*shop.script.said.lock().unwrap(), expected);
}

#[tokio::test]
async fn a_quote_is_right_or_there_is_none() {
    let shop = shop().await;
    let line = Line { product_id: "lamp".to_owned(), quantity: 2 };
    let asked = Lines::try_new(vec![line]).unwrap();
    let money = |minor_units| Some(inventory::Money { minor_units, currency: "EUR".to_owned() });
    let answer = |unit_price, total| QuoteResponse {
        lines: vec![inventory::PricedLine {
            product_id: "lamp".to_owned(),
            quantity: 2,
            unit_price,
        }],
        total,
    };
    let ask = async |answer: Result<QuoteResponse, Status>| {
        *shop.script.quote.lock().unwrap() = Some(answer);
        shop.inventory.quote(&shop.context, &asked).await
    };
    let (lines, total) = ask(Ok(answer(money(250), money(500)))).await.unwrap().into_parts();
    assert_eq!((lines[0].unit_price.clone(), total), (euros(250), euros(500)));
    for wrong in [answer(None, money(500)), answer(money(250), None), answer(money(250), money(5))]
    {
        assert_eq!(ask(Ok(wrong)).await, Err(QuoteError::Nonsense));
    }
    for code in REFUSED {
        assert_eq!(ask(Err(Status::new(code, ""))).await, Err(QuoteError::UnknownProduct));
    }
    for code in IN_DOUBT {
        assert_eq!(ask(Err(Status::new(code, ""))).await, Err(QuoteError::Unavailable(code)));
    }
}

#[tokio::test]
async fn a_service_that_is_not_there_leaves_doubt() {
    let nobody = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", nobody.local_addr().unwrap());
    drop(nobody);
    let channel = grpc::channel(&url).unwrap();
    let inventory = GrpcInventory::new(channel, Failpoints::default(), Duration::from_secs(20));
    let context = RequestContext::of(&HeaderMap::new());
    let answer = inventory.commit(&context, Uuid::from_u128(1)).await;
    assert_eq!(answer, Err(CallError::InDoubt(Code::Unavailable)));
}
