//! What the rest of the shop learns of a payment.

use serde::Serialize;
use uuid::Uuid;

use crate::money::Money;
use crate::payment::{Payment, State};

pub(crate) struct Told<'a> {
    pub(crate) kind: &'static str,
    pub(crate) data: Data<'a>,
}

#[derive(Serialize)]
pub(crate) struct Data<'a> {
    payment_id: Uuid,
    order_id: Uuid,
    account_id: Uuid,
    amount: &'a Money,
    #[serde(skip_serializing_if = "Option::is_none")]
    decline_code: Option<&'static str>,
}

/// The event of a payment that has come to `state`; nobody is told that the processor is asked.
pub(crate) fn told(payment: &Payment, state: State) -> Option<Told<'_>> {
    let kind = match state {
        State::Authorizing => return None,
        State::Authorized => "payment.authorized",
        State::Declined(_) => "payment.declined",
        State::Captured => "payment.captured",
        State::Voided => "payment.voided",
        State::Refunded => "payment.refunded",
    };
    let data = Data {
        payment_id: payment.id,
        order_id: payment.order,
        account_id: payment.terms.account,
        amount: &payment.terms.amount,
        decline_code: state.decline_code().map(|code| code.name()),
    };
    Some(Told { kind, data })
}
