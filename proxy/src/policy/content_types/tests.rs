use super::super::registry::compile_one;
use super::super::testing::{Asking, ask, of_route};

#[test]
fn a_body_is_of_one_listed_type() {
    let policy =
        compile_one(&of_route("contentTypes: {allow: [application/json, \"image/*\"]}")).unwrap();
    const BODY: (&str, &str) = ("content-length", "3");
    let kind = |value| ("content-type", value);
    let refused = |rule: &str| format!("content-type-unsupported: ContentType{rule}");
    for (lines, verdict) in [
        (vec![BODY, kind("application/json")], "pass".to_owned()),
        (vec![BODY, kind("Application/JSON; charset=utf-8")], "pass".to_owned()),
        (vec![BODY, kind("image/png")], "pass".to_owned()),
        (vec![("transfer-encoding", "chunked"), kind("image/png")], "pass".to_owned()),
        (vec![BODY, kind("application/json5")], refused("Other")),
        (vec![BODY, kind("text/plain")], refused("Other")),
        (vec![BODY, kind("")], refused("Other")),
        (vec![BODY], refused("Missing")),
        (vec![("transfer-encoding", "chunked")], refused("Missing")),
        (vec![BODY, kind("image/png"), kind("image/png")], refused("Repeated")),
        (vec![kind("text/plain")], "pass".to_owned()),
        (vec![("content-length", "0"), kind("text/plain")], "pass".to_owned()),
    ] {
        assert_eq!(ask(&policy, &Asking::new("POST /", &lines)).verdict, verdict, "{lines:?}");
    }
}
