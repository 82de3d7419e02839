//! The preface and the frames: h2spec's sections 3.5, 4 and 6, and 7.

use portcullis_testkit::h2::frame::{
    ACK, CONTINUATION, DATA, ENABLE_PUSH, END_HEADERS, END_STREAM, GOAWAY, HEADERS,
    INITIAL_WINDOW_SIZE, MAX_FRAME_SIZE, PADDED, PING, PREFACE, PRIORITY, PUSH_PROMISE, RST_STREAM,
    SETTINGS, WHOLE, WINDOW_UPDATE, block, continuation, data, frame, get, go_away, headers, ping,
    pong, priority, request, reset, settings, window_update,
};

use super::{CODE, Case, ENDED, case, connection, stream};

const MOST: u32 = 0x7fff_ffff;

pub(super) fn cases() -> impl Iterator<Item = Case> {
    preface_and_framing()
        .into_iter()
        .chain(data_to_reset())
        .chain(settings_to_window())
        .chain(rest())
}

fn post() -> Vec<u8> {
    headers(1, END_HEADERS, request("POST", "/", &[]))
}

fn whole() -> Vec<u8> {
    headers(1, WHOLE, get("/", &[]))
}

fn preface_and_framing() -> Vec<Case> {
    // A head of 16 KiB and a bit, in one frame that is too long.
    let large = get("/", &[("x-large", &"a".repeat(16 * 1024))]);
    vec![
        case("3.5/1 the preface", vec![PREFACE.to_vec(), settings(&[])], "confirmed, alive").raw(),
        case(
            "3.5/2 another preface",
            vec![b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n".to_vec()],
            "close | goaway PROTOCOL_ERROR, close",
        )
        .raw(),
        case("4.1/1 a frame of unknown type", vec![frame(0xff, 0, 0, [0; 8])], "alive"),
        case(
            "4.1/2 a flag of unknown meaning",
            vec![frame(PING, 0xf0, 0, *b"h2spec__")],
            "pong, alive",
        ),
        case("4.1/3 the reserved bit", vec![frame(PING, 0, MOST + 1, *b"h2spec__")], "pong, alive"),
        case(
            "4.2/1 the longest DATA",
            vec![post(), data(1, END_STREAM, [b'a'; 16_384])],
            "200, alive",
        ),
        case(
            "4.2/2 a DATA too long",
            vec![post(), data(1, END_STREAM, [b'a'; 16_385])],
            stream("FRAME_SIZE_ERROR"),
        ),
        case(
            "4.2/3 a HEADERS too long",
            vec![headers(1, WHOLE, large)],
            connection("FRAME_SIZE_ERROR"),
        ),
        // An incremental literal whose name is cut off.
        case(
            "4.3/1 a header block that is none",
            vec![headers(1, WHOLE, [0x40])],
            connection("COMPRESSION_ERROR"),
        )
        .ours("goaway PROTOCOL_ERROR, close", CODE),
        case(
            "4.3/2 a PRIORITY inside a head",
            vec![headers(1, END_STREAM, get("/", &[])), priority(1, 0, 15)],
            connection("PROTOCOL_ERROR"),
        ),
        case(
            "4.3/3 a HEADERS of another stream inside a head",
            vec![headers(1, END_STREAM, get("/", &[])), headers(3, WHOLE, get("/", &[]))],
            connection("PROTOCOL_ERROR"),
        ),
    ]
}

fn data_to_reset() -> Vec<Case> {
    vec![
        case(
            "6.1/1 DATA on stream 0",
            vec![data(0, END_STREAM, "test")],
            connection("PROTOCOL_ERROR"),
        ),
        case(
            "6.1/2 DATA on a half closed stream",
            vec![whole(), data(1, END_STREAM, "test")],
            stream("STREAM_CLOSED"),
        )
        .ours("goaway PROTOCOL_ERROR, close", ENDED),
        case(
            "6.1/3 DATA with more padding than bytes",
            vec![post(), frame(DATA, END_STREAM | PADDED, 1, b"\x06Test")],
            connection("PROTOCOL_ERROR"),
        ),
        case(
            "6.2/1 a PRIORITY behind half a head",
            vec![headers(1, END_STREAM, get("/", &[])), priority(1, 0, 15)],
            connection("PROTOCOL_ERROR"),
        ),
        case(
            "6.2/2 another HEADERS behind half a head",
            vec![headers(1, END_STREAM, get("/", &[])), headers(3, END_STREAM, get("/", &[]))],
            connection("PROTOCOL_ERROR"),
        ),
        case(
            "6.2/3 HEADERS on stream 0",
            vec![headers(0, WHOLE, get("/", &[]))],
            connection("PROTOCOL_ERROR"),
        ),
        case(
            "6.2/4 HEADERS with more padding than bytes",
            vec![frame(HEADERS, WHOLE | PADDED, 1, [&[0xff][..], &get("/", &[])].concat())],
            connection("PROTOCOL_ERROR"),
        ),
        case("6.3/1 PRIORITY on stream 0", vec![priority(0, 0, 15)], connection("PROTOCOL_ERROR")),
        case(
            "6.3/2 PRIORITY of four bytes",
            vec![whole(), frame(PRIORITY, 0, 1, [0; 4])],
            stream("FRAME_SIZE_ERROR"),
        )
        .ours("goaway PROTOCOL_ERROR, close", CODE),
        case("6.4/1 RST_STREAM on stream 0", vec![reset(0, 8)], connection("PROTOCOL_ERROR")),
        case("6.4/2 RST_STREAM on an idle stream", vec![reset(1, 8)], connection("PROTOCOL_ERROR")),
        case(
            "6.4/3 RST_STREAM of three bytes",
            vec![post(), frame(RST_STREAM, 0, 1, [0; 3])],
            connection("FRAME_SIZE_ERROR"),
        )
        .ours("goaway PROTOCOL_ERROR, close", CODE),
    ]
}

fn settings_to_window() -> Vec<Case> {
    let setting = |id: u16, value: u32| vec![settings(&[(id, value)])];
    let window = |value: u32| settings(&[(INITIAL_WINDOW_SIZE, value)]);
    vec![
        case(
            "6.5/1 a confirmation with values",
            vec![frame(SETTINGS, ACK, 0, [0, 0, 0, 0, 0, 0])],
            connection("FRAME_SIZE_ERROR"),
        )
        .ours("goaway PROTOCOL_ERROR, close", CODE),
        case(
            "6.5/2 SETTINGS on a stream",
            vec![frame(SETTINGS, 0, 1, [0, 3, 0, 0, 0, 100])],
            connection("PROTOCOL_ERROR"),
        ),
        case(
            "6.5/3 SETTINGS of three bytes",
            vec![frame(SETTINGS, 0, 0, [0, 3, 0])],
            connection("FRAME_SIZE_ERROR"),
        )
        .ours("goaway PROTOCOL_ERROR, close", CODE),
        case("6.5.2/1 ENABLE_PUSH of 2", setting(ENABLE_PUSH, 2), connection("PROTOCOL_ERROR")),
        case(
            "6.5.2/2 INITIAL_WINDOW_SIZE above the most",
            setting(INITIAL_WINDOW_SIZE, MOST + 1),
            connection("FLOW_CONTROL_ERROR"),
        )
        .ours("goaway PROTOCOL_ERROR, close", CODE),
        case(
            "6.5.2/3 MAX_FRAME_SIZE below the least",
            setting(MAX_FRAME_SIZE, 16_383),
            connection("PROTOCOL_ERROR"),
        ),
        case(
            "6.5.2/4 MAX_FRAME_SIZE above the most",
            setting(MAX_FRAME_SIZE, 16_777_216),
            connection("PROTOCOL_ERROR"),
        ),
        case("6.5.2/5 an unknown setting", setting(0xff, 1), "confirmed, alive"),
        case(
            "6.5.3/1 of two values the later one counts",
            vec![settings(&[(INITIAL_WINDOW_SIZE, 100), (INITIAL_WINDOW_SIZE, 1)]), whole()],
            "confirmed, 200, data 1, alive",
        )
        .sizes(),
        case("6.5.3/2 settings are confirmed", vec![settings(&[])], "confirmed, alive"),
        case("6.7/1 a ping is answered", vec![ping(*b"h2spec__")], "pong, alive"),
        case(
            "6.7/2 the answer to a ping is not",
            vec![pong(*b"invalid_"), ping(*b"h2spec__")],
            "pong, alive",
        ),
        case(
            "6.7/3 PING on a stream",
            vec![frame(PING, 0, 1, [0; 8])],
            connection("PROTOCOL_ERROR"),
        ),
        case(
            "6.7/4 PING of six bytes",
            vec![frame(PING, 0, 0, [0; 6])],
            connection("FRAME_SIZE_ERROR"),
        )
        .ours("goaway PROTOCOL_ERROR, close", CODE),
        case(
            "6.8/1 GOAWAY on a stream",
            vec![frame(GOAWAY, 0, 1, [0; 8])],
            connection("PROTOCOL_ERROR"),
        ),
        case("6.9/1 a window of nothing", vec![window_update(0, 0)], connection("PROTOCOL_ERROR")),
        case(
            "6.9/2 a stream's window of nothing",
            vec![post(), window_update(1, 0)],
            stream("PROTOCOL_ERROR"),
        ),
        case(
            "6.9/3 WINDOW_UPDATE of three bytes",
            vec![frame(WINDOW_UPDATE, 0, 0, [0; 3])],
            connection("FRAME_SIZE_ERROR"),
        )
        .ours("goaway PROTOCOL_ERROR, close", CODE),
        case(
            "6.9.1/1 DATA fits the window",
            vec![window(1), whole()],
            "confirmed, 200, data 1, alive",
        )
        .sizes(),
        case(
            "6.9.1/2 a window above the most",
            vec![window_update(0, MOST), window_update(0, MOST)],
            connection("FLOW_CONTROL_ERROR"),
        ),
        case(
            "6.9.1/3 a stream's window above the most",
            vec![post(), window_update(1, MOST), window_update(1, MOST)],
            stream("FLOW_CONTROL_ERROR"),
        ),
        case(
            "6.9.2/1 a window that opens later",
            vec![window(0), whole(), window(1)],
            "confirmed, confirmed, 200, data 1, alive",
        )
        .sizes(),
        case(
            "6.9.2/2 a window below nothing",
            vec![window(3), whole()],
            "confirmed, 200, data 3, confirmed, data 1, alive",
        )
        .then(vec![])
        .then(vec![])
        .then(vec![window(2), window_update(1, 2)])
        .sizes(),
        case(
            "6.9.2/3 INITIAL_WINDOW_SIZE above the most",
            setting(INITIAL_WINDOW_SIZE, MOST + 1),
            connection("FLOW_CONTROL_ERROR"),
        )
        .ours("goaway PROTOCOL_ERROR, close", CODE),
    ]
}

fn rest() -> Vec<Case> {
    let head = get("/", &[]);
    let (first, second) = head.split_at(9);
    let more = |flags: u8| continuation(1, flags, block(&[("x-more", "1")]));
    vec![
        case(
            "6.10/1 a head in four",
            vec![
                headers(1, END_STREAM, first),
                continuation(1, 0, second),
                more(0),
                more(END_HEADERS),
            ],
            "200, alive",
        ),
        case(
            "6.10/2 DATA behind half a head",
            vec![headers(1, 0, first), continuation(1, 0, second), data(1, END_STREAM, "test")],
            connection("PROTOCOL_ERROR"),
        ),
        case(
            "6.10/3 CONTINUATION on stream 0",
            vec![headers(1, END_STREAM, first), frame(CONTINUATION, END_HEADERS, 0, second)],
            connection("PROTOCOL_ERROR"),
        ),
        case(
            "6.10/4 CONTINUATION behind a whole head",
            vec![headers(1, END_HEADERS, &head), more(END_HEADERS)],
            connection("PROTOCOL_ERROR"),
        ),
        case(
            "6.10/5 CONTINUATION behind the last CONTINUATION",
            vec![headers(1, 0, first), continuation(1, END_HEADERS, second), more(END_HEADERS)],
            connection("PROTOCOL_ERROR"),
        ),
        case(
            "6.10/6 CONTINUATION behind DATA",
            vec![post(), data(1, 0, "test"), more(END_HEADERS)],
            connection("PROTOCOL_ERROR"),
        ),
        case(
            "7/1 a goodbye with an unknown code",
            vec![go_away(0, 0xff)],
            "close | goaway NO_ERROR, close | alive",
        ),
        case("7/2 a reset with an unknown code", vec![post(), reset(1, 0xff)], "alive"),
        case(
            "8.2/1 PUSH_PROMISE from a client",
            vec![whole(), frame(PUSH_PROMISE, END_HEADERS, 1, [&[0, 0, 0, 3][..], &head].concat())],
            connection("PROTOCOL_ERROR"),
        ),
    ]
}
