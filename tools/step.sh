#!/bin/sh
# Runs a command and says how long it took: tools/step.sh NAME COMMAND [ARGUMENT...]
#
# With PORTCULLIS_STEPS the figure is appended to that file as well, for a summary at the end.
set -eu

name=$1
shift
begun=$(date +%s)
code=0
"$@" || code=$?
took=$(($(date +%s) - begun))
echo "==> $name took $took s"
[ -z "${PORTCULLIS_STEPS:-}" ] || echo "$took $name" >>"$PORTCULLIS_STEPS"
exit "$code"
