//! All rows of the suite, in the order in which they run.
//!
//! This is the place to read what is measured and what is expected of it; how stands elsewhere.

use std::time::Duration;

use crate::load::{Load, grpc, h2load, handshakes, latency, memory, shop, websocket, wrk};
use crate::reload::Reloads;
use crate::row::{Against, Change, Contestant, Row, Target, absolute, against, against_the_best};
use crate::setting::{Cores, Listener, Origin, Policies, Setting};

const PORTCULLIS: Contestant = Contestant::of("portcullis");
const HAPROXY: Contestant = Contestant::of("haproxy");
const NGINX: Contestant = Contestant::of("nginx");
/// The least that forwarding can cost: it reads nothing of what it passes on.
const FLOOR: Contestant = Contestant::of("floor");

const ENVOY: Contestant = Contestant::of("envoy");
const CADDY: Contestant = Contestant::of("caddy");

const PROXIES: &[Contestant] = &[PORTCULLIS, HAPROXY, NGINX, ENVOY, CADDY];
const PROXIES_AND_FLOOR: &[Contestant] = &[PORTCULLIS, HAPROXY, NGINX, ENVOY, CADDY, FLOOR];

const MANY_ROUTES: Contestant = Contestant::with("portcullis", &[Change::Routes(10_000)]);

const PER_REQUEST: &str = "us/request";

/// What most rows share: see the fields that a row sets.
const USUAL: Row = Row {
    name: "",
    group: "",
    title: "",
    unit: PER_REQUEST,
    load: Load::Http1(SMALL),
    setting: Setting::PLAIN,
    contestants: PROXIES,
    targets: &[],
    rounds: 15,
    length: 1,
    counted: false,
    quick: false,
};

/// A row of which a ratio is judged. It has more rounds, because the machine drifts and the bound of
/// the median narrows with their number.
const JUDGED: Row = Row { rounds: 31, ..USUAL };

/// A browser's GET, answered with 128 bytes.
const SMALL: wrk::Requests = wrk::Requests { path: "/128", connections: 64, body: 0 };

