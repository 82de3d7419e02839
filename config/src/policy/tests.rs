use std::sync::Arc;

use serde_json::{Value, json};

use crate::effective::effective;
use crate::load::{Loaded, parse_str};
use crate::model::ListenerId;
use crate::policy::Setting;
use crate::policy::security_headers::Preset;

/// Two listeners, of which the first one says something, and a third of bytes.
const TEXT: &str = r#"
version: v1
defaults:
  securityHeaders: {}
  contentTypes: {allow: [application/json]}
  addressRules: {deny: [192.0.2.1]}
listeners:
  - {name: public, address: "127.0.0.1:1", securityHeaders: {preset: strict}, contentTypes: disabled}
  - {name: inner, address: "127.0.0.1:2"}
  - {name: bytes, address: "127.0.0.1:3", kind: tcp}
  - {name: status, address: "127.0.0.1:4", kind: status}
upstreams: [{name: u, endpoints: [{address: "127.0.0.1:5"}]}]
routes:
  - {name: silent, reply: {}}
  - {name: own, match: {path: {exact: /own}}, securityHeaders: {frameOptions: false}, reply: {}}
  - {name: turned-off, match: {path: {exact: /off}}, securityHeaders: disabled, reply: {}}
  - {name: bound, listeners: [inner], match: {path: {exact: /bound}}, reply: {}}
  - {name: tunnel, listeners: [bytes], backends: [{upstream: u}]}
"#;

fn load(text: &str) -> Loaded {
    parse_str("a.yaml", text).unwrap_or_else(|failed| {
        panic!("{}", failed.report.render(&failed.sources, false));
    })
}

#[test]
fn the_innermost_level_holds_as_a_whole() {
    let config = load(TEXT).config;
    for (route, listener, expected) in [
        (0, 0, Some((Preset::Strict, 9, "listener, a.yaml:8:44"))),
        (0, 1, Some((Preset::Basic, 4, "defaults, a.yaml:4:3"))),
        // Of `strict` at the listener nothing is left.
        (1, 0, Some((Preset::Basic, 3, "route, a.yaml:15:47"))),
        (1, 1, Some((Preset::Basic, 3, "route, a.yaml:15:47"))),
        (2, 0, None),
        (2, 1, None),
        (3, 1, Some((Preset::Basic, 4, "defaults, a.yaml:4:3"))),
        // It does not carry the route.
        (3, 0, None),
    ] {
        let policies = config.routes[route].policies.at(ListenerId(listener));
        let found = policies.security_headers.get();
        let found = found.map(|one| (one.preset, one.headers.len(), one.origin.to_string()));
        let expected = expected.map(|(preset, many, origin)| (preset, many, origin.to_owned()));
        assert_eq!(found, expected, "{} {listener}", config.routes[route].name);
    }
    let disabled = &config.routes[2].policies.at(ListenerId(0)).security_headers;
    assert!(matches!(disabled, Setting::Disabled(origin) if origin.place().is_some()));
}

#[test]
fn what_is_inherited_is_shared() {
    let config = load(TEXT).config;
    let of_route = config.routes[0].policies.at(ListenerId(1)).security_headers.get().unwrap();
    let of_listener = config.listeners[1].policies.security_headers.get().unwrap();
    assert!(Arc::ptr_eq(of_route, of_listener));
}

#[test]
fn what_is_for_http_does_not_reach_bytes() {
    let config = load(TEXT).config;
    let tunnel = config.stream_routes[0].policies.at(ListenerId(2));
    for policies in [tunnel, &config.listeners[2].policies] {
        assert!(matches!(policies.content_types, Setting::Absent));
        assert!(matches!(policies.security_headers, Setting::Absent));
        assert!(policies.address_rules.get().is_some());
    }
    assert!(matches!(config.listeners[3].policies.address_rules, Setting::Absent));
}

#[test]
fn what_holds_is_shown_with_its_level() {
    let shown = effective(&load(TEXT).config);
    let [listeners, routes] = ["listeners", "routes"].map(|list| shown[list].as_array().unwrap());
    let origin = |one: &Value| one["origin"].as_str().unwrap_or_default().to_owned();
    assert_eq!(listeners[0]["securityHeaders"]["value"]["preset"], "strict");
    assert_eq!(origin(&listeners[1]["securityHeaders"]), "defaults, a.yaml:4:3");
    assert_eq!(
        listeners[0]["contentTypes"],
        json!({"value": "disabled", "origin": "listener, a.yaml:8:93"})
    );
    // One value where all listeners agree, else one for each.
    assert_eq!(origin(&routes[1]["securityHeaders"]), "route, a.yaml:15:47");
    let differing = routes[0]["securityHeaders"].as_array().unwrap();
    let by_listener: Vec<_> =
        differing.iter().map(|one| (&one["listeners"], origin(one))).collect();
    assert_eq!(
        by_listener,
        [
            (&json!(["public"]), "listener, a.yaml:8:44".to_owned()),
            (&json!(["inner"]), "defaults, a.yaml:4:3".to_owned()),
        ]
    );
    assert_eq!(routes[4]["addressRules"]["value"], json!({"deny": ["192.0.2.1/32"]}));
    assert_eq!(routes[4].get("contentTypes"), None);
    assert_eq!(listeners[3].get("addressRules"), None);
}

#[test]
fn files_are_named_once() {
    let text = TEXT.replace(
        "contentTypes: disabled}",
        "basicAuth: {file: b.htpasswd}, tls: {selfSigned: true}}",
    );
    let text =
        text.replace("  - {name: silent,", "  - {name: silent, basicAuth: {file: a.htpasswd},");
    let text =
        text.replace("{exact: /bound}},", "{exact: /bound}}, basicAuth: {file: ./a.htpasswd},");
    let config = load(&text).config;
    let files: Vec<_> = config.policy_files().iter().map(|one| one.path.file_name()).collect();
    assert_eq!(files, ["a.htpasswd", "b.htpasswd"].map(|name| Some(name.as_ref())));
    let auth = config.routes[0].policies.at(ListenerId(0)).basic_auth.get().unwrap();
    assert_eq!((auth.realm.as_str(), auth.strip_credentials), ("restricted", true));
    assert!(auth.forward_user.is_none());
}
