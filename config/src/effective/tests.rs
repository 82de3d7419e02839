use super::*;
use crate::load::parse_str_with;
use crate::secrets::SecretSource;

struct Secret;

impl SecretSource for Secret {
    fn environment(&self, _: &str) -> Result<String, String> {
        Ok("hunter2".to_owned())
    }

    fn file(&self, _: &Path) -> Result<String, String> {
        Ok("hunter2\n".to_owned())
    }
}

const TEXT: &str = r#"
version: v1
listeners: [{name: public, address: "[::]:8080"}]
defaults: {timeouts: {response: 20s}}
upstreams: [{name: users, endpoints: [{address: "127.0.0.1:7001"}]}]
routes:
  - name: users
    match: {path: {regex: "/u/.*"}, methods: [GET]}
    backends: [{upstream: users}]
    requestHeaders: {set: [{name: authorization, value: "Bearer ${env:KEY}"}]}
  - {name: reply, reply: {body: "${file:body}"}}
admin: {address: "127.0.0.1:9901", token: "${file:token}"}
"#;

#[test]
fn secrets_are_used_and_never_shown() {
    let loaded = parse_str_with("a.yaml", TEXT, &Secret).unwrap();
    let admin = loaded.config.admin.as_ref().unwrap();
    assert_eq!(admin.token.as_ref().unwrap().expose(), "hunter2");
    let shown = effective(&loaded.config).to_string();
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(!format!("{:?}", loaded.config).contains("hunter2"));
    assert!(shown.contains("Bearer ${env:KEY}") && shown.contains("${file:token}"));
}

#[test]
fn a_bad_secret_is_not_shown_either() {
    struct Bad;
    impl SecretSource for Bad {
        fn environment(&self, _: &str) -> Result<String, String> {
            Ok("hunter2\nhunter2 ".to_owned())
        }
        fn file(&self, _: &Path) -> Result<String, String> {
            Ok("hunter2 hunter2".to_owned())
        }
    }
    let text = TEXT
        .replace("\"127.0.0.1:7001\"", "\"${env:A}:7001\"")
        .replace("\"[::]:8080\"", "\"unix:${env:A}/hunter\"")
        .replace("routes:", "  - {name: v, endpoints: [{dns: \"${env:A}\", port: 1}]}\nroutes:");
    let text = text.replace(
        "}]}]\n  - {name: v",
        "}]}, {name: w, endpoints: [{dns: \"${env:A}\", port: 1}]}]\n#",
    );
    let failed = parse_str_with("a.yaml", &text, &Bad).unwrap_err();
    let shown = failed.report.render(&failed.sources, false);
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("does not resolve to an address"), "{shown}");
    assert!(shown.contains("does not resolve to a host name"), "{shown}");
    assert!(shown.contains("control characters"), "{shown}");
    assert!(shown.contains("the token is empty"), "{shown}");
}

#[test]
fn values_say_where_they_come_from() {
    let loaded = parse_str_with("a.yaml", TEXT, &Secret).unwrap();
    let shown = effective(&loaded.config);
    let route = &shown["routes"][0];
    assert_eq!(
        route["timeouts"],
        json!({
            "response": {"value": "20s", "origin": "defaults, a.yaml:4:33"},
            "perTry": {"value": "20s", "origin": "as `response`: defaults, a.yaml:4:33"},
            "idle": {"value": "1m", "origin": "built-in default"},
        })
    );
    assert_eq!(route["match"], json!({"path": {"regex": "/u/.*"}, "methods": ["GET"]}));
    assert_eq!(route["backends"], json!([{"upstream": "users", "weight": 1}]));
    assert_eq!(shown["listeners"][0]["requestLimits"]["uri"]["value"], "16KiB");
    assert_eq!(shown["listeners"][0]["address"], "[::]:8080");
    assert_eq!(shown["shutdown"]["drainTimeout"]["value"], "30s");
    assert_eq!(shown["limits"]["memory"], json!({"value": "auto", "origin": "built-in default"}));
}

#[test]
fn what_holds_for_long_connections_is_shown() {
    let listener = "[::]:8080\", upgrades: [], connectionLimits: {maxAge: 1h}";
    let text = TEXT.replace("[::]:8080\"", listener).replace(
        "    backends: [{upstream: users}]",
        "    websocket: {maxAge: 12h, drain: {closeCode: 1012}}\n    backends: [{upstream: users}]",
    );
    let shown = effective(&parse_str_with("a.yaml", &text, &Secret).unwrap().config);
    assert_eq!(shown["listeners"][0]["upgrades"], json!([]));
    assert_eq!(shown["listeners"][0]["connectionLimits"]["maxAge"]["value"], "1h");
    let websocket = &shown["routes"][0]["websocket"];
    assert_eq!(websocket["idleTimeout"], json!({"value": "5m", "origin": "built-in default"}));
    assert_eq!(websocket["maxAge"]["value"], "12h");
    assert_eq!(websocket["drain"]["closeCode"]["value"], 1012);
    assert_eq!(websocket["drain"]["jitter"]["value"], "30s");
}
