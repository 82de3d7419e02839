//! Bytes from socket to socket through a pipe of the kernel, without being copied here.
//!
//! Only what goes on exactly as it came can pass, between plain TCP sockets: tunnels, and bodies of
//! an announced length. A pipe is held while there is something in it. Knows neither framing nor
//! deadlines.

use std::io;
use std::task::{Context, Poll, ready};

use crate::io::Io;
use crate::pipe::{Pipe, PipePool};

/// With less than this to come, setting a pipe up costs more than it saves.
const LEAST: u64 = 64 * 1024;

/// One direction's way past this process.
pub struct Spliced<'c> {
    pipes: &'c PipePool,
    pipe: Option<Pipe>,
    /// One of the sockets cannot.
    unfit: bool,
}

/// How a look at the sockets ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carried {
    /// This many bytes have arrived on the other side.
    Some(usize),
    /// The source has ended.
    Eof,
    /// They have to be copied.
    Unfit,
}

/// Whose socket broke.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BrokenSide {
    Source,
    Sink,
}

impl<'c> Spliced<'c> {
    pub fn new(pipes: &'c PipePool) -> Self {
        Self { pipes, pipe: None, unfit: false }
    }

    /// Something is on its way: the sink is what is waited for.
    pub fn holds_some(&self) -> bool {
        self.pipe.is_some()
    }

    /// Moves some of what is to come: `source` is where, and how much that is. Without a source
    /// or a sink nothing can pass.
    pub fn poll(
        &mut self,
        cx: &mut Context<'_>,
        source: Option<(&Io, u64)>,
        sink: Option<&Io>,
    ) -> Poll<Result<Carried, BrokenSide>> {
        let (Some((from, left)), Some(to)) = (source, sink) else {
            return Poll::Ready(Ok(Carried::Unfit));
        };
        loop {
            if let Some(pipe) = &mut self.pipe {
                let gone = || Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
                let drained = to.tcp(|to| pipe.poll_drain(cx, to)).unwrap_or_else(gone);
                let count = ready!(drained).map_err(|_| BrokenSide::Sink)?;
                if pipe.is_empty() {
                    self.pipe = None;
                }
                return Poll::Ready(Ok(Carried::Some(count)));
            }
            if self.unfit || left < LEAST || !(from.is_bare() && to.is_bare()) {
                return Poll::Ready(Ok(Carried::Unfit));
            }
            ready!(from.poll_readable(cx)).map_err(|_| BrokenSide::Source)?;
            let Some(mut pipe) = self.pipes.take() else {
                return Poll::Ready(Ok(Carried::Unfit));
            };
            let most = usize::try_from(left).unwrap_or(usize::MAX);
            match from.tcp(|from| pipe.fill(from, most)) {
                Some(Ok(0)) => return Poll::Ready(Ok(Carried::Eof)),
                Some(Ok(_)) => self.pipe = Some(pipe),
                Some(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {}
                Some(Err(error)) if error.kind() == io::ErrorKind::InvalidInput => {
                    self.unfit = true;
                }
                None => self.unfit = true,
                Some(Err(_)) => return Poll::Ready(Err(BrokenSide::Source)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::UnixStream;

    use super::*;
    use crate::io::Socket;
    use crate::io::testing::pair;

    #[tokio::test]
    async fn what_stands_behind_the_body_stays_where_it_is() {
        const BODY: usize = 300_000;
        let ((from, mut source), (to, mut sink)) = (pair().await, pair().await);
        let sent: Vec<u8> = (0..=250u8).cycle().take(BODY + 5).collect();
        let expected = sent.clone();
        let sender = tokio::spawn(async move {
            source.write_all(&sent).await.unwrap();
            source
        });
        let receiver = tokio::spawn(async move {
            let mut received = vec![0; BODY];
            sink.read_exact(&mut received).await.unwrap();
            received
        });
        let pipes = PipePool::default();
        let mut spliced = Spliced::new(&pipes);
        let mut left = BODY as u64;
        let mut copied = Vec::new();
        while left > 0 {
            match poll_fn(|cx| spliced.poll(cx, Some((&from, left)), Some(&to))).await.unwrap() {
                Carried::Some(count) => left -= count as u64,
                Carried::Unfit => {
                    assert!(left < LEAST, "{left} bytes are worth a pipe");
                    copied.resize(usize::try_from(left).unwrap(), 0);
                    let count = from.read(&mut copied).await.unwrap();
                    to.write_all(&copied[..count], b"", |_| {}).await.unwrap();
                    left -= count as u64;
                }
                Carried::Eof => panic!("the source has not ended"),
            }
        }
        assert!(!spliced.holds_some());
        assert!(pipes.open() > 0, "nothing went through a pipe");
        assert!(receiver.await.unwrap() == expected[..BODY]);
        let mut behind = [0; 5];
        assert_eq!(from.read(&mut behind).await.unwrap(), 5);
        assert_eq!(behind, expected[BODY..]);
        drop(sender.await.unwrap());
        let end = poll_fn(|cx| spliced.poll(cx, Some((&from, LEAST)), Some(&to))).await;
        assert_eq!(end, Ok(Carried::Eof));
    }

    #[tokio::test]
    async fn what_is_no_tcp_and_what_is_short_is_copied() {
        let ((from, _source), (to, _sink)) = (pair().await, pair().await);
        let unix = Io::plain(Socket::Unix(UnixStream::pair().unwrap().0));
        let pipes = PipePool::default();
        for (from, to, left) in
            [(&from, &to, LEAST - 1), (&unix, &to, LEAST), (&from, &unix, LEAST)]
        {
            let mut spliced = Spliced::new(&pipes);
            let carried = poll_fn(|cx| spliced.poll(cx, Some((from, left)), Some(to))).await;
            assert_eq!(carried, Ok(Carried::Unfit));
        }
    }
}
