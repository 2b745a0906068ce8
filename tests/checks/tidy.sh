#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# tidy.sh SOURCE_DIR [BASE]: clang-tidy over the sources that differ from the commit BASE, or over
# all of them, each by a command of its own: a build compiles several as one. The deprecated
# function is one that libstdc++ 12 calls itself.
set -euo pipefail
cd "$1"
if [ $# -gt 1 ]; then
  mapfile -t files < <(git diff --name-only --diff-filter=d "$2" -- 'src/*/*.cpp')
else
  files=(src/*/*.cpp)
fi
[ ${#files[@]} -gt 0 ] || exit 0
cmake --preset release -B build/tidy -D CMAKE_UNITY_BUILD=OFF >/dev/null
printf '%s\n' "${files[@]}" | xargs -n 4 -P "$(nproc)" clang-tidy-19 --quiet -p build/tidy \
  --extra-arg=-D__cpp_concepts=202002L --extra-arg=-Wno-unknown-warning-option \
  --extra-arg=-Wno-builtin-macro-redefined --extra-arg=-Wno-deprecated-declarations
