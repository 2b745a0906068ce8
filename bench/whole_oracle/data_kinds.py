# SPDX-License-Identifier: GPL-2.0-or-later
"""The kinds of made diffs that are about data, attributes, tables about code, or nothing at all; as in
kinds.py."""
import re

from kinds import also, rename_word, statement, touch
from source_text import WORD, functions, in_macro_or_condition, places


def with_use(rng, pool, path, definition, use):
    """A definition in front of a function, and statements that use it."""
    lines = pool.view.lines(path)
    fit = [f for f in functions(lines) if places(lines, f) and not f.boot() and not f.exit() and
           not f.inline() and not in_macro_or_condition(lines, f.first)]
    if not fit:
        return False
    function = rng.choice(fit)
    at = rng.choice(places(lines, function))
    lines[at:at] = use
    first = function.first
    while first and lines[first - 1].startswith((" *", "/*")):
        first -= 1
    lines[first:first] = definition + [""]
    pool.view.put(path, lines)
    return True


NEW_DATA = (
    (["static int made_table[4] = { 3, 1, 4, 1 };"], "if (made_table[READ_ONCE(jiffies) & 3] == 4)"),
    (["static const int made_table[4] = { 3, 1, 4, 1 };"], "if (made_table[READ_ONCE(jiffies) & 3] == 4)"),
    (["static const char *const made_names[] = { \"one\", \"two\" };"],
     "if (made_names[READ_ONCE(jiffies) & 1][0] == 't')"),
    (["static int made_count __read_mostly = 5;"], "if (READ_ONCE(made_count) == 7)"),
    (["static int made_count __ro_after_init = 5;"], "if (READ_ONCE(made_count) == 7)"),
    (["static unsigned long made_zero;"], "if (xchg(&made_zero, 1))"),
    (["unsigned long made_global = 9;"], "if (xchg(&made_global, 1))"),
    (["#include <linux/mutex.h>", "static DEFINE_MUTEX(made_mutex);"], "if (mutex_is_locked(&made_mutex))"),
    (["#include <linux/list.h>", "static LIST_HEAD(made_list);"], "if (!list_empty(&made_list))"),
    (["#include <linux/spinlock.h>", "static DEFINE_SPINLOCK(made_lock);"], "if (spin_is_locked(&made_lock))"),
    (["#include <linux/jump_label.h>", "static DEFINE_STATIC_KEY_FALSE(made_key);"],
     "if (static_branch_unlikely(&made_key))"),
    (["#include <linux/jump_label.h>", "static DEFINE_STATIC_KEY_TRUE(made_key);"],
     "if (static_branch_likely(&made_key))"),
)


def new_data(rng, pool):
    definition, test = rng.choice(NEW_DATA)
    return with_use(rng, pool, pool.source(rng), definition, ["\t" + test, "\t\tcpu_relax();"])


def per_cpu(rng, pool):
    path = pool.source(rng)
    if rng.random() < 0.4:
        used = pool.source(rng, lambda p: any(re.search(r"\bthis_cpu_|per_cpu", l) for l in pool.view.lines(p)))
        return bool(used) and touch(rng, pool, used, lambda f: not f.boot() and any(
            re.search(r"this_cpu_|per_cpu", l) for l in pool.view.lines(used)[f.brace:f.last]))
    kind = rng.choice(["static DEFINE_PER_CPU(unsigned long, made_counter);",
                       "static DEFINE_PER_CPU(unsigned long, made_counter) = 5;",
                       "DEFINE_PER_CPU(unsigned long, made_counter);"])
    return with_use(rng, pool, path, ["#include <linux/percpu.h>", kind], ["\tthis_cpu_inc(made_counter);"])


def static_local(rng, pool):
    path = pool.source(rng)
    if rng.random() < 0.5:
        lines = pool.view.lines(path)

        def has_one(f):
            return not f.boot() and any(re.match(r"\tstatic (?!const)", l) for l in lines[f.brace:f.last])
        if touch(rng, pool, path, has_one):
            return True
        path = pool.source(rng, lambda p: any(re.match(r"\tstatic (?!const)", l) for l in pool.view.lines(p)))
        if not path:
            return False
        lines = pool.view.lines(path)
        return touch(rng, pool, path, has_one)
    return with_use(rng, pool, path, [], ["\t{", "\t\tstatic unsigned long made_local;", "",
                                          "\t\tif (xchg(&made_local, 1))", "\t\t\tcpu_relax();", "\t}"])


