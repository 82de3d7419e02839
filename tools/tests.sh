#!/bin/sh
# Runs every test, and checks that no process of theirs is left: tools/tests.sh TARGET
#
# TARGET is where cargo builds; everything is built, and what tests need is installed.
set -eu

here=$(dirname "$0")
target=$1

# Without Python, which is what watches, tests that need it are missed as well, and have said so.
if [ -z "${PORTCULLIS_TESTS_WATCHED:-}" ] && command -v python3 >/dev/null; then
    PORTCULLIS_TESTS_WATCHED=1 exec "$here/leaves-nothing.py" "$0" "$@"
fi

NEXTEST=$("$here/nextest.sh" "$target/cargo-nextest")
export NEXTEST
"$here/step.sh" tests "$NEXTEST" nextest run --locked --workspace
"$here/step.sh" "tests on PostgreSQL" "$here/shop-on-postgres.sh"
"$here/step.sh" "the demo's customer" "$target/debug/shop-demo" --ports free --once
