//! A service may be killed before and after each of its steps: nothing is lost, nothing happens
//! twice, every order comes to its end.
//!
//! The steps are found by a run that traces them. Then, for each, a shop goes through everything
//! that happens in one while a service dies there and is started again; its customers repeat what
//! was not answered. A world in which all was well is used for the next step too, so that its books
//! hold the sum of many deaths.

#![allow(clippy::unwrap_used, reason = "a test file: what fails here fails the test")]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use fastrand::Rng;
use shop_proofs::{
    Audit, Begun, Engines, PATIENCE, Service, Settings, Step, World, everything, seed,
};
use tokio::sync::Mutex;
use tokio::task::JoinSet;

/// Worlds at once: a machine with two cores is kept busy by as many.
const WORLDS: usize = 2;
/// How often everything may happen until the service gets to the step that it shall die at. Which
/// of two was faster decides over some steps.
const ROUNDS: usize = 3;
/// Steps that are tried on PostgreSQL and NATS too, where the dead hold what they had for half a
/// minute.
const SAMPLE: usize = 5;
/// Steps of a first start; they are not taken again.
const OF_FIRST_START: [&str; 2] = ["commit:users.keys", "commit:products.seed"];

/// The steps known when this was written. There may be more, and never fewer.
const KNOWN: [(Service, &[&str]); 5] = [
    (Service::Users, &["commit:users.keys", "commit:users.register", "publish:user.registered"]),
    (
        Service::Products,
        &[
            "commit:products.seed",
            "commit:stock.supply",
            "commit:stock.reserve",
            "commit:stock.commit",
            "commit:stock.release",
            "commit:consume:products:order.confirmed",
            "commit:consume:products:order.cancelled",
            "publish:stock.supplied",
            "publish:stock.reserved",
            "publish:stock.committed",
            "publish:stock.released",
            "publish:stock.returned",
        ],
    ),
    (
        Service::Payments,
        &[
            "commit:payment-method.add",
            "commit:payment.begin",
            "commit:payment.authorize",
            "commit:payment.decline",
            "commit:payment.capture",
            "commit:payment.void",
            "commit:payment.refund",
            "commit:processor.authorize",
            "commit:processor.capture",
            "commit:processor.void",
            "commit:processor.refund",
            "commit:processor.fault",
            "publish:payment.authorized",
            "publish:payment.declined",
            "publish:payment.captured",
            "publish:payment.voided",
            "publish:payment.refunded",
        ],
    ),
    (
        Service::Orders,
        &[
            "call:orders.quote",
            "call:saga.reserve",
            "call:saga.authorize",
            "call:saga.commit_stock",
            "call:saga.capture",
            "call:saga.undo_payment",
            "call:saga.release_stock",
            "commit:orders.place",
            "commit:orders.cancel",
            "commit:orders.complain",
            "commit:saga.take",
            "commit:saga.reserve",
            "commit:saga.authorize",
            "commit:saga.commit_stock",
            "commit:saga.capture",
            "commit:saga.undo_payment",
            "commit:saga.release_stock",
            "commit:consume:orders:payment.authorized",
            "commit:consume:orders:payment.declined",
            "commit:consume:orders:payment.captured",
            "commit:consume:orders:payment.voided",
            "commit:consume:orders:payment.refunded",
            "publish:order.placed",
            "publish:order.confirmed",
            "publish:order.cancelled",
        ],
    ),
    (
        Service::Notifications,
        &[
            "call:notifications.deliver",
            "commit:notifications.take",
            "commit:notifications.settle",
            "commit:notifications.read",
            "commit:consume:notifications:user.registered",
            "commit:consume:notifications:order.placed",
            "commit:consume:notifications:order.confirmed",
            "commit:consume:notifications:order.cancelled",
            "commit:consume:notifications:payment.authorized",
            "commit:consume:notifications:payment.declined",
            "commit:consume:notifications:payment.captured",
            "commit:consume:notifications:payment.voided",
            "commit:consume:notifications:payment.refunded",
        ],
    ),
];

/// One test after the other: each takes the whole machine.
static TURN: Mutex<()> = Mutex::const_new(());

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Case {
    service: Service,
    step: Step,
}

#[derive(Debug)]
struct Outcome {
    case: Case,
    died: bool,
    findings: Vec<String>,
}

impl Case {
    fn is_of_first_start(&self) -> bool {
        OF_FIRST_START.contains(&self.step.name.as_str())
    }
}

