// SPDX-License-Identifier: GPL-2.0-or-later
#include "module/glue.h"

#include <fmt/format.h>

#include <thread>

#include "base/digest.h"
#include "base/process.h"
#include "kernel/prepare.h"
#include "kernel/toolchain.h"

namespace suture::module {

namespace {

Status compile_glue(const kernel::Kernel& kernel, const std::vector<KmodSource>& sources,
                    const fs::path& target) {
  WorkDir work = TRY(WorkDir::create(kernel.derived / "work", "glue"));
  TRY(write_kmod(sources, work.path()));
  TRY(write_file(work.path() / "Makefile", fmt::format("obj-m := patch_glue.o\n{}", glue_flags)));
  TRY(run_kbuild(kernel, work.path(), "patch_glue.o"));
  return rename_path(work.path() / "patch_glue.o", target);
}

Result<diff::TableSizes> read_constants(const elf::ObjectFile& object, const std::string& where) {
  constexpr std::uint64_t name_size = 40;
  constexpr std::uint64_t entry_size = name_size + 8;
  diff::TableSizes out;
  const elf::Section* section = object.section(".suture.constants");
  if (section == nullptr || section->size % entry_size != 0) {
    return fail(Code::bad_elf, where, "the glue states no constants",
                "remove the kernel's derived directory from the cache and build again");
  }
  for (std::uint64_t offset = 0; offset < section->size; offset += entry_size) {
    auto name = read_cstr(section->data, offset);
    auto value = read_le<std::uint64_t>(section->data, offset + name_size);
    if (name && value) {
      out.emplace(*name, *value);
    }
  }
  return out;
}

}  // namespace

Status write_kmod(const std::vector<KmodSource>& sources, const fs::path& directory) {
  for (const KmodSource& source : sources) {
    const fs::path path = directory / source.path;
    TRY(make_directories(path.parent_path()));
    TRY(write_file(path, source.text));
  }
  return {};
}

std::string kmod_digest(const std::vector<KmodSource>& sources) {
  std::string all;
  for (const KmodSource& source : sources) {
    all += fmt::format("{} {}\n{}", source.path, source.text.size(), source.text);
  }
  return sha256_hex(as_bytes(all)).substr(0, 12);
}

// No path of the work directory gets into what is made.
Status run_kbuild(const kernel::Kernel& kernel, const fs::path& directory,
                  const std::string& target) {
  const std::string config = TRY(read_text(kernel.config));
  const auto identity = TRY(kernel::config_identity(config, kernel.config.string()));
  const std::string compiler = TRY(kernel::find_compiler(identity.compiler_text, kernel.toolchain));
  Command make = kernel::kbuild_command(kernel.source, identity.arch, compiler, kernel.release);
  for (std::string word :
       {std::string("-s"), fmt::format("-j{}", std::thread::hardware_concurrency()),
        fmt::format("M={}", directory.string()),
        fmt::format("KCFLAGS=-g0 -fmacro-prefix-map={}/=", directory.string()), target}) {
    make.argv.push_back(std::move(word));
  }
  make = kernel::in_toolchain(kernel, std::move(make), directory);
  TRY(run_checked(make, Code::prepare_failed, fmt::format("{} for {}", target, kernel.release),
                  "check that the prepared tree is whole: remove the kernel from the cache and run "
                  "`suture kernel add` again"));
  return {};
}

Result<Glue> read_glue(const fs::path& object) {
  Glue glue;
  glue.object = TRY(elf::ObjectFile::open(object));
  glue.constants = TRY(read_constants(glue.object, object.filename().string()));
  if (const elf::Section* rows = glue.object.section(".suture.thunk_rows")) {
    glue.thunk_rows.assign(rows->data.begin(), rows->data.end());
  }
  return glue;
}

Result<Glue> load_glue(const kernel::Kernel& kernel) {
  const std::vector<KmodSource> sources{
      {"patch_glue.c", kmod_source("patch_glue.c")},
      {"patch_glue_common.h", kmod_source("patch_glue_common.h")}};
  const fs::path path = kernel.derived / fmt::format("patch_glue-{}.o", kmod_digest(sources));
  if (!fs::exists(path)) {
    TRY(compile_glue(kernel, sources, path));
  }
  return read_glue(path);
}

}  // namespace suture::module
