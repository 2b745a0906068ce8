// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: 13,000 objects with commands of 10 KB each are 130 MB, and a build looks at the list
// first of all.
//
// Method: commands differ in the object's and the source's name, and in the name of the module.
// With those taken out a few hundred different ones are left, which are written once:
//
//   suture units 1
//   L<tab>word<tab>word...                                          list number 0, 1, ...
//   U<tab>compiler's list<tab>objtool's<tab>object<tab>source<tab>modname<tab>modfile<tab>modules
//   I<tab>file that is no header and that another may include
//   M<tab>input of a recipe<tab>what it makes
//
// In a word, a backslash and a letter stand for: o the object without ".o", s the source, d the
// object without ".o" and with a dot before its name, b that name as a C identifier, m the name of
// the module, f its path; t a tab, n a newline, \ itself.
//
// Invariant: what is read is what was written, word for word.
#include "kernel/unit_list.h"

#include <fmt/format.h>

#include <algorithm>

namespace suture::kernel {

namespace {

std::string_view stem_of(std::string_view object) {
  return object.substr(0, object.size() - std::min<std::size_t>(object.size(), 2));
}

// "fs/.exec" of "fs/exec.o".
std::string hidden(std::string_view object) {
  std::string out(stem_of(object));
  out.insert(out.rfind('/') + 1, 1, '.');
  return out;
}

// "vmx_ops" of "arch/x86/kvm/vmx-ops.o", kbuild's name-fix.
std::string identifier(std::string_view object) {
  std::string_view stem = stem_of(object);
  std::string out(stem.substr(stem.rfind('/') + 1));
  std::ranges::replace(out, '-', '_');
  std::ranges::replace(out, ',', '_');
  return out;
}

void append_escaped(std::string& out, std::string_view text) {
  for (char c : text) {
    if (c == '\\' || c == '\t' || c == '\n') {
      out += '\\';
      c = c == '\t' ? 't' : c == '\n' ? 'n' : c;
    }
    out += c;
  }
}

// What a word may be but for one slot of it: before, slot, behind.
struct Form {
  std::string_view before;
  char slot;
  std::string_view value;
  std::string_view behind;

  bool fits(std::string_view word) const {
    return !value.empty() && word.size() == before.size() + value.size() + behind.size() &&
           word.starts_with(before) && word.ends_with(behind) &&
           word.substr(before.size()).starts_with(value);
  }
};

std::string with_slots(const std::vector<std::string>& words, const Unit& unit) {
  const std::string dotted = hidden(unit.object);
  const std::string name = identifier(unit.object);
  const Form forms[] = {
      {"", 'o', stem_of(unit.object), ".o"},
      {"", 's', unit.source, ""},
      {"-Wp,-MMD,", 'd', dotted, ".o.d"},
      {"-DKBUILD_BASENAME=\"", 'b', name, "\""},
      {"-DKBUILD_MODNAME=\"", 'm', unit.module_name, "\""},
      {"-D__KBUILD_MODNAME=kmod_", 'm', unit.module_name, ""},
      {"-DKBUILD_MODFILE=\"", 'f', unit.module_file, "\""},
  };
  std::string out;
  for (const std::string& word : words) {
    out += &word == words.data() ? "" : "\t";
    const Form* form = std::ranges::find_if(forms, [&](const Form& f) { return f.fits(word); });
    if (form == std::end(forms)) {
      append_escaped(out, word);
    } else {
      out.append(form->before).append({'\\', form->slot}).append(form->behind);
    }
  }
  return out;
}

}  // namespace

std::uint32_t WordLists::number_of(const std::vector<std::string>& words, const Unit& unit) {
  auto [it, added] = numbers_.try_emplace(with_slots(words, unit), lines_.size());
  if (added) {
    lines_.push_back(it->first);
  }
  return it->second;
}

std::vector<std::string> words_of(std::string_view line, const Unit& unit) {
  std::vector<std::string> words;
  if (line.empty()) {
    return words;
  }
  words.emplace_back();
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (line[i] == '\t') {
      words.emplace_back();
      continue;
    }
    if (line[i] != '\\' || i + 1 == line.size()) {
      words.back() += line[i];
      continue;
    }
    std::string& word = words.back();
    switch (line[++i]) {
      case 'o': word += stem_of(unit.object); break;
      case 's': word += unit.source; break;
      case 'd': word += hidden(unit.object); break;
      case 'b': word += identifier(unit.object); break;
      case 'm': word += unit.module_name; break;
      case 'f': word += unit.module_file; break;
      case 't': word += '\t'; break;
      case 'n': word += '\n'; break;
      default: word += line[i];
    }
  }
  return words;
}

std::string list_text(const ListParts& parts) {
  std::string out = fmt::format("{}\n", units_format);
  for (const std::string& line : parts.lists.lines()) {
    out += fmt::format("L\t{}\n", line);
  }
  for (const Unit& unit : parts.units) {
    out +=
        fmt::format("U\t{}\t{}\t{}\t{}\t{}\t{}\t{}\n", unit.compiler, unit.objtool, unit.object,
                    unit.source, unit.module_name, unit.module_file, fmt::join(unit.modules, ","));
  }
  for (const std::string& path : parts.included) {
    out += fmt::format("I\t{}\n", path);
  }
  for (const auto& [input, output] : parts.made) {
    out += fmt::format("M\t{}\t{}\n", input, output);
  }
  return out;
}

}  // namespace suture::kernel
