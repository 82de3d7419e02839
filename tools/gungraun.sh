#!/bin/sh
# Makes the program that runs the bench of instructions under valgrind: tools/gungraun.sh DIRECTORY
#
# It and the library in the bench talk a protocol of their own, so it has the version that the lock
# file names. Not optimised: it waits for valgrind, and builds in half of the time.
set -eu

place=$1
version=$(sed -n '/^name = "gungraun"$/{n;s/^version = "\(.*\)"$/\1/p;}' "$(dirname "$0")/../Cargo.lock")

[ "$("$place/bin/gungraun-runner" --version 2>/dev/null)" = "gungraun-runner $version" ] && exit 0
echo "==> INSTALLING gungraun-runner $version into $place" >&2
exec "${CARGO:-cargo}" install --quiet --locked --force --debug --root "$place" \
    --version "$version" gungraun-runner
