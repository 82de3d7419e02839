//! The words: a subject and a body for each notice, as plain text.
//!
//! A customer reads them; so they say what happened, what it means for the money, and what there
//! is to do. They hold nothing but checked pieces: ids, amounts and [`Line`]s.

use crate::line::Line;
use crate::notice::{Money, Notice, OrderCancelled, OrderPlaced, Payment};

/// What one customer is told of one event.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Text {
    pub(crate) subject: String,
    pub(crate) body: String,
}

/// Lines of an order that a letter lists; of a longer one it gives the rest as a number.
const LISTED: usize = 20;

impl Text {
    pub(crate) fn of(notice: &Notice, display_name: &Line) -> Self {
        let (subject, told) = match notice {
            Notice::Registered(_) => (
                "Welcome to the shop".to_owned(),
                "Your account is ready. You can place orders now.".to_owned(),
            ),
            Notice::OrderPlaced(order) => {
                (format!("We have your order {}", order.order_id), placed(order))
            }
            Notice::OrderConfirmed(order) => (
                format!("Your order {} is confirmed", order.order_id),
                format!(
                    "Everything is in stock and paid for: {}. It will be on its way soon.",
                    amount(&order.total)
                ),
            ),
            Notice::OrderCancelled(order) => {
                (format!("Your order {} is cancelled", order.order_id), cancelled(order))
            }
            Notice::PaymentDeclined(payment) => {
                (format!("The payment for order {} failed", payment.order_id), declined(payment))
            }
            Notice::PaymentCaptured(payment) => (
                format!("Receipt for order {}", payment.order_id),
                format!("We have received your payment of {}.", amount(&payment.amount)),
            ),
            Notice::PaymentVoided(payment) => (
                format!("Nothing was charged for order {}", payment.order_id),
                format!(
                    "The {} that were held on your payment method are free again.",
                    amount(&payment.amount)
                ),
            ),
            Notice::PaymentRefunded(payment) => (
                format!("Refund for order {}", payment.order_id),
                format!("We have given {} back to your payment method.", amount(&payment.amount)),
            ),
        };
        let name = display_name.as_str();
        let hello = if name.is_empty() { "Hello,".to_owned() } else { format!("Hello {name},") };
        Self { subject, body: format!("{hello}\n\n{told}\n\nThe shop\n") }
    }
}

fn placed(order: &OrderPlaced) -> String {
    let mut text = String::from("Thank you for your order:\n\n");
    for line in order.lines.iter().take(LISTED) {
        let (product, price) = (line.product_id.as_str(), amount(&line.unit_price));
        text.push_str(&format!("  {} x {product} at {price}\n", line.quantity));
    }
    if order.lines.len() > LISTED {
        text.push_str(&format!("  and {} more\n", order.lines.len() - LISTED));
    }
    let total = amount(&order.total);
    text + &format!("\nTotal: {total}. We tell you when it is confirmed.")
}

fn cancelled(order: &OrderCancelled) -> String {
    let why = match order.reason.as_str() {
        "customer" => "You asked us to cancel it.",
        "out_of_stock" | "reservation_expired" => "Something in it is out of stock.",
        "insufficient_funds" | "expired_card" | "card_declined" | "fraud_suspected"
        | "payment_declined" | "payment_refused" => "The payment was declined.",
        "timed_out" => "It could not be completed in time.",
        // A word that we do not know would not help a customer either.
        _ => "It could not be completed.",
    };
    let money =
        if order.refunded { "What you paid is given back." } else { "You pay nothing for it." };
    format!("{why} {money}")
}

fn declined(payment: &Payment) -> String {
    let why = match payment.decline_code.as_ref().map(Line::as_str) {
        Some("insufficient_funds") => "there were not enough funds",
        Some("expired_card") => "the card has expired",
        // Whoever tries cards that are not theirs learns nothing here.
        _ => "the card was declined",
    };
    format!("Your payment of {} failed: {why}. Nothing was charged.", amount(&payment.amount))
}

/// `89.00 EUR`: as many decimals as the currency has minor units (ISO 4217).
fn amount(money: &Money) -> String {
    let currency = money.currency.as_str();
    let decimals: u32 = match currency {
        "BIF" | "CLP" | "DJF" | "GNF" | "ISK" | "JPY" | "KMF" | "KRW" | "PYG" | "RWF" | "UGX"
        | "VND" | "VUV" | "XAF" | "XOF" | "XPF" => 0,
        "BHD" | "IQD" | "JOD" | "KWD" | "LYD" | "OMR" | "TND" => 3,
        _ => 2,
    };
    let sign = if money.minor_units < 0 { "-" } else { "" };
    let (units, scale) = (money.minor_units.unsigned_abs(), 10u64.pow(decimals));
    let (whole, part) = (units / scale, units % scale);
    if decimals == 0 {
        return format!("{sign}{whole} {currency}");
    }
    let width = decimals as usize;
    format!("{sign}{whole}.{part:0width$} {currency}")
}

#[cfg(test)]
mod tests;
