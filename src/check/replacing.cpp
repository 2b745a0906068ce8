// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a cumulative patch takes over from all others of its core, also from those whose fix it
// does not contain. Method: what both say of themselves is compared: functions, CVEs, diffs.
// Invariant: a patch whose every diff is in the new one, or that names CVEs which the new one all
// names, is never called lost; one that cannot show this, and has a function that the new one
// leaves alone, always is.
#include "check/replacing.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace suture::check {

namespace {

bool has_function(const module::Metadata& metadata, const std::string& object,
                  const module::PatchedFunction& function) {
  // 0 and 1 are the same where a name is unique.
  const auto position = [](std::uint32_t sympos) { return std::max(sympos, 1U); };
  return std::ranges::any_of(metadata.objects, [&](const module::PatchedObject& it) {
    return it.name == object &&
           std::ranges::any_of(it.functions, [&](const module::PatchedFunction& mine) {
             return !mine.is_new && mine.name == function.name &&
                    position(mine.sympos) == position(function.sympos);
           });
  });
}

bool has_all_diffs(const module::Metadata& newer, const module::Metadata& old) {
  return !old.diffs.empty() && std::ranges::all_of(old.diffs, [&](const module::SourceDiff& diff) {
    return std::ranges::find(newer.diffs, diff.sha256, &module::SourceDiff::sha256) !=
           newer.diffs.end();
  });
}

constexpr std::size_t most_named = 5;

}  // namespace

Loss lost_to(const module::Metadata& newer, const module::Metadata& old) {
  Loss loss{.patch = old.name};
  for (const module::PatchedObject& object : old.objects) {
    for (const module::PatchedFunction& function : object.functions) {
      if (!function.is_new && !has_function(newer, object.name, function)) {
        loss.functions.push_back(object.name == "vmlinux"
                                     ? function.name
                                     : fmt::format("{} ({})", function.name, object.name));
      }
    }
  }
  std::ranges::copy_if(old.cves, std::back_inserter(loss.cves), [&](const std::string& cve) {
    return std::ranges::find(newer.cves, cve) == newer.cves.end();
  });
  const bool same_fix = has_all_diffs(newer, old) || (!old.cves.empty() && loss.cves.empty());
  loss.fix_lost = !same_fix && loss.any();
  return loss;
}

std::string describe(const Loss& loss) {
  std::string out = fmt::format("'{}' alone", loss.patch);
  if (!loss.functions.empty()) {
    out += fmt::format(" changes {}", listed(loss.functions, most_named));
  }
  if (!loss.cves.empty()) {
    out += fmt::format("{} fixes {}", loss.functions.empty() ? "" : " and",
                       listed(loss.cves, most_named));
  }
  return out;
}

}  // namespace suture::check
