//! Client and origin with each other, and the origin with a peer that judges its frames.

use portcullis_testkit::websocket::{self, Frame};

use super::*;

fn origin() -> SocketAddr {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || echo::run(0, |address| sender.send(address).unwrap()));
    receiver.recv().unwrap()
}

#[test]
fn messages_go_there_and_back_slice_after_slice() {
    let mut ping_pong = PingPong::open(origin(), 3).unwrap();
    for _ in 0..2 {
        let completed = ping_pong.run(Duration::from_millis(50)).unwrap();
        assert!(completed.done >= 3 && completed.failed == 0, "{completed:?}");
    }
}

#[tokio::test]
async fn frames_come_back_however_they_are_cut() {
    let (mut peer, _) = websocket::connect(origin(), "/echo").await.unwrap();
    let frames = [Frame::text("a"), Frame::new(websocket::BINARY, vec![b'x'; 1_000])];
    let bytes = frames.clone().map(|frame| frame.masked().to_bytes()).concat();
    for piece in [1, 7, bytes.len()] {
        for piece in bytes.chunks(piece) {
            peer.send_bytes(piece).await.unwrap();
        }
        for frame in &frames {
            assert_eq!(&peer.expect().await.unwrap(), frame);
        }
    }
    peer.send(&Frame::new(websocket::PING, "")).await.unwrap();
    assert_eq!(peer.next().await.unwrap(), None, "only messages are known here");
}
