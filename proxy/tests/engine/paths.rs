//! However a path is written, whoever looks at it sees the same one: the table, the record, the
//! upstream. Otherwise what a route refuses or asks a login for could be reached around it.

use portcullis_config::model::ListenerId;
use portcullis_proxy::decide::{DecisionScratch, Facts, Site, Step, decide};
use portcullis_proxy::http1::{RequestRules, parse_request};
use portcullis_proxy::message::{RequestHead, RequestParts};
use portcullis_proxy::route::{Table, compile};
use portcullis_testkit::http::Request;
use portcullis_testkit::origin::ScriptedOrigin;

use crate::harness::{Gate, always};

const SEPARATORS: [&str; 16] = [
    "/", "//", "/./", "/%2e/", "%2f", "%2F", "/%2f", "\\", "%5c", "%5C", "%252f", ";/", ";x/",
    "/;x/", "%3b/", "/x/../",
];
const CLIMBS: [&str; 18] = [
    "..",
    "%2e%2e",
    "%2E%2E",
    "%2e%2E",
    ".%2e",
    "%2e.",
    "%252e%252e",
    "..;",
    "..;x",
    "..%3bx",
    "..%00",
    "..%20",
    "..%09",
    ".",
    "...",
    "%c0%ae%c0%ae",
    "%u002e%u002e",
    "x/../..",
];
/// In the place of `/public/../admin`, or besides it.
const OTHERS: [&str; 40] = [
    "/",
    "/admin",
    "//admin",
    "///admin",
    "/./admin",
    "/%61dmin",
    "/%61%64%6d%69%6e",
    "/%41dmin",
    "/ADMIN",
    "/Admin",
    "/admin/",
    "/admin//x",
    "/admin/..",
    "/admin/../public",
    "/admin;x",
    "/admin;/x",
    "/;/admin",
    "/;x/admin",
    "/admin%2fx",
    "/admin%2F..%2fpublic",
    "/admin%5cx",
    "/admin\\x",
    "/admin%00",
    "/admin%00/x",
    "/admin\0",
    "/ad\0min",
    "/admin%",
    "/admin%2",
    "/admin%zz",
    "/admin%20",
    "/admin .",
    "/admin\t",
    "/admin#x",
    "/admin?/../public",
    "/admin%3f",
    "/admin%23",
    "/adm%E4n",
    "/public?/admin",
    "/%2561dmin",
    "/admin.",
];

fn variants() -> Vec<String> {
    let mut variants: Vec<_> = OTHERS.map(str::to_owned).into();
    for separator in SEPARATORS {
        for climb in CLIMBS {
            variants.push(format!("/public{separator}{climb}/admin/x"));
            variants.push(format!("/admin/{climb}{separator}public"));
        }
        variants.push(format!("{separator}admin"));
        variants.push(format!("/public/%2e%2e{separator}admin"));
    }
    variants.sort();
    variants.dedup();
    variants
}

/// A route taken and the path that goes with it; `None` is a refusal.
type Taken = Option<(String, String)>;

fn blocks(public: &str, admin: &str) -> String {
    format!(
        "listeners:\n  - {{name: front, address: \"127.0.0.1:0\"}}\n\
         upstreams:\n\
         \x20 - {{name: public, endpoints: [{{address: \"{public}\"}}]}}\n\
         \x20 - {{name: admin, endpoints: [{{address: \"{admin}\"}}]}}\n\
         routes:\n\
         \x20 - {{name: public, backends: [{{upstream: public}}]}}\n\
         \x20 - {{name: admin, match: {{path: {{prefix: /admin}}}}, backends: [{{upstream: admin}}]}}\n"
    )
}

fn request(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: a.test\r\n\r\n")
}

