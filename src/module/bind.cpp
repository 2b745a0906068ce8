// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: livepatch finds an unexported symbol by name and position among those of its name, and
// the wrong position is a wrong address in running code.
//
// Method: the address comes first. Where run-pre matching solved it, the run symbols at that
// address are searched for the name (numbers of static locals aside); where it did not, the name
// must be unique among those that its file can mean: its own, or those that all files see. Exports
// of vmlinux are bound by name and CRC instead. A module's patch reaches exports of other modules
// through livepatch too: those modules need not be loaded when the patch is.
//
// Invariants: a name with several candidates is never bound without a solved address; another
// object is reached by its exports alone.
#include "module/bind.h"

#include <fmt/format.h>

#include <algorithm>

namespace suture::module {

namespace {

std::unexpected<Error> unresolved(std::string_view name, std::string reason) {
  return fail(Code::symbol_unresolved, std::string(name), std::move(reason),
              "change the patch so that it does not need this symbol");
}

// EXPORT_SYMBOL_FOR_MODULES names who may use it; for a patch it is a symbol like those that are
// not exported.
bool is_for_all(const kernel::Export& entry) { return !entry.name_space.starts_with("module:"); }

Binding exported(std::string_view object, std::string_view name, const kernel::Export& entry) {
  return Binding{.object = std::string(object),
                 .name = std::string(name),
                 .exported = true,
                 .crc = entry.crc,
                 .name_space = std::string(entry.name_space)};
}

}  // namespace

Result<Binding> Binder::make(std::uint32_t index) const {
  const kernel::RunSymbol& symbol = run_.symbols().all()[index];
  if (!run_.keeps_position(index)) {
    return fail(Code::symbol_ambiguous, std::string(symbol.name),
                fmt::format("while the module {} is loaded it has a further symbol of that name, "
                            "which changes this one's position",
                            run_.name()),
                "change the patch so that it does not need this symbol");
  }
  return Binding{.object = run_.name(),
                 .name = std::string(symbol.name),
                 .sympos = run_.symbols().sympos(index),
                 .address = run_.name() == "vmlinux" ? symbol.address : 0,
                 .size = run_.size_of(index),
                 .sealed = run_.is_sealed(symbol.address)};
}

// What matching found at `address`.
Result<Binding> Binder::at(std::string_view name, std::uint64_t address) const {
  const kernel::SymbolTable& symbols = run_.symbols();
  for (std::uint32_t index : symbols.find(name)) {
    if (symbols.all()[index].address == address) {
      return make(index);
    }
  }
  // Only a static local's number may differ between our compile and the distribution's.
  std::string base = diff::base_name(name);
  for (std::uint32_t index : symbols.at(address)) {
    if (base != name && diff::base_name(symbols.all()[index].name) == base) {
      return make(index);
    }
  }
  return unresolved(name, fmt::format("the running {} has it at {:#x}, but kallsyms does not list "
                                      "it under that name",
                                      run_.name(), address));
}

// The one symbol of that name that other files see, or the one that only its own file does.
Result<Binding> Binder::only(std::string_view name, bool global) const {
  const auto named = run_.symbols().find(name);
  std::vector<std::uint32_t> candidates;
  std::ranges::copy_if(named, std::back_inserter(candidates), [&](std::uint32_t index) {
    return run_.symbols().all()[index].is_global() == global;
  });
  if (candidates.size() == 1) {
    return make(candidates[0]);
  }
  if (candidates.empty()) {
    return unresolved(
        name, named.empty()
                  ? fmt::format("{} has no symbol of that name", run_.name())
                  : fmt::format("what {} has of that name {}", run_.name(),
                                global ? "belongs to one file alone" : "is not this file's own"));
  }
  return fail(
      Code::symbol_ambiguous, std::string(name),
      fmt::format("{} has {} symbols of that name, and nothing that runs tells which one is "
                  "meant",
                  run_.name(), candidates.size()),
      "change the patch so that it does not need this symbol");
}

Result<Binding> Binder::undefined(std::string_view name) const {
  std::optional<std::uint64_t> solved;
  auto it = matched_.externals.find(name);
  if (it != matched_.externals.end()) {
    solved = it->second;
  }
  // A module's files were linked with each other first, and with the kernel when it was loaded.
  if (run_.links_to_own(name)) {
    return solved ? at(name, *solved) : only(name, true);
  }
  const kernel::Export* entry = symvers_.find(name);
  if (entry != nullptr && entry->module == "vmlinux" && is_for_all(*entry)) {
    return exported("vmlinux", name, *entry);
  }
  if (run_.name() == "vmlinux") {
    return solved ? at(name, *solved) : only(name, true);
  }
  if (entry != nullptr && entry->module != run_.name()) {
    // livepatch would refuse the patched module where the other one is not there.
    if (entry->module != "vmlinux" && !run_.depends_on(entry->module)) {
      return unresolved(name, fmt::format("it is in the module {}, which need not be loaded where "
                                          "{} is",
                                          entry->module, run_.name()));
    }
    return Binding{.object = std::string(entry->module), .name = std::string(name)};
  }
  return unresolved(
      name, fmt::format("neither {} nor an export of the kernel has that name", run_.name()));
}

Result<Binding> Binder::run_symbol(std::int32_t pre_piece) const {
  const diff::Piece& piece = pre_.piece(pre_piece);
  std::optional<std::uint64_t> solved;
  auto it = matched_.addresses.find(pre_piece);
  if (it != matched_.addresses.end()) {
    solved = it->second;
  }
  if (piece.name.empty()) {
    return unresolved(pre_.section_of(piece).name, "it is data without a name");
  }
  // A static local's number may belong to another variable in the shipped kernel: without an
  // address only an exact and unnumbered name counts.
  if (!solved && diff::base_name(piece.name) != piece.name) {
    return fail(Code::symbol_ambiguous, std::string(piece.name),
                "nothing that matched the running kernel refers to it, so its address is unknown",
                "change the patch so that it does not need this variable");
  }
  return solved ? at(piece.name, *solved) : only(piece.name, piece.global);
}

Result<Binding> Binder::piece(std::int32_t pre_piece) const {
  const diff::Piece& piece = pre_.piece(pre_piece);
  const kernel::Export* entry = piece.global ? symvers_.find(piece.name) : nullptr;
  if (entry != nullptr && entry->module == "vmlinux" && run_.name() == "vmlinux" &&
      is_for_all(*entry)) {
    return exported("vmlinux", piece.name, *entry);
  }
  return run_symbol(pre_piece);
}

}  // namespace suture::module
