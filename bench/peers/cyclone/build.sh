#!/bin/sh
# Builds the Cyclone DDS peer into $1 with Debian's cyclonedds-dev and cyclonedds-tools.
set -eu
here=$(dirname "$0")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
command -v idlc >/dev/null || { echo "error: idlc is not installed (motet-bench install)" >&2; exit 1; }
cp "$here/bench.idl" "$work/"
(cd "$work" && idlc bench.idl)
mkdir -p "$(dirname "$1")"
cc -O2 -Wall -pthread -I"$work" -o "$1" "$here/main.c" "$work/bench.c" -lddsc
