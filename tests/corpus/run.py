#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Real fixes, derived when this runs: every .c file that differs between two Debian source versions
is a diff of its own, built for the stock kernel of the older one; what is built is loaded and taken
back in stock guests, many per boot, the modules that it patches loaded first where they load without
their hardware. With --each directory, all .c and .h files of one directory are a diff, where both
kinds differ: headers with their users, as commits have them.

A diff counts where it compiles alone and its code is in the kernel; of a directory's, the files that
are not in the kernel are left out. Of those that count, a functional change is one that run-time code
shows: not no-change, not init-only."""
import argparse
import collections
import concurrent.futures
import json
import os
import pathlib
import random
import subprocess
import sys
import tarfile
import tempfile
import time

NOT_CODE = ("Documentation/", "LICENSES/", "samples/", "scripts/", "tools/", "debian/")
NOT_COUNTED = ("not-in-kernel", "does-not-compile")
NOT_FUNCTIONAL = ("no-change", "init-only")


def say(text):
    print(text, flush=True)


def call(words, **more):
    return subprocess.run([str(w) for w in words], check=True, **more)


def apt_options(cache, suite):
    """Of the suite's own state, which `suture kernel add --suite` makes."""
    root = ["-o", "APT::Sandbox::User=root"] if os.geteuid() == 0 else []
    if not suite:
        return root
    state = cache / "suture" / "apt" / suite
    settings = {"Dir::Etc::SourceList": state / "sources.list", "Dir::Etc::SourceParts": "-",
                "Dir::State::Lists": state / "lists", "Dir::State::Status": "/dev/null",
                "Dir::Cache": state / "cache"}
    return root + [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]


def derive(tree, home, package_name, fixed, apt):
    """Unpacks into home/b the .c and .h files that differ from the tree, and gives their names."""
    done = home / "sources.json"
    if done.exists():
        return json.loads(done.read_text())
    say(f"deriving the corpus from {package_name} {fixed}")
    home.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=home) as scratch:
        call(["apt-get", "-q", "download", *apt, f"{package_name}={fixed}"], cwd=scratch,
             stdout=subprocess.DEVNULL)
        package = next(pathlib.Path(scratch).glob("*.deb"))
        names = unpack_differing(package, tree, home / "b")
    partial = home / "sources.json.new"
    partial.write_text(json.dumps(names))
    partial.rename(done)
    return names


def unpack_differing(package, tree, target):
    names = []
    outer = subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE)
    with tarfile.open(fileobj=outer.stdout, mode="r|") as archive:
        for member in archive:
            if not member.name.endswith(".tar.xz"):
                continue
            with tarfile.open(fileobj=archive.extractfile(member), mode="r|xz") as source:
                for entry in source:
                    name = entry.name.partition("/")[2]
                    old = tree / name
                    if not entry.isfile() or not name.endswith((".c", ".h")) or \
                            not old.is_file() or name.startswith(NOT_CODE):
                        continue
                    text = source.extractfile(entry).read()
                    if text != old.read_bytes():
                        (target / name).parent.mkdir(parents=True, exist_ok=True)
                        (target / name).write_bytes(text)
                        names.append(name)
    outer.stdout.close()
    outer.wait()
    return sorted(names)


def by_directory(names):
    """The directories in which headers and sources differ, with what differs there."""
    out = collections.defaultdict(list)
    for name in names:
        out[os.path.dirname(name)].append(name)
    return {directory: files for directory, files in out.items()
            if {pathlib.Path(f).suffix for f in files} == {".c", ".h"}}


def module_name(number, name):
    letters = "".join(c if c.isalnum() else "_" for c in name.removesuffix(".c"))
    return f"c{number}_{letters[-44:]}"


