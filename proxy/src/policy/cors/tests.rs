use super::super::Policy;
use super::super::registry::compile_one;
use super::super::testing::{Asking, ask, of_route};
use crate::message::Known;

fn cors(yaml: &str) -> Policy {
    compile_one(&of_route(&format!("cors: {{{yaml}}}"))).unwrap()
}

const LISTED: &str = "allowOrigins: [\"https://shop.example\", \"https://*.shop.example\"], \
     allowMethods: [GET, PUT], allowHeaders: [x-cart], exposeHeaders: [etag, x-page], \
     allowCredentials: true, maxAge: 10m";

#[test]
fn a_preflight_is_answered_or_refused_by_the_list_that_says_so() {
    let listed = cors(LISTED);
    let any = cors("allowOrigins: [\"*\"], allowHeaders: [\"*\"]");
    let leave = "vary: origin|access-control-allow-origin: https://a.shop.example|\
        access-control-allow-credentials: true|access-control-allow-methods: GET, PUT|\
        access-control-allow-headers: x-cart|access-control-max-age: 600|";
    let leave_any = "access-control-allow-origin: *|access-control-allow-methods: GET, HEAD, POST|\
        access-control-allow-headers: x-a, x-b, x-c|access-control-max-age: 5|";
    for (policy, origin, method, headers, verdict, response) in [
        (&listed, "https://a.shop.example", "PUT", "X-Cart, accept", "preflight", leave),
        (&listed, "https://a.shop.example", "GET", "", "preflight", leave),
        (&listed, "https://other.example", "PUT", "", "cors-refused: CorsOrigin", "vary: origin|"),
        (&listed, "http://shop.example", "PUT", "", "cors-refused: CorsOrigin", "vary: origin|"),
        (&listed, "null", "PUT", "", "cors-refused: CorsOrigin", "vary: origin|"),
        (
            &listed,
            "https://shop.example",
            "DELETE",
            "",
            "cors-refused: CorsMethod",
            "vary: origin|",
        ),
        (&listed, "https://shop.example", "put", "", "cors-refused: CorsMethod", "vary: origin|"),
        (
            &listed,
            "https://shop.example",
            "PUT",
            "x-other",
            "cors-refused: CorsHeader",
            "vary: origin|",
        ),
        (&any, "https://x.example", "POST", "x-a, x-b, x-c", "preflight", leave_any),
        (&any, "https://x.example", "PUT", "", "cors-refused: CorsMethod", ""),
    ] {
        let mut lines = vec![("origin", origin), ("access-control-request-method", method)];
        if !headers.is_empty() {
            lines.push(("access-control-request-headers", headers));
        }
        let found = ask(policy, &Asking::new("OPTIONS /", &lines));
        assert_eq!(found.verdict, verdict, "{origin} {method} {headers}");
        assert_eq!(found.response, response, "{origin} {method} {headers}");
    }
}

#[test]
fn a_request_goes_up_and_only_a_listed_origin_may_read_the_response() {
    let listed = cors(LISTED);
    let may_read = "vary: origin|access-control-allow-origin: https://shop.example|\
        access-control-allow-credentials: true|access-control-expose-headers: etag, x-page|";
    let origin = |origin| [("origin", origin)];
    for (start, lines, response) in [
        ("GET /", &origin("https://shop.example")[..], may_read),
        ("OPTIONS /", &origin("https://shop.example"), may_read),
        ("GET /", &origin("https://evil.example"), "vary: origin|"),
        ("GET /", &[], "vary: origin|"),
        ("GET /", &[("origin", "https://shop.example"); 2], "vary: origin|"),
        ("OPTIONS /", &[("access-control-request-method", "GET")], "vary: origin|"),
    ] {
        let found = ask(&listed, &Asking::new(start, lines));
        assert_eq!(
            (found.verdict.as_str(), found.response.as_str()),
            ("pass", response),
            "{lines:?}"
        );
        // What the upstream says of it does not go on; its other lines do.
        assert!(found.lists.response.drops(b"Access-Control-Allow-Origin", Known::Other));
        assert!(found.lists.response.drops(b"access-control-max-age", Known::Other));
        assert!(!found.lists.response.drops(b"vary", Known::Other));
        assert!(found.lists.request.is_empty());
    }
    let any = cors("allowOrigins: [\"*\"]");
    let found = ask(&any, &Asking::new("GET /", &[]));
    assert_eq!(found.response, "access-control-allow-origin: *|", "caches may keep it for scripts");
}
