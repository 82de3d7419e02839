use std::time::Duration;

use crate::load::{Loaded, parse_str};
use crate::location::Origin;
use crate::model::{
    AccessLogSink, Action, BalancePolicy, Config, Forward, HostHandling, HttpListener,
    ListenerKind, MemoryLimit, Trust, Underscores, Workers,
};
use crate::values::{PathPattern, Share};

fn load(text: &str) -> Loaded {
    parse_str("a.yaml", text).unwrap_or_else(|failed| {
        panic!("{}", failed.report.render(&failed.sources, false));
    })
}

fn http(config: &Config) -> &HttpListener {
    match &config.listeners[0].kind {
        ListenerKind::Http(http) => http,
        other => panic!("an http listener, not {}", other.word()),
    }
}

fn forward(config: &Config, route: usize) -> &Forward {
    match &config.routes[route].action {
        Action::Forward(forward) => forward,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_nobody_says_is_built_in() {
    let config = load(include_str!("../../examples/minimal.yaml")).config;
    let seconds = Duration::from_secs;
    assert_eq!(config.workers, Workers::Auto);
    let http = http(&config);
    assert_eq!(http.request_limits.header_bytes.value, 61_440);
    assert_eq!(http.request_limits.headers.value, 100);
    assert_eq!(http.request_limits.uri.value, 16_384);
    assert_eq!(http.request_limits.body.value, 10 * 1024 * 1024);
    assert_eq!(http.connection_limits.max.get(), 50_000);
    assert_eq!(http.timeouts.head.value, seconds(10));
    assert_eq!(http.timeouts.idle.value, seconds(75));
    assert_eq!(http.timeouts.body.value, seconds(30));
    assert_eq!(http.timeouts.handshake.value, seconds(10));
    assert_eq!(http.header_underscores, Underscores::Reject);
    assert_eq!(http.trust, Trust::None);
    assert!(http.upgrades.websocket);
    assert!(http.tls.is_none());
    let upstream = &config.upstreams[0];
    assert_eq!(upstream.load_balancer.policy.value, BalancePolicy::RoundRobin);
    assert_eq!(upstream.concurrency.max_connections.get(), 1_024);
    assert_eq!(upstream.concurrency.max_pending.value, 1_024);
    assert_eq!(upstream.keep_alive.max_idle.value, 256);
    assert_eq!(upstream.keep_alive.idle_timeout.value, seconds(30));
    assert_eq!(upstream.connect_timeout.value, seconds(5));
    let route = forward(&config, 0);
    assert_eq!(route.timeouts.response.value, seconds(15));
    assert_eq!(route.timeouts.per_try.value, seconds(5));
    assert_eq!(route.timeouts.idle.value, seconds(60));
    assert_eq!(route.retry.retries.value, 1);
    let websocket = &route.websocket;
    assert_eq!(websocket.idle_timeout.value, seconds(5 * 60));
    assert!(websocket.max_age.is_none());
    assert_eq!(websocket.drain.close_code.get(), 1001);
    assert_eq!(websocket.drain.jitter.value, seconds(30));
    assert_eq!(route.host, HostHandling::Preserve);
    assert!(matches!(&config.routes[0].matcher.path, PathPattern::Prefix(root) if root.is_empty()));
    assert_eq!(config.access_log.sink, AccessLogSink::Stdout);
    assert_eq!(config.access_log.sample, Share::ALL);
    assert!(config.access_log.timeline && config.admin.is_none());
    assert_eq!(config.shutdown.drain_timeout.value, seconds(30));
    assert_eq!(config.limits.memory.value, MemoryLimit::Auto);
    for origin in [&http.timeouts.head.origin, &route.timeouts.idle.origin] {
        assert_eq!(origin, &Origin::BuiltIn);
    }
}

#[test]
fn the_nearest_level_holds_and_says_so() {
    let config = load(
        "version: v1\n\
         listeners: [{name: a, address: \"[::]:80\", requestLimits: {headerBytes: 4KiB}}]\n\
         defaults:\n  \
           timeouts: {response: 20s, perTry: 2s}\n  \
           keepAlive: {maxIdle: 7}\n  \
           loadBalancer: {policy: maglev, hash: {path: true}, slowStart: 9s}\n\
         upstreams:\n  \
           - {name: u, endpoints: [{address: \"127.0.0.1:1\"}], keepAlive: {maxIdle: 8}}\n  \
           - {name: v, endpoints: [{address: \"127.0.0.1:2\"}], loadBalancer: {policy: random}}\n\
         routes:\n  \
           - {name: r, backends: [{upstream: u}, {upstream: v}], timeouts: {perTry: 3s}}\n",
    )
    .config;
    let route = forward(&config, 0);
    assert_eq!(route.timeouts.response.origin.to_string(), "defaults, a.yaml:4:24");
    assert_eq!(route.timeouts.per_try.origin.to_string(), "route, a.yaml:11:76");
    assert_eq!(route.timeouts.per_try.value, Duration::from_secs(3));
    assert_eq!(config.upstreams[0].keep_alive.max_idle.origin.to_string(), "upstream, a.yaml:8:75");
    assert_eq!(config.upstreams[1].keep_alive.max_idle.value, 7);
    assert!(matches!(config.upstreams[0].load_balancer.policy.value, BalancePolicy::Maglev(_)));
    assert_eq!(config.upstreams[1].load_balancer.policy.value, BalancePolicy::Random);
    assert_eq!(config.upstreams[1].load_balancer.slow_start, Some(Duration::from_secs(9)));
    // A built-in limit of the target gives way to a smaller head.
    assert_eq!(http(&config).request_limits.uri.value, 4_096);
}

/// Who decides `perTry`: the nearest level that says it, unless a nearer one says `response` alone.
#[test]
fn a_try_has_what_was_written_for_it() {
    for (defaults, route, response, per_try, origin) in [
        // Neither is written.
        ("", "", "15s", "5s", "built-in default"),
        ("idle: 9s", "idle: 8s", "15s", "5s", "built-in default"),
        // `response` alone: one try may take all of it.
        ("", "response: 30s", "30s", "30s", "as `response`: route, a.yaml:6:63"),
        ("", "response: 2s", "2s", "2s", "as `response`: route, a.yaml:6:63"),
        ("response: 30s", "", "30s", "30s", "as `response`: defaults, a.yaml:3:33"),
        ("response: 3s", "idle: 8s", "3s", "3s", "as `response`: defaults, a.yaml:3:33"),
        ("response: 20s", "response: 30s", "30s", "30s", "as `response`: route, a.yaml:6:63"),
        // `perTry` alone.
        ("", "perTry: 4s", "15s", "4s", "route, a.yaml:6:61"),
        ("perTry: 4s", "", "15s", "4s", "defaults, a.yaml:3:31"),
        ("perTry: 4s", "perTry: 3s", "15s", "3s", "route, a.yaml:6:61"),
        // Both at one level.
        ("", "response: 30s, perTry: 6s", "30s", "6s", "route, a.yaml:6:76"),
        ("response: 30s, perTry: 6s", "", "30s", "6s", "defaults, a.yaml:3:46"),
        // `perTry` nearer than `response`.
        ("response: 30s", "perTry: 6s", "30s", "6s", "route, a.yaml:6:61"),
        ("response: 30s, perTry: 6s", "perTry: 7s", "30s", "7s", "route, a.yaml:6:61"),
        // `response` nearer than `perTry`.
        ("perTry: 6s", "response: 30s", "30s", "30s", "as `response`: route, a.yaml:6:63"),
        ("perTry: 6s", "response: 2s", "2s", "2s", "as `response`: route, a.yaml:6:63"),
        (
            "response: 15s, perTry: 5s",
            "response: 30s",
            "30s",
            "30s",
            "as `response`: route, a.yaml:6:63",
        ),
        (
            "response: 15s, perTry: 5s",
            "response: 30s, perTry: 9s",
            "30s",
            "9s",
            "route, a.yaml:6:76",
        ),
    ] {
        let text = format!(
            "version: v1\n\
             listeners: [{{name: a, address: \"[::]:80\"}}]\n\
             defaults: {{timeouts: {{{defaults}}}}}\n\
             upstreams: [{{name: u, endpoints: [{{address: \"127.0.0.1:1\"}}]}}]\n\
             routes:\n  \
               - {{name: r, backends: [{{upstream: u}}], timeouts: {{{route}}}}}\n"
        );
        let loaded = load(&text);
        assert!(loaded.warnings.is_empty(), "{text}");
        let timeouts = &forward(&loaded.config, 0).timeouts;
        let shown = |one| crate::units::format_duration(one);
        let found = (shown(timeouts.response.value), shown(timeouts.per_try.value));
        assert_eq!(found, (response.to_owned(), per_try.to_owned()), "{text}");
        assert_eq!(timeouts.per_try.origin.to_string(), origin, "{text}");
    }
}

#[test]
fn an_expression_matches_the_whole() {
    let config = load(
        "version: v1\n\
         listeners: [{name: a, address: \"[::]:80\"}]\n\
         routes: [{name: r, match: {path: {regex: \"/a|/b\"}}, reply: {}}]\n",
    )
    .config;
    let PathPattern::Regex(regex) = &config.routes[0].matcher.path else { panic!("a regex") };
    assert!(regex.is_match("/a") && regex.is_match("/b"));
    assert!(!regex.is_match("/a/b") && !regex.is_match("/ab"));
}

#[test]
fn trust_is_of_addresses_or_of_hops() {
    let minimal = include_str!("../../examples/minimal.yaml");
    let trust = |keys: &str| {
        let text = minimal.replacen("name: public", &format!("name: public, {keys}"), 1);
        assert_ne!(text, minimal);
        http(&load(&text).config).trust.clone()
    };
    let peer = |text: &str| Some(text.parse().unwrap());
    let proxies = trust("trustedProxies: [10.0.0.0/8, \"fd00::/8\"]");
    assert!(proxies.covers(peer("10.1.2.3")) && proxies.covers(peer("::ffff:10.1.2.3")));
    assert!(!proxies.covers(peer("192.0.2.1")) && !proxies.covers(None));
    let hops = trust("trustedHops: 2");
    assert!(hops.covers(peer("192.0.2.1")) && hops.covers(None));
    assert_eq!(trust("trustedProxies: []"), Trust::None);
    assert!(!Trust::None.covers(peer("127.0.0.1")) && !Trust::None.covers(None));
}
