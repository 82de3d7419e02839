//! Client and origin with each other, and the origin with a call that ends.

use super::*;

fn origin() -> SocketAddr {
    let (sender, receiver) = std::sync::mpsc::channel();
    std::thread::spawn(move || echo::run(0, |address| sender.send(address).unwrap()));
    receiver.recv().unwrap()
}

#[test]
fn messages_go_there_and_back_slice_after_slice() {
    let mut streams = Streams::open(origin(), 2, 3).unwrap();
    for _ in 0..2 {
        let completed = streams.run(Duration::from_millis(50)).unwrap();
        assert!(completed.done >= 6 && completed.failed == 0, "{completed:?}");
    }
    assert_eq!(streams.calls.len(), 6);
}

#[tokio::test]
async fn a_call_ends_with_its_status_after_all_that_was_sent() {
    let mut calls = open(origin(), 1).await.unwrap();
    let mut call = calls.pop().unwrap();
    // More than a window holds, so that the origin has to wait for room.
    let long = Bytes::from(vec![b'x'; 200_000]);
    call.send.send_data(long.clone(), true).unwrap();
    let mut received = 0;
    while let Some(data) = call.receive.data().await {
        let data = data.unwrap();
        received += data.len();
        call.receive.flow_control().release_capacity(data.len()).unwrap();
    }
    assert_eq!(received, long.len());
    let trailers = call.receive.trailers().await.unwrap().unwrap();
    assert_eq!(trailers["grpc-status"], "0");
}
