// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: to read three things from 150 MB of shell lines, of which most say nothing.
//
// Method: a line that compiles has "-c -o OBJECT SOURCE" in one of its commands; objtool's command
// for the object stands behind it in the same line. Programs for the machine that builds are
// compiled without -D__KERNEL__. A module's parts are what is printed into its file MODULE.mod.
// Any other recipe is looked through for words that may be names of C files; a name too many is
// nothing to fear, since make knows which of them it can make.
//
// Invariant: an object that is compiled for the kernel is in the list with exactly the words that
// kbuild runs.
#include "kernel/dry_run.h"

#include <algorithm>
#include <array>

#include "kernel/shell_words.h"

namespace suture::kernel {

namespace {

using Words = std::vector<std::string>;

constexpr std::string_view kernel_word = "-D__KERNEL__";

std::string normal(const fs::path& path) { return path.lexically_normal().string(); }

bool is_c_file(std::string_view name) {
  constexpr std::array endings{".c", ".h", ".inc", ".S"};
  return std::ranges::any_of(endings, [&](const char* ending) { return name.ends_with(ending); });
}

// What stands behind `before` in one of the words, without the closing quote.
std::string value_of(const Words& words, std::string_view before) {
  auto found = std::ranges::find_if(
      words, [&](const std::string& word) { return word.starts_with(before); });
  if (found == words.end()) {
    return {};
  }
  std::string value = found->substr(before.size());
  if (value.ends_with('"')) {
    value.pop_back();
  }
  return value;
}

// Fills in what a command that compiles says; false where it is another.
bool read_compile(const Words& words, Unit& unit) {
  constexpr std::array<std::string_view, 2> wanted{"-c", "-o"};
  auto at = std::ranges::search(words, wanted);
  if (at.empty() || words.end() - at.begin() < 4 ||
      std::ranges::find(words, kernel_word) == words.end()) {
    return false;
  }
  unit.object = at.begin()[2];
  unit.source = at.begin()[3];
  if (!unit.object.ends_with(".o")) {
    return false;
  }
  unit.module_name = value_of(words, "-DKBUILD_MODNAME=\"");
  unit.module_file = value_of(words, "-DKBUILD_MODFILE=\"");
  unit.path = normal(unit.source);
  return true;
}

// What a recipe makes: kbuild removes it first of all if the recipe is interrupted.
std::string target_of(std::string_view line) {
  constexpr std::string_view removal = "trap 'rm -f ";
  std::size_t at = line.find(removal);
  if (at == std::string_view::npos) {
    return {};
  }
  line.remove_prefix(at + removal.size());
  return normal(fs::path(line.substr(0, line.find(';'))));
}

}  // namespace

Status DryRun::take(std::string_view line) {
  if (line.find(" -c -o ") != std::string_view::npos) {
    return take_compile(line);
  }
  if (line.find("__GENKSYMS__") != std::string_view::npos) {
    return {};
  }
  if (line.find(".mod;") != std::string_view::npos) {
    take_module(line);
  }
  take_files(line);
  return {};
}

Status DryRun::take_compile(std::string_view line) {
  Unit unit;
  Words compiler, objtool;
  for (Words& words : TRY(split_commands(line))) {
    if (compiler.empty()) {
      if (read_compile(words, unit)) {
        compiler = std::move(words);
      }
    } else if (words.size() >= 2 && words.back() == unit.object &&
               words[0].ends_with("objtool/objtool")) {
      words.pop_back();
      objtool = std::move(words);
      break;
    }
  }
  if (!compiler.empty()) {
    unit.compiler = lists_.number_of(compiler, unit);
    unit.objtool = lists_.number_of(objtool, unit);
    files_.insert(unit.path);
    std::string object = normal(unit.object);
    units_.try_emplace(std::move(object), std::move(unit));
  }
  return {};
}

// printf '%s\n' a.o b.o | awk '!x[$0]++ { print("fs/ext4/"$0) }' > fs/ext4/ext4.mod
void DryRun::take_module(std::string_view line) {
  auto commands = split_commands(line);
  if (!commands) {
    return;
  }
  Words parts;
  for (const Words& words : *commands) {
    if (words.size() >= 2 && words.end()[-2] == ">" && words.back().ends_with(".mod")) {
      const fs::path module(words.back());
      std::string name = module.stem().string();
      std::ranges::replace(name, '-', '_');
      for (const std::string& part : parts) {
        members_[name].push_back(normal(module.parent_path() / part));
      }
      return;
    }
    parts.clear();
    std::ranges::copy_if(words, std::back_inserter(parts),
                         [](const std::string& word) { return word.ends_with(".o"); });
  }
}

void DryRun::take_files(std::string_view line) {
  constexpr std::array marks{".c", ".h", ".inc", ".S"};
  if (std::ranges::none_of(marks, [&](const char* mark) { return line.contains(mark); })) {
    return;
  }
  const std::string target = target_of(line);
  auto words = split_words(line);
  for (const std::string& word : words ? *words : Words{}) {
    std::string_view name = word;
    name.remove_prefix(std::min(name.find_first_not_of('>'), name.size()));
    if (name.starts_with('/') || name.starts_with('-') || !name.contains('/') ||
        name.find_first_of(" *'\"$=:{}[]") != std::string_view::npos) {
      continue;
    }
    std::string path = normal(fs::path(name));
    if (path != target) {
      inputs_.try_emplace(path, target.empty() ? "a part of the kernel" : target);
    }
    if (is_c_file(name)) {
      files_.insert(std::move(path));
    }
  }
}

std::vector<Unit> DryRun::units() const {
  std::map<std::string, Unit> all = units_;
  for (const auto& [module, objects] : members_) {
    for (const std::string& object : objects) {
      if (auto found = all.find(object); found != all.end()) {
        found->second.modules.push_back(module);
      }
    }
  }
  std::vector<Unit> out;
  for (auto& [object, unit] : all) {
    out.push_back(std::move(unit));
  }
  return out;
}

}  // namespace suture::kernel
