#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# fuzz.sh SOURCE_DIR TARGET: a short run over the seeds; what crashes it is left in the build directory.
set -euo pipefail
build=$1/build/fuzz/tests/fuzz
corpus=$build/corpus/$2
seeds=$1/tests/fuzz/seeds/$2
mkdir -p "$corpus"
[ -d "$seeds" ] || seeds=
exec "$build/$2" -max_total_time="${SUTURE_FUZZ_SECONDS:-20}" -timeout=10 -rss_limit_mb=2048 \
  -artifact_prefix="$build/$2-" "$corpus" $seeds