def table_value(rng, pool, pattern, change, chance):
    path = pool.source(rng, lambda p: any(re.match(pattern, l) for l in pool.view.lines(p)))
    if not path:
        return False
    lines = pool.view.lines(path)
    at = rng.choice([i for i, l in enumerate(lines) if re.match(pattern, l)])
    lines[at] = change(lines[at])
    pool.view.put(path, lines)
    return also(rng, pool, path, chance)


def sysctl_table(rng, pool):
    return table_value(rng, pool, r"\t+\.mode\s*= 0[0-7]{3},", lambda l: re.sub(r"= 0[0-7]{3}", "= 0400", l), 0.7)


def registered_structure(rng, pool):
    return table_value(rng, pool, r"\t\.(priority|max_size|size|flags|maxlen|order|min_size|id|hooknum|pf|"
                       r"family|maxtype|version|owner_id|type)\s*= \w+,",
                       lambda l: re.sub(r"= (\w+),", "= (typeof(\\1))7,", l), 0.6)


def const_operations(rng, pool):
    """An entry of a table of operations goes."""
    path = pool.source(rng, lambda p: any(re.match(r"(static )?const struct \w+ \w+ = \{", l)
                                          for l in pool.view.lines(p)))
    if not path:
        return False
    lines, fit, inside = pool.view.lines(path), [], False
    for i, line in enumerate(lines):
        inside = bool(re.match(r"(static )?const struct \w+ \w+ = \{$", line)) or (inside and line != "};")
        if inside and re.match(r"\t\.\w+\s*= \w+,$", line):
            fit.append(i)
    if not fit:
        return False
    del lines[rng.choice(fit)]
    pool.view.put(path, lines)
    return also(rng, pool, path)


def after_init(rng, pool):
    path = pool.source(rng, lambda p: any("__ro_after_init" in l for l in pool.view.lines(p)))
    if not path:
        return False
    lines = pool.view.lines(path)
    fit = [i for i, l in enumerate(lines) if re.match(r"[\w\s*]+ __ro_after_init( = \w+)?;$", l)]
    names = set(re.findall(rf"({WORD}) __ro_after_init", "\n".join(lines)))
    if fit and rng.random() < 0.6:
        at = rng.choice(fit)
        lines[at] = re.sub(r" __ro_after_init( = \w+)?;", " __ro_after_init = (typeof(0))3;", lines[at]) \
            if rng.random() < 0.5 else lines[at].replace(" __ro_after_init", " __read_mostly")
        pool.view.put(path, lines)
        return also(rng, pool, path, 0.7)
    return touch(rng, pool, path, lambda f: not f.boot() and not f.inline() and any(
        n in l for l in lines[f.brace:f.last] for n in names))


def variable_value(rng, pool):
    """The initial value of a variable, or the size of an array."""
    return table_value(rng, pool, r"(static )?(unsigned )?(int|long|u32|u64|bool) \w+( __read_mostly)? = \d+;",
                       lambda l: re.sub(r"= (\d+);", r"= \1 + 1;", l), 0.6)


def array_grows(rng, pool):
    return table_value(rng, pool, r"static [\w ]+ \w+\[\w+\];", lambda l: re.sub(r"\[(\w+)\];", r"[\1 + 1];", l), 0.6)


def export_added(rng, pool):
    path = pool.source(rng)
    lines = pool.view.lines(path)
    text = "\n".join(lines)
    fit = [f for f in functions(lines) if not f.static() and not f.boot() and f"({f.name})" not in text and
           not in_macro_or_condition(lines, f.first)]
    if not fit:
        return False
    function = rng.choice(fit)
    pool.view.insert(path, function.last + 1, [f"EXPORT_SYMBOL_GPL({function.name});"])
    return also(rng, pool, path, 0.7)


