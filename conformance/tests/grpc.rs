//! gRPC.
#[test]
fn builds() {}
