//! Payment methods over REST: a customer's cards.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use shop_platform::auth::Caller;
use shop_platform::extract::JsonBody;
use shop_platform::idempotency::{self, Claim, IdempotencyKey};
use shop_platform::problem::FieldError;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{Api, CUSTOMER, NOT_CACHED};
use crate::card::{CardNumber, Expiry};
use crate::error::ApiError;
use crate::method::{self, LIMIT_PER_ACCOUNT, Method};

/// A card. Only its last four digits are kept.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewMethod {
    /// 12 to 19 digits with a valid check digit; spaces and hyphens do not count.
    #[schema(example = "4242 4242 4242 4242")]
    card_number: String,
    #[schema(minimum = 1, maximum = 12, example = 12)]
    expiry_month: u8,
    #[schema(minimum = 2000, maximum = 2099, example = 2030)]
    expiry_year: u16,
}

/// A card as it is shown.
#[derive(Serialize, ToSchema)]
pub(crate) struct MethodView {
    id: Uuid,
    /// `visa`, `mastercard`, `american-express`, `discover` or `unknown`.
    brand: String,
    #[schema(example = "4242")]
    last4: String,
    expiry_month: u8,
    expiry_year: u16,
    /// RFC 3339.
    #[schema(format = DateTime)]
    created_at: String,
}

impl From<Method> for MethodView {
    fn from(method: Method) -> Self {
        Self {
            id: method.id,
            brand: method.brand,
            last4: method.last4,
            expiry_month: method.expiry.month(),
            expiry_year: method.expiry.year(),
            created_at: method.created_at.to_string(),
        }
    }
}

/// A customer's cards.
#[derive(Serialize, ToSchema)]
pub(crate) struct Methods {
    /// The oldest first.
    items: Vec<MethodView>,
}

/// Adds a card to pay with
///
/// Nothing is charged by it. An account has fifty payment methods at most.
#[utoipa::path(
    post,
    path = "/v1/payment-methods",
    tag = "payment methods",
    params(("Idempotency-Key" = String, Header,
        description = "Chosen by the client, new for each card: the same key again gets the first \
                       answer again and adds nothing",
        example = "0198f2c1-7d3e-7a44-9c55-3f0b6c1d2e4f")),
    request_body = NewMethod,
    security(("token" = ["customer"])),
    responses(
        (status = 201, description = "The card as it is shown", body = MethodView),
        (status = 400, description = "The key or the JSON is malformed"),
        (status = 409, description = "The account has too many payment methods, or a request with \
                                      this key is being answered"),
        (status = 413, description = "The body is too large"),
        (status = 415, description = "The body is not application/json"),
        (status = 422, description = "The body has other fields or values, or the key was used \
                                      with another request"),
    )
)]
pub(crate) async fn add(
    State(api): State<Api>,
    caller: Caller,
    key: IdempotencyKey,
    JsonBody(body): JsonBody<NewMethod>,
) -> Result<Response, ApiError> {
    caller.require(CUSTOMER).map_err(ApiError::Refused)?;
    let number = CardNumber::try_new(&body.card_number);
    let expiry = expiry(&api, &body);
    let (number, expiry) = match (number, expiry) {
        (Ok(number), Ok(expiry)) => (number, expiry),
        (number, expiry) => {
            let expiry_errors = expiry.err().unwrap_or_default();
            return Err(ApiError::Fields(number.err().into_iter().chain(expiry_errors).collect()));
        }
    };
    keep(&api, caller.account, &key, &number, expiry).await
}

fn expiry(api: &Api, body: &NewMethod) -> Result<Expiry, Vec<FieldError>> {
    let expiry = Expiry::try_new(body.expiry_month, body.expiry_year)?;
    if expiry.has_passed(api.clock.now()) {
        let message = "must not have passed";
        return Err(vec![FieldError { field: "expiry_year", message }]);
    }
    Ok(expiry)
}

async fn keep(
    api: &Api,
    account: Uuid,
    key: &IdempotencyKey,
    number: &CardNumber,
    expiry: Expiry,
) -> Result<Response, ApiError> {
    // What is compared when the key comes again is kept, and so the number must not be in it, not
    // even hashed: there are few numbers with the same last digits.
    let (last4, month, year) = (number.last4(), expiry.month(), expiry.year());
    let fingerprint = format!("add {} {last4} {month} {year}", number.brand().name());
    // A token that nobody keeps, because the key was known, names a card to nobody.
    let token = api.processor.tokenize(number).await?;
    let now = api.clock.now();
    let mut transaction = api.database.begin_write().await?;
    let owner = account.to_string();
    let slot = match idempotency::claim(&mut transaction, &owner, key, &fingerprint, now).await? {
        Claim::Known(response) => return Ok(response.into_response()),
        Claim::New(slot) => slot,
    };
    if method::count(&mut transaction, account).await? >= LIMIT_PER_ACCOUNT {
        return Err(ApiError::TooManyMethods);
    }
    let method = Method::new(account, number, expiry, token, now);
    method::insert(&mut transaction, &method).await?;
    let view = MethodView::from(method);
    let response = slot.keep(&mut transaction, StatusCode::CREATED, &view).await?;
    api.database.commit(transaction, "payment-method.add").await?;
    Ok(response.into_response())
}

/// The account's cards
#[utoipa::path(
    get,
    path = "/v1/payment-methods",
    tag = "payment methods",
    security(("token" = ["customer"])),
    responses((status = 200, description = "The cards", body = Methods))
)]
pub(crate) async fn list(State(api): State<Api>, caller: Caller) -> Result<Response, ApiError> {
    caller.require(CUSTOMER).map_err(ApiError::Refused)?;
    let methods = method::list(api.database.pool(), caller.account).await?;
    let items = methods.into_iter().map(MethodView::from).collect();
    Ok((NOT_CACHED, Json(Methods { items })).into_response())
}