def export_changed(rng, pool):
    """An export goes, or becomes one for GPL modules."""
    path = pool.source(rng, lambda p: any(l.startswith("EXPORT_SYMBOL") for l in pool.view.lines(p)))
    if not path:
        return False
    lines = pool.view.lines(path)
    at = rng.choice([i for i, l in enumerate(lines) if l.startswith("EXPORT_SYMBOL")])
    if rng.random() < 0.5:
        del lines[at]
    else:
        lines[at] = lines[at].replace("EXPORT_SYMBOL(", "EXPORT_SYMBOL_GPL(") if "EXPORT_SYMBOL(" in lines[at] \
            else lines[at].replace("EXPORT_SYMBOL_GPL(", "EXPORT_SYMBOL(")
    pool.view.put(path, lines)
    return also(rng, pool, path, 0.7)


def function_deleted(rng, pool):
    """A static function goes, and the calls of it that are statements."""
    for _ in range(30):
        path = pool.source(rng)
        lines = pool.view.lines(path)
        text = "\n".join(lines)
        fit = []
        for f in functions(lines):
            uses = len(re.findall(rf"\b{f.name}\b", text))
            calls = [i for i, l in enumerate(lines) if re.match(rf"\t+{f.name}\([^;{{]*\);$", l)]
            if f.static() and not f.inline() and calls and uses == len(calls) + 1:
                fit.append((f, calls))
        if not fit:
            continue
        function, calls = rng.choice(fit)
        for i in calls:
            lines[i] = re.match(r"\t+", lines[i])[0] + ";"
        first = function.first
        while first and lines[first - 1].startswith((" *", "/*")):
            first -= 1
        del lines[first:function.last + 1]
        pool.view.put(path, lines)
        return True
    return False


def inlining(rng, pool):
    path = pool.source(rng)
    lines = pool.view.lines(path)
    fit = [f for f in functions(lines) if f.static() and not f.boot() and not f.exit() and
           lines[f.first].startswith("static ")]
    if not fit:
        return False
    function = rng.choice(fit)
    if function.inline():
        lines[function.first] = re.sub(r"\b(__always_)?inline\b", "noinline", lines[function.first], count=1)
    else:
        how = rng.choice(["noinline ", "__always_inline ", "inline "])
        lines[function.first] = lines[function.first].replace("static ", "static " + how, 1)
    pool.view.put(path, lines)
    return also(rng, pool, path, 0.3)


def static_branch(rng, pool):
    """Code beside a static branch, a static call or a tracepoint; or one more of these."""
    pattern = r"^\t(trace_\w+\(.*\);|static_call\(.*\);|if \(static_branch_(un)?likely\(&\w+\)\)|" \
              r"if \(\w+_enabled\(.*\)\))"
    path = pool.source(rng, lambda p: any(re.match(pattern, l) for l in pool.view.lines(p)))
    if not path:
        return False
    lines = pool.view.lines(path)
    near = [f for f in functions(lines) if any(re.match(pattern, l) for l in lines[f.brace:f.last])]
    if not near:
        return False
    function = rng.choice(near)
    found = [i for i in range(function.brace, function.last) if re.match(r"\ttrace_\w+\(.*\);$", lines[i]) and
             lines[i - 1].endswith((";", "}", ""))]
    if found and rng.random() < 0.6:
        at = rng.choice(found)
        pool.view.insert(path, at, [lines[at]])
        return True
    return touch(rng, pool, path, lambda f: f.name == function.name)


def comment_only(rng, pool):
    path = pool.source(rng)
    lines = pool.view.lines(path)
    found = functions(lines)
    for at in sorted((f.first for f in rng.sample(found, min(3, len(found)))), reverse=True):
        pool.view.insert(path, at, ["/* Nothing that the compiler sees. */"] * rng.randrange(1, 4))
    return True


def white_space(rng, pool):
    path = rng.choice(pool.sources + pool.headers["private"])
    lines = pool.view.lines(path)
    fit = [i for i, l in enumerate(lines) if re.match(r"\t+\w.*[;{]$", l) and "\"" not in l and
           not l.endswith("\\") and not lines[i - 1].endswith("\\")]
    if not fit:
        return False
    for i in rng.sample(fit, min(5, len(fit))):
        lines[i] = "\t" + lines[i].replace(" = ", "  =\t")
    pool.view.put(path, lines)
    return True


