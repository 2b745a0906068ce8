# SPDX-License-Identifier: GPL-2.0-or-later
"""The kinds of made diffs. Each takes a seeded Random and a Pool, changes the pool's view, and says
False where it found no place; whether the outcome compiles, kbuild says."""
import re

from source_text import WORD, functions, in_macro_or_condition, places

TICK = "if (READ_ONCE(jiffies) == {}UL)\n\t\tcpu_relax();"


class Pool:
    """The files that may be changed: sources of objects, and headers with few or many users."""

    def __init__(self, view, sources, headers, module_of):
        self.view, self.sources, self.headers, self.module_of = view, sources, headers, module_of

    def source(self, rng, test=lambda path: True):
        for _ in range(60):
            path = rng.choice(self.sources)
            if test(path):
                return path
        return None

    def functions(self, path):
        return functions(self.view.lines(path))


def statement(rng):
    return ["\t" + line for line in TICK.format(rng.randrange(1 << 20, 1 << 30)).split("\n")]


def touch(rng, pool, path, test=lambda f: not f.boot() and not f.exit() and not f.inline()):
    """A statement more in a function of the file; its name, or none."""
    lines = pool.view.lines(path) if path else []
    found = [(f, places(lines, f)) for f in functions(lines) if test(f)]
    found = [(f, p) for f, p in found if p and not in_macro_or_condition(lines, f.first)]
    if not found:
        return None
    function, at = rng.choice(found)
    pool.view.insert(path, rng.choice(at), statement(rng))
    return function.name


def also(rng, pool, path, chance=0.5):
    if rng.random() < chance:
        touch(rng, pool, path)
    return True


def code(rng, pool):
    return touch(rng, pool, pool.source(rng))


def several_files(rng, pool):
    directory = pool.source(rng).rsplit("/", 1)[0]
    near = [s for s in pool.sources if s.startswith(directory)]
    files = rng.sample(near, min(2, len(near))) + [pool.source(rng) for _ in range(rng.randrange(1, 3))]
    return all([touch(rng, pool, path) for path in set(files)])


def included_source(rng, pool):
    """Code of a .c file that another .c file includes."""
    names = [p for p in pool.sources if p in pool.included] or pool.included
    return touch(rng, pool, rng.choice(names))


def generated_headers(rng, pool):
    path = rng.choice(["security/selinux/hooks.c", "lib/crc32.c", "security/selinux/avc.c",
                       "kernel/time/time.c", "lib/oid_registry.c", "security/apparmor/lsm.c",
                       "security/apparmor/resource.c", "drivers/gpu/drm/radeon/r100.c",
                       "drivers/gpu/drm/radeon/evergreen_cs.c", "drivers/gpu/drm/radeon/rs600.c",
                       "security/selinux/ss/services.c", "crypto/rsa_helper.c", "kernel/configs.c",
                       "drivers/gpu/drm/radeon/r600_cs.c", "security/selinux/netlink.c"])
    return path in pool.sources and touch(rng, pool, path)


def take_function(lines, function):
    """Cuts a function out, with the comment above it: (text, first line)."""
    first = function.first
    while first and lines[first - 1].startswith((" *", "/*")):
        first -= 1
    last = function.last + 1
    exports = []
    while last < len(lines) and lines[last].startswith("EXPORT_SYMBOL") and \
            f"({function.name})" in lines[last]:
        exports.append(lines[last])
        last += 1
    body = lines[first:function.last + 1]
    del lines[first:last]
    return body, exports, first


def own_names(lines, but):
    text = "\n".join(lines)
    names = {f.name for f in functions(lines) if f.static() and f.name != but}
    names |= set(re.findall(rf"^static [^(=;{{]*?({WORD})(?:\[[^\n]*\])?(?: =|;)", text, re.M))
    names |= set(re.findall(rf"^#define ({WORD})", text, re.M))
    return names | set(re.findall(rf"^(?:struct|enum|union) ({WORD}) \{{", text, re.M)) | \
        set(re.findall(rf"^static DEFINE_\w+\(({WORD})", text, re.M))


