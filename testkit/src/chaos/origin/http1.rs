//! A connection of an origin that speaks HTTP/1.

use std::io;
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::watch;

use super::{Mode, Wire, Witness};
use crate::chaos::wish::{Asked, ECHO, RECEIVED, content, digest};
use crate::http::{Decoder, Request};
use crate::websocket::{Frame, Peer, switching};

/// How a connection ends is seen by the proxy.
pub(super) async fn serve(stream: impl Wire, mode: watch::Receiver<Mode>, witness: Arc<Witness>) {
    let _ = converse(stream, &mode, &witness).await;
}

async fn converse(
    mut stream: impl Wire,
    mode: &watch::Receiver<Mode>,
    witness: &Witness,
) -> io::Result<()> {
    let mut decoder = Decoder::default();
    let mut bytes = Vec::with_capacity(16 * 1024);
    loop {
        let request = loop {
            match decoder.request() {
                Ok(Some(request)) => break request,
                Ok(None) => {}
                Err(malformed) => {
                    witness.ledger.violate(format!("an origin was sent rubbish: {malformed}"));
                    return Ok(());
                }
            }
            bytes.clear();
            if stream.read_buf(&mut bytes).await? == 0 {
                return Ok(());
            }
            decoder.push(&bytes);
        };
        if request.headers.has_token("upgrade", "websocket") {
            let now = *mode.borrow();
            return talk(stream, &request, now, witness).await;
        }
        let Some(asked) = Asked::parse(&request.target) else {
            send(&mut stream, b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await?;
            continue;
        };
        witness.see(&asked.id);
        let now = *mode.borrow();
        match now {
            Mode::Well => send(&mut stream, &answer(&request, &asked)).await?,
            Mode::Reset => return stream.tcp().set_zero_linger(),
            Mode::BlackHole => return swallow(&mut stream).await,
            Mode::Truncate => {
                let whole = answer(&request, &asked);
                // At least the last byte is missing, which ends a body of either framing.
                let end = whole.len() - (asked.size / 2).max(1);
                return send(&mut stream, &whole[..end]).await;
            }
        }
    }
}

/// Echoes messages. A reset in the midst of them is what truncation is here: a mere end would be
/// passed on as one.
async fn talk(
    mut stream: impl Wire,
    request: &Request,
    mode: Mode,
    witness: &Witness,
) -> io::Result<()> {
    let id = request.target.rsplit('/').next().unwrap_or_default();
    witness.see(id);
    match mode {
        Mode::Reset => return stream.tcp().set_zero_linger(),
        Mode::BlackHole => return swallow(&mut stream).await,
        Mode::Well | Mode::Truncate => {}
    }
    let key = request.headers.first("sec-websocket-key").unwrap_or_default();
    let head = switching(key).replacen("\r\n", &format!("\r\n{ECHO}: {id}\r\n"), 1);
    send(&mut stream, head.as_bytes()).await?;
    let mut peer = Peer::server(stream);
    if mode == Mode::Truncate {
        let frame = peer.expect().await?;
        peer.send(&Frame { masked: false, ..frame }).await?;
        return peer.stream.tcp().set_zero_linger();
    }
    peer.echo().await
}

/// TLS keeps a part of what is written until it is told to let go.
async fn send(stream: &mut impl Wire, bytes: &[u8]) -> io::Result<()> {
    stream.write_all(bytes).await?;
    stream.flush().await
}

async fn swallow(stream: &mut impl Wire) -> io::Result<()> {
    let mut bytes = [0; 4096];
    while stream.read(&mut bytes).await? > 0 {}
    Ok(())
}

fn answer(request: &Request, asked: &Asked) -> Vec<u8> {
    let (id, received) = (&asked.id, digest(&request.body));
    let mut bytes =
        format!("HTTP/1.1 200 OK\r\n{ECHO}: {id}\r\n{RECEIVED}: {received}\r\n").into_bytes();
    let body = content(&asked.id, asked.size);
    if asked.chunked() {
        bytes.extend_from_slice(b"transfer-encoding: chunked\r\n\r\n");
        for chunk in body.chunks(4096) {
            bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            bytes.extend_from_slice(chunk);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
    } else {
        bytes.extend_from_slice(format!("content-length: {}\r\n\r\n", body.len()).as_bytes());
        bytes.extend_from_slice(&body);
    }
    bytes
}
