//! Streams and their states: h2spec's section 5.

use portcullis_testkit::h2::frame::{
    END_HEADERS, END_STREAM, INITIAL_WINDOW_SIZE, PING, WHOLE, WITH_PRIORITY, continuation, data,
    frame, get, headers, priority, request, reset, settings, window_update,
};

use super::{Case, ENDED, case, connection, stream};

pub(super) fn cases() -> impl Iterator<Item = Case> {
    let head = get("/", &[]);
    let whole = || headers(1, WHOLE, get("/", &[]));
    let post = || headers(1, END_HEADERS, request("POST", "/", &[]));
    let more = || continuation(1, END_HEADERS, &head[..9]);
    // Nothing is answered while there is no window for it, so that streams stay open.
    let held = || settings(&[(INITIAL_WINDOW_SIZE, 0)]);
    let of_itself = [&1_u32.to_be_bytes()[..], &[15], &head].concat();
    let unknown = || frame(0xff, 0, 0, [0; 8]);
    let many = (0..101_u32).map(|at| headers(2 * at + 1, END_HEADERS, request("POST", "/", &[])));
    vec![
        case(
            "5.1/1 DATA on an idle stream",
            vec![data(1, END_STREAM, "test")],
            connection("PROTOCOL_ERROR"),
        ),
        case("5.1/2 RST_STREAM on an idle stream", vec![reset(1, 8)], connection("PROTOCOL_ERROR")),
        case(
            "5.1/3 WINDOW_UPDATE on an idle stream",
            vec![window_update(1, 100)],
            connection("PROTOCOL_ERROR"),
        ),
        case("5.1/4 CONTINUATION on an idle stream", vec![more()], connection("PROTOCOL_ERROR")),
        case(
            "5.1/5 DATA on a half closed stream",
            vec![whole(), data(1, END_STREAM, "test")],
            stream("STREAM_CLOSED"),
        )
        .ours("goaway PROTOCOL_ERROR, close", ENDED),
        case(
            "5.1/6 HEADERS on a half closed stream",
            vec![whole(), whole()],
            stream("STREAM_CLOSED"),
        )
        .ours("goaway PROTOCOL_ERROR, close", ENDED),
        case(
            "5.1/7 CONTINUATION on a half closed stream",
            vec![whole(), more()],
            format!("{} | {}", connection("PROTOCOL_ERROR"), stream("STREAM_CLOSED")),
        ),
        case(
            "5.1/8 DATA behind a reset",
            vec![post(), reset(1, 8), data(1, END_STREAM, "test")],
            stream("STREAM_CLOSED"),
        ),
        case(
            "5.1/9 HEADERS behind a reset",
            vec![post(), reset(1, 8), whole()],
            stream("STREAM_CLOSED"),
        )
        .ours("goaway PROTOCOL_ERROR, close", ENDED),
        case(
            "5.1/10 CONTINUATION behind a reset",
            vec![post(), reset(1, 8), more()],
            format!("{} | {}", connection("PROTOCOL_ERROR"), stream("STREAM_CLOSED")),
        ),
        case(
            "5.1/11 DATA on a closed stream",
            vec![whole()],
            format!("200, {} | 200, goaway STREAM_CLOSED, close", stream("STREAM_CLOSED")),
        )
        .then(vec![data(1, END_STREAM, "test")]),
        case(
            "5.1/12 HEADERS on a closed stream",
            vec![whole()],
            "200, goaway STREAM_CLOSED, close | 200, goaway PROTOCOL_ERROR, close",
        )
        .then(vec![whole()]),
        case(
            "5.1/13 CONTINUATION on a closed stream",
            vec![whole()],
            "200, goaway STREAM_CLOSED, close | 200, goaway PROTOCOL_ERROR, close",
        )
        .then(vec![more()]),
        case(
            "5.1.1/1 a stream of the server's",
            vec![headers(2, WHOLE, &head)],
            connection("PROTOCOL_ERROR"),
        ),
        case(
            "5.1.1/2 a stream below the last one",
            vec![headers(5, WHOLE, &head), headers(3, WHOLE, &head)],
            connection("PROTOCOL_ERROR"),
        ),
        case(
            "5.1.2/1 stream 101",
            std::iter::once(held()).chain(many).collect(),
            "confirmed, reset REFUSED_STREAM, alive",
        ),
        case(
            "5.3.1/1 a head that depends on itself",
            vec![headers(1, WHOLE | WITH_PRIORITY, of_itself)],
            stream("PROTOCOL_ERROR"),
        ),
        case(
            "5.3.1/2 a priority that depends on itself",
            vec![whole(), priority(1, 1, 15)],
            stream("PROTOCOL_ERROR"),
        ),
        case(
            "5.4.1/1 an error ends the connection",
            vec![frame(PING, 0, 1, [0; 8])],
            connection("PROTOCOL_ERROR"),
        ),
        case(
            "5.4.1/2 and says so first",
            vec![frame(PING, 0, 1, [0; 8])],
            connection("PROTOCOL_ERROR"),
        ),
        case("5.5/1 an extension", vec![unknown()], "alive"),
        case(
            "5.5/2 an extension inside a head",
            vec![headers(1, END_STREAM, &head[..9]), unknown()],
            connection("PROTOCOL_ERROR"),
        ),
    ]
    .into_iter()
}