/// What the codec and the decision make of it, without a socket.
fn decided(table: &Table, path: &str) -> Taken {
    let rules = RequestRules {
        head_bytes: 4096,
        uri_bytes: 1024,
        headers: 10,
        underscores: portcullis_config::model::Underscores::Reject,
    };
    let (text, mut parts) = (request(path), RequestParts::default());
    parse_request(text.as_bytes(), &rules, &mut parts).ok()?;
    let facts = Facts::of(RequestHead { bytes: text.as_bytes(), parts: &parts });
    let mut scratch = DecisionScratch::default();
    match decide(&Site::bare(table), &facts, &mut scratch) {
        Step::Plan(plan) => {
            let path = String::from_utf8(plan.path(&facts.head, &scratch).to_vec()).unwrap();
            Some((plan.route.name.clone(), path))
        }
        Step::Reject(_) => None,
        other @ (Step::Respond(_) | Step::Ask(_)) => panic!("{other:?}"),
    }
}

/// Where servers that read more into a path than its text arrive: escapes decoded, backslashes
/// as slashes, dots resolved with or without parameters, NUL as the end. A parameter on a name is
/// part of the name for us, and is not among them.
fn read_by_others(path: &str) -> Vec<String> {
    let decode = |text: &str| {
        let bytes = text.as_bytes();
        let (mut out, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let digits = text.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
            match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
                Some(byte) => {
                    out.push(byte);
                    at += 3;
                }
                None => {
                    out.push(bytes[at]);
                    at += 1;
                }
            }
        }
        String::from_utf8_lossy(&out).into_owned()
    };
    let resolve = |text: &str| {
        let text = text.split('\0').next().unwrap().replace('\\', "/");
        let mut stack = Vec::new();
        for segment in text.split('/') {
            match segment.split(';').next() {
                Some("..") => _ = stack.pop(),
                Some(".") => {}
                _ if segment.is_empty() => {}
                _ => stack.push(segment.to_owned()),
            }
        }
        format!("/{}", stack.join("/"))
    };
    vec![resolve(path), resolve(&decode(path))]
}

fn is_admin(path: &str) -> bool {
    path == "/admin" || path.starts_with("/admin/")
}

#[tokio::test]
async fn a_path_is_refused_or_everybody_sees_the_same_one() {
    let public = ScriptedOrigin::start([always("ok")]).await.unwrap();
    let admin = ScriptedOrigin::start([always("ok")]).await.unwrap();
    let blocks = blocks(&public.address().to_string(), &admin.address().to_string());
    let config = portcullis_config::parse_str("a.yaml", &format!("version: v1\n{blocks}"))
        .unwrap_or_else(|failed| panic!("{failed:?}"))
        .config;
    let table = Table::for_listener(&compile(&config, &[]).unwrap(), ListenerId(0));

    let variants = variants();
    let gate = Gate::of(&blocks).await;
    let mut client = gate.client().await;
    let mut connections = 1;
    for path in &variants {
        client.send(request(path).as_bytes()).await.unwrap();
        // Only what cannot be read as a request ends the connection.
        if !client.response().await.unwrap().keep_alive() {
            client = gate.client().await;
            connections += 1;
        }
    }
    drop(client);
    let records = gate.records().await;
    assert_eq!(records.len(), variants.len());
    let (mut to_public, mut to_admin) =
        (public.requests().into_iter(), admin.requests().into_iter());
    let sent = |request: Option<Request>| {
        let target = request.unwrap().target;
        target.split('?').next().unwrap().to_owned()
    };

    let (mut passed, mut refused) = (0, 0);
    for (written, record) in variants.iter().zip(&records) {
        let decided = decided(&table, written);
        if record["status"] == 400 {
            assert_eq!(decided, None, "{written:?}: {record}");
            refused += 1;
            continue;
        }
        assert_eq!(record["status"], 200, "{written:?}: {record}");
        let route = record["route"].as_str().unwrap();
        let matched = record.get("normalized_path").unwrap_or(&record["path"]).as_str().unwrap();
        let sent = sent(if route == "admin" { to_admin.next() } else { to_public.next() });
        assert_eq!(matched, sent, "{written:?}");
        assert_eq!(decided, Some((route.to_owned(), sent.clone())), "{written:?}");
        for reading in read_by_others(&sent) {
            assert_eq!(is_admin(&reading), route == "admin", "{written:?}: {sent} as {reading}");
        }
        passed += 1;
    }
    assert!(to_public.next().is_none() && to_admin.next().is_none());
    assert!(passed >= 100 && refused >= 100, "{passed} passed, {refused} refused");
    assert!(connections < 20, "{connections}");
}
