//! What every server must take: h2spec's generic cases 1 to 4.

use portcullis_testkit::h2::frame::{
    END_HEADERS, END_STREAM, INITIAL_WINDOW_SIZE, PADDED, PREFACE, WHOLE, WITH_PRIORITY,
    continuation, data, get, go_away, headers, ping, priority, request, reset, settings,
    settings_ack, window_update,
};

use super::{Case, case};

pub(super) fn cases() -> impl Iterator<Item = Case> {
    let post = request("POST", "/", &[]);
    let sized = request("POST", "/", &[("content-length", "8")]);
    let padded = |bytes: &[u8], pad: u8| [&[pad][..], bytes, &vec![0; pad.into()]].concat();
    let weighted =
        |on: u32, weight: u8| [&on.to_be_bytes()[..], &[weight], &get("/", &[])].concat();
    let exclusive = |stream: u32| stream | 0x8000_0000;
    let whole = || headers(1, WHOLE, get("/", &[]));
    let closed = |what: Vec<u8>| (vec![whole()], vec![what]);
    let (closed_window, closed_priority, closed_reset) =
        (closed(window_update(1, 1)), closed(priority(1, 0, 15)), closed(reset(1, 8)));
    vec![
        case(
            "1/1 a preface, then settings",
            vec![PREFACE.to_vec(), settings(&[])],
            "confirmed, alive",
        )
        .raw(),
        case("2/1 a priority for an idle stream", vec![priority(1, 0, 15), whole()], "200, alive"),
        case(
            "2/2 a window for a half closed stream",
            vec![settings(&[(INITIAL_WINDOW_SIZE, 0)]), whole(), window_update(1, 9)],
            "confirmed, 200, alive",
        ),
        case(
            "2/3 a priority for a half closed stream",
            vec![whole(), priority(1, 0, 15)],
            "200, alive",
        ),
        case("2/4 a reset of a half closed stream", vec![whole(), reset(1, 8)], "alive"),
        case("2/5 a window for a closed stream", closed_window.0, "200, alive")
            .then(closed_window.1),
        case("2/6 a priority for a closed stream", closed_priority.0, "200, alive")
            .then(closed_priority.1),
        case("2/7 a reset of a closed stream", closed_reset.0, "200, alive").then(closed_reset.1),
        case(
            "3.1/1 a body",
            vec![headers(1, END_HEADERS, &post), data(1, END_STREAM, "test")],
            "200, alive",
        ),
        case(
            "3.1/2 a body in two",
            vec![headers(1, END_HEADERS, &post), data(1, 0, "test"), data(1, END_STREAM, "test")],
            "200, alive",
        ),
        case(
            "3.1/3 a body with padding",
            vec![headers(1, END_HEADERS, &post), data(1, END_STREAM | PADDED, padded(b"test", 6))],
            "200, alive",
        ),
        case("3.2/1 a head", vec![whole()], "200, alive"),
        case(
            "3.2/2 a head with padding",
            vec![headers(1, WHOLE | PADDED, padded(&get("/", &[]), 6))],
            "200, alive",
        ),
        case(
            "3.2/3 a head with a priority",
            vec![headers(1, WHOLE | WITH_PRIORITY, weighted(0, 255))],
            "200, alive",
        ),
        case("3.3/1 the lowest priority", vec![priority(1, 0, 0), whole()], "200, alive"),
        case("3.3/2 the highest priority", vec![priority(1, 0, 255), whole()], "200, alive"),
        case(
            "3.3/3 an exclusive priority",
            vec![priority(1, exclusive(0), 255), whole()],
            "200, alive",
        ),
        case(
            "3.3/4 a priority before its stream",
            vec![priority(3, 0, 255), whole()],
            "200, alive",
        ),
        case(
            "3.3/5 a priority for a lower stream",
            vec![headers(3, WHOLE, get("/", &[])), priority(1, 0, 255)],
            "200, alive",
        ),
        case("3.4/1 a reset", vec![headers(1, END_HEADERS, &post), reset(1, 8)], "alive"),
        case("3.5/1 settings", vec![settings(&[(3, 100)])], "confirmed, alive"),
        case("3.7/1 a ping", vec![ping(*b"h2spec__")], "pong, alive"),
        case("3.8/1 a goodbye", vec![go_away(0, 0)], "close | goaway NO_ERROR, close | alive"),
        case("3.9/1 a window for the connection", vec![window_update(0, 1), whole()], "200, alive"),
        case("3.9/2 a window for a stream", vec![whole(), window_update(1, 1)], "200, alive"),
        case(
            "3.10/1 a head in two",
            {
                let block = get("/", &[]);
                let (first, second) = block.split_at(9);
                vec![headers(1, END_STREAM, first), continuation(1, END_HEADERS, second)]
            },
            "200, alive",
        ),
        case(
            "3.10/2 a head in three",
            {
                let block = get("/", &[]);
                vec![
                    headers(1, END_STREAM, &block[..1]),
                    continuation(1, 0, &block[1..9]),
                    continuation(1, END_HEADERS, &block[9..]),
                ]
            },
            "200, alive",
        ),
        case("4/1 GET", vec![whole()], "200, alive"),
        case("4/2 HEAD", vec![headers(1, WHOLE, request("HEAD", "/", &[]))], "200, alive"),
        case(
            "4/3 POST",
            vec![headers(1, END_HEADERS, &sized), data(1, END_STREAM, "testtest")],
            "200, alive",
        ),
        case(
            "4/4 POST with trailers",
            vec![
                headers(1, END_HEADERS, &post),
                data(1, 0, "test"),
                headers(1, WHOLE, portcullis_testkit::h2::frame::block(&[("x-test", "ok")])),
            ],
            "200, alive",
        ),
        case(
            "4/5 settings confirmed once",
            vec![settings_ack()],
            "goaway PROTOCOL_ERROR, close | alive",
        ),
    ]
    .into_iter()
}
