#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later
# rules.sh SOURCE_DIR: what CONTRIBUTING.md asks of every file and no other tool looks at.
set -euo pipefail
cd "$1"
bad=0
complain() { printf '%s\n' "$1" | sed "s/^/$2: /"; bad=1; }

mapfile -t code < <(find src tests kmod -name '*.cpp' -o -name '*.h' -o -name '*.c' | sort)
# setup, test and demo may say how to install things; only the program must never use a shell.
shells=$(grep -nE '\b(system|popen) *\(' "${code[@]}" || true)
[ -z "$shells" ] || complain "$shells" "a shell or a command line"
unnamed=$(for file in "${code[@]}"; do
  head -n 1 "$file" | grep -q 'SPDX-License-Identifier: GPL-2.0' || echo "$file"
done)
[ -z "$unnamed" ] || complain "$unnamed" "no licence in the first line"
long=$(wc -l "${code[@]}" | awk '$1 > 800 && $2 != "total" { print $2 }')
[ -z "$long" ] || complain "$long" "longer than 800 lines"
# Only the command line talks to people or ends the program.
talk=$(grep -nE '\b(printf|fputs|puts|std::cout|std::cerr|fmt::print|exit) *[(<]' src/*/*.cpp |
  grep -vE '^src/cli/|snprintf|_exit|// ' || true)
[ -z "$talk" ] || complain "$talk" "prints or exits outside src/cli"
# What is below the core's own files knows nothing of them (kmod/core/core.h).
up=$(find kmod/core -name '*.h' ! -name core.h -o -path '*/arch/*.c' -o -name binding.c -o -name cpus.c \
  -o -name kernel_symbols.c -o -name redirect.c -o -name stacks.c | sort | xargs grep -n '"core.h"' || true)
[ -z "$up" ] || complain "$up" "a lower file of the core includes core.h"
exit $bad
