// SPDX-License-Identifier: GPL-2.0-or-later
//
// The shipped kernel, as far as a build looks at it: vmlinux with its exports and types, the glue,
// and the modules that the diff touches.
#pragma once

#include <map>
#include <optional>
#include <string>

#include "kernel/exports.h"
#include "kernel/image.h"
#include "kernel/kernel.h"
#include "kernel/module_image.h"
#include "kernel/symvers.h"
#include "kernel/types.h"
#include "match/run_object.h"
#include "module/glue.h"
#include "module/metadata.h"
#include "source/compile.h"

namespace suture::patch {

struct LoadedModule {
  kernel::ModuleImage image;
  match::RunObject run;
};

// Which modules the kernel has.
class Modules {
 public:
  static Result<Modules> open(const kernel::Kernel& kernel);
  // Where a unit's module lies; an empty path for vmlinux. not-in-kernel: the diff may be to a
  // driver that this kernel does not have.
  Result<fs::path> find(const source::CompileCommand& command) const;
  // The module's file by the module's name, or nothing.
  std::optional<fs::path> find(std::string_view name) const;
  // The same for a module of that name.
  Result<fs::path> find(const std::string& name, const std::string& who) const;

 private:
  std::optional<kernel::ModuleDirectory> directory_;  // none where no modules were given
};

class KernelSide {
 public:
  // Opens what every build for that core needs. `modules` must outlive this.
  static Result<KernelSide> open(const kernel::Kernel& kernel, const Modules& modules,
                                 module::Core core);

  const kernel::Symvers& symvers() const { return symvers_; }
  const module::Glue& glue() const { return glue_; }
  // What Suture's own core exports, where it is the one that is built for; else null.
  const kernel::Symvers* core_exports() const { return core_exports_ ? &*core_exports_ : nullptr; }
  const match::RunObject& vmlinux() const { return *vmlinux_; }
  const kernel::Image& image() const { return *image_; }
  const std::vector<kernel::ImageExport>& exports() const { return exports_; }  // by name
  // None where the kernel was built without BTF.
  const std::optional<kernel::TypeTable>& types() const { return types_; }

  // The object that runs the unit's code, opened once.
  Result<const match::RunObject*> run_object(const source::CompileCommand& command);
  // The module that the unit belongs to, opened once.
  Result<const LoadedModule*> module(const source::CompileCommand& command);
  // A module by its name, or null where there is none that can be read.
  const match::RunObject* module(std::string_view name);
  // The module of that name, for `who`.
  Result<const LoadedModule*> module(const std::string& name, const std::string& who);

 private:
  Result<const LoadedModule*> open_module(const std::string& name, const fs::path& path);

  const Modules* listed_ = nullptr;
  std::unique_ptr<kernel::Image> image_;
  std::unique_ptr<match::RunObject> vmlinux_;
  std::vector<kernel::ImageExport> exports_;
  kernel::Symvers symvers_;
  module::Glue glue_;
  std::optional<kernel::Symvers> core_exports_;
  std::optional<kernel::TypeTable> types_;
  std::map<std::string, std::unique_ptr<LoadedModule>> modules_;
};

// The types that an object or a kernel states, if it does.
Result<std::optional<kernel::TypeTable>> types_of(const elf::ObjectFile& object,
                                                  const std::string& where,
                                                  const kernel::TypeTable* base = nullptr);

}  // namespace suture::patch
