// SPDX-License-Identifier: GPL-2.0-or-later
#include "patch/kernel_side.h"

#include <fmt/format.h>

#include "module/core_build.h"

namespace suture::patch {

Result<std::optional<kernel::TypeTable>> types_of(const elf::ObjectFile& object,
                                                  const std::string& where,
                                                  const kernel::TypeTable* base) {
  const elf::Section* section = object.section(".BTF");
  if (section == nullptr) {
    return std::nullopt;
  }
  return TRY(kernel::TypeTable::parse(section->data, where, base));
}

Result<Modules> Modules::open(const kernel::Kernel& kernel) {
  Modules out;
  if (!kernel.modules.empty()) {
    out.directory_ = TRY(kernel::ModuleDirectory::open(kernel.modules));
  }
  return out;
}

Result<fs::path> Modules::find(const source::CompileCommand& command) const {
  return command.is_module ? find(command.module_name, command.source) : fs::path{};
}

Result<fs::path> Modules::find(const std::string& name, const std::string& who) const {
  if (!directory_) {
    return fail(Code::not_in_kernel, who,
                fmt::format("it belongs to the module {}, and no modules were given", name),
                "give the kernel's modules with --modules");
  }
  auto path = directory_->find(name);
  if (!path) {
    return fail(Code::not_in_kernel, who,
                fmt::format("it belongs to the module {}, which this kernel does not have", name),
                "leave the file out of the diff");
  }
  return *path;
}

std::optional<fs::path> Modules::find(std::string_view name) const {
  return directory_ ? directory_->find(name) : std::nullopt;
}

Result<KernelSide> KernelSide::open(const kernel::Kernel& kernel, const Modules& modules,
                                    module::Core core) {
  KernelSide side;
  side.listed_ = &modules;
  side.image_ = std::make_unique<kernel::Image>(TRY(kernel::Image::open(kernel.vmlinux)));
  side.vmlinux_ = std::make_unique<match::RunObject>(match::RunObject::of_vmlinux(*side.image_));
  side.exports_ = TRY(kernel::read_exports(*side.image_));
  side.symvers_ = TRY(kernel::Symvers::open(kernel.symvers));
  side.types_ = TRY(types_of(side.image_->elf(), kernel.vmlinux.string()));
  if (core == module::Core::suture) {
    module::CoreBuild built = TRY(module::load_core(kernel));
    side.glue_ = std::move(built.glue);
    side.core_exports_ = std::move(built.symvers);
  } else {
    side.glue_ = TRY(module::load_glue(kernel));
  }
  return side;
}

Result<const match::RunObject*> KernelSide::run_object(const source::CompileCommand& command) {
  if (!command.is_module) {
    return vmlinux_.get();
  }
  const LoadedModule* loaded = TRY(module(command));
  return &loaded->run;
}

Result<const LoadedModule*> KernelSide::module(const source::CompileCommand& command) {
  return module(command.module_name, command.source);
}

Result<const LoadedModule*> KernelSide::module(const std::string& name, const std::string& who) {
  return open_module(name, TRY(listed_->find(name, who)));
}

const match::RunObject* KernelSide::module(std::string_view name) {
  auto path = listed_->find(name);
  if (!path) {
    return nullptr;
  }
  auto loaded = open_module(std::string(name), *path);
  return loaded ? &(*loaded)->run : nullptr;
}

Result<const LoadedModule*> KernelSide::open_module(const std::string& name, const fs::path& path) {
  std::unique_ptr<LoadedModule>& slot = modules_[name];
  if (slot == nullptr) {
    auto loaded = std::make_unique<LoadedModule>();
    loaded->image = TRY(kernel::ModuleImage::open(path));
    const elf::Arch* arch = elf::arch_of(loaded->image.elf().machine());
    if (arch == nullptr) {
      return fail(Code::wrong_kernel, name, "its architecture is not supported",
                  "use a kernel for x86-64");
    }
    loaded->run = TRY(match::RunObject::of_module(loaded->image, *arch));
    slot = std::move(loaded);
  }
  return slot.get();
}

}  // namespace suture::patch
