//! The access log when its file is renamed, and when it cannot be written.

use std::time::Duration;

use portcullis_testkit::load::Load;
use portcullis_testkit::origin::Origin;
use portcullis_testkit::patience::until;
use portcullis_testkit::process::Signal;

use crate::gateway::{Gateway, LONG, eventually, forwarding, get, replying};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_renamed_log_is_opened_again_and_no_line_is_lost() {
    let origin = Origin::start("a").await.unwrap();
    let mut gateway = Gateway::start(&forwarding(&[origin.address()], ""));
    let address = gateway.address("public").await;
    let running = Load::get(address, "/bytes/10", 500.0, Duration::from_secs(2)).start();
    for round in 1..=3 {
        running.ended(round * 200).await;
        let old = gateway.path(&format!("access.log.{round}"));
        std::fs::rename(gateway.path("access.log"), old).unwrap();
        gateway.signal(Signal::USR1);
        until("the log is there again", async || gateway.path("access.log").exists()).await;
    }
    let report = running.wait().await;
    assert_eq!(report.failed(), 0, "{report}");
    gateway.signal(Signal::TERM);
    gateway.ends(LONG, 0).await;
    let files = ["access.log.1", "access.log.2", "access.log.3", "access.log"];
    let counts = files.map(|name| gateway.log(name).len() as u64);
    assert_eq!(counts.iter().sum::<u64>(), report.scheduled, "{counts:?}");
    assert!(counts.iter().all(|count| *count > 0), "{counts:?}");
}

#[tokio::test]
async fn a_path_that_cannot_be_opened_is_told_with_its_place() {
    let good = replying("one");
    let bad =
        good.replace("accessLog: {path: access.log}", "accessLog: {path: missing/access.log}");
    let mut refused = Gateway::start(&bad);
    refused.ends(LONG, 2).await;
    refused.says(&["portcullis.yaml:7:19"]).await;
    refused.says(&["accessLog: {path: missing/access.log}"]).await;

    let mut gateway = Gateway::start(&good);
    let address = gateway.address("public").await;
    gateway.write(&bad.replace("one", "two"));
    gateway.signal(Signal::HUP);
    gateway.says(&["portcullis.yaml:7:19"]).await;
    assert_eq!(get(address, "/").await.text(), "one", "a reload happens whole or not at all");
    std::fs::create_dir(gateway.path("missing")).unwrap();
    gateway.signal(Signal::HUP);
    eventually(address, "/", "two").await;
    // A log that was written well until now keeps no reload from serving.
    std::fs::remove_dir_all(gateway.path("missing")).unwrap();
    gateway.write(&bad.replace("one", "three"));
    gateway.signal(Signal::HUP);
    eventually(address, "/", "three").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_keeps_nobody_waiting() {
    let origin = Origin::start("a").await.unwrap();
    let text = forwarding(&[origin.address()], "").replace("access.log", "/dev/full");
    let mut gateway = Gateway::start(&text);
    let address = gateway.address("public").await;
    let load = Load::get(address, "/bytes/10", 500.0, Duration::from_secs(1));
    let report = load.run().await;
    assert_eq!(report.failed(), 0, "{report}");
    gateway.says(&["the access log cannot be written"]).await;
    let told = gateway.process.lines();
    let told = told.iter().filter(|line| line.contains("cannot be written")).count();
    assert_eq!(told, 1, "said once, not for each batch");
    gateway.signal(Signal::TERM);
    gateway.ends(LONG, 0).await;
}
