#!/bin/sh
# Runs fuzz targets on stable Rust: fuzz/run.sh [SECONDS [TARGET...]]
#
# Without names every file in src/bin runs, one after the other. libFuzzer needs coverage
# counters in the code; the compiler inserts them when LLVM's pass is asked for by name, for
# which --target keeps the flags away from build scripts. Inputs that a run found interesting
# stay in corpus/, findings in artifacts/; both are ignored by git, seeds/ is not.
set -eu
cd "$(dirname "$0")"

seconds=${1:-60}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- $(cd src/bin && ls ./*.rs | sed 's|^\./||; s|\.rs$||')

host=$(rustc -vV | sed -n 's/^host: //p')
export RUSTFLAGS="--cfg fuzzing -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares"

cargo build --release --target "$host" $(printf -- '--bin %s ' "$@")

failed=0
for target in "$@"; do
    mkdir -p "corpus/$target" "artifacts/$target" "seeds/$target"
    dictionary=
    [ -f "seeds/$target.dict" ] && dictionary="-dict=seeds/$target.dict"
    more=
    [ "$target" = config ] && more="../config/examples ../config/tests/broken ../config/tests/doubtful"
    echo "== $target, $seconds s"
    "target/$host/release/$target" -max_total_time="$seconds" -timeout=5 -rss_limit_mb=1024 \
        -max_len=4096 -print_final_stats=1 -artifact_prefix="artifacts/$target/" \
        $dictionary "corpus/$target" "seeds/$target" $more || failed=1
done
exit $failed
