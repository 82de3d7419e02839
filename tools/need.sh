#!/bin/sh
# Makes sure that programs are there: tools/need.sh PROGRAM:PACKAGE...
#
# What is missing is installed from Debian's packages, and said so. Without root, sudo or apt-get
# it says what will be missed; in CI (CI=true) that is a failure, so that nothing is skipped there.
set -eu

path=$PATH:/usr/sbin:/sbin
# Debian keeps the programs of each PostgreSQL by themselves.
for folder in /usr/lib/postgresql/*/bin; do
    path=$path:$folder
done

missing=
for need in "$@"; do
    program=${need%%:*}
    PATH=$path command -v "$program" >/dev/null || missing="$missing ${need#*:}"
done
[ -n "$missing" ] || exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root=sudo
else
    as_root=none
fi

if [ "$as_root" != none ] && command -v apt-get >/dev/null; then
    echo "==> INSTALLING from Debian's packages:$missing" >&2
    export DEBIAN_FRONTEND=noninteractive
    # Nothing starts by being installed, now or with the machine: a server is wanted as a program.
    # An administrator's own rule about that is left as it is.
    policy=/usr/sbin/policy-rc.d
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
        $as_root chmod 755 "$policy"
        trap '$as_root rm -f "$policy"' EXIT
        trap 'exit 1' INT TERM
    fi
    # Package names have no spaces: they are to be split.
    # shellcheck disable=SC2086
    if { $as_root apt-get update -q && $as_root apt-get install -y -q --no-install-recommends $missing; } >&2; then
        for package in $missing; do
            units=$(dpkg -L "$package" | sed -n 's|^.*/systemd/system/\([^/]*\.service\)$|\1|p')
            for unit in $units; do
                ! command -v systemctl >/dev/null || $as_root systemctl disable --quiet "$unit" >&2 || true
            done
        done
        exit 0
    fi
    echo "==> NOT INSTALLED: apt-get failed" >&2
fi

echo "==> MISSING:$missing. What needs it is skipped or fails." >&2
echo "    Install it with: apt-get install$missing" >&2
[ "${CI:-}" != true ]
