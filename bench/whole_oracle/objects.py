# SPDX-License-Identifier: GPL-2.0-or-later
"""What changed from one kbuild object to another, told by objdump's instructions and the object's
own tables.

Problem: two objects of one source, before and after a diff, differ in many bytes that mean the same:
everything behind an insertion moves.

Method: an object is turned into text that does not know where things lie. A function is the list of
its instructions. A relocated field is the name of what it refers to with the distance from there; a
jump inside the function is the number of the instruction that it goes to; a string is its text. An
entry of a table about code (exceptions, bugs, alternatives, jump labels, static calls) belongs to
the function that it is about. Then texts are compared by name.

Line numbers: where two texts differ by immediates or entries of the bug table alone, and the diff
moves line A to line B exactly as they say, the function is "line". Anything else is "changed": where
this file cannot tell, it says so, and a person reads the case.

Weakness: variables that are told apart by a number behind the name alone (`__already_done.5`) count
as one."""
import bisect
import collections
import re
import struct
import subprocess

SHF_EXECINSTR, SHF_MERGE, SHF_STRINGS, SHF_ALLOC = 4, 0x10, 0x20, 2
ABSOLUTE_KINDS = (1, 10, 11)  # R_X86_64_64, _32, _32S; the others count from the field
# Made from the code by objtool and the assembler, or about the tools.
DERIVED = re.compile(r"\.(orc_|discard|retpoline_sites|return_sites|call_sites|ibt_|comment|note|rela|"
                     r"symtab|strtab|shstrtab|altinstr_replacement|altinstr_aux|llvm|modinfo)|__mcount_loc"
                     r"|__patchable")
TABLES = {"__bug_table": 12, "__ex_table": 12, ".altinstructions": 12, "__jump_table": 16,
          ".static_call_sites": 8, ".smp_locks": 4, ".parainstructions": 16}
BOOT = re.compile(r"\.(init|head)\b")
EXIT = re.compile(r"\.exit\b")


def plain(name):
    """The name without what the compiler counts: `x.5` is x, `f.isra.0` is f.isra."""
    name = re.sub(r"(__UNIQUE_ID_\w*?)\d+", r"\1", name)
    name = re.sub(r"(__initcall__kmod_\w*?__)\d+_\d+_", r"\1", name)
    name = re.sub(r"^(__BTF_ID__\w*?__)\d+$", r"\1", name)
    return re.sub(r"\.\d+(?=\.|$)", "", name)


def whole(name):
    """A function's name for a name that may be of a part of it."""
    return plain(name).replace(".cold", "")