def line_shift(rng, pool):
    """Lines in front of WARN and BUG, alone or with code elsewhere."""
    path = pool.source(rng, lambda p: any(re.search(r"\b(WARN|BUG)(_ON)?(_ONCE)?\(", l)
                                          for l in pool.view.lines(p)))
    if not path:
        return False
    lines = pool.view.lines(path)
    found = [f for f in functions(lines) if any(re.search(r"\b(WARN|BUG)", l) for l in lines[f.brace:f.last])]
    if not found:
        return False
    function = rng.choice(found)
    pool.view.insert(path, function.brace + 1, ["\t/* a line */"] * rng.randrange(1, 9))
    return also(rng, pool, path)


def constant_in_code(rng, pool):
    """A number in code becomes another, or a test becomes its opposite."""
    for _ in range(30):
        path = pool.source(rng)
        lines = pool.view.lines(path)
        fit = [i for f in functions(lines) if not f.boot() for i in range(f.brace, f.last)
               if re.match(r"\t+(if \(!?\w+(->\w+)*\)$|if \(.* [<>]=? .*\)$|return -E[A-Z]+;)", lines[i]) and
               not in_macro_or_condition(lines, i)]
        if not fit:
            continue
        at = rng.choice(fit)
        line = lines[at]
        new = re.sub(r"return -E[A-Z]+;", "return -EXDEV;", line) if "return" in line else \
            line.replace("<", ">=", 1) if re.search(r" < ", line) else \
            line.replace(">", "<=", 1) if re.search(r" > ", line) else \
            line.replace("if (!", "if (", 1) if "if (!" in line else re.sub(r"if \((.*)\)$", r"if (!(\1))", line)
        if new == line:
            continue
        lines[at] = new
        pool.view.put(path, lines)
        return True
    return False


def prototype(rng, pool):
    """A static function gets one argument more, which its callers give."""
    for _ in range(30):
        path = pool.source(rng)
        lines = pool.view.lines(path)
        text = "\n".join(lines)
        fit = [f for f in functions(lines) if f.static() and not f.boot() and f.last - f.brace < 60 and
               re.search(rf"\b{f.name}\(\w", f.head) and "(void)" not in f.head and
               not re.search(rf"[=,&(]\s*{f.name}\b(?!\()", text)]
        if not fit:
            continue
        function = rng.choice(fit)
        new = [re.sub(rf"\b{function.name}\((?=\S)", f"{function.name}(MADE", l) for l in lines]
        for i, line in enumerate(new):
            kind = "int made, " if function.first <= i < function.brace or re.match(r"static\b", line) else "7, "
            new[i] = line.replace("(MADE", "(" + kind)
        at = places(new, function)
        if not at:
            continue
        new[at[0]:at[0]] = ["\tif (READ_ONCE(jiffies) == made)", "\t\tcpu_relax();"]
        pool.view.put(path, new)
        return True
    return False


def new_function(rng, pool):
    """A function comes out of another, or its address is given away."""
    name = f"made_function_{rng.randrange(1000)}"
    how = rng.choice(["static noinline ", "static ", ""])
    definition = [f"{how}int {name}(int a)" + (";" if how == "" else ""), *(
        [f"int {name}(int a)"] if how == "" else []), "{", *statement(rng), "\treturn a + 1;", "}"]
    return with_use(rng, pool, pool.source(rng), definition,
                    [f"\tif ({name}((int)READ_ONCE(jiffies)) == 5)", "\t\tcpu_relax();"])


def variable_renamed(rng, pool):
    path = pool.source(rng)
    lines = pool.view.lines(path)
    names = re.findall(rf"^static (?:[\w ]+?[ *])({WORD})(?:\[\w*\])?(?: __\w+)?(?: = .*)?;", "\n".join(lines), re.M)
    if not names:
        return False
    name = rng.choice(names)
    pool.view.put(path, rename_word(lines, name, name + "_renamed"))
    return also(rng, pool, path, 0.6)