/// The rows that compare, each measured by [`crate::rounds`].
pub(crate) const ROWS: &[Row] = &[
    Row {
        name: "small",
        group: "small",
        title: "GET of 128 bytes, eight request headers, 64 connections, all logged",
        contestants: PROXIES_AND_FLOOR,
        targets: &[
            against("haproxy", 0.82),
            against("nginx", 0.75),
            against("envoy", 0.38),
            against("floor", 1.20),
        ],
        counted: true,
        quick: true,
        ..JUDGED
    },
    Row {
        name: "small-nolog",
        group: "small",
        title: "the same without any access log",
        setting: Setting { logs: false, ..Setting::PLAIN },
        contestants: PROXIES_AND_FLOOR,
        counted: true,
        ..USUAL
    },
    Row {
        name: "connections-8",
        group: "connections",
        title: "GET of 128 bytes over 8 connections",
        load: Load::Http1(wrk::Requests { connections: 8, ..SMALL }),
        ..USUAL
    },
    Row {
        name: "connections-256",
        group: "connections",
        title: "GET of 128 bytes over 256 connections",
        load: Load::Http1(wrk::Requests { connections: 256, ..SMALL }),
        ..USUAL
    },
    Row {
        name: "connections-4000",
        group: "connections",
        title: "GET of 128 bytes over 4,000 connections",
        load: Load::Http1(wrk::Requests { connections: 4_000, ..SMALL }),
        length: 3,
        ..USUAL
    },
    Row {
        name: "body-16k",
        group: "bodies",
        title: "GET of 16 KiB over 64 connections",
        load: Load::Http1(wrk::Requests { path: "/16k", ..SMALL }),
        targets: &[against_the_best(0.80)],
        counted: true,
        quick: true,
        ..JUDGED
    },
    Row {
        name: "post-16k",
        group: "bodies",
        title: "POST of 16 KiB over 64 connections, answered with 128 bytes",
        load: Load::Http1(wrk::Requests { body: 16 * 1024, ..SMALL }),
        targets: &[against_the_best(0.80)],
        counted: true,
        quick: true,
        ..JUDGED
    },
    Row {
        name: "body-1m",
        group: "bodies",
        title: "GET of 1 MiB over 64 connections",
        load: Load::Http1(wrk::Requests { path: "/1m", ..SMALL }),
        targets: &[against_the_best(0.80)],
        quick: true,
        ..JUDGED
    },
    Row {
        name: "h2c",
        group: "http2",
        title: "GET of 128 bytes by HTTP/2, 8 connections with 8 streams each; HTTP/1 to the origin",
        load: Load::Http2(h2load::Requests { path: "/128", under_way: 64, message: 0 }),
        setting: Setting { listener: Listener::H2c, ..Setting::PLAIN },
        targets: &[against("haproxy", 1.10), against("nginx", 0.50)],
        quick: true,
        ..JUDGED
    },
    Row {
        name: "tls-bulk",
        group: "tls",
        title: "GET of 1 MiB under TLS 1.3 (AES-128-GCM) over 64 connections; plain to the origin",
        load: Load::Http1(wrk::Requests { path: "/1m", ..SMALL }),
        setting: Setting { listener: Listener::Tls, ..Setting::PLAIN },
        ..USUAL
    },
    Row {
        name: "grpc-unary",
        group: "grpc",
        title: "unary call of gRPC, a message of 64 bytes each way, 8 connections with 8 streams each",
        load: Load::Http2(h2load::Requests {
            path: "/shop.Catalogue/Find",
            under_way: 64,
            message: 64,
        }),
        setting: Setting { listener: Listener::H2c, origin: Origin::Grpc, ..Setting::PLAIN },
        ..USUAL
    },
    Row {
        name: "routes",
        group: "routes",
        title: "GET of 128 bytes by the last of 1 to 10,000 routes, each with its own host and path",
        contestants: &[
            Contestant::with("portcullis", &[Change::Routes(1)]),
            Contestant::with("portcullis", &[Change::Routes(10)]),
            Contestant::with("portcullis", &[Change::Routes(100)]),
            Contestant::with("portcullis", &[Change::Routes(1_000)]),
            MANY_ROUTES,
            Contestant::with("haproxy", &[Change::Routes(10_000)]),
            Contestant::with("nginx", &[Change::Routes(10_000)]),
            Contestant::with("envoy", &[Change::Routes(10_000)]),
        ],
        targets: &[Target {
            of: "portcullis routes=10000",
            against: Against::Contestant("portcullis routes=1"),
            at_most: 1.05,
        }],
        ..JUDGED
    },
    Row {
        name: "workers",
        group: "workers",
        title: "GET of 128 bytes by one worker and by two, not pinned to cores",
        setting: Setting { cores: Cores::Shared, ..Setting::PLAIN },
        contestants: &[
            Contestant::with("portcullis", &[Change::Workers(1)]),
            Contestant::with("portcullis", &[Change::Workers(2)]),
            Contestant::with("haproxy", &[Change::Workers(2)]),
            Contestant::with("nginx", &[Change::Workers(2)]),
        ],
        targets: &[Target {
            of: "portcullis workers=2",
            against: Against::Contestant("portcullis workers=1"),
            at_most: 1.05,
        }],
        ..JUDGED
    },
    Row {
        name: "policies",
        group: "policies",
        title: "GET of 128 bytes with the fewest policies possible, the default ones, and all",
        contestants: &[
            Contestant::with("portcullis", &[Change::Policies(Policies::Default)]),
            Contestant::with("portcullis", &[Change::Policies(Policies::Off)]),
            Contestant::with("portcullis", &[Change::Policies(Policies::All)]),
            HAPROXY,
        ],
        counted: true,
        ..USUAL
    },
    Row {
        name: "latency",
        group: "latency",
        title: "99th percentile at 40 % of HAProxy's capacity, arrivals at random, 64 connections",
        unit: "us",
        load: Load::Latency(latency::Requests {
            path: "/128",
            connections: 64,
            rate: latency::Rate::ShareOfCapacity(0.4),
        }),
        // Without Caddy, whose capacity is less than that share of HAProxy's.
        contestants: &[PORTCULLIS, HAPROXY, NGINX, ENVOY],
        targets: &[against("haproxy", 1.10)],
        quick: true,
        ..JUDGED
    },
    Row {
        name: "tls-handshake",
        group: "tls",
        title: "connect, full handshake (TLS 1.3, X25519, ECDSA P-256), one GET of 128 bytes, close",
        unit: "us/connection",
        load: Load::Handshakes(handshakes::Clients { kind: handshakes::Kind::Full, count: 8 }),
        setting: Setting { listener: Listener::Tls, ..Setting::PLAIN },
        targets: &[against("envoy", 0.70)],
        quick: true,
        ..JUDGED
    },
    Row {
        name: "tls-resumed",
        group: "tls",
        title: "the same, resumed by a ticket of the connection before, with X25519 anew",
        unit: "us/connection",
        load: Load::Handshakes(handshakes::Clients { kind: handshakes::Kind::Resumed, count: 8 }),
        setting: Setting { listener: Listener::Tls, ..Setting::PLAIN },
        ..USUAL
    },
    Row {
        name: "websocket",
        group: "streams",
        title: "WebSocket messages of 128 bytes there and back, 64 connections",
        unit: "us/message",
        load: Load::WebSocket(websocket::Clients { connections: 64 }),
        setting: Setting { origin: Origin::WebSocketEcho, logs: false, ..Setting::PLAIN },
        ..USUAL
    },
    Row {
        name: "grpc-stream",
        group: "streams",
        title: "gRPC messages of 64 bytes there and back, 4 connections with 16 calls each",
        unit: "us/message",
        load: Load::GrpcStreams(grpc::Clients { connections: 4, streams: 16 }),
        setting: Setting {
            listener: Listener::H2c,
            origin: Origin::GrpcEcho,
            logs: false,
            ..Setting::PLAIN
        },
        quick: true,
        ..USUAL
    },
    Row {
        name: "shop",
        group: "shop",
        title: "customers of the shop: 60 orders with all that leads to them and follows, by HTTP and WebSocket",
        load: Load::Shop(shop::Customers { count: 12, orders: 60, seed: 7 }),
        setting: Setting { origin: Origin::Shop, ..Setting::PLAIN },
        ..USUAL
    },
    Row {
        name: "rest",
        group: "memory",
        title: "memory of a process that has served nothing",
        unit: "MiB",
        load: Load::Memory(memory::Held::Rest),
        rounds: 5,
        targets: &[absolute(12.0)],
        ..USUAL
    },
    Row {
        name: "idle",
        group: "memory",
        title: "memory for each of 5,000 connections that wait after one request",
        unit: "KiB/connection",
        load: Load::Memory(memory::Held::Idle { connections: 5_000 }),
        rounds: 5,
        targets: &[absolute(1.5)],
        ..USUAL
    },
    Row {
        name: "stalled",
        group: "memory",
        title: "memory for each of 200 clients that stopped reading in the middle of a response",
        unit: "KiB/connection",
        load: Load::Memory(memory::Held::Stalled { clients: 200 }),
        rounds: 5,
        ..USUAL
    },
];

