//! Reloads that nobody asked for: a file has changed.

use std::os::unix::fs::symlink;
use std::path::Path;

use portcullis_testkit::origin::Origin;
use portcullis_testkit::patience::until;
use portcullis_testkit::process::Process;

use crate::gateway::{BINARY, FILE, Gateway, eventually, forwarding, get, replying};

#[tokio::test]
async fn a_file_that_is_written_or_replaced_is_noticed() {
    let mut gateway = Gateway::start(&replying("one"));
    let address = gateway.address("public").await;
    eventually(address, "/", "one").await;
    std::fs::write(gateway.path(FILE), replying("two")).unwrap();
    eventually(address, "/", "two").await;
    gateway.write(&replying("three"));
    eventually(address, "/", "three").await;
    // A file that was replaced is still followed.
    std::fs::write(gateway.path(FILE), replying("four")).unwrap();
    eventually(address, "/", "four").await;
}

#[tokio::test]
async fn a_broken_file_is_told_once_and_its_repair_is_noticed() {
    let mut gateway = Gateway::start(&replying("one"));
    let address = gateway.address("public").await;
    gateway.write(&replying("two").replace("kind: http", "kind: htp"));
    gateway.says(&["portcullis.yaml:4:"]).await;
    eventually(address, "/", "one").await;
    gateway.write(&replying("three"));
    eventually(address, "/", "three").await;
    let told = gateway.process.lines();
    let told = told.iter().filter(|line| line.contains("last good configuration")).count();
    assert_eq!(told, 1);
}

/// The access log stands beside the configuration: each batch of lines is a change there.
#[tokio::test]
async fn other_files_of_the_folder_make_no_reload() {
    let origin = Origin::start("a").await.unwrap();
    let configuration = forwarding(&[origin.address()], "");
    let mut gateway = Gateway::start(&configuration);
    let address = gateway.address("public").await;
    // The log is written in batches; each look comes with a request.
    until("forty lines are written", async || {
        get(address, "/echo").await;
        gateway.log("access.log").len() >= 40
    })
    .await;
    gateway.write(&format!("{configuration}# changed\n"));
    gateway.serves_generation(2).await;
}

#[tokio::test]
async fn a_secret_file_is_followed() {
    let secret = "  - {name: all, match: {path: {prefix: /}}, reply: {status: 200}, \
                  responseHeaders: {set: [{name: x-token, value: \"${file:secrets/token}\"}]}}\n";
    let start = replying("one");
    let (before, after) = start.split_once("  - {name: all").unwrap();
    let after = after.split_once('\n').unwrap().1;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("token"), "first").unwrap();
    let place = folder.path().display().to_string();
    let text = format!("{before}{secret}{after}").replace("secrets", &place);
    let mut gateway = Gateway::start(&text);
    let address = gateway.address("public").await;
    assert_eq!(get(address, "/").await.headers.first("x-token"), Some("first"));
    std::fs::write(folder.path().join("token"), "second").unwrap();
    gateway.serves_generation(2).await;
    assert_eq!(get(address, "/").await.headers.first("x-token"), Some("second"));
}

/// How Kubernetes updates a volume: the files are links through `..data`, which is swapped.
#[tokio::test]
async fn a_swapped_volume_is_noticed() {
    let volume = tempfile::tempdir().unwrap();
    let publish = |folder: &Path, generation: u32| {
        let versioned = format!("..2026_{generation}");
        std::fs::create_dir(folder.join(&versioned)).unwrap();
        std::fs::write(folder.join(&versioned).join(FILE), replying(&format!("v{generation}")))
            .unwrap();
        symlink(&versioned, folder.join("..data_tmp")).unwrap();
        std::fs::rename(folder.join("..data_tmp"), folder.join("..data")).unwrap();
    };
    publish(volume.path(), 1);
    symlink(format!("..data/{FILE}"), volume.path().join(FILE)).unwrap();
    let path = volume.path().join(FILE).display().to_string();
    let process = Process::start(BINARY, ["run", "--config", &path], &[]).unwrap();
    let mut gateway = Gateway { process };
    let address = gateway.address("public").await;
    for generation in 1..=3 {
        if generation > 1 {
            publish(volume.path(), generation);
            let old = format!("..2026_{}", generation - 1);
            std::fs::remove_dir_all(volume.path().join(old)).unwrap();
        }
        eventually(address, "/", &format!("v{generation}")).await;
    }
}

#[tokio::test]
async fn in_a_directory_only_the_broken_file_stays_behind() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let route = |name: &str, text: &str| {
        let body = format!("reply: {{status: 200, body: \"{text}\"}}");
        format!(
            "version: v1\nroutes:\n  - {{name: {name}, match: {{path: {{exact: /{name}}}}}, {body}}}\n"
        )
    };
    let listener = r#"listeners: [{name: public, address: "127.0.0.1:0", kind: http}]"#;
    write("a.yaml", &format!("version: v1\n{listener}\naccessLog: {{path: disabled}}\n"));
    write("b.yaml", &route("b", "one"));
    write("c.yaml", &route("c", "one"));
    let path = folder.path().display().to_string();
    let process = Process::start(BINARY, ["run", "--config", &path], &[]).unwrap();
    let mut gateway = Gateway { process };
    let address = gateway.address("public").await;
    eventually(address, "/b", "one").await;
    write("b.yaml", &route("b", "two").replace("status: 200", "status: twice"));
    write("c.yaml", &route("c", "two"));
    eventually(address, "/c", "two").await;
    gateway.says(&["b.yaml:3:"]).await;
    eventually(address, "/b", "one").await;
    write("b.yaml", &route("b", "three"));
    eventually(address, "/b", "three").await;
    // A new file is part of it from now on.
    write("d.yaml", &route("d", "one"));
    eventually(address, "/c", "two").await;
    eventually(address, "/d", "one").await;
}
