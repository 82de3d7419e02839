//! The services together, without a process of their own.

use std::net::TcpListener;

use clap::Parser;
use shop_platform::SystemClock;

use super::*;

/// Ports that the kernel chooses, and a directory that goes away.
fn options(directory: &std::path::Path) -> Options {
    let mut arguments = vec!["shop".to_owned(), "--data".to_owned()];
    arguments.push(directory.join("data").display().to_string());
    for flag in ["users", "products", "orders", "payments", "notifications"] {
        arguments.extend([format!("--{flag}-listen"), "127.0.0.1:0".to_owned()]);
    }
    for flag in ["products", "payments"] {
        arguments.extend([format!("--{flag}-grpc-listen"), "127.0.0.1:0".to_owned()]);
    }
    Options::parse_from(arguments)
}

#[tokio::test(flavor = "multi_thread")]
async fn if_one_cannot_start_all_stop() {
    let directory = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut options = options(directory.path());
    // The last of all, so that the others have started already.
    options.notifications_listen = taken.local_addr().unwrap();
    let never = Box::pin(std::future::pending());
    let error = build(&options, Arc::new(SystemClock), never).await.err().unwrap();
    assert!(error.to_string().contains(&options.notifications_listen.to_string()), "{error}");
    assert!(!error.is_usage());
    for name in ["users", "products", "orders", "payments"] {
        let log = directory.path().join(format!("data/{name}.db-wal"));
        assert!(!log.exists(), "{name} closed its database");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn all_serve_until_they_are_told_to_stop() {
    let directory = tempfile::tempdir().unwrap();
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let shutdown = Box::pin(async { drop(stopped.await) });
    let shop = build(&options(directory.path()), Arc::new(SystemClock), shutdown).await.unwrap();
    let names: Vec<&str> = shop.services.iter().map(|service| service.name).collect();
    assert_eq!(names, ["users", "products", "payments", "orders", "notifications"]);
    assert!(shop.services.iter().all(|service| service.address.port() != 0));
    let with_grpc = shop.services.iter().filter(|service| service.grpc.is_some());
    assert_eq!(with_grpc.map(|service| service.name).collect::<Vec<_>>(), ["products", "payments"]);
    let ended = tokio::spawn(shop.run);
    stop.send(()).unwrap();
    assert_eq!(ended.await.unwrap(), Ended::Stopped { cut: 0 });
}

#[tokio::test]
async fn one_that_ends_by_itself_ends_all() {
    let (stop, told) = watch::channel(false);
    let obedient = {
        let mut told = told.clone();
        async move {
            drop(told.wait_for(|stop| *stop).await);
            Drained { cut: 0 }
        }
    };
    let broken = async { Drained { cut: 0 } };
    let runs: Vec<(&'static str, Run)> =
        vec![("obedient", Box::pin(obedient)), ("broken", Box::pin(broken))];
    let ended = run(runs, stop, Box::pin(std::future::pending())).await;
    assert_eq!(ended, Ended::Broken);
}
