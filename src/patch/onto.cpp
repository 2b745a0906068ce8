// SPDX-License-Identifier: GPL-2.0-or-later
#include "patch/onto.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <set>

#include "base/text.h"
#include "elf/object.h"

namespace suture::patch {

namespace {

constexpr std::size_t most_named = 5;

std::set<std::string> replaced(const module::Metadata& metadata) {
  std::set<std::string> out;
  for (const module::PatchedObject& object : metadata.objects) {
    for (const module::PatchedFunction& function : object.functions) {
      if (!function.is_new) {
        out.insert(function.sympos == 0
                       ? fmt::format("{} {}", object.name, function.name)
                       : fmt::format("{} {},{}", object.name, function.name, function.sympos));
      }
    }
  }
  return out;
}

}  // namespace

Result<module::Metadata> read_previous(const fs::path& path, const module::Metadata& next) {
  module::Metadata previous = TRY(module::read_metadata(path));
  if (!previous.ours) {
    return fail(Code::bad_module, path.string(),
                "Suture did not make it, and cannot tell its states",
                "give the .ko that `suture build` wrote");
  }
  if (previous.release != next.release) {
    return fail(
        Code::wrong_kernel, path.string(),
        fmt::format("it is for {}, and the new patch for {}", previous.release, next.release),
        "build both for one kernel");
  }
  if (previous.core != next.core) {
    return fail(Code::usage, path.string(),
                fmt::format("it is for the core {}, and the new patch for {}",
                            module::core_name(previous.core), module::core_name(next.core)),
                "build both for one core (--for)");
  }
  if (previous.name == next.name) {
    return fail(Code::usage, next.name,
                "the earlier patch has this name, and the kernel loads no two modules of one name",
                "give the new patch another name with -n");
  }
  return previous;
}

Result<std::set<std::string>> variables_in(const fs::path& module) {
  const elf::ObjectFile object = TRY(elf::ObjectFile::open(module));
  std::set<std::string> out;
  for (const elf::Symbol& symbol : object.symbols()) {
    if (symbol.defined() && symbol.type == STT_OBJECT &&
        (object.sections()[symbol.section].flags & SHF_WRITE) != 0) {
      out.emplace(symbol.name);
    }
  }
  return out;
}

Succession succession(const module::Metadata& previous, const module::Metadata& next) {
  const std::set<std::string> before = replaced(previous);
  const std::set<std::string> after = replaced(next);
  Succession out{.previous = previous.name, .takes_over = next.replace};
  std::vector<std::string> missing;
  for (const module::SourceDiff& diff : previous.diffs) {
    if (std::ranges::find(next.diffs, diff.sha256, &module::SourceDiff::sha256) ==
        next.diffs.end()) {
      missing.push_back(diff.file);
    }
  }
  std::ranges::set_difference(after, before, std::back_inserter(out.adds));
  std::ranges::set_intersection(before, after,
                                std::back_inserter(missing.empty() ? out.keeps : out.again));
  if (!next.replace) {
    if (!out.again.empty()) {
      out.warnings.push_back(fmt::format(
          "both patches change {}, and only the change of the one that is loaded last counts",
          listed(out.again, most_named)));
    }
    return out;
  }
  std::ranges::set_difference(before, after, std::back_inserter(out.drops));
  if (!out.again.empty()) {
    out.warnings.push_back(fmt::format(
        "{} was built from {}, which {} not among the diffs: what that does in {} may be lost",
        previous.name, listed(missing, most_named), missing.size() == 1 ? "is" : "are",
        listed(out.again, most_named)));
  }
  if (!out.drops.empty()) {
    out.warnings.push_back(fmt::format(
        "what {} changes in {} is dropped: `install` and `load` refuse that (fix-lost) unless you "
        "give --replace",
        previous.name, listed(out.drops, most_named)));
  }
  return out;
}

}  // namespace suture::patch
