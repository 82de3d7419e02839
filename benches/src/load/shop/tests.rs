use serde_json::{Value, json};

use super::*;

const CUSTOMERS: Customers = Customers { count: 2, orders: 3, seed: 1 };

/// As the simulator writes it after a clean run, with more than is looked at here.
fn clean() -> Value {
    json!({
        "clean": true,
        "seed": 1,
        "elapsed_ms": 1500,
        "requests": 40,
        "calls": {
            "browse": {"count": 30, "again": 0, "p50_us": 900, "p99_us": 1200, "max_us": 1300},
            "place order": {"count": 10, "again": 2, "p50_us": 900, "p99_us": 1200, "max_us": 1300},
        },
        "orders": {"placed": 3, "confirmed": 2, "cancelled": {"customer": 1}},
        "books": [],
        "visits": [],
        "unread": false,
        "found": 0,
        "findings": [],
    })
}

fn slice(summary: Value) -> anyhow::Result<Slice> {
    let summary: Summary = serde_json::from_value(summary)?;
    summary.slice(&CUSTOMERS, Duration::from_millis(2500))
}

#[test]
fn a_clean_run_counts_every_try() {
    let expected =
        Slice { requests: 42, seconds: 2.5, errors: 0, figure: None, fell_behind: false };
    assert_eq!(slice(clean()).unwrap(), expected);
}

#[test]
fn nothing_else_is_worth_a_figure() {
    let check = |changes: Value, is_the_shops: bool, expected: &str| {
        let mut summary = clean();
        summary["clean"] = json!(false);
        for (field, value) in changes.as_object().unwrap() {
            summary[field] = value.clone();
        }
        let error = slice(summary).unwrap_err();
        assert_eq!(error.to_string(), expected);
        assert_eq!(error.is::<Unbalanced>(), is_the_shops, "{expected}");
    };
    check(
        json!({"books": ["2 orders are under way"]}),
        true,
        "the shop's books do not balance: 2 orders are under way",
    );
    check(
        json!({"books": ["a", "b", "c", "d", "e"], "found": 1, "findings": ["f"]}),
        true,
        "the shop's books do not balance: a; b; c; and 2 more",
    );
    check(
        json!({"books": ["a"], "unread": true, "found": 2, "findings": ["status 502", "cut"]}),
        false,
        "2 findings: status 502; cut",
    );
    check(
        json!({"found": 300, "findings": ["a", "b", "c", "d"]}),
        false,
        "300 findings: a; b; c; and 297 more",
    );
    check(json!({"books": ["a"], "unread": true}), false, "the shop's books could not be read");
    check(
        json!({"visits": ["customer 1: welcomed 2 times"]}),
        false,
        "customers miss something: customer 1: welcomed 2 times",
    );
    check(json!({"clean": true, "orders": {"placed": 2}}), false, "2 of 3 orders were placed");
    check(json!({}), false, "the simulator says that its run was not clean, and not why");
}

#[test]
fn an_account_of_another_form_is_an_error() {
    for field in ["requests", "books", "visits", "unread", "found"] {
        let mut summary = clean();
        summary.as_object_mut().unwrap().remove(field);
        let error = slice(summary).unwrap_err().to_string();
        assert!(error.contains(field), "{error}");
    }
}
