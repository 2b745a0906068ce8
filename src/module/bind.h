// SPDX-License-Identifier: GPL-2.0-or-later
//
// Binding: by which name, and which of the symbols of that name, a patch module reaches something
// that stays in the kernel.
#pragma once

#include <string>
#include <string_view>

#include "diff/pieces.h"
#include "kernel/symvers.h"
#include "match/match.h"
#include "match/run_object.h"

namespace suture::module {

struct Binding {
  std::string object;         // whose symbol it is: "vmlinux" or a module
  std::string name;           // as kallsyms has it
  std::uint32_t sympos = 0;   // livepatch's: 0 unique, else 1-based
  std::uint64_t address = 0;  // in the image of vmlinux; 0 of a module's
  std::uint64_t size = 0;     // as RunObject::size_of() has it
  bool sealed = false;        // as RunObject::is_sealed() has it
  bool exported = false;      // bound by the module loader, by name and CRC
  std::uint32_t crc = 0;
  std::string name_space;  // of the export, usually empty

  // Bound only when the patched module is there, which may be long after this one was loaded.
  bool is_late() const { return !exported && object != "vmlinux"; }
};

class Binder {
 public:
  // `run` is the patched object.
  Binder(const match::RunObject& run, const kernel::Symvers& symvers, const diff::PieceGraph& pre,
         const match::MatchResult& matched)
      : run_(run), symvers_(symvers), pre_(pre), matched_(matched) {}

  const std::string& object() const { return run_.name(); }
  const diff::PieceGraph& pre() const { return pre_; }
  // The kernel has freed what is bound there since it booted.
  bool is_freed(const Binding& binding) const {
    return binding.object == "vmlinux" && run_.name() == "vmlinux" &&
           run_.is_freed(binding.address);
  }

  // A symbol that the object does not define. symbol-unresolved, symbol-ambiguous.
  Result<Binding> undefined(std::string_view name) const;
  // A piece of pre, by the cheapest way to reach it.
  Result<Binding> piece(std::int32_t pre_piece) const;
  // What all files of the object see of that name, as kallsyms names it.
  Result<Binding> global(std::string_view name) const { return only(name, true); }
  // A piece of pre as kallsyms names it, which is what livepatch's old_name and old_sympos want.
  Result<Binding> run_symbol(std::int32_t pre_piece) const;

 private:
  Result<Binding> make(std::uint32_t symbol) const;
  Result<Binding> at(std::string_view name, std::uint64_t address) const;
  Result<Binding> only(std::string_view name, bool global) const;

  const match::RunObject& run_;
  const kernel::Symvers& symvers_;
  const diff::PieceGraph& pre_;
  const match::MatchResult& matched_;
};

}  // namespace suture::module
