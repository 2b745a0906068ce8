// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/featureset.h"

#include <fmt/format.h>

#include <sstream>

#include "base/process.h"
#include "kernel/cache.h"
#include "kernel/unpack.h"

namespace suture::kernel {

std::string featureset_of(const std::string& release) {
  return flavour_of(release).starts_with("rt-") ? "rt" : "";
}

Status apply_featureset(const fs::path& packaging, const std::string& featureset,
                        const fs::path& tree) {
  TempDir scratch = TRY(TempDir::create(tree.parent_path(), temporary_prefix));
  const std::string directory = fmt::format("debian/patches-{}/", featureset);
  TRY(unpack_tar(packaging, scratch.path(), [&](std::string_view name) {
    return name.starts_with(directory) ? std::optional(std::string(name.substr(directory.size())))
                                       : std::nullopt;
  }));
  auto series = read_text(scratch.path() / "series");
  if (!series) {
    return fail(Code::bad_package, packaging.filename().string(),
                fmt::format("it holds no patches for the featureset {}", featureset),
                "give the kernel's files with --vmlinuz and the like");
  }
  std::istringstream lines(*series);
  for (std::string line; std::getline(lines, line);) {
    std::string name = line.substr(0, line.find_first_of(" \t#"));
    if (name.empty()) {
      continue;
    }
    Command patch{.argv = {"patch", "--strip=1", "--batch", "--forward", "--silent",
                           "--no-backup-if-mismatch",
                           fmt::format("--input={}", (scratch.path() / name).string())},
                  .directory = tree};
    TRY(run_checked(patch, Code::prepare_failed, name,
                    "this kernel's packages do not fit one another: use another release"));
  }
  return {};
}

}  // namespace suture::kernel
