//! The time that each case takes, by criterion.

use std::time::Duration;

use criterion::Criterion;
use portcullis_microbenches::CASES;

/// Short: a table of orders of magnitude. Whoever compares two builds asks for more on the
/// command line.
fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .configure_from_args();
    for case in CASES {
        let mut work = case.warm();
        criterion.bench_function(case.name, |bencher| bencher.iter(&mut work));
    }
    criterion.final_summary();
}
