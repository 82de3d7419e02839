//! Discovery on scripted answers and paused time, and the system resolver on a name server of
//! our own.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use portcullis_config::model::BalancePolicy;
use portcullis_testkit::patience::passes;
use tokio::net::UdpSocket;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use super::*;
use crate::upstream::fixture::{named, numbered, upstream};

type Scripted = Result<ResolvedAddresses, ResolveError>;

/// Answers in order, the last one for ever, and remembers when it was asked.
struct Script {
    answers: Mutex<VecDeque<Scripted>>,
    asked: Mutex<Vec<Instant>>,
}

impl Script {
    fn new(answers: impl IntoIterator<Item = Scripted>) -> Arc<Self> {
        let answers = Mutex::new(answers.into_iter().collect());
        Arc::new(Self { answers, asked: Mutex::new(Vec::new()) })
    }

    fn asked(&self) -> usize {
        self.asked.lock().unwrap().len()
    }

    /// Seconds between one question and the next.
    fn pauses(&self) -> Vec<f64> {
        let asked = self.asked.lock().unwrap();
        asked.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect()
    }
}

impl Resolve for Script {
    fn resolve<'a>(&'a self, _host: &'a str) -> Resolving<'a> {
        self.asked.lock().unwrap().push(Instant::now());
        let mut answers = self.answers.lock().unwrap();
        let answer = if answers.len() > 1 { answers.pop_front() } else { answers.front().cloned() };
        Box::pin(async move {
            match answer {
                Some(answer) => answer,
                None => std::future::pending().await,
            }
        })
    }
}

fn ok(addresses: &[&str], ttl: u64) -> Scripted {
    let addresses = addresses.iter().map(|address| address.parse().unwrap()).collect();
    Ok(ResolvedAddresses { addresses, ttl: Duration::from_secs(ttl), missing: None })
}

fn follow(script: &Arc<Script>) -> Arc<Cluster> {
    let cluster = Cluster::build(&upstream(BalancePolicy::Random, [(named("api.shop"), 1)]), None);
    let resolver: Arc<dyn Resolve> = Arc::<Script>::clone(script);
    Discovery::new(resolver, Handle::current(), 1).spawn(&cluster);
    cluster
}

