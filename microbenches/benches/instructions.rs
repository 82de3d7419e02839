//! The instructions that each case takes, counted by callgrind: each case in a process of its
//! own, one call after it is warm.

use gungraun::{
    Callgrind, LibraryBenchmarkConfig, library_benchmark, library_benchmark_group, main,
};
use portcullis_microbenches::{CASES, Work};

#[library_benchmark]
#[benches::case(iter = 0..CASES.len(), setup = warm)]
fn count(mut work: Work) -> Work {
    work();
    // Given back, so that what it holds is not dropped within the count.
    work
}

fn warm(index: usize) -> Work {
    CASES[index].warm()
}

library_benchmark_group!(name = engine, benchmarks = count);
main!(
    // Only instructions are compared; to simulate caches takes as long again.
    config = LibraryBenchmarkConfig::default().tool(Callgrind::with_args(["--cache-sim=no"])),
    library_benchmark_groups = engine
);
