// SPDX-License-Identifier: GPL-2.0-or-later
//
// The running kernel at addresses: vmlinux where it was linked, each module of it where there is
// room. Names are looked up as the module loader and the livepatch core do
// (kernel/module/main.c, kernel/livepatch/core.c: klp_find_object_symbol).
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "kernel/exports.h"
#include "kernel/image.h"
#include "kernel/module_image.h"
#include "kernel/symvers.h"

namespace suture::prove {

// Something of the kernel, as a patch for Suture's core names it.
struct CoreSymbol {
  std::string object;  // "vmlinux" or a module
  std::string name;
  std::uint64_t position = 0;
  std::uint64_t address = 0;  // that it states, in the image; 0 of a module's
};

// Where something lies in what runs: in vmlinux an address, in a module an offset into a section.
struct RunPlace {
  std::uint32_t section = 0;  // 0: vmlinux
  std::uint64_t value = 0;
};

using ModuleFinder = std::function<Result<const kernel::ModuleImage*>(const std::string& name)>;

class Running {
 public:
  // All that is given must outlive this; `exports` is sorted by name.
  // `core_exports` are those of Suture's core where that runs the patch, else null.
  Running(const kernel::Image& image, std::span<const kernel::ImageExport> exports,
          const kernel::Symvers& symvers, ModuleFinder find_module,
          const kernel::Symvers* core_exports);

  const kernel::Image& image() const { return image_; }
  bool has_suture_core() const { return !core_exports_.empty(); }
  // By vmlinux, or by Suture's core.
  const kernel::ImageExport* exported(std::string_view name) const;

  // The symbol that livepatch takes for OBJECT:NAME,POSITION. proof-failed where it takes none.
  Result<std::uint64_t> livepatch_symbol(const std::string& object, std::string_view name,
                                         std::uint64_t position);
  // The same for Suture's core, which also checks the address that the patch states.
  Result<std::uint64_t> core_symbol(const CoreSymbol& symbol);
  // The size of the function of that name at `address`: what lies before the next symbol of
  // vmlinux, or what the module states.
  Result<std::uint64_t> size_of(const CoreSymbol& symbol, std::uint64_t address);
  // proof-failed where the object has no such place.
  Result<std::uint64_t> address(const std::string& object, RunPlace place);
  // The one symbol of that name that all files of `object` see, or the one that only the file sees
  // that defines it.
  Result<std::optional<std::uint64_t>> own(const std::string& object, std::string_view name,
                                           bool global);
  // What all files of `object` see of that name, if it is one thing.
  struct Global {
    std::uint64_t address = 0;
    bool weak = false;  // another definition would take its place
  };
  Result<std::optional<Global>> global(const std::string& object, std::string_view name);
  // What `object`'s code means by an undefined symbol where nothing else tells.
  Result<std::optional<std::uint64_t>> undefined(const std::string& object, std::string_view name);
  // A name for an address, for people.
  std::string describe(std::uint64_t address) const;
  Result<std::string> build_id(const std::string& object);

 private:
  struct Module {
    const kernel::ModuleImage* image = nullptr;
    std::vector<std::uint64_t> bases;  // by section; 0: not in memory
    std::unordered_map<std::string_view, std::vector<std::uint32_t>> by_name;
  };
  Result<Module*> module(const std::string& name);
  std::uint64_t address_in(const Module& module, std::uint32_t symbol) const;

  const kernel::Image& image_;
  std::span<const kernel::ImageExport> exports_;
  const kernel::Symvers& symvers_;
  ModuleFinder find_module_;
  std::vector<kernel::ImageExport> core_exports_;  // by name, at addresses of their own
  std::map<std::string, std::unique_ptr<Module>> modules_;
  std::uint64_t next_ = 0xffffffffc8000000;  // behind the patch module's room
};

}  // namespace suture::prove