fn addresses(cluster: &Cluster) -> Vec<String> {
    let set = cluster.endpoints();
    set.endpoints.iter().map(|endpoint| endpoint.address.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_name_is_asked_for_again_when_its_time_is_over() {
    let script = Script::new([ok(&["10.0.0.1"], 30), ok(&["10.0.0.2"], 30)]);
    let cluster = follow(&script);
    assert!(cluster.endpoints().endpoints.is_empty());
    cluster.ready().await;
    assert_eq!(addresses(&cluster), ["10.0.0.1:80"]);
    let first = cluster.endpoints().generation;
    passes(Duration::from_secs(29)).await;
    assert_eq!(script.asked(), 1);
    passes(Duration::from_secs(5)).await;
    assert_eq!(addresses(&cluster), ["10.0.0.2:80"]);
    assert!(cluster.endpoints().generation > first);
    passes(Duration::from_secs(3600)).await;
    for pause in script.pauses() {
        assert!((30.0..=33.1).contains(&pause), "{pause}");
    }
    assert!(script.pauses().windows(2).any(|pair| pair[0] != pair[1]), "jitter");
}

#[tokio::test(start_paused = true)]
async fn times_to_live_are_bounded() {
    for (ttl, least, most) in [(0, 1.0, 1.11), (86_400, 300.0, 330.1), (u64::MAX, 300.0, 330.1)] {
        let script = Script::new([ok(&["10.0.0.1"], ttl)]);
        let _cluster = follow(&script);
        passes(Duration::from_secs(1000)).await;
        assert!(script.asked() > 2);
        for pause in script.pauses() {
            assert!((least..=most).contains(&pause), "{pause} for {ttl}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_last_good_answer_outlives_any_failure() {
    let script = Script::new([
        ok(&["10.0.0.1"], 5),
        Err(ResolveError::TimedOut),
        Err(ResolveError::NoAddresses),
        ok(&[], 5),
        Err(ResolveError::Refused),
    ]);
    let cluster = follow(&script);
    cluster.ready().await;
    let generation = cluster.endpoints().generation;
    passes(Duration::from_secs(3600)).await;
    assert_eq!(addresses(&cluster), ["10.0.0.1:80"]);
    assert_eq!(cluster.endpoints().generation, generation);
    assert!(cluster.is_ready());
    let status = &cluster.sources()[0];
    assert_eq!(status.last_error, Some(ResolveError::Refused));
    assert_eq!(status.failures as usize, script.asked() - 1);
    let pauses = &script.pauses()[1..];
    for (n, pause) in (0..).zip(pauses) {
        let whole = 2f64.powi(n).min(60.0);
        assert!((whole / 2.0..=whole + 0.01).contains(pause), "{n}: {pause}");
    }
    assert!(pauses.len() > 60 && pauses.len() < 140, "bounded in both directions");
}

#[tokio::test(start_paused = true)]
async fn success_starts_the_pauses_anew() {
    let failures = || std::iter::repeat_n(Err(ResolveError::TimedOut), 6);
    let script = Script::new(
        failures().chain([ok(&["10.0.0.1"], 5)]).chain(failures()).chain([ok(&["10.0.0.2"], 500)]),
    );
    let cluster = follow(&script);
    cluster.ready().await;
    assert_eq!(cluster.sources()[0].failures, 0);
    passes(Duration::from_secs(200)).await;
    assert_eq!(addresses(&cluster), ["10.0.0.2:80"]);
    assert!(script.pauses()[7] <= 1.01, "{:?}", script.pauses());
}

#[tokio::test(start_paused = true)]
async fn an_answer_in_another_order_changes_nothing() {
    let script = Script::new([
        ok(&["10.0.0.1", "10.0.0.2", "fd00::1"], 5),
        ok(&["fd00::1", "10.0.0.2", "10.0.0.1"], 5),
        ok(&["10.0.0.2", "10.0.0.1", "fd00::1", "10.0.0.2"], 5),
    ]);
    let cluster = follow(&script);
    cluster.ready().await;
    let before = cluster.endpoints();
    assert_eq!(addresses(&cluster), ["10.0.0.1:80", "10.0.0.2:80", "[fd00::1]:80"]);
    passes(Duration::from_secs(60)).await;
    assert!(script.asked() > 5);
    assert!(Arc::ptr_eq(&before, &cluster.endpoints()));
}

#[tokio::test(start_paused = true)]
async fn a_family_that_could_not_be_asked_for_keeps_its_addresses() {
    let mut partial = ok(&["10.0.0.2"], 300).unwrap();
    partial.missing = Some(AddressFamily::V6);
    let script =
        Script::new([ok(&["10.0.0.1", "fd00::1"], 5), Ok(partial), ok(&["10.0.0.2"], 300)]);
    let cluster = follow(&script);
    cluster.ready().await;
    passes(Duration::from_secs(6)).await;
    assert_eq!(addresses(&cluster), ["10.0.0.2:80", "[fd00::1]:80"]);
    passes(Duration::from_secs(2)).await;
    assert_eq!(addresses(&cluster), ["10.0.0.2:80"], "asked again soon, and now it has none");
}

#[tokio::test(start_paused = true)]
async fn too_many_addresses_are_cut() {
    let many: Vec<_> =
        (0..1000u32).map(|n| IpAddr::from((0x0a00_0000 + n).to_be_bytes())).collect();
    let answer = ResolvedAddresses { addresses: many, ttl: Duration::from_secs(5), missing: None };
    let cluster = follow(&Script::new([Ok(answer)]));
    cluster.ready().await;
    assert_eq!(cluster.endpoints().endpoints.len(), MAX_ADDRESSES);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_keeps_silent_counts_as_a_failure() {
    let script = Script::new([]);
    let cluster = follow(&script);
    assert!(timeout(Duration::from_secs(14), cluster.ready()).await.is_err());
    assert_eq!(script.asked(), 1);
    passes(Duration::from_secs(3)).await;
    assert_eq!(script.asked(), 2);
    assert_eq!(cluster.sources()[0].last_error, Some(ResolveError::TimedOut));
}

#[tokio::test(start_paused = true)]
async fn following_ends_with_the_last_generation_that_has_the_name() {
    let script = Script::new([ok(&["10.0.0.1"], 5)]);
    let first = follow(&script);
    first.ready().await;
    let config = upstream(BalancePolicy::RoundRobin, [(named("api.shop"), 1)]);
    let second = Cluster::build(&config, Some(&first));
    let resolver: Arc<dyn Resolve> = Arc::<Script>::clone(&script);
    let discovery = Discovery::new(resolver, Handle::current(), 2);
    discovery.spawn(&second);
    passes(Duration::from_secs(1)).await;
    assert_eq!(script.asked(), 1, "the next generation shares the task");
    drop(first);
    passes(Duration::from_secs(60)).await;
    let asked = script.asked();
    assert!(asked > 5);

    let config = upstream(BalancePolicy::RoundRobin, [(numbered(1), 1)]);
    let third = Cluster::build(&config, Some(&second));
    discovery.spawn(&third);
    drop(second);
    passes(Duration::from_secs(3600)).await;
    assert_eq!(script.asked(), asked);
    assert_eq!(Handle::current().metrics().num_alive_tasks(), 0);
}

/// A name server on loopback that answers from a table until it is dropped.
struct NameServer {
    address: SocketAddr,
    table: Arc<Mutex<Vec<(RecordType, Reply)>>>,
    /// Questions for addresses of version 4 so far.
    asked: watch::Receiver<usize>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Clone)]
enum Reply {
    Addresses(Vec<IpAddr>, u32),
    Code(ResponseCode),
    Silence,
}

impl NameServer {
    async fn start(replies: Vec<(RecordType, Reply)>) -> Self {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let table = Arc::new(Mutex::new(replies));
        let (count, asked) = watch::channel(0);
        let task = tokio::spawn(serve(socket, Arc::clone(&table), count));
        Self { address, table, asked, task }
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    socket: UdpSocket,
    table: Arc<Mutex<Vec<(RecordType, Reply)>>>,
    count: watch::Sender<usize>,
) {
    let mut buffer = [0; 1500];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).await.unwrap();
        let question = Message::from_vec(&buffer[..length]).unwrap();
        let query = question.queries[0].clone();
        count.send_modify(|count| *count += usize::from(query.query_type() == RecordType::A));
        let known = *query.name() == Name::from_ascii("api.shop.").unwrap();
        let reply =
            table.lock().unwrap().iter().find(|(kind, _)| *kind == query.query_type()).cloned();
        let mut answer = Message::response(question.id, OpCode::Query);
        answer.add_query(query.clone());
        match reply.filter(|_| known) {
            Some((_, Reply::Silence)) => continue,
            Some((_, Reply::Code(code))) => answer.metadata.response_code = code,
            Some((_, Reply::Addresses(addresses, ttl))) => {
                answer.add_answers(addresses.into_iter().map(|address| {
                    Record::from_rdata(query.name().clone(), ttl, RData::from(address))
                }));
            }
            None => answer.metadata.response_code = ResponseCode::NXDomain,
        }
        socket.send_to(&answer.to_vec().unwrap(), peer).await.unwrap();
    }
}

fn v4(n: u8) -> IpAddr {
    [127, 0, 0, n].into()
}

fn v6() -> IpAddr {
    std::net::Ipv6Addr::LOCALHOST.into()
}

async fn resolve(server: &NameServer, host: &str) -> Scripted {
    let mut resolver = SystemResolver::with_name_servers(&[server.address]).unwrap();
    resolver.grace = Duration::from_millis(20);
    resolver.resolve(host).await
}

#[tokio::test]
async fn the_system_resolver_reads_both_families_and_the_shorter_time() {
    let server = NameServer::start(vec![
        (RecordType::A, Reply::Addresses(vec![v4(1), v4(2)], 60)),
        (RecordType::AAAA, Reply::Addresses(vec![v6()], 20)),
    ])
    .await;
    let mut answer = resolve(&server, "api.shop").await.unwrap();
    answer.addresses.retain(IpAddr::is_ipv4);
    answer.addresses.sort();
    assert_eq!(answer.addresses, [v4(1), v4(2)]);
    assert_eq!(answer.ttl, Duration::from_secs(20));
    assert_eq!(answer.missing, None);
}

#[tokio::test]
async fn the_system_resolver_distinguishes_failures() {
    use Reply::{Addresses, Code, Silence};
    let none = Code(ResponseCode::NoError);
    let found = Addresses(vec![v4(1)], 60);
    for (a, aaaa, expected) in [
        (none.clone(), none.clone(), Err(ResolveError::NoAddresses)),
        (
            Code(ResponseCode::NXDomain),
            Code(ResponseCode::NXDomain),
            Err(ResolveError::NoAddresses),
        ),
        (Code(ResponseCode::ServFail), Code(ResponseCode::ServFail), Err(ResolveError::Refused)),
        (Code(ResponseCode::Refused), none.clone(), Err(ResolveError::Refused)),
        (found.clone(), none, Ok(None)),
        (found.clone(), Code(ResponseCode::ServFail), Ok(Some(AddressFamily::V6))),
        (found, Silence, Ok(Some(AddressFamily::V6))),
    ] {
        let server = NameServer::start(vec![(RecordType::A, a), (RecordType::AAAA, aaaa)]).await;
        let answer = resolve(&server, "api.shop").await;
        assert_eq!(answer.map(|answer| answer.missing), expected);
    }
    let server = NameServer::start(Vec::new()).await;
    assert_eq!(resolve(&server, "web.shop").await, Err(ResolveError::NoAddresses));
    assert_eq!(resolve(&server, "not a name").await, Err(ResolveError::BadName));
    assert_eq!(resolve(&server, &"x".repeat(100)).await, Err(ResolveError::BadName));
}

#[tokio::test]
async fn addresses_and_localhost_need_no_server() {
    let server = NameServer::start(Vec::new()).await;
    assert_eq!(
        resolve(&server, "192.0.2.7").await.unwrap().addresses,
        [IpAddr::from([192, 0, 2, 7])]
    );
    assert_eq!(
        resolve(&server, "fd00::7").await.unwrap().addresses,
        ["fd00::7".parse::<IpAddr>().unwrap()]
    );
    for name in ["localhost", "localhost.", "api.localhost"] {
        let answer = resolve(&server, name).await.unwrap();
        assert!(answer.addresses.contains(&v4(1)), "{name}: {answer:?}");
        assert!(answer.addresses.iter().all(IpAddr::is_loopback), "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn a_cluster_follows_a_real_name_server() {
    let server = NameServer::start(vec![(RecordType::A, Reply::Addresses(vec![v4(1)], 1))]).await;
    let cluster = Cluster::build(&upstream(BalancePolicy::Random, [(named("api.shop"), 1)]), None);
    let resolver = Arc::new(SystemResolver::with_name_servers(&[server.address]).unwrap());
    let soon = Duration::from_millis(5);
    let timing = Timing { ttl_most: soon, ttl_least: soon, retry_first: soon, ..Timing::default() };
    Discovery::with_timing(resolver, Handle::current(), 3, timing).spawn(&cluster);
    timeout(Duration::from_secs(10), cluster.ready()).await.unwrap();
    assert_eq!(addresses(&cluster), ["127.0.0.1:80"]);
    *server.table.lock().unwrap() = vec![(RecordType::A, Reply::Addresses(vec![v4(3), v4(2)], 1))];
    // A question comes after the answer to the one before it has been taken over.
    let mut asked = server.asked.clone();
    let seen = *asked.borrow();
    timeout(Duration::from_secs(10), asked.wait_for(|count| *count > seen + 2))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(addresses(&cluster), ["127.0.0.2:80", "127.0.0.3:80"]);
}