class Object:
    def __init__(self, path):
        self.path, self.bytes = str(path), open(path, "rb").read()
        self.read_tables()
        self.read_code()

    def read_tables(self):
        data = self.bytes
        if data[:5] != b"\x7fELF\x02":
            raise ValueError(f"{self.path} is no 64-bit ELF file")
        start, = struct.unpack_from("<Q", data, 40)
        size, count, names = struct.unpack_from("<HHH", data, 58)
        raw = [struct.unpack_from("<IIQQQQIIQQ", data, start + i * size) for i in range(count)]
        strings = raw[names]

        def text(table, offset):
            begin = table[4] + offset
            return data[begin:data.index(b"\0", begin)].decode()

        self.sections = [{"name": text(strings, r[0]), "type": r[1], "flags": r[2], "entry": r[9],
                          "data": b"" if r[1] == 8 else data[r[4]:r[4] + r[5]], "size": r[5],
                          "relocs": [], "symbols": []} for r in raw]
        self.symbols = []
        for r in raw:
            if r[1] == 2:
                for at in range(r[4], r[4] + r[5], 24):
                    name, info, _, section, value, length = struct.unpack_from("<IBBHQQ", data, at)
                    self.symbols.append((text(raw[r[6]], name), info & 15, section, value, length))
        for r in raw:
            if r[1] == 4:
                relocs = self.sections[r[7]]["relocs"]
                for at in range(r[4], r[4] + r[5], 24):
                    offset, info, addend = struct.unpack_from("<QQq", data, at)
                    relocs.append((offset, info & 0xffffffff, info >> 32, addend))
                relocs.sort()
        for name, kind, section, value, length in self.symbols:
            if name and kind in (0, 1, 2, 10) and 0 < section < len(self.sections):
                self.sections[section]["symbols"].append((value, length, name, kind))
        for section in self.sections:
            section["symbols"].sort(key=lambda s: (s[0], -s[1], s[2]))
            section["starts"] = [s[0] for s in section["symbols"]]

    def read_code(self):
        """The instructions of each section that has code: address, length, words."""
        out = subprocess.run(["objdump", "-d", "-w", "-z", "--insn-width=16", self.path], check=True,
                             capture_output=True, text=True).stdout
        numbers = collections.defaultdict(list)
        for number, section in enumerate(self.sections):
            numbers[section["name"]].append(number)
        self.code, current = {}, None
        for line in out.splitlines():
            if line.startswith("Disassembly of section "):
                # Sections of one name come in the order of the file.
                current = self.code.setdefault(numbers[line[23:-1]].pop(0), [])
            elif current is not None and "\t" in line:
                fields = line.split("\t")
                current.append((int(fields[0].strip(" :"), 16), len(fields[1].split()),
                                fields[2] if len(fields) > 2 else ""))
        self.code_starts = {n: [i[0] for i in code] for n, code in self.code.items()}

    def symbol_at(self, section, offset):
        """The symbol that covers the offset: (name, distance, kind)."""
        symbols = self.sections[section]["symbols"]
        at = bisect.bisect_right(self.sections[section]["starts"], offset) - 1
        best = None
        while at >= 0 and offset - symbols[at][0] < 1 << 20:
            value, length, name, kind = symbols[at]
            if value <= offset < value + length or (length == 0 and value == offset):
                if best is None or (kind in (1, 2)) > (best[2] in (1, 2)) or \
                        (value == offset and best[1] == 0 and name < best[0]):
                    best = (name, offset - value, kind)
            elif best is not None:
                break
            at -= 1
        # What is empty (a lock's class) lies where the next thing does: either may be meant.
        here = {plain(s[2]) for s in symbols if s[0] == offset and s[3] == 1}
        if best is not None and any(s[0] == offset and s[1] == 0 and s[3] == 1 for s in symbols):
            best = ("|".join(sorted(here)), 0, 1)
        return best

    def place(self, section, offset):
        """What lies there, in words that do not know where it lies."""
        part = self.sections[section]
        if part["flags"] & SHF_MERGE and part["flags"] & SHF_STRINGS:
            end = part["data"].find(b"\0", offset)
            return "text " + repr(part["data"][offset:end])
        if part["flags"] & SHF_MERGE:
            return "constant " + part["data"][offset:offset + (part["entry"] or 8)].hex()
        found = self.symbol_at(section, offset)
        if found is None:
            return f"{part['name']} " + self.content(section, offset, min(offset + 32, part["size"]))
        name, distance, _ = found
        starts = self.code_starts.get(section)
        if starts and distance:
            first = bisect.bisect_left(starts, offset - distance)
            at = bisect.bisect_left(starts, offset)
            inside = at < len(starts) and starts[at] == offset
            return f"{plain(name)} #{at - first}" if inside else f"{plain(name)}+{distance:#x}"
        return f"{plain(name)}+{distance:#x}" if distance else plain(name)

    def target(self, reloc, extra):
        """What a relocated field refers to; extra is added to the addend."""
        _, kind, number, addend = reloc
        name, symbol_kind, section, value, _ = self.symbols[number]
        addend += extra
        inside = 0 < section < 0xff00
        if inside and (symbol_kind == 3 or not name or name.startswith(".L") or self.code.get(section) or
                       self.sections[section]["flags"] & SHF_MERGE):
            return self.place(section, value + addend)
        return f"{plain(name)}{addend:+#x}" if addend else plain(name)

    def relocs_in(self, section, begin, end):
        relocs = self.sections[section]["relocs"]
        at = bisect.bisect_left(relocs, (begin,))
        while at < len(relocs) and relocs[at][0] < end:
            yield relocs[at]
            at += 1

    @staticmethod
    def width(kind):
        return 8 if kind in (1, 24) else 4

    def instruction(self, section, item):
        address, length, words = item
        raw = bytearray(self.sections[section]["data"][address:address + length])
        names = []
        for reloc in self.relocs_in(section, address, address + length):
            offset, kind = reloc[0] - address, reloc[1]
            raw[offset:offset + self.width(kind)] = bytes(self.width(kind))
            extra = 0 if kind in ABSOLUTE_KINDS else address + length - reloc[0]
            names.append(f"{offset}:{self.target(reloc, extra)}")
        branch = re.match(r"(?:\w+ )*?(j\w+|call|loop\w*|xbegin)(?:,p[nt])?\s+([0-9a-f]+)(?: |$)", words)
        if branch and not names:
            return branch[1] + " " + self.place(section, int(branch[2], 16)), None
        if branch:
            return branch[1] + " " + names[0].split(":", 1)[1], None
        return raw.hex() + "".join(" " + n for n in names), bytes(raw)

    def functions(self):
        """name -> [(section's name, [(text, raw bytes or none)])], parts and copies in order."""
        out = collections.defaultdict(list)
        for number, code in self.code.items():
            name = self.sections[number]["name"]
            if DERIVED.match(name):
                continue
            seen = set()
            for value, length, symbol, kind in self.sections[number]["symbols"]:
                if kind not in (2, 10) or not length or (value, length) in seen:
                    continue
                seen.add((value, length))
                first = bisect.bisect_left(self.code_starts[number], value)
                last = bisect.bisect_left(self.code_starts[number], value + length)
                body = [self.instruction(number, item) for item in code[first:last]]
                # Room behind the last instruction is filled up by the assembler.
                out[whole(symbol)].append((name, symbol, body))
        return out

    def content(self, section, begin, end):
        part = self.sections[section]
        raw = bytearray(part["data"][begin:end]) if part["type"] != 8 else bytearray()
        if part["name"] == "__dyndbg":  # struct _ddebug: 18 bits of line number
            for at in range(32, len(raw) - 3, 56):
                raw[at:at + 4] = struct.pack("<I", struct.unpack_from("<I", raw, at)[0] & ~0x3ffff)
        names = []
        for reloc in self.relocs_in(section, begin, end):
            offset, kind = reloc[0] - begin, reloc[1]
            if part["type"] != 8:
                raw[offset:offset + self.width(kind)] = bytes(self.width(kind))
            names.append(f"{offset}:{self.target(reloc, 0)}")
        return f"{end - begin}:" + bytes(raw).rstrip(b"\0").hex() + "".join(" " + n for n in names)

    def variables(self):
        """name -> [(section's name, content)]; what has no name, by its section."""
        out = collections.defaultdict(list)
        for number, part in enumerate(self.sections):
            name = part["name"]
            if not part["flags"] & SHF_ALLOC or part["flags"] & (SHF_EXECINSTR | SHF_MERGE) or \
                    DERIVED.match(name) or name in TABLES or not part["size"]:
                continue
            named = [s for s in part["symbols"] if s[3] == 1 and s[1]]
            for value, length, symbol, _ in named:
                content = self.content(number, value, value + length)
                if plain(symbol) == "_entry":  # struct pi_entry: 4 bytes of line number
                    content = " ".join(content.split(" ")[1:])
                # Each function's __func__ holds its name: another content is another function's.
                key = f"__func__ {content}" if plain(symbol) == "__func__" else plain(symbol)
                out[key].append((name, content))
            if not named and not name.startswith("__ksymtab_strings"):
                out["section " + name].append((name, self.content(number, 0, part["size"])))
        return out

    def entries(self):
        """function -> sorted entries of the tables about code, and lines of its bugs."""
        out, lines = collections.defaultdict(list), collections.defaultdict(list)
        for number, part in enumerate(self.sections):
            size = TABLES.get(part["name"])
            for at in range(0, part["size"], size or 1) if size else ():
                relocs = list(self.relocs_in(number, at, at + size))
                if not relocs:
                    continue
                raw = bytearray(part["data"][at:at + size])
                names = []
                for reloc in relocs:
                    offset = reloc[0] - at
                    raw[offset:offset + self.width(reloc[1])] = bytes(self.width(reloc[1]))
                    if part["name"] == ".altinstructions" and offset == 4:
                        names.append(self.replacement(reloc, part["data"][at + 11]))
                    else:
                        names.append(f"{offset}:{self.target(reloc, 0)}")
                owner = re.split(r" #|\+0x", names[0].split(":", 1)[1])[0].replace(".cold", "")
                if part["name"] == "__bug_table":
                    lines[owner].append(struct.unpack_from("<H", raw, 8)[0])
                    raw[8:10] = b"\0\0"
                out[owner].append(f"{part['name']} {raw.hex()} {' '.join(names)}")
        # The sections' order is the compiler's own matter.
        return {owner: sorted(found) for owner, found in out.items()}, lines

    def replacement(self, reloc, length):
        _, _, number, addend = reloc
        _, _, section, value, _ = self.symbols[number]
        begin = value + addend
        raw = bytearray(self.sections[section]["data"][begin:begin + length])
        names = []
        for inner in self.relocs_in(section, begin, begin + length):
            offset = inner[0] - begin
            raw[offset:offset + 4] = bytes(4)
            names.append(f"{offset}:{self.target(inner, 0 if inner[1] in ABSOLUTE_KINDS else 4)}")
        return f"4:{raw.hex()} {' '.join(names)}"


