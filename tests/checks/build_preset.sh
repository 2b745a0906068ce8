#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# build_preset.sh SOURCE_DIR PRESET
set -euo pipefail
cd "$1"
cmake --preset "$2"
cmake --build --preset "$2"
