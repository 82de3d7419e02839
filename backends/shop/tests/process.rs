//! The shop as a process: how fast and how large it is, that an order goes through it, how it ends.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Instant;

use serde_json::{Value, json};
use shop_platform::testing::{self, PATIENCE, Program, Signal};

const PROGRAM: &str = env!("CARGO_BIN_EXE_shop");
const SERVICES: [&str; 5] = ["users", "products", "payments", "orders", "notifications"];

struct Shop {
    program: Program,
    addresses: BTreeMap<String, String>,
}

impl Shop {
    fn start(directory: &tempfile::TempDir) -> Self {
        let mut program = Program::start(&mut command(directory));
        let mut addresses = BTreeMap::new();
        loop {
            let line = program.line();
            if line == "ready" {
                break;
            }
            let (name, rest) = line.split_once(" listening on http://").expect(&line);
            let address = rest.split(' ').next().unwrap_or(rest);
            addresses.insert(name.to_owned(), address.to_owned());
        }
        Self { program, addresses }
    }

    fn send(&self, service: &str, request: &Request<'_>) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.addresses[service]).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let body = request.body.as_ref().map(Value::to_string).unwrap_or_default();
        let mut text = format!("{} {} HTTP/1.1\r\nhost: shop\r\n", request.method, request.path);
        text.push_str(&format!("connection: close\r\ncontent-length: {}\r\n", body.len()));
        if let Some(token) = request.token {
            text.push_str(&format!("authorization: Bearer {token}\r\n"));
        }
        if request.body.is_some() {
            text.push_str("content-type: application/json\r\nidempotency-key: the-only-one\r\n");
        }
        stream.write_all(format!("{text}\r\n{body}").as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        let body = answer.split_once("\r\n\r\n").map_or("", |(_, body)| body);
        (status, serde_json::from_str(body).unwrap_or(Value::Null))
    }

    fn get(&self, service: &str, path: &str, token: Option<&str>) -> (u16, Value) {
        self.send(service, &Request { method: "GET", path, token, body: None })
    }

    fn post(&self, service: &str, path: &str, token: Option<&str>, body: Value) -> (u16, Value) {
        self.send(service, &Request { method: "POST", path, token, body: Some(body) })
    }

    /// Asks until the answer is as it should be. Each question is a pause for the next.
    fn ask_until(
        &self,
        service: &str,
        path: &str,
        token: &str,
        right: impl Fn(&Value) -> bool,
    ) -> Value {
        let asked = Instant::now();
        loop {
            let (status, answer) = self.get(service, path, Some(token));
            if status == 200 && right(&answer) {
                return answer;
            }
            assert!(asked.elapsed() < PATIENCE, "{service} {path}: {status} {answer}");
        }
    }

    /// A field of `/proc/PID/status` in kibibytes.
    fn memory(&self, field: &str) -> u64 {
        let path = format!("/proc/{}/status", self.program.id());
        let status = std::fs::read_to_string(path).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix(field));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok()).unwrap_or(0)
    }

    fn stop(self) -> ExitStatus {
        self.program.stop(Signal::TERM).status
    }
}

struct Request<'a> {
    method: &'a str,
    path: &'a str,
    token: Option<&'a str>,
    body: Option<Value>,
}

fn command(directory: &tempfile::TempDir) -> Command {
    let mut command = testing::command(PROGRAM);
    for service in SERVICES {
        command.args([format!("--{service}-listen").as_str(), "127.0.0.1:0"]);
    }
    for service in ["products", "payments"] {
        command.args([format!("--{service}-grpc-listen").as_str(), "127.0.0.1:0"]);
    }
    command.args(["--data", &directory.path().join("data").display().to_string()]);
    command.args(["--log-level", "warn"]);
    // Longer than its end is waited for: nothing may wait for a drain to run out.
    command.env("SHOP_DRAIN_TIMEOUT", "600s").stderr(Stdio::inherit());
    command
}

