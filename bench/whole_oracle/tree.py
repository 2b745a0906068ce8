# SPDX-License-Identifier: GPL-2.0-or-later
"""The oracle's own kernel tree: built once by plain kbuild, changed by GNU patch, rebuilt by make's own
dependencies, and put back as it was, times included, so that make has nothing to do again.

Many diffs go into one run of make where no object depends on files of two of them, by the lists of
what the compiler read that kbuild keeps beside each object."""
import collections
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import objects

# Debug information changes no code; the rest is Debian's. What only the image needs (BTF) is not made.
FLAGS = ["KCFLAGS=-g0", "KAFLAGS=-g0"]
OBJECTS_PER_RUN = 90


class Oracle:
    def __init__(self, home, release, say=print):
        self.home, self.release, self.say = pathlib.Path(home), release, say
        self.tree = self.home / "tree"

    def make(self, *words, check=True):
        command = ["make", "ARCH=x86", "CC=gcc-12", f"KERNELRELEASE={self.release}", *FLAGS,
                   f"-j{os.cpu_count()}", *words]
        out = subprocess.run(command, cwd=self.tree, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                             errors="replace", env={k: v for k, v in os.environ.items() if k != "MAKEFLAGS"})
        if check and out.returncode:
            raise RuntimeError(f"make {' '.join(words)[:200]}: {out.stdout[-3000:]}")
        return out.stdout

    def prepare(self, package, config, symvers):
        """Unpacks the source's package and configures it as the kernel was."""
        if (self.home / "prepared").exists():
            return
        self.say(f"unpacking {package}")
        shutil.rmtree(self.tree, ignore_errors=True)
        self.tree.mkdir(parents=True)
        outer = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE)
        with tempfile.NamedTemporaryFile(dir=self.home) as inner:
            subprocess.run(["tar", "-xO", "--wildcards", "*/linux-source-*.tar.xz"], stdin=outer.stdout,
                           stdout=inner, check=True)
            outer.stdout.close()
            outer.wait()
            subprocess.run(["tar", "-I", "xz -T0", "-xf", inner.name, "--strip-components=1"], cwd=self.tree,
                           check=True)
        shutil.copy(config, self.tree / ".config")
        shutil.copy(symvers, self.tree / "Module.symvers")
        self.make("olddefconfig")
        self.make("-o", "tools/bpf/resolve_btfids", "prepare", "modules_prepare")
        (self.home / "prepared").touch()

    def build(self, targets):
        """Directories and objects, by plain kbuild; "fs/*.o" stands for each source there."""
        for line in targets:
            words = []
            for word in line.split():
                directory, _, name = word.rpartition("/")
                words += [word] if name != "*.o" else sorted(
                    f"{directory}/{p.stem}.o" for p in (self.tree / directory).glob("*.c"))
            self.say(f"building {line}")
            # What the configuration does not have fails, and is no object of the oracle's.
            self.make("-k", *words, check=False)

    def read_objects(self):
        """What kbuild noted of each object: source, what the compiler read, and its module."""
        self.users, self.object_source, self.modules = collections.defaultdict(set), {}, {}
        for command in self.tree.glob("**/.*.o.cmd"):
            made = str((command.parent / command.name[1:-4]).relative_to(self.tree))
            if made.startswith(("scripts/", "tools/", "arch/x86/tools/", "certs/", "usr/")) or "/vdso/" in made:
                continue
            text = command.read_text(errors="replace")
            source = re.search(r"^source_\S+ := (\S+\.c)$", text, re.M)
            if not source or not (self.tree / made).is_file():
                continue
            self.object_source[made] = source[1]
            self.users[source[1]].add(made)
            deps = text.partition("\ndeps_")[2].partition("\n\n")[0]
            for word in re.findall(r"^  ([^\s$]\S*)", deps, re.M):
                self.users[os.path.normpath(word)].add(made)
            name = re.search(r"-DKBUILD_MODNAME='?\"?(\w+)", text)
            module = name[1] if name and " -DMODULE " in text else ""
            self.modules[made] = module

    def sources(self):
        return sorted(set(self.object_source.values()))

    def module_of(self, source):
        return next((self.modules[o] for o in sorted(self.users.get(source, ()))
                     if self.object_source.get(o) == source), "")

    def affected(self, files):
        return set().union(*(self.users.get(f, set()) for f in files))

    def batches(self, diffs):
        """Lists of numbers of diffs that do not meet in any object."""
        left = list(range(len(diffs)))
        while left:
            taken, batch, rest = set(), [], []
            for number in left:
                files = diffs[number][2]
                touched = self.affected(files) | set(files)
                if batch and (touched & taken or len(taken) + len(touched) > 2 * OBJECTS_PER_RUN):
                    rest.append(number)
                else:
                    batch.append(number)
                    taken |= touched
            yield batch
            left = rest

    def judge(self, diffs):
        """diffs: [(text, files)] that do not meet. For each: None where it does not compile, else
        {object: changes}."""
        files = sorted({f for _, names in diffs for f in names})
        wanted = sorted(self.affected(files))
        kept = self.home / "kept"
        shutil.rmtree(kept, ignore_errors=True)
        for name in [*files, *wanted, *(command_of(o) for o in wanted)]:
            (kept / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.tree / name, kept / name)
        try:
            for text, _ in diffs:
                subprocess.run(["patch", "-p1", "-s", "-f", "--no-backup-if-mismatch"], cwd=self.tree, check=True,
                               input=text.encode(errors="surrogateescape"))
            log = self.make("-k", *wanted, check=False) if wanted else ""
            (self.home / "make.log").write_text(log)
            return [self.differences(text, names, kept) for text, names in diffs]
        finally:
            for name in [*files, *wanted, *(command_of(o) for o in wanted)]:
                shutil.copy2(kept / name, self.tree / name)

    def differences(self, text, files, kept):
        moves, out = line_moves(text), {}
        for made in sorted(self.affected(files)):
            new = self.tree / made
            if not new.is_file() or new.stat().st_mtime_ns == (kept / made).stat().st_mtime_ns:
                return None
            changes = objects.compare(kept / made, new, moves)
            tables = {c["name"] for c in changes if c["what"] == "data" and c["how"] == "changed"}
            users = objects.references(kept / made, tables) if tables else set()
            if changes:
                out[made] = {"source": self.object_source[made], "module": self.modules[made] or "vmlinux",
                             "changes": changes, "users": sorted(users)}
        return out


def command_of(made):
    directory, _, name = made.rpartition("/")
    return f"{directory}/.{name}.cmd"


def line_moves(text):
    """For each file of a diff, which line the line N becomes: a function, none for a removed one."""
    out, hunks, removed = [], None, None
    old = new = 0

    def finish(hunks, removed):
        def move(line):
            if line in removed:
                return None
            return line + next((shift for start, shift in reversed(hunks) if line >= start), 0)
        return move
    for line in text.split("\n"):
        head = re.match(r"@@ -(\d+)(?:,\d+)? \+(\d+)(?:,\d+)? @@", line)
        if line.startswith("--- a/"):
            hunks, removed = [], set()
            out.append(finish(hunks, removed))
        elif head:
            old, new = int(head[1]), int(head[2])
        elif line.startswith("-"):
            removed.add(old)
            old += 1
            hunks.append((old, new - old))
        elif line.startswith("+") and not line.startswith("+++ b/"):
            new += 1
            hunks.append((old, new - old))
        elif line.startswith(" "):
            old, new = old + 1, new + 1
    return out
