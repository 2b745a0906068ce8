#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# run.sh SOURCE_DIR TARGET: a short run over the seeds ($SUTURE_FUZZ_SECONDS, else 10). What crashes
# it, or takes a minute (many may run side by side), is left in the build directory; what it finds
# worth keeping goes to corpus/TARGET there.
set -euo pipefail
build=$1/build/fuzz/tests/fuzz
corpus=$build/corpus/$2
mkdir -p "$corpus" "$1/tests/fuzz/seeds/$2"
exec "$build/$2" -max_total_time="${SUTURE_FUZZ_SECONDS:-10}" -timeout=60 -rss_limit_mb=2048 \
  -print_final_stats=1 -artifact_prefix="$build/$2-" "$corpus" "$1/tests/fuzz/seeds/$2"
