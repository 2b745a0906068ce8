#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# keep.sh SOURCE_DIR TARGET: makes the seeds anew of what they were and what the runs found: the
# fewest inputs that reach all of the code that these reach, small ones only, so that the tree stays
# small.
set -euo pipefail
build=$1/build/fuzz/tests/fuzz
seeds=$1/tests/fuzz/seeds/$2
all=$(mktemp -d)
trap 'rm -rf "$all"' EXIT
mkdir -p "$seeds" "$all/small" "$all/kept"
find "$build/corpus/$2" -type f -size -2 -exec cp -t "$all/small" {} +
"$build/$2" -set_cover_merge=1 -use_counters=0 "$all/kept" "$seeds" "$all/small"
rm -r "$seeds"
cp -r "$all/kept" "$seeds"
