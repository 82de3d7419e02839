//! Clients that mean ill or know no better. What becomes of them is their affair; what becomes of
//! the others beside them is the run's.

use std::io;
use std::time::Duration;

use http::Request;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use super::load::{Doors, connect_http2};
use super::random::Random;
use crate::client::Stream;

/// Connections of each kind of slow client.
const SLOW: usize = 20;
/// Streams of a connection that resets them all, and how many come at once.
const RESETS: usize = 100;
const BURST: usize = 10;
const IDLE_PLAIN: usize = 300;
const IDLE_SECURE: usize = 60;

/// They last as long as the set.
pub(super) fn slow(clients: &mut JoinSet<()>, doors: &Doors, name: &str) {
    for number in 0..SLOW {
        let plain = doors.plain;
        clients.spawn(async move {
            loop {
                let _ = drip(plain).await;
                sleep(Duration::from_millis(50)).await;
            }
        });
        let path = format!("/one/4000000/{name}-reader-{number}");
        clients.spawn(async move {
            let _ = read_nothing(plain, &path).await;
        });
    }
}

async fn drip(address: std::net::SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /one/1/drip HTTP/1.1\r\nx-endless: ").await?;
    loop {
        stream.write_all(b"a").await?;
        let heard = timeout(Duration::from_millis(100), stream.read_u8()).await;
        if matches!(heard, Ok(Err(_))) {
            return Ok(());
        }
    }
}

async fn read_nothing(address: std::net::SocketAddr, path: &str) -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4096)?;
    let mut stream = socket.connect(address).await?;
    let request = format!("GET {path} HTTP/1.1\r\nhost: chaos.example\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    std::future::pending().await
}

/// Opens streams and resets them at once, over and over.
pub(super) fn rapid_reset(clients: &mut JoinSet<()>, doors: &Doors, name: String) {
    let plain = doors.plain;
    clients.spawn(async move {
        for number in 0_usize.. {
            let _ = open_and_reset(plain, &format!("{name}-{number}")).await;
            sleep(Duration::from_millis(10)).await;
        }
    });
}

async fn open_and_reset(address: std::net::SocketAddr, name: &str) -> Result<(), h2::Error> {
    let Ok(mut send) = connect_http2(address).await else { return Ok(()) };
    for number in 0..RESETS {
        send = send.ready().await?;
        let uri = format!("http://chaos.example/one/100/{name}-{number}");
        let Ok(request) = Request::get(uri).body(()) else { return Ok(()) };
        let (response, mut stream) = send.send_request(request, true)?;
        stream.send_reset(h2::Reason::CANCEL);
        drop(response);
        if number % BURST == 0 {
            sleep(Duration::from_millis(20)).await;
        }
    }
    Ok(())
}

/// Sends what no server wants to hear, to both doors.
pub(super) fn garbage(clients: &mut JoinSet<()>, doors: &Doors, mut random: Random) {
    let addresses = [doors.plain, doors.secure];
    clients.spawn(async move {
        loop {
            let bytes = rubbish(&mut random);
            let Some(address) = random.pick(&addresses) else { return };
            let _ = timeout(Duration::from_millis(200), throw(address, &bytes)).await;
            sleep(Duration::from_millis(10)).await;
        }
    });
}

async fn throw(address: std::net::SocketAddr, bytes: &[u8]) -> io::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(bytes).await?;
    let mut answer = [0; 1024];
    while stream.read(&mut answer).await? > 0 {}
    Ok(())
}

fn rubbish(random: &mut Random) -> Vec<u8> {
    let length = random.below(2000);
    let mut bytes: Vec<u8> = match random.below(8) {
        0 => Vec::new(),
        1 => b"GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n\r\n".to_vec(),
        2 => b"POST /one/1/x HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
        3 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(),
        // A preface, empty settings, then whatever comes.
        4 => b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec(),
        // The head of a TLS record that holds a ClientHello.
        5 => vec![0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3],
        6 => b"POST /one/1/y HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        _ => b"GET http://[::1 HTTP/1.1\r\n".to_vec(),
    };
    bytes.extend(random.bytes(length));
    bytes
}

/// Opens many connections and says nothing on any of them.
pub(super) fn idle_flood(clients: &mut JoinSet<()>, doors: &Doors) {
    let doors = doors.clone();
    clients.spawn(async move {
        let mut held = Vec::with_capacity(IDLE_PLAIN + IDLE_SECURE);
        for _ in 0..IDLE_PLAIN {
            held.extend(Stream::connect(doors.plain, None).await);
        }
        for _ in 0..IDLE_SECURE {
            held.extend(Stream::connect(doors.secure, Some(&doors.tls)).await);
        }
        std::future::pending::<()>().await;
        drop(held);
    });
}
