# SPDX-License-Identifier: GPL-2.0-or-later
"""Who is right: what `suture build --json` says of a diff, held against what the oracle saw.

Sure verdicts are few. "wrong": something that the oracle saw change at run time is neither among the
functions nor named by a note. "refused-false": a refusal that the oracle contradicts. "read": the
objects alone cannot say (types in memory, more functions than the oracle's); a person reads it."""
import re

import objects

# Refusals that the objects can confirm or contradict; the others are about more than code.
DATA = ("data-changed", "init-needed")
READ = ("layout-changed", "export-changed", "not-traceable", "symbol-ambiguous", "symbol-moved", "thread-main",
        "module-exit", "special-section", "module-static-key", "unsupported-file", "callback-conflict",
        "symbol-unresolved", "too-many-symbols", "does-not-apply", "not-in-kernel",
        "does-not-compile")  # a file that is not in the built part


def alive(change, module):
    """Whether it runs after boot: exit code does of a module."""
    return change["where"] == "run" or (change["where"] == "exit" and module != "vmlinux")


def expected(seen):
    """The oracle's side, as lists of (object of the kernel, source, name)."""
    out = {"changed": [], "new": [], "gone": [], "data": [], "new data": [], "boot": [], "users": [], "exit": [],
           "section": []}
    for about in seen.values():
        for change in about["changes"]:
            key = (about["module"], about["source"], change["name"])
            if change["how"] in ("line", "section"):
                if change["how"] == "section":
                    out["section"].append(key)
                continue
            # Who may use an export is read when a module is loaded.
            if not alive(change, about["module"]) or change.get("section", "").startswith("___ksymtab"):
                out["boot"].append(key)
            elif change["where"] == "exit":
                out["exit"].append(key)
            elif change["what"] == "function":
                out[change["how"]].append(key)
            elif change["how"] == "changed":
                out["data"].append(key)
            elif change["how"] == "new":
                out["new data"].append(key)
        out["users"] += [(about["module"], about["source"], name) for name in about["users"]]
    return out


def judge_built(want, answer):
    have = {}
    for part in answer["objects"]:
        for function in part["functions"]:
            have.setdefault((part["name"], objects.whole(function["name"])), []).append(function)
    notes = " ".join(answer.get("notes", []))
    named = set(re.findall(r"[\w.]+", notes))
    short = [(module, name) for module, _, name in want["changed"] + want["exit"]]
    # A global function that goes here and comes there runs on: it must be redirected.
    new = {(module, name) for module, _, name in want["new"]}
    moved = [(module, name) for module, _, name in want["gone"] if (module, name) in new]
    missing = [m for m in short + moved if m not in have and m[1] not in named]
    tables = [name for _, _, name in want["data"] if name not in named]
    users = {(module, name) for module, _, name in want["users"]}
    unpatched = sorted(users - have.keys()) if tables else []
    extra = [key for key, entries in have.items() if key not in set(short) | set(moved) | new | users and
             any(e["change"] != "new" for e in entries)]
    boot = [name for _, _, name in want["boot"] if name not in named]
    if missing:
        return "wrong", f"unpatched: {missing}"
    if tables and unpatched:
        return "wrong", f"data {tables} changed, and {unpatched} keep the old"
    if tables:
        return "read", f"data {tables} changed, all users patched"
    # ftrace has no entry in some functions: these become new code, and their callers are replaced.
    by_callers = any(e["change"] == "new" for key in short for e in have.get(key, []))
    if extra and not by_callers:
        return "read", f"patched without need: {extra}"
    if want["section"]:
        return "read", f"data goes to another section: {want['section']}"
    if boot:
        return "read", f"no note names {boot}"
    return "built-right", ""


def judge_refused(want, code):
    # What is only new, or only gone, changes nothing that runs: its users would have changed.
    moved = {(m, n) for m, _, n in want["gone"]} & {(m, n) for m, _, n in want["new"]}
    anything = want["changed"] or want["exit"] or want["data"] or moved
    if code == "no-change":
        return "refused-false" if anything or want["boot"] else "refused-true"
    if code == "init-only":
        return "refused-true" if want["boot"] and not anything else "refused-false"
    if code in DATA:
        return "refused-true" if want["data"] or want["section"] or (code == "init-needed" and want["boot"]) else "refused-false"
    return "read" if code in READ else "refused-false"


def judge(seen, answer):
    """(verdict, code, why)"""
    if seen is None:
        return "not judged", "does not compile", ""
    if not seen and answer.get("module"):
        return "read", "built", "the oracle's objects do not change"
    want = expected(seen)
    if answer.get("module"):
        verdict, why = judge_built(want, answer)
        return verdict, "built", why
    errors = [answer["error"]] if "error" in answer else answer.get("refusals", [])
    if not errors:
        return "wrong", "crashed", str(answer)[:300]
    verdicts = [(judge_refused(want, e["code"]), e["code"], f"{e['where']}: {e['reason']}") for e in errors]
    best = next((v for v in verdicts if v[0] == "refused-true"), None)
    return best or next((v for v in verdicts if v[0] == "read"), verdicts[0])
