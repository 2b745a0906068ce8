// SPDX-License-Identifier: GPL-2.0-or-later
//
// Where addresses go in the code of the shipped kernel that a patched file calls.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "elf/arch.h"
#include "kernel/symvers.h"
#include "match/run_object.h"

namespace suture::match {

class ShippedCode {
 public:
  // A module of the kernel by its name, or null where it cannot be had.
  using OpenModule = std::function<const RunObject*(std::string_view name)>;
  // How many parameters functions have (TypeTable::parameters).
  using Parameters = std::map<std::string_view, std::size_t>;

  // `run` is the patched object, `vmlinux` the kernel proper (the same one for a patch to vmlinux).
  ShippedCode(const RunObject& run, const RunObject& vmlinux, const kernel::Symvers& symvers,
              const elf::Arch& arch, OpenModule open, std::function<Parameters()> parameters)
      : run_(run),
        vmlinux_(vmlinux),
        symvers_(symvers),
        arch_(arch),
        open_(std::move(open)),
        count_parameters_(std::move(parameters)) {}

  // What the function that `name` means in a file of the patched object does with an address.
  elf::AddressFate fate(std::string_view name, elf::AddressArguments arguments);

 private:
  struct Place {
    const RunObject* object = nullptr;
    std::uint64_t address = 0;
    auto operator<=>(const Place&) const = default;
  };

  struct Code {
    Bytes bytes;
    elf::AddressUses uses;
    std::map<std::uint64_t, std::uint64_t> targets;  // of calls, by field
  };
  // A function or its .cold part, at its address: one piece of code as far as jumps go.
  struct Part {
    std::uint64_t address = 0;
    ByteView bytes;
    std::uint64_t base = 0;  // in the whole
  };

  elf::AddressArguments only_parameters(const RunObject& from, std::string_view function,
                                        elf::AddressArguments arguments);
  std::optional<Place> find(const RunObject& from, std::string_view name) const;
  static std::vector<Part> parts_of(const Place& place);
  Code assemble(const RunObject& object, const std::vector<Part>& parts) const;
  void add_branch(Code& code, const RunObject& object, const std::vector<Part>& parts,
                  const Part& from, const elf::Instruction& insn) const;
  elf::AddressFate follow(const Place& place, elf::AddressArguments arguments);
  elf::AddressFate pass(const RunObject& from, std::uint64_t target,
                        elf::AddressArguments arguments);

  const RunObject& run_;
  const RunObject& vmlinux_;
  const kernel::Symvers& symvers_;
  const elf::Arch& arch_;
  OpenModule open_;
  std::function<Parameters()> count_parameters_;  // asked once, when it is needed
  std::optional<Parameters> parameters_;
  std::map<std::pair<Place, elf::AddressArguments>, elf::AddressFate> known_;
};

}  // namespace suture::match
