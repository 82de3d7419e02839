use super::super::registry::compile_one;
use super::super::testing::{Asking, ask, of_route};

#[test]
fn deny_wins_and_an_allow_shuts_out_all_others() {
    const DENIED: &str = "address-denied: AddressDenied";
    const UNLISTED: &str = "address-denied: AddressNotAllowed";
    for (rules, client, verdict) in [
        ("allow: [10.0.0.0/8], deny: [10.1.0.0/16]", "10.2.3.4", "pass"),
        ("allow: [10.0.0.0/8], deny: [10.1.0.0/16]", "10.1.3.4", DENIED),
        ("allow: [10.0.0.0/8], deny: [10.1.0.0/16]", "11.0.0.1", UNLISTED),
        ("allow: [10.0.0.0/8]", "::1", UNLISTED),
        ("allow: [\"2001:db8::/32\"]", "2001:db8::7", "pass"),
        ("deny: [10.0.0.0/8]", "11.0.0.1", "pass"),
        ("deny: [10.0.0.0/8]", "10.0.0.1", DENIED),
        ("deny: [10.0.0.0/8]", "", "pass"),
        ("allow: [10.0.0.0/8]", "", UNLISTED),
    ] {
        let policy = compile_one(&of_route(&format!("addressRules: {{{rules}}}"))).unwrap();
        let asking = Asking::new("GET /", &[]);
        let asking = if client.is_empty() { asking } else { asking.from(client) };
        assert_eq!(ask(&policy, &asking).verdict, verdict, "{rules}: {client}");
    }
}
