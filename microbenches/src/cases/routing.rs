//! From a head to its route, and to the whole decision, with few routes and with many.

use std::hint::black_box;

use portcullis_proxy::decide::{self, DecisionScratch, Facts, Site, Step};
use portcullis_proxy::route::{Normalised, Table, compile};

use super::repeat;
use crate::case::Work;
use crate::fixture;

/// Host and path prefix alone, both in their normal forms.
pub(super) fn find(routes: usize) -> Work {
    let table = table(routes);
    let parts = fixture::request_parts();
    repeat(move || {
        let head = black_box(fixture::request_head(&parts));
        let request = Normalised {
            host: head.authority(),
            path: head.path(),
            method: head.method(),
            query: head.query(),
            fields: head.fields(),
        };
        table.find(&request).expect("a route has this prefix").id
    })
}

/// Normal forms, route and plan.
pub(super) fn decide(routes: usize) -> Work {
    let table = table(routes);
    // Kept for the whole run, so that the clock is read once and not in what is measured.
    let parts: &'static _ = Box::leak(Box::new(fixture::request_parts()));
    let facts = Facts::of(fixture::request_head(parts));
    let facts = Facts { local_port: Some(80), random: 7, ..facts };
    let mut scratch = DecisionScratch::default();
    repeat(move || {
        let site = Site::bare(&table);
        let step = decide::decide(&site, black_box(&facts), &mut scratch);
        assert!(matches!(black_box(step), Step::Plan(_)));
    })
}

fn table(routes: usize) -> Table {
    let config = fixture::config_of_routes(routes);
    Table::build(&compile(&config, &[]).expect("the fixture is in order"))
}
