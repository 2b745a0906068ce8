#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# build.sh SOURCE_DIR PRESET: another build of the program, with its tests.
set -euo pipefail
cd "$1"
cmake --preset "$2"
cmake --build --preset "$2"
