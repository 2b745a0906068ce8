#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""against_patch.py APPLY_DIFF CASES [SEED]: hunks may not land in the wrong place.

Each case is a file of functions that look alike, a change of some of them, the diff that GNU diff or git
makes of it (with the function in the hunk's header or without), and the file as another kernel has it:
functions moved, lines put in, copies of functions beside them, names changed. GNU patch applies the diff
there, and so does Suture, with the same fuzz. Two things must hold:

  - what Suture makes without a word is what patch makes;
  - where the diff names functions, each change is in the function that it was made in, or the diff is
    refused, or the note says that the function is not there.

Each function says its own number where no context reaches, so that neither program sees it.
"""
import pathlib
import random
import re
import subprocess
import sys
import tempfile

FAR = 12  # lines between a function's own number and what a diff changes


def function(number, style, rng):
    """Lines of a function that differs from its siblings in its name and number only."""
    head = rng.choice([f"static int fn_{number}(struct item *item, int arg)",
                       f"int fn_{number}(struct item *item)",
                       f"static noinline long fn_{number}_with_a_long_name(struct item *item, "
                       f"const char *name, size_t len)"])
    body = [head, "{"]
    body += [f"\tint own = {number};"]
    body += [f"\tfill_{i}(item);" for i in range(FAR)]
    body += style
    if rng.random() < 0.3:
        body += ["out:"]
    body += [f"\tspill_{i}(item);" for i in range(FAR)]
    return body + ["\treturn 0;", "}", ""]


def style(rng):
    """The lines that a diff may change; few kinds, so that functions share them."""
    kind = rng.randrange(3)
    return [f"\tif (item->len > {kind})", "\t\treturn -EINVAL;", f"\tlock_{kind}(item);",
            "\titem->used++;", "\tput(item);"]


def changed_functions(lines):
    """The numbers of the functions that hold a mark, each as often as it does."""
    out, own = [], -1
    for line in lines:
        if m := re.match(r"\tint own = (\d+);", line):
            own = int(m.group(1))
        if "mark(" in line:
            out.append(own)
    return sorted(out)


def make_case(rng):
    styles = [style(rng) for _ in range(3)]
    functions = [function(i, rng.choice(styles), rng) for i in range(rng.randrange(3, 9))]
    before = [list(f) for f in functions]
    after = [list(f) for f in functions]
    for index in rng.sample(range(len(after)), rng.choice([1, 1, 2, 3])):
        at = after[index].index("\titem->used++;")
        edit = rng.randrange(3)
        if edit == 0:
            after[index][at] = "\tmark(item);"
        elif edit == 1:
            after[index].insert(at, "\tmark(item);")
        else:
            after[index][at:at + 2] = ["\tmark(item);"]
    # The same file in another kernel.
    target = [list(f) for f in functions]
    for _ in range(rng.choice([0, 1, 1, 2])):
        change = rng.randrange(6)
        index = rng.randrange(len(target))
        if change == 0:
            target.insert(index, function(100 + index, rng.choice(styles), rng))
        elif change == 1:
            target.insert(index, [f"static int new_{i};" for i in range(rng.randrange(1, 40))] + [""])
        elif change == 2:
            rng.shuffle(target)
        elif change == 3:
            target[index].insert(3, "\tmore(item);")
        elif change == 4:
            # The named function lost what the diff changes; its siblings have it.
            target[index] = [line for line in target[index] if "used++" not in line]
        else:
            target[index] = [line.replace("fn_", "renamed_") for line in target[index]]
    return before, after, target


def write(path, functions):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(line + "\n" for lines in functions for line in lines))


def make_diff(work, rng):
    context = rng.choice([1, 3, 3, 3, 5])
    names = rng.random() < 0.7
    if rng.random() < 0.5:
        command = ["diff", f"-U{context}"] + (["-p"] if names else []) + ["a/fs/x.c", "b/fs/x.c"]
    else:
        command = ["git", "diff", "--no-index", f"-U{context}", "a/fs/x.c", "b/fs/x.c"]
    text = subprocess.run(command, cwd=work, capture_output=True, text=True).stdout
    if not names:
        text = re.sub(r"(?m)^(@@ .* @@).*$", r"\1", text)
    (work / "x.diff").write_text(text)
    return bool(re.search(r"(?m)^@@ .* @@ \S", text))


def by_patch(work, fuzz):
    got = subprocess.run(["patch", "-p1", "-f", "-s", f"-F{fuzz}", "-o", str(work / "patched"), "-r", "-",
                          "-d", str(work / "tree"), "-i", str(work / "x.diff")],
                         capture_output=True, text=True)
    return (work / "patched").read_text() if got.returncode == 0 else None


def main():
    program, cases = sys.argv[1], int(sys.argv[2])
    seed = int(sys.argv[3]) if len(sys.argv) > 3 else 13
    rng = random.Random(seed)
    count = {"applied": 0, "told": 0, "refused": 0, "patch elsewhere": 0, "only patch, and rightly": 0}
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        work = pathlib.Path(name)
        ours = {fuzz: subprocess.Popen([program, work / "tree", work / "ours", str(fuzz)], text=True,
                                       stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                for fuzz in (0, 2)}
        for number in range(cases):
            before, after, target = make_case(rng)
            write(work / "a/fs/x.c", before)
            write(work / "b/fs/x.c", after)
            write(work / "tree/fs/x.c", target)
            named = make_diff(work, rng)
            fuzz = rng.choice([0, 0, 2])
            theirs = by_patch(work, fuzz)
            (work / "ours").unlink(missing_ok=True)
            ours[fuzz].stdin.write(f"{work / 'x.diff'} fs/x.c\n")
            ours[fuzz].stdin.flush()
            verdict, _, said = ours[fuzz].stdout.readline().strip().partition(" ")
            count[verdict] += 1
            mine = (work / "ours").read_text() if verdict != "refused" else None
            wrong = ""
            if verdict == "applied" and mine != theirs:
                wrong = "another result than patch's, without a word"
            meant = changed_functions(line for lines in after for line in lines)
            if mine is not None and named and "this source has no" not in said and \
                    changed_functions(mine.split("\n")) != meant:
                wrong = "a change is in another function than it was made in"
            if theirs is not None and changed_functions(theirs.split("\n")) != meant:
                count["patch elsewhere"] += 1
            elif verdict == "refused" and theirs is not None:
                count["only patch, and rightly"] += 1
                if len(sys.argv) > 4:
                    print(f"case {number} of seed {seed}, fuzz {fuzz}, named {named}: {said}")
            if wrong:
                bad += 1
                print(f"case {number} of seed {seed}, fuzz {fuzz}: {wrong} ({verdict} {said})")
        for process in ours.values():
            process.stdin.close()
            process.wait()
    print(", ".join(f"{what}: {how_often}" for what, how_often in count.items()))
    # What is never refused or never told of would not have been tried.
    return 1 if bad or min(count["applied"], count["told"], count["refused"]) < cases // 20 else 0


sys.exit(main())
