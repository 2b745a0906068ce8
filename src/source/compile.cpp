// SPDX-License-Identifier: GPL-2.0-or-later
#include "source/compile.h"

#include <algorithm>
#include <iterator>

namespace suture::source {

std::string CompileCommand::path() const { return fs::path(source).lexically_normal().string(); }

std::vector<CompileCommand> commands_of(const kernel::Units& units, const kernel::Unit& unit) {
  CompileCommand command{.source = unit.source,
                         .object = unit.object,
                         .compiler = units.compiler(unit),
                         .objtool = units.objtool(unit),
                         .is_module = unit.is_module,
                         .module_name = unit.is_module ? unit.module_name : std::string{}};
  if (!unit.is_module || unit.modules.empty()) {
    return {std::move(command)};
  }
  std::vector<CompileCommand> out;
  for (const std::string& module : unit.modules) {
    out.push_back(command);
    out.back().module_name = module;
  }
  return out;
}

Result<std::vector<CompileCommand>> commands_for(const kernel::Units& units,
                                                 const std::string& path) {
  std::vector<CompileCommand> out;
  for (const kernel::Unit* unit : units.of_source(path)) {
    std::ranges::move(commands_of(units, *unit), std::back_inserter(out));
  }
  if (out.empty()) {
    return fail(Code::not_in_kernel, path, "the kernel's build compiles no object of it",
                "leave the file out of the diff: this kernel is configured without it");
  }
  return out;
}

}  // namespace suture::source