def move_function(rng, pool):
    """A global function goes to another file of its directory, half of them changed on the way."""
    for _ in range(40):
        path = pool.source(rng)
        directory = path.rsplit("/", 1)[0]
        near = [s for s in pool.sources if s.rsplit("/", 1)[0] == directory and s != path and
                pool.module_of(s) == pool.module_of(path)]
        lines = pool.view.lines(path)
        own = own_names(lines, None)
        fit = [f for f in functions(lines) if not f.static() and not f.boot() and not f.exit() and
               f.last - f.brace < 40 and not in_macro_or_condition(lines, f.first) and
               not own & set(re.findall(WORD, "\n".join(lines[f.first:f.last])))]
        if not near or not fit:
            continue
        function = rng.choice(fit)
        body, exports, _ = take_function(lines, function)
        pool.view.put(path, lines)
        if rng.random() < 0.8 or not exports:
            body += exports
        target = rng.choice(near)
        includes = [l for l in lines if l.startswith("#include") and
                    not l.startswith(("#include <trace", '#include "../', "#include <generated")) and
                    ".c\"" not in l]
        other = pool.view.lines(target)
        begins = [f.first for f in functions(other) if not in_macro_or_condition(other, f.first)]
        more = [l for l in includes if l not in other] if rng.random() < 0.7 else []
        last_include = max([i for i, l in enumerate(other) if l.startswith("#include") and
                            not in_macro_or_condition(other, i)] or [0])
        if not begins:
            continue
        while other and not other[-1]:
            other.pop()
        other += [""] + body + [""]
        other[last_include + 1:last_include + 1] = more
        pool.view.put(target, other)
        if rng.random() < 0.6:
            touch(rng, pool, target, lambda f: f.name == function.name)
        return True
    return False


def rename_word(lines, old, new):
    return [re.sub(rf"(?<![\w\"]){old}\b", new, line) for line in lines]


def rename_function(rng, pool):
    path = pool.source(rng)
    lines = pool.view.lines(path)
    fit = [f for f in functions(lines) if f.static() and not f.inline()]
    if not fit:
        return False
    name = rng.choice(fit).name
    pool.view.put(path, rename_word(lines, name, name + "_renamed"))
    return also(rng, pool, path, 0.6)


def rename_global(rng, pool):
    """A global function of a module gets another name in all files of its directory."""
    path = pool.source(rng, lambda p: pool.module_of(p))
    if not path:
        return False
    directory = path.rsplit("/", 1)[0]
    fit = [f for f in pool.functions(path) if not f.static() and not f.boot()]
    if not fit:
        return False
    name = rng.choice(fit).name
    for near in sorted(str(p.relative_to(pool.view.tree)) for p in (pool.view.tree / directory).glob("*.[ch]")):
        lines = pool.view.lines(near)
        if any(name in line for line in lines):
            pool.view.put(near, rename_word(lines, name, name + "_renamed"))
    return also(rng, pool, path)


def same_name(rng, pool):
    """A module's file gets a global of a name that another module has, which is patched too."""
    one = pool.source(rng, pool.module_of)
    vmlinux = rng.random() < 0.2
    other = one and pool.source(rng, lambda p: pool.module_of(p) != pool.module_of(one) and
                                (vmlinux or pool.module_of(p)))
    if not other:
        return False
    lines = pool.view.lines(other)
    fit = [f for f in functions(lines) if not f.static() and not f.boot() and not f.exit()]
    if not fit:
        return False
    name = rng.choice(fit).name
    target = pool.view.lines(one)
    found = [f for f in functions(target) if places(target, f) and not f.boot() and not f.exit() and
             not in_macro_or_condition(target, f.first)]
    if not found:
        return False
    function = rng.choice(found)
    at = rng.choice(places(target, function))
    if rng.random() < 0.5:
        new = [f"noinline int {name}(int a);", f"noinline int {name}(int a)", "{",
               "\treturn READ_ONCE(jiffies) == a;", "}", ""]
        use = [f"\tif ({name}(77))", "\t\tcpu_relax();"]
    else:
        new = [f"unsigned long {name};", ""]
        use = [f"\tWRITE_ONCE({name}, {name} + 1);"]
    target[at:at] = use
    target[function.first:function.first] = new
    pool.view.put(one, target)
    return touch(rng, pool, other) or True


