#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# keep.sh SOURCE_DIR TARGET: adds to the seeds what the runs found that reaches new code, small inputs
# only, so that the tree stays small.
set -euo pipefail
build=$1/build/fuzz/tests/fuzz
seeds=$1/tests/fuzz/seeds/$2
mkdir -p "$seeds"
small=$(mktemp -d)
trap 'rm -rf "$small"' EXIT
find "$build/corpus/$2" -type f -size -2 -exec cp -t "$small" {} +
"$build/$2" -set_cover_merge=1 "$seeds" "$small"