class Corpus:
    def __init__(self, options, work):
        self.suture, self.work, self.per_boot = options.suture, work, options.per_boot
        self.release, self.core = options.release, options.core
        suite = ["--suite", options.suite] if options.suite else []
        added = call([self.suture, "kernel", "add", self.release, *suite, "--json"],
                     stdout=subprocess.PIPE)
        self.tree = pathlib.Path(json.loads(added.stdout)["source"])
        cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
        self.home = cache / "suture" / "corpus" / f"{self.release}-{options.fixed}"
        series = ".".join(self.release.split(".")[:2])
        names = derive(self.tree, self.home, f"linux-source-{series}", options.fixed,
                       apt_options(cache, options.suite))
        self.changes = by_directory(names) if options.each == "directory" else \
            {name: [name] for name in names if name.endswith(".c")}
        self.results = []

    def build(self, number, name):
        """One diff: its code ("built", or why not), and what else there is to know."""
        files = list(self.changes[name])
        while True:
            result = self.build_files(number, name, files)
            if result["code"] != "not-in-kernel" or result["where"] not in files or len(files) == 1:
                return result
            files.remove(result["where"])

    def difference(self, name):
        return subprocess.run(["diff", "-u", f"--label=a/{name}", f"--label=b/{name}",
                               self.tree / name, self.home / "b" / name], capture_output=True).stdout

    def build_files(self, number, name, files):
        diff = self.work / f"{number}.patch"
        diff.write_bytes(b"".join(self.difference(file) for file in files))
        out = subprocess.run([self.suture, "build", "--json", "--for", self.core, "-k", self.release,
                              "-o", self.work, "-n", module_name(number, name), diff],
                             capture_output=True)
        result = {"file": name, "number": number}
        try:
            answer = json.loads(out.stdout)
        except ValueError:
            return result | {"code": "crashed", "reason": f"status {out.returncode}"}
        if out.returncode == 0:
            return result | {"code": "built", "module": answer["module"], "name": answer["name"]}
        why = answer.get("error") or answer["refusals"][0]
        return result | {"code": why["code"], "where": why["where"], "reason": why["reason"]}

    def build_some(self, files, wanted):
        """In order, until as many functional changes as wanted were seen."""
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count() or 1) as pool:
            functional, queue, rest = 0, collections.deque(), enumerate(files)
            while functional < wanted:
                for number, name in rest:
                    queue.append(pool.submit(self.build, number, name))
                    if len(queue) >= 2 * (os.cpu_count() or 1):
                        break
                if not queue:
                    break
                result = queue.popleft().result()
                self.results.append(result)
                functional += result["code"] not in NOT_COUNTED + NOT_FUNCTIONAL
            for left in queue:
                left.cancel()

    def test_all(self):
        """Boots until each module that was built has its verdict."""
        left = [r for r in self.results if r["code"] == "built"]
        while left:
            batch, left = left[:self.per_boot], left[self.per_boot:]
            out = subprocess.run(
                [self.suture, "test", "--json", "--module-order", "optional", "--memory", "2048",
                 "--timeout", str(120 + 60 * len(batch)), *(r["module"] for r in batch)],
                capture_output=True)
            try:
                answer = json.loads(out.stdout)
                verdicts = {v["name"]: v for v in answer["patches"]}
            except (ValueError, KeyError):
                sys.exit(f"suture test ended with status {out.returncode}: {out.stderr.decode()}")
            retry = self.take_verdicts(batch, verdicts, answer["phases"])
            if len(retry) == len(batch):
                sys.exit(f"a guest tried none of its patches: {answer['error']['reason']}")
            left = retry + left

    @staticmethod
    def take_verdicts(batch, verdicts, phases):
        retry = []
        for result in batch:
            verdict = verdicts[result["name"]]
            if verdict.get("reason", "").startswith("it was not tried"):
                retry.append(result)
                continue
            result["passed"] = verdict["verdict"] == "pass"
            result["why"] = verdict.get("reason", "")
            result["alone"] = any(p["patch"] == result["name"] and p["name"] == "modules" and
                                  p["output"] for p in phases)
        return retry


def show(corpus, seconds):
    codes = collections.Counter(r["code"] for r in corpus.results)
    functional = sum(n for code, n in codes.items() if code not in NOT_COUNTED + NOT_FUNCTIONAL)
    built = [r for r in corpus.results if r["code"] == "built"]
    failed = [r for r in built if not r["passed"]]
    say(f"diffs                  {len(corpus.changes)}, tried {len(corpus.results)}")
    for code in NOT_COUNTED + NOT_FUNCTIONAL:
        say(f"  {code:<20} {codes[code]}")
    say(f"functional changes     {functional}")
    share = 100 * len(built) / functional if functional else 100
    say(f"  built                {len(built)} ({share:.1f} %)")
    for code, count in sorted(codes.items()):
        if code not in ("built", *NOT_COUNTED, *NOT_FUNCTIONAL):
            say(f"  {code:<20} {count}")
            for result in corpus.results:
                if result["code"] == code:
                    where = result.get("where") or result["file"]
                    say(f"    {where}: {result['reason'][:200]}")
    say(f"loaded and reverted    {len(built) - len(failed)}, of these without the module that they "
        f"patch: {sum(r['alone'] for r in built if r['passed'])}")
    say(f"not loaded             {len(failed)}")
    for result in failed:
        say(f"    {result['file']}: {result['why']}")
    say("seconds                " + ", ".join(f"{k} {v:.0f}" for k, v in seconds.items()))
    return share, failed, codes["crashed"]


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("suture", help="the program")
    parser.add_argument("count", help="how many functional changes, or all")
    parser.add_argument("--release", default="6.1.0-47-amd64",
                        help="the kernel to patch (default: %(default)s)")
    parser.add_argument("--fixed", default="6.1.176-1",
                        help="the source version that has the fixes (default: %(default)s)")
    parser.add_argument("--suite", default="",
                        help="the suite of Debian that has both, where the machine's apt does not")
    parser.add_argument("--each", default="file", choices=("file", "directory"),
                        help="what is a diff of its own (default: %(default)s)")
    parser.add_argument("--for", dest="core", default="livepatch", choices=("livepatch", "suture"),
                        help="what runs the patches (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=6)
    parser.add_argument("--per-boot", type=int, default=25)
    parser.add_argument("--least", type=float, default=0, help="per cent that must be built")
    parser.add_argument("--report", help="write every file's result there, as JSON")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        begin = time.monotonic()
        corpus = Corpus(options, pathlib.Path(scratch))
        files = list(corpus.changes)
        random.Random(options.seed).shuffle(files)
        seconds = {"deriving": time.monotonic() - begin}
        begin = time.monotonic()
        corpus.build_some(files, float("inf") if options.count == "all" else int(options.count))
        seconds["building"] = time.monotonic() - begin
        begin = time.monotonic()
        corpus.test_all()
        seconds["testing"] = time.monotonic() - begin
    if options.report:
        pathlib.Path(options.report).write_text(json.dumps(corpus.results, indent=1) + "\n")
    share, failed, crashed = show(corpus, seconds)
    sys.exit(1 if failed or crashed or share < options.least else 0)


if __name__ == "__main__":
    main()