def moved_line(old, new, moves):
    return any(move(old) == new for move in moves)


def alike(old, new):
    """Whether two texts may name the same: "3:a|b" names a or b."""
    words = [(o.split(":"), n.split(":")) for o, n in zip(old.split(" "), new.split(" "))]
    return len(old.split(" ")) == len(new.split(" ")) and all(
        o[:-1] == n[:-1] and set(o[-1].split("|")) & set(n[-1].split("|")) for o, n in words)


def line_apart(old, new, moves):
    """Whether two instructions differ by one immediate at their end that is a moved line."""
    if alike(old[0], new[0]):
        return True
    if old[1] is None or new[1] is None or len(old[1]) != len(new[1]) or \
            old[0].split(" ")[1:] != new[0].split(" ")[1:]:
        return False
    for width in (4, 2):
        if old[1][:-width] == new[1][:-width]:
            return moved_line(int.from_bytes(old[1][-width:], "little"),
                              int.from_bytes(new[1][-width:], "little"), moves)
    return False


def compare_function(old, new, moves):
    """same, line or changed."""
    if [p[0] for p in old] != [p[0] for p in new]:
        return "changed"
    verdict = "same"
    for (_, _, before), (_, _, after) in zip(old, new):
        if [i[0] for i in before] == [i[0] for i in after]:
            continue
        if len(before) != len(after) or not all(line_apart(*pair, moves) for pair in zip(before, after)):
            return "changed"
        if not all(alike(b[0], a[0]) for b, a in zip(before, after)):
            verdict = "line"
    return verdict


