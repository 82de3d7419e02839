use std::io;
use std::rc::Rc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};

use super::*;
use crate::io::Socket;
use crate::io::testing::pair;
use crate::relay::pump::SPLICE_AFTER;

/// Both ends of a TCP connection: ours and the peer's.
struct Fixture {
    client: Io,
    upstream: Io,
    buffers: BufferPool,
    pipes: PipePool,
    deadline: Deadline,
    counters: Counters,
}

impl Fixture {
    fn new(client: Io, upstream: Io) -> Self {
        Self {
            client,
            upstream,
            buffers: BufferPool::default(),
            pipes: PipePool::default(),
            deadline: Deadline::at(Instant::now() + Duration::from_secs(30)),
            counters: Counters::default(),
        }
    }

    fn tunnel(&self) -> Tunnel<'_> {
        Tunnel {
            client: &self.client,
            upstream: &self.upstream,
            buffers: &self.buffers,
            pipes: &self.pipes,
            deadline: &self.deadline,
            idle: Duration::from_secs(20),
            until: None,
            counters: &self.counters,
        }
    }

    fn early(&self, from_client: &[u8], from_upstream: &[u8]) -> Early {
        let fill = |bytes: &[u8]| {
            let mut buffer = self.buffers.take();
            buffer.spare()[..bytes.len()].copy_from_slice(bytes);
            buffer.commit(bytes.len());
            Some(buffer)
        };
        Early { from_client: fill(from_client), from_upstream: fill(from_upstream) }
    }

    fn counted(&self) -> (u64, u64) {
        (self.counters.from_client.get(), self.counters.from_upstream.get())
    }
}

/// Bytes that tell their place.
fn pattern(length: usize) -> Vec<u8> {
    let byte = |at: usize| u8::try_from((at % 251) ^ ((at >> 16) & 0x7f)).unwrap();
    (0..length).map(byte).collect()
}

/// Writes everything, closes, and reads to the end at the same time.
async fn converse(
    stream: impl tokio::io::AsyncRead + tokio::io::AsyncWrite,
    say: Vec<u8>,
) -> io::Result<Vec<u8>> {
    let (mut reader, mut writer) = tokio::io::split(stream);
    let write = async {
        writer.write_all(&say).await?;
        writer.shutdown().await
    };
    let mut heard = Vec::new();
    let (written, read) = tokio::join!(write, reader.read_to_end(&mut heard));
    written.and(read).map(|_| heard)
}

#[tokio::test]
async fn everything_arrives_in_both_directions_small_and_large() {
    for (up, down) in [(0, 0), (1, 5), (70_000, 3), (3, 200_000), (5_000_000, 7_000_000)] {
        let ((client, visitor), (upstream, server)) = (pair().await, pair().await);
        let fixture = Fixture::new(client, upstream);
        let early = fixture.early(b"first", b"");
        let tunnel = fixture.tunnel();
        let (end, answer, request) = tokio::join!(
            tunnel.run(early),
            converse(visitor, pattern(up)),
            converse(server, pattern(down)),
        );
        assert_eq!(end, TunnelEnd::Closed, "{up} {down}");
        assert!(answer.unwrap() == pattern(down), "{up} {down}");
        let mut expected = b"first".to_vec();
        expected.extend(pattern(up));
        assert!(request.unwrap() == expected, "{up} {down}");
        assert_eq!(fixture.counted(), (up as u64 + 5, down as u64));
        let large = up.max(down) as u64 >= SPLICE_AFTER;
        assert_eq!(fixture.pipes.open() > 0, large, "{up} {down}: only what is large has a pipe");
    }
}

#[tokio::test]
async fn a_unix_socket_is_copied() {
    let (ours, server) = UnixStream::pair().unwrap();
    let (client, visitor) = pair().await;
    let fixture = Fixture::new(client, Io::plain(Socket::Unix(ours)));
    let tunnel = fixture.tunnel();
    let (end, answer, request) = tokio::join!(
        tunnel.run(fixture.early(b"", b"hello ")),
        converse(visitor, pattern(900_000)),
        converse(server, pattern(900_000)),
    );
    assert_eq!(end, TunnelEnd::Closed);
    assert_eq!(request.unwrap().len(), 900_000);
    assert_eq!(answer.unwrap().len(), 900_006);
    assert_eq!(fixture.pipes.open(), 0);
}