def new_include(rng, pool):
    path = pool.source(rng)
    lines = pool.view.lines(path)
    at = [i for i, l in enumerate(lines) if l.startswith("#include <linux/") and
          not in_macro_or_condition(lines, i)]
    if not at:
        return False
    name = rng.choice(["slab", "net", "fs", "sched/mm", "cred", "seq_file", "pid_namespace", "nsproxy",
                       "bpf", "cgroup", "skbuff", "netdevice", "blkdev", "security", "ipc_namespace",
                       "utsname", "random", "workqueue", "kthread", "perf_event"])
    line = f"#include <linux/{name}.h>"
    if line in lines:
        return False
    pool.view.insert(path, rng.choice(at), [line])
    return also(rng, pool, path)


def macro(rng, pool, headers):
    """The value of a macro of a header, or its parameters' use."""
    for _ in range(60):
        path = rng.choice(headers)
        lines = pool.view.lines(path)
        fit = [i for i, l in enumerate(lines)
               if re.match(rf"#define\s+{WORD}\s+\(?\d{{1,6}}\)?\s*(/\*.*\*/)?$", l)]
        if fit:
            number = rng.choice(fit)
            pool.view.put(path, lines[:number] + [re.sub(
                r"(\s\(?)(\d+)(\)?\s*(?:/\*.*)?)$",
                lambda m: f"{m[1]}{int(m[2]) + 1}{m[3]}", lines[number])] + lines[number + 1:])
            return True
    return False


def macro_private(rng, pool):
    return macro(rng, pool, pool.headers["private"])


def macro_wide(rng, pool):
    return macro(rng, pool, pool.headers["middle"])


def header_function(rng, pool, headers):
    for _ in range(60):
        path = rng.choice(headers)
        if touch(rng, pool, path, lambda f: f.inline()):
            return True
    return False


def inline_private(rng, pool):
    return header_function(rng, pool, pool.headers["private"])


def inline_wide(rng, pool):
    return header_function(rng, pool, pool.headers["middle"])


def struct_member(rng, pool):
    """A member more at the end of a structure of a private header or a source, or another name."""
    path = rng.choice(pool.headers["private"]) if rng.random() < 0.5 else pool.source(rng)
    lines = pool.view.lines(path)
    fit = [i for i, l in enumerate(lines) if l == "};" and
           any(re.match(rf"struct {WORD} \{{", lines[j]) for j in range(max(0, i - 30), i))]
    if not fit:
        return False
    at = rng.choice(fit)
    begin = max(j for j in range(max(0, at - 30), at) if re.match(rf"struct {WORD} \{{", lines[j]))
    if rng.random() < 0.6:
        pool.view.insert(path, at, ["\tunsigned long\t\tmade_member;"])
        return also(rng, pool, path, 0.7) if path.endswith(".c") else True
    members = [re.match(rf"\s+[\w\s*]+?({WORD})(\[\w+\])?;", l) for l in lines[begin:at]]
    names = [m[1] for m in members if m]
    if not names:
        return False
    name = rng.choice(names)
    files = [path] if path.endswith(".c") else [path] + [
        str(p.relative_to(pool.view.tree)) for p in (pool.view.tree / path).parent.glob("*.c")]
    for file in sorted(files):
        text = pool.view.lines(file)
        new = [re.sub(rf"(->|\.){name}\b", rf"\1{name}_renamed", l) for l in text]
        if file == path:
            new[begin:at] = rename_word(text[begin:at], name, name + "_renamed")
        if new != text:
            pool.view.put(file, new)
    return True


def enum_value(rng, pool):
    for _ in range(60):
        path = rng.choice(pool.headers["private"] + pool.sources)
        lines = pool.view.lines(path)
        fit = [i for i, l in enumerate(lines) if re.match(rf"(static )?enum( {WORD})? \{{$", l)]
        if fit:
            at = rng.choice(fit) + 1 + rng.randrange(2)
            if re.match(r"\t[A-Z]\w*( = \w+)?,", lines[at]):
                pool.view.insert(path, at + (rng.random() < 0.5), ["\tMADE_ENUM_VALUE,"])
                return True
    return False


