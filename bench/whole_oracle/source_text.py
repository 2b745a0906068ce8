# SPDX-License-Identifier: GPL-2.0-or-later
"""As much of C as the generator needs: where functions, variables and macros of a kernel file begin
and end, by the way kernel files are laid out (definitions at column 0). What does not look so is not
seen; nothing here has to be complete, since kbuild judges what comes out."""
import dataclasses
import pathlib
import re

WORD = r"[A-Za-z_]\w*"
HEAD = re.compile(rf"^(?!typedef|struct {WORD} \{{|union|enum|return|else|if|for|while|#|/|\*|EXPORT|DEFINE|"
                  rf"SYSCALL|COMPAT|MODULE|module_|late_|core_|subsys_|TRACE|static_assert|BPF_CALL|"
                  rf"__setup|early_)(?:[\w\s*]+?[\s*])({WORD})\(([^;{{]*)$")


@dataclasses.dataclass
class Function:
    name: str
    first: int  # lines, from 0: of the head
    brace: int  # the line "{"
    last: int   # the line "}"
    head: str   # up to the brace

    def static(self):
        return bool(re.search(r"\bstatic\b", self.head))

    def inline(self):
        return "inline" in self.head

    def boot(self):
        return bool(re.search(r"\b__(net_)?init\b", self.head))

    def exit(self):
        return bool(re.search(r"\b__(net_)?exit\b", self.head))

    def weak(self):
        return "__weak" in self.head


def functions(lines):
    out, i = [], 0
    while i < len(lines):
        match = HEAD.match(lines[i])
        if not match:
            i += 1
            continue
        first, j = i, i
        while j < len(lines) and j < i + 10 and lines[j] != "{" and not lines[j].endswith(";"):
            j += 1
        if j >= len(lines) or lines[j] != "{":
            i += 1
            continue
        last = j
        while last < len(lines) and lines[last] != "}":
            last += 1
        # A type on a line of its own belongs to the head.
        if first and re.fullmatch(r"(static |inline |const |unsigned |struct |void|int|long|bool|\w+_t|"
                                  r"__init|__always_inline|noinline|[\w ]+\*)+\s*", lines[first - 1]):
            first -= 1
        if last < len(lines):
            out.append(Function(match[1], first, j, last, " ".join(lines[first:j])))
        i = last + 1
    return out


def in_macro_or_condition(lines, number):
    """Whether a line is inside #if ... #endif, or of a macro."""
    depth = 0
    for line in lines[:number]:
        if re.match(r"#\s*if", line):
            depth += 1
        elif re.match(r"#\s*endif", line):
            depth -= 1
    return depth > 0 or (number > 0 and lines[number - 1].endswith("\\"))


def places(lines, function):
    """Lines of a function before which a statement may stand: at the outermost level."""
    out, declared = [], False
    for i in range(function.brace + 1, function.last):
        line, before = lines[i], lines[i - 1]
        begins = re.match(rf"\t(return\b|if \(|{WORD}\([^;]*\);|{WORD}(->\w+|\.\w+)* = )", line)
        ends = before == "" or before == "{" or re.match(r"\t\S.*;$|\t\}$", before)
        unsure = re.match(r"\t(if|for|while|else|switch|do)\b", before) or before.endswith("\\")
        if begins and ends and not unsure and (declared or not re.match(r"\t\w+(_t)? \w+", line)):
            out.append(i)
        declared = declared or line == ""
    return out


class View:
    """A tree with some files replaced."""

    def __init__(self, tree):
        self.tree, self.changed, self.cache = pathlib.Path(tree), {}, {}

    def lines(self, path):
        if path in self.changed:
            return list(self.changed[path])
        if path not in self.cache:
            file = self.tree / path
            text = file.read_text(errors="surrogateescape") if file.is_file() else ""
            self.cache[path] = text.split("\n")
        return list(self.cache[path])

    def put(self, path, lines):
        self.changed[path] = list(lines)

    def insert(self, path, number, new):
        lines = self.lines(path)
        lines[number:number] = new
        self.put(path, lines)

    def replace(self, path, number, old, new, count=1):
        lines = self.lines(path)
        changed = lines[number].replace(old, new, count)
        if changed == lines[number]:
            return False
        lines[number] = changed
        self.put(path, lines)
        return True
