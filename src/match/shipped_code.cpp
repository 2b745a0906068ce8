// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a changed constant table is passed to functions of other files, and only their code
// tells what becomes of the address.
//
// Method: their code is at hand, in the shipped kernel. A function is followed from its entry
// (Arch::follow_address), and so is what it calls, with the registers that hold the address.
// Branches that leave the function say by their target what they call; in a module, where the
// target is undefined, by its name.
//
// Invariants: doubt counts as leaving: indirect calls, jumps into the middle of something, a
// function that is met again while it is followed, and the budget's end.
#include "match/shipped_code.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "diff/address_watch.h"

namespace suture::match {

namespace {

using elf::AddressArguments;
using elf::AddressFate;

constexpr std::uint64_t longest_function = 0x4000;
constexpr std::size_t most_functions = 400;

bool is_visible(const kernel::RunSymbol& symbol) {
  return symbol.type == 'T' || symbol.type == 'W';
}

}  // namespace

AddressFate ShippedCode::fate(std::string_view name, AddressArguments arguments) {
  arguments = only_parameters(run_, name, arguments);
  if (arguments.may == 0) {
    return AddressFate::stays;
  }
  auto place = find(run_, name);
  return place ? follow(*place, arguments) : AddressFate::leaves;
}

// Registers that carry no parameter of the function hold what somebody else left there. The
// kernel's types say nothing about functions of modules.
AddressArguments ShippedCode::only_parameters(const RunObject& from, std::string_view function,
                                              AddressArguments arguments) {
  const kernel::Export* entry = symvers_.find(function);
  if (&from != &vmlinux_ &&
      (entry == nullptr || entry->module != "vmlinux" || from.links_to_own(function))) {
    return arguments;
  }
  if (!parameters_) {
    parameters_ = count_parameters_();
  }
  auto count = parameters_->find(function);
  if (count == parameters_->end() || count->second >= 8) {
    return arguments;
  }
  const auto kept = static_cast<std::uint8_t>((1U << count->second) - 1);
  return AddressArguments{.may = static_cast<std::uint8_t>(arguments.may & kept),
                          .must = static_cast<std::uint8_t>(arguments.must & kept),
                          .mixed = static_cast<std::uint8_t>(arguments.mixed & kept)};
}

// What a reference to the name from a file of that object means.
std::optional<ShippedCode::Place> ShippedCode::find(const RunObject& from,
                                                    std::string_view name) const {
  const kernel::Export* entry = symvers_.find(name);
  const RunObject* home = &vmlinux_;
  if (from.links_to_own(name)) {
    home = &from;
  } else if (&from != &vmlinux_) {
    home = entry == nullptr             ? nullptr
           : entry->module == "vmlinux" ? &vmlinux_
                                        : open_(entry->module);
  }
  std::optional<Place> out;
  for (std::uint32_t index :
       home == nullptr ? std::span<const std::uint32_t>{} : home->symbols().find(name)) {
    const kernel::RunSymbol& symbol = home->symbols().all()[index];
    if (is_visible(symbol)) {
      if (out) {
        return std::nullopt;
      }
      out = Place{home, symbol.address};
    }
  }
  return out;
}

std::vector<ShippedCode::Part> ShippedCode::parts_of(const Place& place) {
  const kernel::SymbolTable& symbols = place.object->symbols();
  std::vector<Part> out;
  auto add = [&](std::uint64_t address) {
    const std::uint64_t next = symbols.next_address(address).value_or(address + longest_function);
    ByteView bytes = place.object->from(address, std::min(next - address, longest_function));
    if (bytes.size() < longest_function) {
      out.push_back(Part{.address = address,
                         .bytes = bytes,
                         .base = out.empty() ? 0 : out.back().base + out.back().bytes.size()});
    }
  };
  add(place.address);
  for (std::string_view name : place.object->names_at(place.address)) {
    const kernel::RunSymbol* cold = symbols.unique(fmt::format("{}.cold", name));
    if (cold != nullptr && !out.empty()) {
      add(cold->address);
    }
  }
  return out;
}

AddressFate ShippedCode::follow(const Place& place, AddressArguments arguments) {
  auto [it, fresh] = known_.try_emplace({place, arguments}, AddressFate::leaves);
  std::vector<Part> parts = fresh ? parts_of(place) : std::vector<Part>{};
  if (parts.empty() || known_.size() > most_functions) {
    return it->second;
  }
  Code code = assemble(*place.object, parts);
  code.uses.arguments = arguments;
  code.uses.pass = [&](std::uint64_t field, AddressArguments given) {
    return pass(*place.object, code.targets.at(field), given);
  };
  AddressFate fate = arch_.follow_address(code.bytes, code.uses);
  return known_[{place, arguments}] = fate;
}

ShippedCode::Code ShippedCode::assemble(const RunObject& object,
                                        const std::vector<Part>& parts) const {
  Code code;
  for (const Part& part : parts) {
    code.bytes.insert(code.bytes.end(), part.bytes.begin(), part.bytes.end());
    for (const elf::Instruction& insn : arch_.decode(part.bytes)) {
      if (insn.is_branch) {
        add_branch(code, object, parts, part, insn);
      }
    }
  }
  return code;
}

void ShippedCode::add_branch(Code& code, const RunObject& object, const std::vector<Part>& parts,
                             const Part& from, const elf::Instruction& insn) const {
  const std::uint64_t field = from.base + insn.offset + insn.field;
  const std::uint64_t target = from.address + static_cast<std::uint64_t>(insn.target);
  std::vector<std::string_view> names = object.names_at(target);
  auto named = [&](auto predicate) { return std::ranges::any_of(names, predicate); };
  auto inside = std::ranges::find_if(parts, [&](const Part& part) {
    return target >= part.address && target - part.address < part.bytes.size();
  });
  if (inside != parts.end() && !insn.is_call) {
    code.uses.jumps[field] = inside->base + (target - inside->address);
  } else if (named([&](std::string_view name) { return arch_.is_return_thunk(name); })) {
    code.uses.returns.push_back(field);
  } else if (named([&](std::string_view name) { return arch_.is_entry_call(name); })) {
    code.uses.hooks.push_back(field);
  } else {
    code.uses.calls.push_back(field);
    code.targets[field] = target;
  }
}

AddressFate ShippedCode::pass(const RunObject& from, std::uint64_t target,
                              AddressArguments arguments) {
  std::vector<std::string_view> names = from.names_at(target);
  if (names.empty()) {
    return AddressFate::leaves;  // the middle of something: registers that are no arguments count
  }
  if (arguments.may == 0) {
    return AddressFate::stays;
  }
  for (std::string_view name : names) {
    if (arch_.goes_elsewhere(name)) {
      return AddressFate::leaves;
    }
    // A function of a module may have any name, and its types are not among the kernel's.
    if (&from != &vmlinux_ && !from.is_outside(target)) {
      continue;
    }
    if (auto known = diff::known_fate(name)) {
      return *known;
    }
    arguments = only_parameters(from, name, arguments);
    if (arguments.may == 0) {
      return AddressFate::stays;
    }
  }
  if (!from.is_outside(target)) {
    return follow(Place{&from, target}, arguments);
  }
  auto place = find(from, names.front());
  return place ? follow(*place, arguments) : AddressFate::leaves;
}

}  // namespace suture::match