/// The last row, which compares nobody and is measured by [`crate::reload`].
pub(crate) const RELOAD: Reloads = Reloads {
    name: "reload",
    group: "reload",
    title: "reloads of 10,000 routes under an open loop at 40 % of its capacity: 99th percentile",
    routes: 10_000,
    load: 0.4,
    reloads: 1_000,
    reloads_if_quick: 10,
    time: Duration::from_secs(6 * 60),
    slower: 2.0,
    larger: 1.10,
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::engines::Engine;
    use crate::row::Against;

    #[test]
    fn rows_name_what_there_is() {
        let names: BTreeSet<_> = ROWS.iter().map(|row| row.name).chain([RELOAD.name]).collect();
        assert_eq!(names.len(), ROWS.len() + 1, "every name is there once");
        for row in ROWS {
            let labels: Vec<String> = row.contestants.iter().map(Contestant::label).collect();
            for contestant in row.contestants {
                assert!(Engine::find(contestant.engine).is_ok(), "{}", row.name);
            }
            for target in row.targets {
                assert!(labels.iter().any(|label| label == target.of), "{}", row.name);
                if let Against::Contestant(other) = target.against {
                    assert!(labels.iter().any(|label| label == other), "{}: {other}", row.name);
                }
            }
            assert!(row.rounds >= 5, "{}: fewer rounds give no bound", row.name);
            let compared =
                row.targets.iter().any(|target| !matches!(target.against, Against::Nothing));
            assert_eq!(row.rounds == JUDGED.rounds, compared, "{}", row.name);
            let pinned = row.setting.cores == Cores::Split;
            assert!(
                pinned || row.group == "workers",
                "{}: one core unless it is about cores",
                row.name
            );
        }
    }
}