def weak_symbol(rng, pool):
    path = pool.source(rng, lambda p: any(f.weak() for f in pool.functions(p)))
    if not path:
        return False
    if rng.random() < 0.6:
        return touch(rng, pool, path, lambda f: f.weak()) or False
    weak = [f for f in pool.functions(path) if f.weak()]
    function = rng.choice(weak)
    target = pool.source(rng, lambda p: not pool.module_of(p) and p != path)
    lines = pool.view.lines(path)
    head = function.head.replace("__weak", "").strip()
    head = re.sub(r"\s+", " ", head)
    if head.startswith("void") and target:
        pool.view.put(target, pool.view.lines(target) +
                      ["", head + ";", head, "{", "\tWRITE_ONCE(*(volatile int *)&jiffies, 77);", "}", ""])
        return True
    return touch(rng, pool, path, lambda f: f.weak()) or False


def static_to_global(rng, pool):
    path = pool.source(rng)
    lines = pool.view.lines(path)
    fit = [f for f in functions(lines) if f.static() and not f.inline() and
           lines[f.first].startswith("static ")]
    if not fit:
        return False
    function = rng.choice(fit)
    for i, line in enumerate(lines):
        if re.match(rf"static\b.*\b{function.name}\(", line) or i == function.first:
            lines[i] = line.replace("static ", "", 1)
    pool.view.put(path, lines)
    return also(rng, pool, path, 0.7)


def global_to_static(rng, pool):
    """What no header declares may become static."""
    for _ in range(40):
        path = pool.source(rng)
        lines = pool.view.lines(path)
        text = "\n".join(lines)
        fit = [f for f in functions(lines) if not f.static() and not f.weak() and
               f"({f.name})" not in text and f.name in text.replace(f.head, "", 1)]
        if fit:
            function = rng.choice(fit)
            lines[function.first] = "static " + lines[function.first]
            pool.view.put(path, lines)
            return also(rng, pool, path, 0.7)
    return False


def boot_code(rng, pool):
    path = pool.source(rng, lambda p: any(f.boot() for f in pool.functions(p)))
    if not path or not touch(rng, pool, path, lambda f: f.boot()):
        return False
    return also(rng, pool, path)


def exit_code(rng, pool):
    path = pool.source(rng, lambda p: any(f.exit() for f in pool.functions(p)))
    if not path or not touch(rng, pool, path, lambda f: f.exit()):
        return False
    return also(rng, pool, path)


def boot_sets_flag(rng, pool):
    """Boot code sets what run-time code tests."""
    path = pool.source(rng, lambda p: any(f.boot() for f in pool.functions(p)))
    if not path:
        return False
    lines = pool.view.lines(path)
    run = [f for f in functions(lines) if not f.boot() and not f.exit() and not f.inline() and
           places(lines, f) and not in_macro_or_condition(lines, f.first)]
    if not run:
        return False
    function = rng.choice(run)
    lines[places(lines, function)[0]:places(lines, function)[0]] = \
        ["\tif (READ_ONCE(made_flag))", "\t\tcpu_relax();"]
    kind = rng.choice(["static int made_flag;", "static int made_flag __read_mostly;",
                       "static int made_flag __ro_after_init;"])
    lines[function.first:function.first] = [kind, ""]
    call = rng.choice(["late_initcall", "core_initcall", "subsys_initcall", "fs_initcall"]) \
        if not pool.module_of(path) else None
    if call:
        lines += ["static int __init made_flag_init(void)", "{", "\tmade_flag = 1;", "\treturn 0;", "}",
                  f"{call}(made_flag_init);", ""]
        pool.view.put(path, lines)
        return True
    boots = [f for f in functions(lines) if f.boot() and places(lines, f) and f.first > function.first]
    if not boots:
        return False
    at = places(lines, boots[0])[0]
    lines[at:at] = ["\tmade_flag = 1;"]
    pool.view.put(path, lines)
    return True
