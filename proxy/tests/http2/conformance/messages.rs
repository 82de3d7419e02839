//! What a request may be: h2spec's section 8.1.

use portcullis_testkit::h2::frame::{
    END_HEADERS, END_STREAM, WHOLE, block, data, get, headers, request,
};

use super::{Case, case, malformed, stream};

pub(super) fn cases() -> impl Iterator<Item = Case> {
    let post = |more: &[(&str, &str)]| headers(1, END_HEADERS, request("POST", "/", more));
    let whole = |more: &[(&str, &str)]| vec![headers(1, WHOLE, get("/", more))];
    let of = |fields: &[(&str, &str)]| vec![headers(1, WHOLE, block(fields))];
    let (method, scheme, path, authority) =
        ((":method", "GET"), (":scheme", "http"), (":path", "/"), (":authority", "a.test"));
    vec![
        case(
            "8.1/1 a second head that ends nothing",
            vec![post(&[]), headers(1, END_HEADERS, block(&[("x-test", "ok")]))],
            stream("PROTOCOL_ERROR"),
        ),
        case("8.1.2/1 a name in capitals", whole(&[("X-TEST", "ok")]), malformed()),
        case(
            "8.1.2.1/1 an unknown pseudo header",
            of(&[method, scheme, path, authority, (":test", "ok")]),
            malformed(),
        ),
        case(
            "8.1.2.1/2 a pseudo header of responses",
            of(&[method, scheme, path, authority, (":status", "200")]),
            malformed(),
        ),
        case(
            "8.1.2.1/3 a pseudo header in trailers",
            vec![post(&[]), data(1, 0, "test"), headers(1, WHOLE, block(&[method]))],
            malformed(),
        )
        .ours("200, alive", "the library drops them, so that nothing of them goes on"),
        case(
            "8.1.2.1/4 a pseudo header behind a field",
            of(&[method, scheme, authority, ("x-test", "ok"), path]),
            malformed(),
        ),
        case("8.1.2.2/1 connection", whole(&[("connection", "keep-alive")]), malformed()),
        case(
            "8.1.2.2/2 te other than trailers",
            whole(&[("te", "trailers, deflate")]),
            malformed(),
        ),
        case(
            "8.1.2.3/1 an empty :path",
            of(&[method, scheme, (":path", ""), authority]),
            malformed(),
        ),
        case("8.1.2.3/2 no :method", of(&[scheme, path, authority]), malformed()),
        case("8.1.2.3/3 no :scheme", of(&[method, path, authority]), malformed()),
        case("8.1.2.3/4 no :path", of(&[method, scheme, authority]), malformed()),
        case("8.1.2.3/5 two :method", of(&[method, scheme, path, authority, method]), malformed()),
        case("8.1.2.3/6 two :scheme", of(&[method, scheme, path, authority, scheme]), malformed()),
        case("8.1.2.3/7 two :path", of(&[method, scheme, path, authority, path]), malformed()),
        case(
            "8.1.2.6/1 a length of another body",
            vec![post(&[("content-length", "1")]), data(1, END_STREAM, "test")],
            malformed(),
        ),
        case(
            "8.1.2.6/2 a length of another body in two",
            vec![post(&[("content-length", "1")]), data(1, 0, "test"), data(1, END_STREAM, "test")],
            malformed(),
        ),
    ]
    .into_iter()
}
