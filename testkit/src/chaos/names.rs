//! A name server that knows one answer, and can be lost.
//!
//! A process asks the servers of the system's file at port 53 and nobody else. To be the one that
//! is asked takes the right to that port and a mount of its own over the file; where this machine
//! grants neither, names are no part of the run.

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::{Command, Stdio};

use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Bytes of a DNS header.
const HEADER: usize = 12;
/// Type and class behind the name of a question.
const TAIL: usize = 4;
/// Type A, class IN.
const ADDRESS: [u8; 4] = [0, 1, 0, 1];
/// Loopback addresses that are tried.
const ATTEMPTS: u8 = 20;

#[derive(Debug)]
pub(super) struct NameServer {
    pub(super) address: IpAddr,
    answers: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl NameServer {
    /// `None` where a process cannot be made to ask it.
    pub(super) async fn start() -> Option<Self> {
        if !Path::new("/etc/resolv.conf").is_file() || !may_mount() {
            return None;
        }
        for last in 1..=ATTEMPTS {
            let address = Ipv4Addr::new(127, 53, 53, last);
            let Ok(socket) = UdpSocket::bind((address, 53)).await else { continue };
            let (answers, answering) = watch::channel(true);
            let task = tokio::spawn(async move {
                let _ = serve(socket, answering).await;
            });
            return Some(Self { address: address.into(), answers, task });
        }
        None
    }

    /// Whether it says anything.
    pub(super) fn answer(&self, answers: bool) {
        self.answers.send_replace(answers);
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn may_mount() -> bool {
    let tried = Command::new("unshare")
        .args(["--mount", "true"])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    tried.is_ok_and(|status| status.success())
}

async fn serve(socket: UdpSocket, answering: watch::Receiver<bool>) -> io::Result<()> {
    let mut buffer = [0; 1500];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).await?;
        let wanted = *answering.borrow();
        if let Some(answer) = answer(&buffer[..length]).filter(|_| wanted) {
            socket.send_to(&answer, peer).await?;
        }
    }
}

/// Every name is this machine's, for a second.
fn answer(question: &[u8]) -> Option<Vec<u8>> {
    let name = question.get(HEADER..)?;
    let mut end = 0;
    while *name.get(end)? != 0 {
        end += 1 + usize::from(*name.get(end)?);
    }
    let query = name.get(..end + 1 + TAIL)?;
    let is_address = query.ends_with(&ADDRESS);
    let mut answer = question.get(..2)?.to_vec();
    // A response with recursion, one question, one answer or none, and nothing else.
    answer.extend_from_slice(&[0x81, 0x80, 0, 1, 0, u8::from(is_address), 0, 0, 0, 0]);
    answer.extend_from_slice(query);
    if is_address {
        // The name of the question; then time to live, length and address.
        answer.extend_from_slice(&[0xc0, 0x0c]);
        answer.extend_from_slice(&ADDRESS);
        answer.extend_from_slice(&[0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}