/// What was read ahead of a connection comes first and only once, and then it is bare.
#[tokio::test]
async fn bytes_read_ahead_come_first() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (visitor, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
    let client = Io::plain(Socket::Tcp(accepted.unwrap().0).with_unread(b"ahead "));
    assert!(!client.is_bare());
    let (upstream, server) = pair().await;
    let fixture = Fixture::new(client, upstream);
    let tunnel = fixture.tunnel();
    let (end, _, request) = tokio::join!(
        tunnel.run(Early::default()),
        converse(visitor.unwrap(), b"behind".to_vec()),
        converse(server, Vec::new()),
    );
    assert_eq!(end, TunnelEnd::Closed);
    assert_eq!(request.unwrap(), b"ahead behind");
    assert!(fixture.client.is_bare());
}

#[tokio::test]
async fn a_side_that_has_closed_is_still_sent_to() {
    let ((client, mut visitor), (upstream, mut server)) = (pair().await, pair().await);
    let fixture = Fixture::new(client, upstream);
    let tunnel = fixture.tunnel();
    let talk = async {
        visitor.write_all(b"question").await.unwrap();
        visitor.shutdown().await.unwrap();
        let mut asked = Vec::new();
        server.read_to_end(&mut asked).await.unwrap();
        assert_eq!(asked, b"question");
        server.write_all(b"answer").await.unwrap();
        drop(server);
        let mut heard = Vec::new();
        visitor.read_to_end(&mut heard).await.unwrap();
        heard
    };
    let (end, heard) = tokio::join!(tunnel.run(Early::default()), talk);
    assert_eq!((end, heard), (TunnelEnd::Closed, b"answer".to_vec()));
}

#[tokio::test]
async fn a_reset_of_one_side_is_a_reset_for_the_other() {
    for client_breaks in [true, false] {
        let ((client, visitor), (upstream, server)) = (pair().await, pair().await);
        let fixture = Rc::new(Fixture::new(client, upstream));
        let (breaks, mut stays) = if client_breaks { (visitor, server) } else { (server, visitor) };
        let run = async {
            let fixture = Rc::clone(&fixture);
            fixture.tunnel().run(Early::default()).await
        };
        let (end, ()) = tokio::join!(run, async {
            socket2::SockRef::from(&breaks).set_linger(Some(Duration::ZERO)).unwrap();
            drop(breaks);
        });
        let expected =
            if client_breaks { TunnelEnd::ClientBroke } else { TunnelEnd::UpstreamBroke };
        assert_eq!(end, expected);
        drop(Rc::into_inner(fixture).unwrap());
        let error = stays.read(&mut [0]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }
}

#[tokio::test(start_paused = true)]
async fn silence_ends_it_and_so_does_age() {
    let second = Duration::from_secs(1);
    for (idle, until, expected, after) in [
        (20, None, TunnelEnd::Idle, 20),
        (20, Some(90), TunnelEnd::Idle, 20),
        (90, Some(20), TunnelEnd::Expired, 20),
    ] {
        let ((client, _visitor), (upstream, _server)) = (pair().await, pair().await);
        let fixture = Fixture::new(client, upstream);
        let start = Instant::now();
        let until = until.map(|seconds| start + second * seconds);
        let tunnel = Tunnel { idle: second * idle, until, ..fixture.tunnel() };
        assert_eq!(tunnel.run(Early::default()).await, expected);
        assert_eq!(start.elapsed().as_secs(), after);
    }
}

/// One who sends and is not read fills sockets, one buffer or one pipe, and nothing else.
#[tokio::test]
async fn a_side_that_does_not_read_holds_the_other_back() {
    let ((client, visitor), (upstream, server)) = (pair().await, pair().await);
    let fixture = Fixture::new(client, upstream);
    let tunnel = fixture.tunnel();
    let write = async {
        let mut sent = 0;
        let block = pattern(64 * 1024);
        // Until nothing moves for a while: the sockets are full.
        while tokio::time::timeout(Duration::from_millis(200), visitor.writable()).await.is_ok() {
            match visitor.try_write(&block) {
                Ok(count) => sent += count,
                Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        sent
    };
    let sent = tokio::select! {
        end = tunnel.run(Early::default()) => panic!("{end:?}"),
        sent = write => sent,
    };
    assert!(sent < 64 * 1024 * 1024, "{sent}");
    assert!(fixture.counted().0 < sent as u64);
    drop(server);
}
