//! The floor under every proxy: recv, send, recv, send, with nothing read in between.
//!
//! Each client connection has an upstream connection of its own. It is no proxy to run: a message
//! is whatever one recv returned.

use std::collections::HashMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::rc::Rc;

use rustix::event::{PollFd, PollFlags, poll};

use crate::sockets::{Poller, accept, listen, receive, send};

const LISTENER: u64 = 0;

struct Side {
    from: Rc<TcpStream>,
    to: Rc<TcpStream>,
    /// The token of the other direction.
    other: u64,
}

/// Forwards until the process ends.
pub(crate) fn run(port: u16, origin: u16, announce: impl Fn(SocketAddr)) -> io::Result<()> {
    let (listener, address) = listen(port)?;
    let mut poller = Poller::new()?;
    poller.add(&listener, LISTENER)?;
    announce(address);
    let mut sides: HashMap<u64, Side> = HashMap::new();
    let mut next = LISTENER + 1;
    let mut ready = Vec::new();
    let mut buffer = vec![0; 64 * 1024];
    loop {
        poller.wait(&mut ready)?;
        for event in &ready {
            if event.token == LISTENER {
                while let Some(client) = accept(&listener) {
                    // Loopback connects at once or not at all.
                    let Ok(upstream) = TcpStream::connect(("127.0.0.1", origin)) else { continue };
                    upstream.set_nonblocking(true)?;
                    upstream.set_nodelay(true)?;
                    let (client, upstream) = (Rc::new(client), Rc::new(upstream));
                    poller.add(&*client, next)?;
                    poller.add(&*upstream, next + 1)?;
                    let (from, to) = (Rc::clone(&client), Rc::clone(&upstream));
                    sides.insert(next, Side { from, to, other: next + 1 });
                    sides.insert(next + 1, Side { from: upstream, to: client, other: next });
                    next += 2;
                }
                continue;
            }
            let Some(side) = sides.get(&event.token) else { continue };
            let Some(length) = receive(&side.from, &mut buffer) else { continue };
            if length == 0 || !send_all(&side.to, &buffer[..length]) {
                let other = side.other;
                sides.remove(&event.token);
                sides.remove(&other);
            }
        }
    }
}

fn send_all(stream: &TcpStream, mut bytes: &[u8]) -> bool {
    while !bytes.is_empty() {
        match send(stream, bytes) {
            None => return false,
            // Blocking here is fine for a floor: messages of the comparison fit the socket.
            Some(0) => drop(poll(&mut [PollFd::new(stream, PollFlags::OUT)], None)),
            Some(length) => bytes = &bytes[length..],
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use portcullis_testkit::load::Load;
    use portcullis_testkit::origin::Origin;

    use super::*;

    #[tokio::test]
    async fn forwards_both_ways() {
        let origin = Origin::start("a").await.unwrap();
        let port = origin.address().port();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || run(0, port, |address| sender.send(address).unwrap()));
        let target = receiver.recv().unwrap();
        let report =
            Load::get(target, "/bytes/100000", 500.0, Duration::from_millis(100)).run().await;
        assert_eq!((report.ok(), report.failed()), (50, 0), "{report}");
    }
}
