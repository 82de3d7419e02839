//! Simulated customers, all at once; behind them the shop's books must balance to the cent.

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::programs::Premises;
use crate::say;
use crate::shop::Shop;

const CUSTOMERS: u32 = 6;
/// By all of them together; so few that the demo stays short.
const ORDERS: u32 = 30;
const SUMMARY: &str = "crowd.json";

/// Shows what the crowd says; 1 if something is wrong with the shop.
pub(crate) async fn comes(shop: &mut Shop, premises: &Premises<'_>) -> anyhow::Result<usize> {
    say::line(format_args!(
        "\n{CUSTOMERS} more customers come at once; behind them the books are checked"
    ));
    let simulator = premises.simulator(CUSTOMERS, ORDERS, SUMMARY);
    let status = shop.run(&simulator, premises, show).await?;
    let result = std::fs::read_to_string(premises.file(SUMMARY))
        .context("the crowd left no summary")
        .and_then(|text| judge(&text));
    Ok(match result {
        Ok(what) if status.success() => {
            say::line(format_args!("✓ the crowd: {what}"));
            0
        }
        Ok(_) => {
            say::line(format_args!("✗ the crowd: {} ended with {status}", simulator.name));
            1
        }
        Err(error) => {
            say::line(format_args!("✗ the crowd ({status}): {error:#}"));
            1
        }
    })
}

fn show(line: &str) {
    let margin = if line.is_empty() { "" } else { "  " };
    say::line(format_args!("{margin}{line}"));
}

/// What the summary comes to. The simulator has compared the books with what its customers did.
fn judge(summary: &str) -> anyhow::Result<String> {
    let summary: Value = serde_json::from_str(summary).context("the summary is no JSON")?;
    let count = |name: &str| {
        let found = summary["orders"][name].as_u64();
        found.with_context(|| format!("the summary does not say how many orders were {name}"))
    };
    let (placed, confirmed) = (count("placed")?, count("confirmed")?);
    ensure!(
        summary["clean"] == true,
        "the books do not balance, or customers were not well served"
    );
    // An idle crowd proves nothing.
    ensure!(confirmed > 0, "none of {placed} orders was confirmed");
    Ok(format!("{placed} orders, {confirmed} of them confirmed, and the books balance"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_clean_summary_of_real_orders_is_good() {
        let check = |summary: &str, fine: bool| {
            assert_eq!(judge(summary).is_ok(), fine, "{summary}");
        };
        check(r#"{"clean": true, "orders": {"placed": 3, "confirmed": 1}}"#, true);
        check(r#"{"clean": true, "orders": {"placed": 3, "confirmed": 0}}"#, false);
        check(r#"{"clean": false, "orders": {"placed": 3, "confirmed": 1}}"#, false);
        check(r#"{"clean": true, "orders": {}}"#, false);
        check("", false);
    }
}
