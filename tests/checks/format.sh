#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# format.sh SOURCE_DIR: every C++ file is as clang-format would write it.
set -euo pipefail
cd "$1"
find src tests -name '*.cpp' -o -name '*.h' | sort | xargs clang-format --dry-run -Werror
