#!/bin/sh
# Makes the Python that tests use, with its packages, below the build's own directory:
# tools/python.sh DIRECTORY
#
# It holds other people's implementations of what the proxy speaks, as judges. Without Python or
# network it says what will be missed; in CI (CI=true) that is a failure.
set -eu

place=$1
packages="grpcio==1.85.1 websockets==15.0.1 schemathesis==4.32.5"

"$place/bin/python" -c 'import grpc, websockets, schemathesis' 2>/dev/null && exit 0

missed() {
    echo "==> MISSING: $1. The tests by a Python client are skipped." >&2
    [ "${CI:-}" != true ]
    exit 0
}

command -v python3 >/dev/null || missed python3
if ! python3 -m venv --clear "$place" >/dev/null 2>&1; then
    # Debian keeps that part in a package of its own, without a program to look for.
    "$(dirname "$0")/need.sh" python3-venv:python3-venv
    python3 -m venv --clear "$place" || missed python3-venv
fi
echo "==> INSTALLING for tests into $place: $packages" >&2
"$place/bin/pip" install --quiet --disable-pip-version-check $packages || missed "$packages"
