use super::super::registry::compile_one;
use super::super::testing::{Asking, ask, of_route};
use crate::message::Known;

#[test]
fn what_holds_for_tls_alone_is_said_over_tls_alone() {
    let policy = compile_one(&of_route(
        "securityHeaders: {preset: basic, frameOptions: false, referrerPolicy: same-origin}",
    ))
    .unwrap();
    let plain = ask(&policy, &Asking::new("GET /", &[]));
    let secure = ask(&policy, &Asking::new("GET /", &[]).over_tls());
    assert_eq!((plain.verdict.as_str(), secure.verdict.as_str()), ("pass", "pass"));
    assert!(!plain.response.contains("strict-transport-security"), "{}", plain.response);
    assert!(secure.response.contains("strict-transport-security: max-age="), "{}", secure.response);
    for found in [&plain, &secure] {
        assert!(found.response.contains("x-content-type-options: nosniff|"), "{}", found.response);
        assert!(found.response.contains("referrer-policy: same-origin|"), "{}", found.response);
        assert!(!found.response.contains("x-frame-options"), "{}", found.response);
        assert!(found.lists.response.drops(b"Referrer-Policy", Known::Other));
        assert!(!found.lists.response.drops(b"X-Frame-Options", Known::Other));
    }
}
