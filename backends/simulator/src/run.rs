//! The course of a run: the shelves are filled, the customers come and go, the shop comes to rest,
//! and its books are checked.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, bail};
use tokio::task::JoinSet;
use tokio::time::Instant;
use uuid::Uuid;

use crate::audit::books::{self, Books, Deeds};
use crate::auditor::{self, Auditor};
use crate::courier::{Courier, Found};
use crate::customer::{self, Shop, Visit};
use crate::options::Options;
use crate::record::{Call, Finding, Recorder};
use crate::summary::{Orders, Summary, Verdict};
use crate::till::Till;
use crate::wire::dial::{Dialer, Trust};
use crate::wire::patience::Patience;

/// The exit code of a program that a signal ended, as shells count: 128 + SIGINT.
const INTERRUPTED: u8 = 130;

pub(crate) fn run(options: Options) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let till = Arc::new(Till::new(options.most_orders()));
        let closing = Arc::clone(&till);
        tokio::select! {
            code = Box::pin(course(options, till)) => code,
            () = interrupted(&closing) => Ok(ExitCode::from(INTERRUPTED)),
        }
    })
}

/// The first Ctrl-C sends the customers home, and what they did is checked; the second ends it.
async fn interrupted(till: &Till) {
    if tokio::signal::ctrl_c().await.is_err() {
        return std::future::pending().await;
    }
    eprintln!("closing: no more orders. Once more to leave the books unread");
    till.close();
    drop(tokio::signal::ctrl_c().await);
}

async fn course(options: Options, till: Arc<Till>) -> anyhow::Result<ExitCode> {
    let seed = options.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let recorder = Arc::new(Recorder::default());
    let shop = open(&options, seed, till, &recorder)?;
    let courier =
        Courier::new(Arc::clone(&shop.dialer), Arc::clone(&recorder), shop.patience, None);
    let auditor = Auditor::begin(courier, options.backoffice_secret.clone()).await;
    let begun = match auditor {
        Ok(auditor) => begin(&auditor, &shop, &options).await.map(|begun| (auditor, begun)),
        Err(found) => Err(found),
    };
    let Ok((auditor, (before, mut deeds))) = begun else {
        let findings: Vec<String> =
            recorder.take().findings.iter().map(Finding::to_string).collect();
        bail!("the books cannot be opened: {}", findings.join("; "));
    };

    let opened = Instant::now();
    if let Some(duration) = options.duration {
        shop.till.open_for(duration);
    }
    let visits = Box::pin(serve(&shop, options.customers)).await;
    let elapsed = opened.elapsed();

    let until = Instant::now() + options.settle;
    let mut verdict = Verdict::default();
    // With others in the shop there may never be quiet.
    let rest_until = if options.shared { Instant::now() } else { until };
    let rested = auditor.quiet_books(rest_until).await.is_ok();
    let mut orders = Orders::default();
    Box::pin(check_visits(visits, until, &shop, &mut orders, &mut deeds, &mut verdict)).await;
    // Behind the customers' audit, since that waits for whatever is still under way.
    match auditor.quiet_books(rest_until).await {
        Ok(after) => verdict.books = books::check(&before, &after, &deeds, options.shared),
        Err(Found) => verdict.unread = true,
    }
    verdict.unread |= !rested;

    let records = recorder.take();
    let customers = options.customers;
    let summary = Summary { seed, customers, elapsed, records, orders, verdict };
    println!("{summary}");
    if let Some(path) = &options.json {
        let text = serde_json::to_string_pretty(&summary.to_json())?;
        std::fs::write(path, text + "\n")
            .with_context(|| format!("{} cannot be written", path.display()))?;
    }
    Ok(if summary.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn open(
    options: &Options,
    seed: u64,
    till: Arc<Till>,
    recorder: &Arc<Recorder>,
) -> anyhow::Result<Shop> {
    let trust = match &options.ca {
        Some(file) => Trust::Authority(file),
        None if options.insecure => Trust::Anyone,
        None => Trust::Nobody,
    };
    let dialer = Dialer::try_new(options.url.clone(), trust)?;
    // The seed draws behaviour alone: with the same names a second run would find itself there.
    let run = Uuid::new_v4().simple().to_string();
    Ok(Shop {
        dialer: Arc::new(dialer),
        recorder: Arc::clone(recorder),
        patience: Patience { outages: options.outages },
        till,
        seed,
        run: Arc::from(&run[..12]),
        think: options.think,
    })
}

/// The books before the first customer, and what was done to them for the customers' sake.
async fn begin(auditor: &Auditor, shop: &Shop, options: &Options) -> Result<(Books, Deeds), Found> {
    // What an earlier run left under way would count as this one's.
    let wait = if options.shared { Instant::now() } else { Instant::now() + options.settle };
    let before = auditor.quiet_books(wait).await?;
    let deeds = auditor.fill_shelves(&shop.run, &before).await?;
    Ok((before, deeds))
}

/// All customers, until the last has gone.
async fn serve(shop: &Shop, customers: u32) -> Vec<Visit> {
    let mut coming = JoinSet::new();
    for number in 1..=customers {
        coming.spawn(customer::visit(shop.clone(), number));
    }
    let mut visits = Vec::new();
    while let Some(visit) = coming.join_next().await {
        match visit {
            Ok(visit) => visits.extend(visit),
            Err(error) => shop.recorder.find(Finding {
                customer: None,
                call: Call::Audit,
                what: format!("a customer fell over: {error}"),
                request_id: None,
            }),
        }
    }
    visits.sort_by_key(|visit| visit.number);
    visits
}

/// Every customer's things against what it did; all at once, as each waits for its last news.
async fn check_visits(
    visits: Vec<Visit>,
    until: Instant,
    shop: &Shop,
    orders: &mut Orders,
    deeds: &mut Deeds,
    verdict: &mut Verdict,
) {
    let outages = shop.patience.outages;
    let mut checking = JoinSet::new();
    for visit in visits {
        checking.spawn(async move {
            let settled = Box::pin(auditor::settle(&visit, until, outages)).await;
            (visit, settled)
        });
    }
    while let Some(checked) = checking.join_next().await {
        let Ok((visit, Ok((seen, wrong)))) = checked else {
            verdict.unread = true;
            continue;
        };
        orders.add(&visit, &seen);
        seen.orders.iter().for_each(|order| deeds.add(order));
        verdict.visits.extend(wrong.into_iter().map(|wrong| (visit.number, wrong)));
        if let Some(feed) = visit.feed {
            feed.end().await;
        }
    }
    verdict.visits.sort_by_key(|(number, _)| *number);
}