#[test]
fn it_starts_answers_and_ends_with_zero() {
    let directory = tempfile::tempdir().unwrap();
    let begun = Instant::now();
    let shop = Shop::start(&directory);
    for service in SERVICES {
        assert_eq!(shop.get(service, "/readyz", None).0, 200, "{service}");
    }
    let first = begun.elapsed();
    let resident = shop.memory("VmRSS");
    let asked = Instant::now();
    assert_eq!(shop.stop().code(), Some(0));
    let stopped = asked.elapsed();

    let begun = Instant::now();
    let shop = Shop::start(&directory);
    for service in SERVICES {
        assert_eq!(shop.get(service, "/readyz", None).0, 200, "{service}");
    }
    println!(
        "the first start to five services ready: {first:?}; with data there: {:?}; resident: {} \
         and {} KiB; stopped in {:?}",
        begun.elapsed(),
        resident,
        shop.memory("VmRSS"),
        stopped,
    );
    assert_eq!(shop.stop().code(), Some(0));
    for service in SERVICES {
        let log = directory.path().join(format!("data/{service}.db-wal"));
        assert!(!log.exists(), "{service} folded its log in");
    }
}

#[test]
fn an_order_goes_through_all_of_it() {
    let directory = tempfile::tempdir().unwrap();
    let shop = Shop::start(&directory);
    let password = "correct horse battery";
    let ada = json!({"email": "ada@example.com", "password": password, "display_name": "Ada"});
    let (status, account) = shop.post("users", "/v1/users", None, ada);
    assert_eq!(status, 201, "{account}");
    let login = json!({"email": "ada@example.com", "password": password});
    let (status, session) = shop.post("users", "/v1/sessions", None, login);
    assert_eq!(status, 200, "{session}");
    let token = session["access_token"].as_str().unwrap();

    let (_, catalogue) = shop.get("products", "/v1/products?per_page=1", None);
    let product = &catalogue["items"][0]["id"];
    let card =
        json!({"card_number": "4242 4242 4242 4242", "expiry_month": 12, "expiry_year": 2090});
    let (status, method) = shop.post("payments", "/v1/payment-methods", Some(token), card);
    assert_eq!(status, 201, "{method}");
    let order = json!({"lines": [{"product_id": product, "quantity": 2}],
        "payment_method": method["id"]});
    let (status, order) = shop.post("orders", "/v1/orders", Some(token), order);
    assert_eq!(status, 202, "{order}");

    let path = format!("/v1/orders/{}", order["id"].as_str().unwrap());
    let order = shop.ask_until("orders", &path, token, |order| {
        matches!(order["state"].as_str(), Some("confirmed" | "cancelled"))
    });
    assert_eq!(order["state"], "confirmed", "{order}");
    let told = shop.ask_until("notifications", "/v1/notifications", token, |told| {
        told["items"].as_array().is_some_and(|items| items.len() == 4)
    });
    let mut kinds: Vec<&str> =
        told["items"].as_array().unwrap().iter().filter_map(|item| item["kind"].as_str()).collect();
    kinds.sort_unstable();
    let expected = ["order.confirmed", "order.placed", "payment.captured", "user.registered"];
    assert_eq!(kinds, expected);
    shop.ask_until("notifications", "/v1/notifications", token, |told| {
        told["items"].as_array().unwrap().iter().all(|item| item["letter"] == "sent")
    });
    let letters = std::fs::read_dir(directory.path().join("data/mail")).unwrap().count();
    assert_eq!(letters, 4);
    println!("resident after an order: {} KiB", shop.memory("VmRSS"));
    assert_eq!(shop.stop().code(), Some(0));
}

#[test]
fn it_ends_with_two_for_wrong_flags_and_one_for_a_world_that_is_not_ready() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let file = format!("sqlite:{}", file.display());
    for (arguments, code) in [
        (&["--unknown"][..], 2),
        (&["--databases", "mysql://localhost"], 2),
        (&["--broker", "log::memory:"], 2),
        (&["--mail", "pigeon:loft"], 2),
        (&["--databases", &file], 1),
        (&["--help"], 0),
        (&["--version"], 0),
    ] {
        let mut command = command(&directory);
        let output = command.args(arguments).stderr(Stdio::piped()).output().unwrap();
        let log = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {log}");
    }
    let mut wrong = command(&directory);
    let output = wrong.env("SHOP_USERS_TOKEN_LIFETIME", "soon").stderr(Stdio::piped()).output();
    assert_eq!(output.unwrap().status.code(), Some(2), "a wrong variable is a usage error too");

    let mut command = testing::command(PROGRAM);
    let data = directory.path().join("other").display().to_string();
    command.args(["--users-listen", &taken, "--data", &data]).stdin(Stdio::null());
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains(&taken), "it names the address");
}
