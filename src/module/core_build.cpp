// SPDX-License-Identifier: GPL-2.0-or-later
#include "module/core_build.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "kernel/prepare.h"

namespace suture::module {

namespace {

// What a core is made of: not the glue of the kernel's own livepatch.
std::vector<KmodSource> core_sources() {
  std::vector<KmodSource> out;
  for (const KmodSource& source : kmod_sources()) {
    if (source.path != "patch_glue.c") {
      out.push_back(source);
    }
  }
  return out;
}

// What the core needs of a kernel, by the options that bring it (kmod/core).
constexpr auto needed_options = std::to_array<std::string_view>({
    "CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS",
    "CONFIG_HAVE_RELIABLE_STACKTRACE",
    "CONFIG_KALLSYMS",
    "CONFIG_KPROBES",
    "CONFIG_SMP",
    "CONFIG_SYSFS",
    "CONFIG_TRACEPOINTS",
});

Status check_options(const kernel::Kernel& kernel) {
  const std::string config = TRY(read_text(kernel.config));
  std::vector<std::string_view> missing;
  std::ranges::copy_if(needed_options, std::back_inserter(missing),
                       [&](auto option) { return !kernel::has_option(config, option); });
  if (missing.empty()) {
    return {};
  }
  return fail(Code::unsupported_kernel, kernel.release,
              fmt::format("Suture's core needs {}, which it is configured without",
                          fmt::join(missing, ", ")),
              "use a kernel that has it; Debian's for amd64 do");
}

Status compile_core(const kernel::Kernel& kernel, const std::vector<KmodSource>& sources,
                    const fs::path& target) {
  WorkDir work = TRY(WorkDir::create(kernel.derived / "work", "core"));
  TRY(write_kmod(sources, work.path()));
  TRY(write_file(
      work.path() / "Makefile",
      fmt::format("obj-m := core_patch_glue.o\n{}ccflags-y += -I$(src)/include\n", glue_flags)));
  TRY(run_kbuild(kernel, work.path() / "core", "modules"));
  TRY(run_kbuild(kernel, work.path(), "core_patch_glue.o"));
  const fs::path made = work.path() / "made";
  TRY(make_directories(made));
  for (const char* file : {"core/suture.ko", "core/Module.symvers", "core_patch_glue.o"}) {
    TRY(rename_path(work.path() / file, made / fs::path(file).filename()));
  }
  Status moved = rename_path(made, target);
  // Another build may have been first.
  return moved || !fs::exists(target) ? moved : Status{};
}

}  // namespace

Result<CoreBuild> load_core(const kernel::Kernel& kernel) {
  const std::vector<KmodSource> sources = core_sources();
  const fs::path directory = kernel.derived / fmt::format("core-{}", kmod_digest(sources));
  if (!fs::exists(directory)) {
    TRY(check_options(kernel));
    TRY(compile_core(kernel, sources, directory));
  }
  CoreBuild core{.module = directory / "suture.ko", .symvers = {}, .glue = {}};
  core.symvers = TRY(kernel::Symvers::open(directory / "Module.symvers"));
  core.glue = TRY(read_glue(directory / "core_patch_glue.o"));
  return core;
}

}  // namespace suture::module
