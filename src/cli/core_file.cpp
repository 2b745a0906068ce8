// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/core_file.h"

#include "kernel/prepare.h"
#include "module/core_build.h"

namespace suture::cli {

Result<fs::path> core_file(const kernel::Kernel& kernel) {
  const std::string config = TRY(read_text(kernel.config));
  const auto identity = TRY(kernel::config_identity(config, kernel.config.string()));
  const std::string compiler = TRY(kernel::find_compiler(identity.compiler_text));
  return TRY(module::load_core(kernel, compiler)).module;
}

}  // namespace suture::cli
