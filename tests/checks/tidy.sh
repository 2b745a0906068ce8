#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tidy.sh SOURCE_DIR BUILD_DIR: clang-tidy has nothing to say about the program.
set -euo pipefail
cd "$1"
out=$(mktemp)
trap 'rm -f "$out"' EXIT
run-clang-tidy-19 -quiet -p "$2" -j "$(nproc)" "^$PWD/src/" >"$out" 2>/dev/null && exit 0
grep -A 4 -E 'error:|warning:' "$out" || cat "$out"
exit 1