def where(section):
    return "boot" if BOOT.match(section) else "exit" if EXIT.match(section) else "run"


def compare(old_path, new_path, moves=()):
    """[{name, what: function|data, how: changed|new|gone|line|section, where: run|boot|exit, ...}];
    line: only numbers of lines; section: the same contents in another section."""
    if open(old_path, "rb").read() == open(new_path, "rb").read():
        return []
    old, new = Object(old_path), Object(new_path)
    out = []
    before, after = old.functions(), new.functions()
    (old_entries, old_lines), (new_entries, new_lines) = old.entries(), new.entries()
    for name in sorted(before.keys() | after.keys()):
        parts = before.get(name) or after.get(name)
        place = where(parts[0][0])
        if name not in after or name not in before:
            how = "gone" if name not in after else "new"
        else:
            how = compare_function(before[name], after[name], moves)
            if how != "changed" and old_entries.get(name) != new_entries.get(name):
                how = "changed"
            lines = zip(old_lines.get(name, ()), new_lines.get(name, ()))
            if how == "same" and old_lines.get(name) != new_lines.get(name):
                how = "line" if all(a == b or moved_line(a, b, moves) for a, b in lines) else "changed"
        if how != "same":
            out.append({"name": name, "what": "function", "how": how, "where": place,
                        "section": parts[0][0]})
    before, after = old.variables(), new.variables()
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) == after.get(name):
            continue
        parts = before.get(name) or after.get(name)
        how = "gone" if name not in after else "new" if name not in before else "changed"
        if how == "changed" and sorted(before[name]) == sorted(after[name]):
            continue
        if how == "changed" and sorted(c for _, c in before[name]) == sorted(c for _, c in after[name]):
            how = "section"
        out.append({"name": name, "what": "data", "how": how, "where": where(parts[0][0]),
                    "section": parts[0][0]})
    return out


def references(path, names):
    """The functions of an object whose code names one of the names."""
    out = set()
    for name, parts in Object(path).functions().items():
        for _, _, body in parts:
            for text, _ in body:
                words = re.split(r"[ :+]", text)
                if any(w in names for w in words[1:]):
                    out.add(name)
    return out
