//! Lines of the gateway's access log as a table for people.

use std::time::Duration;

use serde_json::Value;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

use crate::client::USER_AGENT;
use crate::say;

/// How simulated customers call themselves.
const SIMULATED: &str = "shop-simulator";
/// Lines are handed over in batches, a fraction of a second after their requests.
const PATIENCE: Duration = Duration::from_secs(30);

/// The lines of the next `count` requests that the customer sent; fewer if they do not come.
pub(crate) async fn of_customer(log: &mut mpsc::Receiver<String>, count: usize) -> Vec<Value> {
    let deadline = Instant::now() + PATIENCE;
    let mut lines = Vec::with_capacity(count);
    while lines.len() < count {
        let Ok(Some(line)) = timeout_at(deadline, log.recv()).await else { break };
        if let Some(line) = parse(&line)
            && line["headers"]["user-agent"] == USER_AGENT
        {
            lines.push(line);
        }
    }
    lines
}

/// The line, if it is one of the access log.
pub(crate) fn parse(line: &str) -> Option<Value> {
    serde_json::from_str::<Value>(line).ok().filter(|line| line["request_id"].is_string())
}

/// Whether a simulated customer sent it. There are so many of these that no other would be seen.
pub(crate) fn is_simulated(line: &Value) -> bool {
    line["headers"]["user-agent"] == SIMULATED
}

pub(crate) fn print_heading() {
    say::line(format_args!(
        "  {:6} {:6} {:30} {:15} {:15} {:14} {:>9} {:>9}",
        "STATUS", "METHOD", "PATH", "ROUTE", "ENDPOINT", "REASON", "TOTAL ms", "OWN ms"
    ));
}

/// `OWN` is what remains when the wait for the upstream's first byte is taken off.
pub(crate) fn print(line: &Value) {
    let text = |name: &str| line[name].as_str().unwrap_or("-").to_owned();
    let total = line["duration_us"].as_u64().unwrap_or(0);
    say::line(format_args!(
        "  {:<6} {:6} {:30} {:15} {:15} {:14} {:>9} {:>9}",
        line["status"].as_u64().unwrap_or(0),
        text("method"),
        shortened(&path(line), 30),
        text("route"),
        text("endpoint"),
        text("reason"),
        milliseconds(total),
        milliseconds(total.saturating_sub(waited(line))),
    ));
}

fn path(line: &Value) -> String {
    let path = line["path"].as_str().unwrap_or_default();
    match line["query"].as_str() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    }
}

/// Microseconds between the choice of a route and the upstream's first byte.
fn waited(line: &Value) -> u64 {
    let at = |stage: &str| line["timeline_us"][stage].as_u64();
    match (line["upstream"].as_str(), at("route"), at("first_byte")) {
        (Some(_), Some(route), Some(first_byte)) => first_byte.saturating_sub(route),
        _ => 0,
    }
}

fn shortened(text: &str, length: usize) -> String {
    if text.chars().count() <= length {
        return text.to_owned();
    }
    let kept: String = text.chars().take(length - 1).collect();
    format!("{kept}…")
}

fn milliseconds(microseconds: u64) -> String {
    format!("{}.{:02}", microseconds / 1000, microseconds % 1000 / 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_paths_are_short() {
        assert_eq!(milliseconds(12_345), "12.34");
        assert_eq!(milliseconds(99), "0.09");
        assert_eq!(shortened("/v1/products", 12), "/v1/products");
        assert_eq!(shortened("/v1/products/x", 12), "/v1/product…");
    }

    #[test]
    fn the_wait_for_the_upstream_is_not_the_gateways_own() {
        let line =
            r#"{"request_id":"1","upstream":"u","timeline_us":{"route":40,"first_byte":940}}"#;
        assert_eq!(waited(&parse(line).unwrap()), 900);
        assert_eq!(waited(&parse(&line.replace("\"u\"", "null")).unwrap()), 0);
        assert!(!is_simulated(&parse(line).unwrap()));
        let simulated = line.replace(
            "\"upstream\"",
            "\"headers\":{\"user-agent\":\"shop-simulator\"},\"upstream\"",
        );
        assert!(is_simulated(&parse(&simulated).unwrap()));
        assert!(parse("{\"level\":\"info\"}").is_none());
        assert!(parse("listening").is_none());
    }
}
