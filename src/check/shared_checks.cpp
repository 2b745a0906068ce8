// SPDX-License-Identifier: GPL-2.0-or-later
#include "check/shared_checks.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace suture::check {

std::vector<Wanted> wanted_symbols(const module::Metadata& metadata) {
  std::vector<Wanted> out;
  for (const module::PatchedObject& object : metadata.objects) {
    for (const module::PatchedFunction& function : object.functions) {
      if (!function.is_new) {
        out.push_back({object.name, function.name, function.sympos});
      }
    }
  }
  for (const std::string& text : metadata.core_symbols) {
    const std::size_t colon = text.find(':');
    const std::size_t comma = text.rfind(',');
    if (colon == std::string::npos || comma == std::string::npos || comma < colon) {
      continue;
    }
    Wanted wanted{text.substr(0, colon), text.substr(colon + 1, comma - colon - 1)};
    std::from_chars(text.data() + comma + 1, text.data() + text.size(), wanted.sympos);
    out.push_back(std::move(wanted));
  }
  return out;
}

Check form_check(const module::Metadata& metadata) {
  if (metadata.is_patch()) {
    return {.id = "form",
            .detail = metadata.livepatch ? "a livepatch module" : "a patch for Suture's own core"};
  }
  return {.id = "form",
          .verdict = Verdict::failed,
          .detail = "it is not a patch module",
          .remedy = "give a module that `suture build` made; other modules are modprobe's",
          .code = Code::bad_module};
}

Check release_check(const std::string& release, const module::Metadata& metadata) {
  if (metadata.release == release) {
    return {.id = "release", .detail = release};
  }
  return {.id = "release",
          .verdict = Verdict::failed,
          .detail = fmt::format("it is for kernel {}, and this one is {}",
                                metadata.release.empty() ? "(unknown)" : metadata.release, release),
          .remedy = fmt::format("build it for this kernel: suture build -k {} PATCH", release),
          .code = Code::wrong_kernel};
}

Check removal_check(const module::Metadata& metadata) {
  if (metadata.pinned.empty()) {
    return {.id = "removal",
            .detail = metadata.ours ? "its module goes when the patch has been taken back"
                                    : "it does not say that its module must stay"};
  }
  return {.id = "removal",
          .verdict = Verdict::warning,
          .detail = fmt::format("the patch can be taken back, but its module stays in memory until "
                                "the next boot: others may use {}",
                                module::describe(metadata.pinned)),
          .remedy = "to load it again after that, build it under another name (suture build -n)"};
}

Check symbols_check(
    const std::vector<Wanted>& wanted, const std::function<bool(const std::string&)>& there,
    const std::function<std::uint32_t(const std::string&, const std::string&)>& count) {
  std::vector<std::string> wrong;
  for (const Wanted& symbol : wanted) {
    if (!there(symbol.object)) {
      continue;
    }
    const std::uint32_t found = count(symbol.object, symbol.name);
    if (symbol.sympos == 0 ? found == 1 : found >= symbol.sympos) {
      continue;
    }
    wrong.push_back(found == 0 ? fmt::format("{} has no symbol {}", symbol.object, symbol.name)
                               : fmt::format("{} has {} symbols {}, and number {} is meant",
                                             symbol.object, found, symbol.name, symbol.sympos));
  }
  return verdict_on("symbols", wrong,
                    fmt::format("the kernel has every symbol ({})", wanted.size()),
                    "build the patch for this very kernel");
}

Check verdict_on(std::string id, const std::vector<std::string>& wrong, const std::string& ok,
                 std::string remedy) {
  constexpr std::size_t listed = 3;
  if (wrong.empty()) {
    return {.id = std::move(id), .detail = ok};
  }
  std::string detail;
  for (std::size_t i = 0; i < std::min(listed, wrong.size()); ++i) {
    detail += (i == 0 ? "" : "; ") + wrong[i];
  }
  if (wrong.size() > listed) {
    detail += fmt::format("; and {} more", wrong.size() - listed);
  }
  return {.id = std::move(id),
          .verdict = Verdict::failed,
          .detail = std::move(detail),
          .remedy = std::move(remedy)};
}

}  // namespace suture::check
