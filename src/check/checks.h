// SPDX-License-Identifier: GPL-2.0-or-later
//
// What can be known about a patch module before the kernel is asked to take it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"
#include "machine/attachments.h"
#include "machine/sysfs.h"
#include "module/metadata.h"

namespace suture::check {

enum class Verdict {
  ok,
  warning,  // it would load, and something else would get in the way of its effect, or of its end
  failed,   // it would not load, or must not be loaded
  unknown,  // it cannot be told here
};
std::string_view verdict_word(Verdict verdict);  // "ok", "warning", "failed", "unknown"

struct Check {
  std::string id;  // stable: "release", "kernel-build-id", ...
  Verdict verdict = Verdict::ok;
  std::string detail;             // what was seen
  std::string remedy;             // what to do, where it is not ok
  Code code = Code::load_failed;  // of a failure
  std::string patch;              // whose fix would be lost
};

// What an attachment to a function of a patch means.
Check conflict(const machine::Attachment& attachment);

enum class Depth {
  // What the kernel would not refuse by itself, or not in words that help: a millisecond or two.
  before_load,
  // Also what the kernel checks itself: symbols, entries, versions of imports.
  everything,
};

struct CheckedModule {
  module::Metadata metadata;
  std::vector<Check> checks;
  // The first failure as an error, or nothing.
  std::optional<Error> failure(const std::string& where) const;
};

// Whether what is loaded is what the patch was built for, by build-id; nothing where either does
// not say, or the module is not loaded.
std::optional<bool> build_fits(const machine::Machine& machine,
                               const module::PatchedObject& object);

// bad-module, bad-elf; everything else is a verdict.
Result<CheckedModule> check_module(const machine::Machine& machine, const fs::path& module,
                                   Depth depth);

}  // namespace suture::check
