// SPDX-License-Identifier: GPL-2.0-or-later
//
// What runs: the text, data and symbols of one kernel object (vmlinux or a module) at addresses.
// vmlinux lies at its link addresses. A module has none, so its sections are laid out at addresses
// of our own and its relocations are applied there, which makes both look the same to the matcher.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "elf/arch.h"
#include "kernel/image.h"
#include "kernel/module_image.h"

namespace suture::match {

// Bytes of padding between two functions of an object, at the most.
inline constexpr std::uint64_t most_padding = 64;

class RunObject {
 public:
  // What is given must outlive the RunObject.
  static RunObject of_vmlinux(const kernel::Image& image);
  // bad-module where a relocation cannot be applied.
  static Result<RunObject> of_module(const kernel::ModuleImage& module, const elf::Arch& arch);

  const std::string& name() const { return name_; }  // "vmlinux" or the module's name
  const std::string& build_id() const { return build_id_; }

  std::optional<ByteView> at(std::uint64_t address, std::uint64_t size) const;
  // The bytes from `address` to the end of what is stored there, `most` at the most; empty where
  // there is nothing.
  ByteView from(std::uint64_t address, std::uint64_t most) const;
  // What may be of a function at `address` that was compiled to `size` bytes: padding is wider or
  // narrower here, and the next symbol ends it. Those named in `labels` do not: they are places of
  // the function's own that its assembly gave a name.
  ByteView function_at(std::uint64_t address, std::uint64_t size,
                       std::span<const std::string_view> labels) const;

  // How many bytes belong to that symbol, by its number in symbols().all(): a module states it; of
  // vmlinux it is what lies before the next symbol.
  std::uint64_t size_of(std::uint32_t symbol) const;

  // The section of a module that holds `address`, and how far in; nothing for vmlinux, and outside.
  std::optional<std::pair<std::uint32_t, std::uint64_t>> place(std::uint64_t address) const;

  // What compiled it, as far as it says so: "(Debian 12.2.0-14+deb12u1) 12.2.0".
  std::string_view compiler() const;
  // Its __jump_table: the address and the bytes; empty where it has none.
  std::pair<std::uint64_t, ByteView> jump_table() const;

  // Symbols in the order that counts for sympos.
  const kernel::SymbolTable& symbols() const { return *symbols_; }
  // False where livepatch would find another symbol at the position of `symbol`, or none, while the
  // module is still being loaded: its init symbols count then too.
  bool keeps_position(std::uint32_t symbol) const {
    return module_ == nullptr ||
           module_->same_sympos_while_loading(module_->core_symbols()[symbol]);
  }
  // Another definition of its name would take its place.
  bool is_weak(std::uint32_t symbol) const;
  // The function of that symbol begins with the call that ftrace turns on and off, or its place.
  bool has_entry_call(std::uint32_t symbol) const;
  // How many direct calls and jumps of the object's code go to that address.
  std::size_t direct_calls(std::uint64_t address) const;
  // It lies in memory that the kernel frees once it has booted. Of a module such memory is not
  // known.
  bool is_freed(std::uint64_t address) const;
  // The function at that address may not be called by it: nothing of the object takes its address,
  // and so a kernel with IBT has overwritten the mark of a place that indirect calls may go to.
  bool is_sealed(std::uint64_t address) const;
  bool is_vmlinux() const { return image_ != nullptr; }
  // A section that is there while the object runs or boots, with its relocations applied.
  struct Part {
    const elf::Section& section;
    std::uint64_t start = 0;  // its address
    ByteView bytes;
  };
  void for_each_part(const std::function<void(const Part&)>& visit) const;
  // A module's files see a symbol of that name that one of them defines: a reference from any of
  // them means this one, whatever else has the name. Never true of vmlinux, where names that are
  // visible everywhere are unique.
  bool links_to_own(std::string_view name) const;
  // A module that is only there where that one is, too.
  bool depends_on(std::string_view module) const;
  // What lies at exactly that address is called; undefined symbols of a module too.
  std::vector<std::string_view> names_at(std::uint64_t address) const;
  // An undefined symbol of the module was given the address.
  bool is_outside(std::uint64_t address) const;
  // The address that undefined symbol `name` of a module was given, or nothing.
  std::optional<std::uint64_t> outside(std::string_view name) const;

 private:
  void read_seals();

  struct Area {
    std::uint32_t section = 0;  // of the module
    std::uint64_t address = 0;
    Bytes bytes;
  };

  std::string name_;
  std::string build_id_;
  const kernel::Image* image_ = nullptr;  // one of these two
  const kernel::ModuleImage* module_ = nullptr;
  std::vector<Area> areas_;
  std::shared_ptr<const kernel::SymbolTable> symbols_;
  std::vector<std::uint64_t> sealed_;  // sorted
  std::map<std::string, std::uint64_t, std::less<>> outside_;
  std::map<std::uint64_t, std::string_view> outside_names_;  // the characters are in outside_
};

}  // namespace suture::match
