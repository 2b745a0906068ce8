// SPDX-License-Identifier: GPL-2.0-or-later
//
// What runs: the text, data and symbols of one kernel object (vmlinux or a module) at addresses.
// vmlinux lies at its link addresses. A module has none, so its sections are laid out at addresses
// of our own and its relocations are applied there, which makes both look the same to the matcher.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "elf/arch.h"
#include "kernel/image.h"
#include "kernel/module_image.h"

namespace suture::match {

class RunObject {
 public:
  static RunObject of_vmlinux(const kernel::Image& image);
  // bad-module where a relocation cannot be applied.
  static Result<RunObject> of_module(const kernel::ModuleImage& module, const elf::Arch& arch);

  const std::string& name() const { return name_; }  // "vmlinux" or the module's name
  const std::string& build_id() const { return build_id_; }

  std::optional<ByteView> at(std::uint64_t address, std::uint64_t size) const;
  // The bytes from `address` to the end of what is stored there, `most` at the most; empty where
  // there is nothing.
  ByteView from(std::uint64_t address, std::uint64_t most) const;

  // Symbols in the order that counts for sympos.
  const kernel::SymbolTable& symbols() const { return *symbols_; }
  // The address that undefined symbol `name` of a module was given, or nothing.
  std::optional<std::uint64_t> outside(std::string_view name) const;

 private:
  struct Area {
    std::uint64_t address = 0;
    Bytes bytes;
  };

  std::string name_;
  std::string build_id_;
  const kernel::Image* image_ = nullptr;
  std::vector<Area> areas_;
  std::shared_ptr<const kernel::SymbolTable> symbols_;
  std::map<std::string, std::uint64_t, std::less<>> outside_;
};

}  // namespace suture::match