fn known() -> BTreeSet<Case> {
    let cases = KNOWN.into_iter().flat_map(|(service, names)| {
        let steps = names.iter().flat_map(|name| Step::sides(name));
        steps.map(move |step| Case { service, step })
    });
    cases.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_may_die_at_each_of_its_steps() {
    let _turn = TURN.lock().await;
    let traced = trace().await;
    for service in Service::ALL {
        let of = traced.iter().filter(|case| case.service == service);
        let steps: Vec<String> = of.map(|case| case.step.to_string()).collect();
        println!("{service} takes {} steps:\n    {}", steps.len(), steps.join("\n    "));
    }
    let known = known();
    let gone: Vec<&Case> = known.difference(&traced).collect();
    assert!(gone.is_empty(), "steps that were known are not taken any more: {gone:?}");
    let begun = Instant::now();
    let outcomes = run(traced.into_iter().collect(), Engines::Embedded, WORLDS).await;
    println!("{} deaths in {:?}", outcomes.len(), begun.elapsed());
    judge(&outcomes, &known);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn some_deaths_on_postgresql_and_nats() {
    let _turn = TURN.lock().await;
    let known = known();
    let mut cases: Vec<Case> = known.iter().cloned().collect();
    Rng::with_seed(seed()).shuffle(&mut cases);
    cases.truncate(SAMPLE);
    let outcomes = run(cases.into(), Engines::Servers, 1).await;
    for Outcome { case: Case { service, step }, .. } in &outcomes {
        println!("{service} died {step}");
    }
    judge(&outcomes, &known);
}

/// Every step that is taken when nothing goes wrong.
async fn trace() -> BTreeSet<Case> {
    let world = World::prepare(Engines::Embedded, Settings::default()).await.unwrap();
    let file = |service: Service| world.file(&format!("{service}.trace"));
    let trace = |service: Service| (service, format!("trace:{}", file(service).display()));
    world.begin(&BTreeMap::from(Service::ALL.map(trace))).await;
    everything(&world, "trace").await;
    world.quiet(PATIENCE).await;
    Audit::must_pass(&world).await;
    let steps = Service::ALL.into_iter().flat_map(|service| {
        let trace = std::fs::read_to_string(file(service)).unwrap_or_default();
        Step::all(&trace).into_iter().map(move |step| Case { service, step })
    });
    steps.collect()
}

/// Goes through the table, so many worlds at a time.
async fn run(cases: VecDeque<Case>, engines: Engines, worlds: usize) -> Vec<Outcome> {
    let cases: VecDeque<(usize, Case)> = cases.into_iter().enumerate().collect();
    let cases = Arc::new(Mutex::new(cases));
    let mut workers = JoinSet::new();
    for _ in 0..worlds {
        workers.spawn(work(engines, Arc::clone(&cases)));
    }
    let mut outcomes = Vec::new();
    while let Some(done) = workers.join_next().await {
        outcomes.extend(done.unwrap());
    }
    outcomes
}

/// Takes case after case, in one world for as long as all is well there.
async fn work(engines: Engines, cases: Arc<Mutex<VecDeque<(usize, Case)>>>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    let mut kept: Option<Arc<World>> = None;
    loop {
        let next = cases.lock().await.pop_front();
        let Some((number, case)) = next else { return outcomes };
        let kept_world = kept.take().filter(|_| !case.is_of_first_start());
        let is_new = kept_world.is_none();
        let world = match kept_world {
            Some(world) => world,
            None => match World::prepare(engines, Settings::default()).await {
                Some(world) => world,
                None => return outcomes,
            },
        };
        // A task of its own: what panics there is one outcome of many.
        let attempt = attempt(Arc::clone(&world), case.clone(), number, is_new);
        let outcome = match tokio::spawn(attempt).await {
            Ok(outcome) => outcome,
            Err(error) => Outcome { case, died: true, findings: vec![error.to_string()] },
        };
        if outcome.findings.is_empty() {
            kept = Some(world);
        } else {
            let Outcome { case: Case { service, step }, findings, .. } = &outcome;
            eprintln!("{service} {step}:\n{}\n{}", findings.join("\n"), world.last_words());
        }
        outcomes.push(outcome);
    }
}

/// Lets everything happen in the world while the service dies at the step.
async fn attempt(world: Arc<World>, case: Case, number: usize, is_new: bool) -> Outcome {
    let Case { service, step } = &case;
    let (mut died, failpoint) = (false, step.to_string());
    if is_new {
        let mut failpoints = BTreeMap::new();
        if case.is_of_first_start() {
            failpoints.insert(*service, failpoint.clone());
        }
        died = world.begin(&failpoints).await.contains(service);
    }
    let is_armed_now = !case.is_of_first_start();
    if is_armed_now && world.restart(*service, Some(&failpoint)).await == Begun::Killed {
        world.restart(*service, None).await;
        died = true;
    }
    for round in 0..ROUNDS {
        let name = format!("case-{number}-{round}");
        if died {
            live(&world, &name).await;
            break;
        }
        died = live_and_die(&world, *service, &name).await;
        if died {
            break;
        }
    }
    if !died {
        world.restart(*service, None).await;
    }
    let findings = Audit::run(&world).await;
    Outcome { case, died, findings }
}

/// Everything happens, and comes to rest.
async fn live(world: &Arc<World>, name: &str) {
    everything(world, name).await;
    world.quiet(PATIENCE).await;
}

/// The same, with one death at most: the service is started again at once. Tells whether it died.
async fn live_and_die(world: &Arc<World>, service: Service, name: &str) -> bool {
    let (here, name) = (Arc::clone(world), name.to_owned());
    // A set: what is in it ends with this attempt.
    let mut life = JoinSet::new();
    life.spawn(async move { live(&here, &name).await });
    let lived = tokio::select! {
        biased;
        () = world.died(service) => None,
        lived = life.join_next() => lived,
    };
    let Some(lived) = lived else {
        world.restart(service, None).await;
        // Whoever waits for what the dead had in hand shall not wait for half a minute.
        world.let_leases_run_out().await;
        life.join_next().await.unwrap().unwrap();
        return true;
    };
    lived.unwrap();
    // At the very last step nobody waits for it.
    let died = world.has_died(service).await;
    if died {
        world.restart(service, None).await;
        world.quiet(PATIENCE).await;
    }
    died
}

fn judge(outcomes: &[Outcome], known: &BTreeSet<Case>) {
    let mut wrong = Vec::new();
    for Outcome { case, died, findings } in outcomes {
        let Case { service, step } = case;
        if !findings.is_empty() {
            wrong.push(format!("{service} killed {step}:\n    {}", findings.join("\n    ")));
        }
        // A step that chance decides over may have been seen by the trace alone.
        match (died, known.contains(case)) {
            (false, true) => wrong.push(format!("{service} never came to {step}")),
            (false, false) => println!("==> NOT REACHED: {service} {step}"),
            (true, _) => {}
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), outcomes.len(), wrong.join("\n"));
}
