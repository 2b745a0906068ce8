# SPDX-License-Identifier: GPL-2.0-or-later
"""Diffs made from the real sources by seeded changes of text."""
import os
import random
import re
import subprocess
import tempfile
import pathlib

import data_kinds as d
import kinds as k
from source_text import View

# Kind -> its share; what hid wrong patches once counts more.
KINDS = {
    k.code: 1, k.several_files: 2, k.included_source: 3, k.generated_headers: 3, k.move_function: 5,
    k.rename_function: 2, k.rename_global: 2, k.same_name: 4, k.new_include: 2, k.macro_private: 4,
    k.macro_wide: 2, k.inline_private: 3, k.inline_wide: 2, k.struct_member: 3, k.enum_value: 3,
    k.weak_symbol: 2, k.static_to_global: 2, k.global_to_static: 2, k.boot_code: 2, k.exit_code: 2,
    k.boot_sets_flag: 4, d.new_data: 4, d.per_cpu: 2, d.static_local: 3, d.sysctl_table: 3,
    d.registered_structure: 3, d.const_operations: 3, d.after_init: 3, d.variable_value: 2, d.array_grows: 1,
    d.export_added: 1, d.export_changed: 2, d.function_deleted: 2, d.inlining: 3, d.static_branch: 3,
    d.comment_only: 1, d.white_space: 1, d.line_shift: 2, d.constant_in_code: 2, d.prototype: 2,
    d.new_function: 2, d.variable_renamed: 2,
}


def combined(rng, pool):
    return all([rng.choice(list(KINDS))(rng, pool) for _ in range(3)])


def diff_text(view):
    """The unified diff of a view, and the files in it."""
    out, names = "", []
    with tempfile.TemporaryDirectory() as scratch:
        for path, lines in sorted(view.changed.items()):
            new = pathlib.Path(scratch) / "new"
            new.write_text("\n".join(lines), errors="surrogateescape")
            text = subprocess.run(["diff", "-u", f"--label=a/{path}", f"--label=b/{path}", view.tree / path,
                                   new], capture_output=True).stdout.decode(errors="surrogateescape")
            if text:
                out += text
                names.append(path)
    return out, names


def headers_of(users):
    """Headers by how many of the oracle's objects use them: private up to 40, middle up to 120."""
    named = {h: len(u) for h, u in users.items() if h.endswith(".h") and "/generated/" not in h and
             not h.startswith(("include/config", "include/linux/compiler", "arch/x86/include/generated"))}
    return {"private": sorted(h for h, n in named.items() if n <= 40),
            "middle": sorted(h for h, n in named.items() if 40 < n <= 120)}


def included_sources(tree, sources):
    """The .c files that one of the sources includes."""
    out = set()
    for source in sources:
        for name in re.findall(r'^#\s*include "([^"]+\.c)"', (tree / source).read_text(errors="replace"), re.M):
            path = os.path.normpath(f"{source.rsplit('/', 1)[0]}/{name}")
            if (tree / path).is_file():
                out.add(path)
    return sorted(out)


def make_pool(oracle):
    pool = k.Pool(View(oracle.tree), oracle.sources(), headers_of(oracle.users), oracle.module_of)
    pool.included = included_sources(oracle.tree, pool.sources)
    return pool


def generate(oracle, count, seed, only=None):
    """count diffs as (kind, text, files), each by a seed of its own; only: kinds, by commas."""
    pool = make_pool(oracle)
    shares = [(kind, share) for kind, share in {**KINDS, combined: 6}.items()
              if not only or kind.__name__ in only.split(",")]
    # One after the other by their shares, so that each start of the list has all kinds.
    order = [kind for turn in range(6) for kind, share in shares if share > turn]
    made, number = [], 0
    while len(made) < count and number < 20 * count:
        kind = order[number % len(order)]
        rng = random.Random(f"{seed} {number}")
        number += 1
        pool.view.changed = {}
        try:
            if not kind(rng, pool):
                continue
        except (IndexError, ValueError):  # no place for it in the file
            continue
        text, files = diff_text(pool.view)
        if text:
            made.append((kind.__name__, text, files))
    return made
