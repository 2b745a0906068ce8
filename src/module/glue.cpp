// SPDX-License-Identifier: GPL-2.0-or-later
#include "module/glue.h"

#include <fmt/format.h>

#include "base/digest.h"
#include "base/process.h"
#include "module/patch_glue_source.h"

namespace suture::module {

namespace {

// One function or variable a section: the writer takes whole pieces.
constexpr std::string_view makefile =
    "obj-m := patch_glue.o\n"
    "ccflags-y := -g0 -ffunction-sections -fdata-sections\n";

Status compile_glue(const kernel::Kernel& kernel, const std::string& compiler,
                    const fs::path& target) {
  WorkDir work = TRY(WorkDir::create(kernel.derived / "work", "glue"));
  TRY(write_file(work.path() / "patch_glue.c", patch_glue_source));
  TRY(write_file(work.path() / "Makefile", makefile));
  Command make{.argv = {"make", "-s", "-C", kernel.source.string(),
                        fmt::format("M={}", work.path().string()),
                        fmt::format("KERNELRELEASE={}", kernel.release),
                        fmt::format("CC={}", compiler), "patch_glue.o"}};
  TRY(run_checked(make, Code::prepare_failed, "patch_glue.c",
                  "check that the prepared tree is whole: remove the kernel from the cache and run "
                  "`suture kernel add` again"));
  return rename_path(work.path() / "patch_glue.o", target);
}

Result<diff::TableSizes> read_constants(const elf::ObjectFile& object) {
  constexpr std::uint64_t name_size = 40;
  constexpr std::uint64_t entry_size = name_size + 8;
  diff::TableSizes out;
  const elf::Section* section = object.section(".suture.constants");
  if (section == nullptr || section->size % entry_size != 0) {
    return fail(Code::bad_elf, "patch_glue.o", "the glue states no constants",
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

Result<Glue> load_glue(const kernel::Kernel& kernel, const std::string& compiler) {
  // The source's digest in the name: another version of Suture does not take this one's glue.
  std::string digest = sha256_hex(as_bytes(patch_glue_source)).substr(0, 12);
  fs::path path = kernel.derived / fmt::format("patch_glue-{}.o", digest);
  if (!fs::exists(path)) {
    TRY(compile_glue(kernel, compiler, path));
  }
  Glue glue;
  glue.object = TRY(elf::ObjectFile::open(path));
  glue.constants = TRY(read_constants(glue.object));
  return glue;
}

}  // namespace suture::module
