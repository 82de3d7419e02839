//! The inventory by gRPC, as `inventory.proto` has it: what orders call.
//!
//! A refusal has a short word for its message, which programs may compare: `out-of-stock`,
//! `released`, `expired`, `not-held`, `other-lines`, `mixed-currencies`.

use std::time::Duration;

use shop_contracts::inventory::inventory_server::{self, InventoryServer};
use shop_contracts::inventory::{
    CommitRequest, CommitResponse, Line as WireLine, Money as WireMoney,
    PricedLine as WirePricedLine, QuoteRequest, QuoteResponse, ReleaseRequest, ReleaseResponse,
    ReserveRequest, ReserveResponse,
};
use shop_platform::database::is_transient;
use shop_platform::grpc::{Grpc, context_of};
use tonic::service::Routes;
use tonic::{Request, Response, Status};
use uuid::Uuid;

use crate::catalogue::Money;
use crate::inventory::{Inventory, InventoryError, Line, LineError, PricedLine};

/// No order takes longer, and stock that is held for a day is lost for a day.
const LONGEST_HOLD: u32 = 24 * 3600;

/// What the platform serves.
pub(crate) fn serve(inventory: Inventory) -> Grpc {
    Grpc {
        routes: Routes::new(InventoryServer::new(Calls { inventory })),
        descriptors: shop_contracts::DESCRIPTORS,
        names: &["shop.inventory.v1.Inventory"],
    }
}

struct Calls {
    inventory: Inventory,
}

#[tonic::async_trait]
impl inventory_server::Inventory for Calls {
    async fn quote(
        &self,
        request: Request<QuoteRequest>,
    ) -> Result<Response<QuoteResponse>, Status> {
        let lines = parse_lines(request.into_inner().lines)?;
        let quote = self.inventory.quote(lines).await.map_err(refused)?;
        let lines = quote.lines.into_iter().map(priced_line).collect();
        Ok(Response::new(QuoteResponse { lines, total: Some(money(quote.total)) }))
    }

    async fn reserve(
        &self,
        request: Request<ReserveRequest>,
    ) -> Result<Response<ReserveResponse>, Status> {
        let context = context_of(request.metadata());
        let request = request.into_inner();
        let id = parse_id(&request.reservation_id)?;
        let lines = parse_lines(request.lines)?.into_iter().collect();
        let hold = match request.hold_seconds {
            0 => None,
            seconds @ 1..=LONGEST_HOLD => Some(Duration::from_secs(seconds.into())),
            _ => return Err(Status::invalid_argument("hold_seconds is at most 86400")),
        };
        let expires_at = self.inventory.reserve(id, &lines, hold, &context).await;
        let expires_at = expires_at.map_err(refused)?.millis().cast_signed();
        Ok(Response::new(ReserveResponse { expires_at }))
    }

    async fn commit(
        &self,
        request: Request<CommitRequest>,
    ) -> Result<Response<CommitResponse>, Status> {
        let context = context_of(request.metadata());
        let id = parse_id(&request.into_inner().reservation_id)?;
        self.inventory.commit(id, &context).await.map_err(refused)?;
        Ok(Response::new(CommitResponse {}))
    }

    async fn release(
        &self,
        request: Request<ReleaseRequest>,
    ) -> Result<Response<ReleaseResponse>, Status> {
        let context = context_of(request.metadata());
        let id = parse_id(&request.into_inner().reservation_id)?;
        self.inventory.release(id, &context).await.map_err(refused)?;
        Ok(Response::new(ReleaseResponse {}))
    }
}

fn parse_id(text: &str) -> Result<Uuid, Status> {
    Uuid::parse_str(text).map_err(|_| Status::invalid_argument("reservation_id is not a UUID"))
}

fn parse_lines(lines: Vec<WireLine>) -> Result<Vec<Line>, Status> {
    let lines = lines.into_iter().map(|line| (line.product_id, line.quantity));
    Line::parse_all(lines).map_err(|error| match error {
        LineError::Count | LineError::Quantity => Status::invalid_argument(error.to_string()),
        LineError::Product(product) => unknown(&product),
    })
}

fn priced_line(PricedLine { line, unit_price }: PricedLine) -> WirePricedLine {
    WirePricedLine {
        product_id: line.product.to_string(),
        // It came as one.
        quantity: u32::try_from(line.quantity).unwrap_or(u32::MAX),
        unit_price: Some(money(unit_price)),
    }
}

fn money(money: Money) -> WireMoney {
    WireMoney { minor_units: money.minor_units, currency: money.currency }
}

fn unknown(product: &str) -> Status {
    Status::not_found(format!("unknown product {product}"))
}

/// What the caller learns. A failure of the service's own is logged: this is the last to see it
/// whole.
fn refused(error: InventoryError) -> Status {
    match &error {
        InventoryError::UnknownProduct(product) => unknown(product),
        InventoryError::OutOfStock(_) => Status::failed_precondition("out-of-stock"),
        InventoryError::OtherLines => Status::failed_precondition("other-lines"),
        InventoryError::Released => Status::failed_precondition("released"),
        InventoryError::Expired => Status::failed_precondition("expired"),
        InventoryError::NotHeld => Status::failed_precondition("not-held"),
        InventoryError::MixedCurrencies => Status::failed_precondition("mixed-currencies"),
        InventoryError::TooExpensive => Status::invalid_argument("the total is too large"),
        InventoryError::Contended => Status::unavailable("contended"),
        InventoryError::Database(failed) if is_transient(failed) => {
            tracing::warn!(%error, "a call failed and may be repeated");
            Status::unavailable("database")
        }
        InventoryError::Database(_)
        | InventoryError::Lost(_)
        | InventoryError::Books { .. }
        | InventoryError::Stored(_) => {
            tracing::error!(%error, "a call failed");
            Status::internal("internal")
        }
    }
}
