//! What customers read, and what can not get into it.

use serde_json::{Value, json};
use uuid::Uuid;

use super::*;

const ORDER: &str = "0192f0c1-2345-7abc-8def-0123456789ab";

fn text(kind: &str, mut data: Value, name: &str) -> Text {
    data["account_id"] = json!(Uuid::nil());
    data["order_id"] = json!(ORDER);
    Text::of(&Notice::try_new(kind, &data).unwrap().unwrap(), &Line::of(name))
}

fn euros(minor_units: i64) -> Value {
    json!({"minor_units": minor_units, "currency": "EUR"})
}

#[test]
fn each_kind_has_its_words() {
    let check = |kind: &str, data: Value, subject: &str, says: &str| {
        let text = text(kind, data, "Ada");
        assert_eq!(text.subject, subject.replace('$', ORDER));
        assert!(text.body.starts_with("Hello Ada,\n\n"), "{}", text.body);
        assert!(text.body.contains(says), "{kind}: {}", text.body);
        assert!(text.body.ends_with("\n\nThe shop\n"), "{}", text.body);
    };
    let registered = json!({"email": "a@b.c", "display_name": "Ada"});
    check("user.registered", registered, "Welcome to the shop", "account is ready");
    let lines = json!([
        {"product_id": "walnut-desk-lamp", "quantity": 2, "unit_price": euros(8900)},
    ]);
    let placed = json!({"lines": lines, "total": euros(17_800)});
    check("order.placed", placed.clone(), "We have your order $", "Total: 178.00 EUR.");
    check("order.placed", placed, "We have your order $", "  2 x walnut-desk-lamp at 89.00 EUR\n");
    let confirmed = json!({"total": euros(5)});
    check("order.confirmed", confirmed, "Your order $ is confirmed", "0.05 EUR");
    let cancelled = |reason: &str, refunded: bool| json!({"reason": reason, "refunded": refunded});
    let subject = "Your order $ is cancelled";
    check("order.cancelled", cancelled("out_of_stock", false), subject, "out of stock. You pay");
    check("order.cancelled", cancelled("a new word", true), subject, "What you paid is given back");
    let paid = json!({"amount": euros(100)});
    let declined = json!({"amount": euros(100), "decline_code": "insufficient_funds"});
    let subject = "The payment for order $ failed";
    check("payment.declined", declined, subject, "1.00 EUR failed: there were not enough funds");
    check("payment.declined", paid.clone(), subject, "the card was declined");
    check("payment.captured", paid.clone(), "Receipt for order $", "payment of 1.00 EUR");
    check("payment.voided", paid.clone(), "Nothing was charged for order $", "The 1.00 EUR");
    check("payment.refunded", paid, "Refund for order $", "given 1.00 EUR back");
}

#[test]
fn amounts_have_the_decimals_of_their_currency() {
    let check = |minor_units, currency: &str, expected: &str| {
        assert_eq!(amount(&Money { minor_units, currency: Line::of(currency) }), expected);
    };
    check(0, "EUR", "0.00 EUR");
    check(7, "EUR", "0.07 EUR");
    check(123_456, "USD", "1234.56 USD");
    check(-250, "EUR", "-2.50 EUR");
    check(500, "JPY", "500 JPY");
    check(1234, "KWD", "1.234 KWD");
    check(i64::MIN, "EUR", "-92233720368547758.08 EUR");
}

#[test]
fn what_others_wrote_stays_on_its_line() {
    let name = "Ada\r\n\r\nYour password has expired";
    let lines = json!([
        {"product_id": "lamp\r\nSubject: x", "quantity": 1, "unit_price": euros(1)},
    ]);
    let text = text("order.placed", json!({"lines": lines, "total": euros(1)}), name);
    assert!(text.body.starts_with("Hello Ada    Your password has expired,\n\n"), "{}", text.body);
    assert!(text.body.contains("  1 x lamp  Subject: x at 0.01 EUR\n"), "{}", text.body);
    assert!(!text.body.contains('\r') && !text.subject.contains(['\r', '\n']));
}

#[test]
fn a_long_order_is_cut_and_a_nameless_customer_greeted() {
    let line = json!({"product_id": "lamp", "quantity": 1, "unit_price": euros(1)});
    let lines: Vec<Value> = (0..25).map(|_| line.clone()).collect();
    let text = text("order.placed", json!({"lines": lines, "total": euros(25)}), "\r\n");
    assert_eq!(text.body.matches("x lamp").count(), 20);
    assert!(text.body.contains("  and 5 more\n"), "{}", text.body);
    assert!(text.body.starts_with("Hello,\n"), "{}", text.body);
}
