#!/bin/sh
# Runs the services' own tests, which keep their rows in memory, once more on PostgreSQL:
# tools/shop-on-postgres.sh
#
# The server is one of this run alone, at a socket in a folder of its own; both go with the run.
# NEXTEST is the cargo-nextest to use; without it, tools/nextest.sh says which.
# Without PostgreSQL it says what is skipped; in CI (CI=true) that is a failure.
set -eu
nextest=${NEXTEST:-$("$(dirname "$0")/nextest.sh" "${CARGO_TARGET_DIR:-target}/cargo-nextest")}

programs=
for folder in /usr/lib/postgresql/*/bin; do
    [ ! -x "$folder/initdb" ] || programs=$folder
done
if [ -z "$programs" ]; then
    echo "==> SKIPPED: the services' tests on PostgreSQL (apt-get install postgresql)" >&2
    [ "${CI:-}" != true ]
    exit 0
fi

folder=$(mktemp -d "${TMPDIR:-/tmp}/shop-postgres-XXXXXX")
server=
finish() {
    # SIGINT is the server's fast shutdown: it does not wait for clients.
    [ -z "$server" ] || { kill -INT "$server" && wait "$server" || true; }
    rm -rf "$folder"
}
trap finish EXIT
trap 'exit 1' INT TERM

# It refuses to run as root.
as=
if [ "$(id -u)" = 0 ]; then
    chown postgres: "$folder"
    as="setpriv --reuid=postgres --regid=postgres --clear-groups"
fi
cd "$folder"
$as "$programs/initdb" -U postgres -A trust -E UTF8 --locale=C.UTF-8 --no-sync -D "$folder/data" >log
# Each test has a schema of its own, and some connections. The server ends with this script, even if
# that is killed.
$as setpriv --pdeathsig QUIT "$programs/postgres" -D "$folder/data" -k "$folder" -c listen_addresses= -c fsync=off \
    -c max_connections=500 -c deadlock_timeout=100ms >>log 2>&1 &
server=$!
tries=0
until "$programs/pg_isready" -q -h "$folder"; do
    tries=$((tries + 1))
    if [ "$tries" -gt 200 ] || ! kill -0 "$server" 2>/dev/null; then
        cat log >&2
        exit 1
    fi
    sleep 0.1
done
cd - >/dev/null

# With all of the workspace, as they were built for the first run: fewer crates would ask for fewer
# features, and build much anew.
SHOP_TEST_POSTGRES="postgres://postgres@$(echo "$folder" | sed 's|/|%2F|g')/postgres" \
    "$nextest" nextest run --locked --workspace --lib --filterset \
    'package(shop-users) + package(shop-products) + package(shop-payments) + package(shop-orders) + package(shop-notifications)'
