// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a constant table may be replaced by a changed copy only if nothing else holds or
// compares its address; but tables are passed to helpers that search them, and found entries are
// given back to callers.
//
// Method: every function that names the table is followed (Arch::follow_address). Where it passes
// the address to a function of this object, that function is followed with the arguments that hold
// it; the code of other objects is followed by who asked (OutsideFate). Where a function gives the
// address back, everyone who calls it is followed, with that result as the address; for that, all
// its callers must be known. A function and its .cold parts are one code, with jumps between them.
//
// Invariants: doubt counts as leaving. A function that is met again while it is followed with the
// same arguments counts as leaving too, so the recursion ends; the set of functions that give the
// address back only grows, so the rounds end.
#include "diff/address_watch.h"

#include <algorithm>
#include <utility>

namespace suture::diff {

using elf::AddressArguments;
using elf::AddressFate;

namespace {

// Calls functions that the table points to, with an entry as the only argument.
bool calls_back(std::string_view function) { return function == "dmi_check_system"; }

// Puts what it reads somewhere else.
bool copies(std::string_view function) {
  return function.ends_with("memcpy") || function.ends_with("memmove") ||
         function == "_copy_to_user";
}

}  // namespace

std::optional<AddressFate> known_fate(std::string_view function) {
  // Assembly, or code that writes through its other arguments only.
  constexpr std::string_view readers[] = {
      "memcpy", "__memcpy", "memmove", "__memmove", "memcmp", "strcmp", "strncmp", "strlen",
      "strnlen", "strscpy", "strlcpy", "strcasecmp", "sprintf", "snprintf", "printk", "_printk",
      "scnprintf", "seq_printf", "seq_puts", "_copy_to_user",
      // Leave the address of a policy in the netlink_ext_ack, as their callers leave texts there:
      // the answer to the message reads it, and nothing compares it.
      "__nla_parse", "__nla_validate"};
  // Search, and give back a place in what they search.
  constexpr std::string_view searchers[] = {"strchr", "strrchr", "strstr", "strnstr", "memchr"};
  if (std::ranges::find(readers, function) != std::end(readers)) {
    return AddressFate::stays;
  }
  if (std::ranges::find(searchers, function) != std::end(searchers)) {
    return AddressFate::returned;
  }
  return std::nullopt;
}

bool AddressWatch::stays(std::int32_t variable) {
  index();
  held_ = Held{.in = [variable](const Reference& field) { return field.target_piece == variable; },
               .variable = variable};
  comparable_ = false;
  std::set<std::int32_t> holders;
  for (std::size_t i = 0; i < side_.graph.pieces().size(); ++i) {
    const Piece& user = side_.graph.pieces()[i];
    if (std::ranges::none_of(user.references, held_.in)) {
      continue;
    }
    if (user.kind != PieceKind::function) {
      return false;
    }
    holders.insert(home_of(static_cast<std::int32_t>(i)));
  }
  return !find_leak(std::move(holders));
}

std::optional<std::int32_t> AddressWatch::leak(const Held& held, std::set<std::int32_t> holders) {
  index();
  held_ = held;
  comparable_ = true;
  return find_leak(std::move(holders));
}

std::optional<std::int32_t> AddressWatch::find_leak(std::set<std::int32_t> holders) {
  yielding_.clear();
  while (true) {
    known_.clear();
    std::set<std::int32_t> callers;
    for (std::int32_t holder : holders) {
      AddressFate fate = follow(holder, {});
      if (fate == AddressFate::leaves) {
        return holder;
      }
      if (fate == AddressFate::returned && yielding_.insert(holder).second) {
        auto them = callers_of(holder);
        if (!them) {
          return holder;
        }
        callers.merge(*them);
      }
    }
    if (callers.empty()) {
      return std::nullopt;
    }
    holders.merge(callers);
  }
}

std::int32_t AddressWatch::owner_of(std::int32_t piece) {
  index();
  return home_of(piece);
}

void AddressWatch::index() {
  if (std::exchange(indexed_, true)) {
    return;
  }
  NameMap names = names_of(side_.graph);
  for (std::size_t i = 0; i < side_.graph.pieces().size(); ++i) {
    const Piece& piece = side_.graph.pieces()[i];
    const std::size_t at = piece.name.find(".cold");
    if (piece.kind != PieceKind::function || at == std::string_view::npos) {
      continue;
    }
    auto function = names.find({PieceKind::function, piece.name.substr(0, at)});
    if (function != names.end()) {
      parts_[function->second].push_back(static_cast<std::int32_t>(i));
      home_[static_cast<std::int32_t>(i)] = function->second;
    }
  }
}

std::int32_t AddressWatch::home_of(std::int32_t piece) const {
  auto it = home_.find(piece);
  return it == home_.end() ? piece : it->second;
}

AddressWatch::Code AddressWatch::assemble(std::int32_t function) const {
  Code code;
  std::map<std::int32_t, std::uint64_t> base{{function, 0}};
  std::uint64_t next = side_.graph.piece(function).size;
  auto parts = parts_.find(function);
  if (parts != parts_.end()) {
    for (std::int32_t part : parts->second) {
      base[part] = next;
      next += side_.graph.piece(part).size;
    }
  }
  std::vector<std::pair<std::uint64_t, std::int32_t>> order;
  for (const auto& [part, start] : base) {
    order.emplace_back(start, part);
  }
  std::ranges::sort(order);
  for (const auto& [start, part] : order) {
    ByteView bytes = side_.graph.bytes(side_.graph.piece(part));
    code.bytes.insert(code.bytes.end(), bytes.begin(), bytes.end());
    add_part(code, base, part);
    add_detours(code, base, part);
  }
  return code;
}

// A jump label's or an exception's entry names a place first, and then where it goes on.
void AddressWatch::add_detours(Code& code, const std::map<std::int32_t, std::uint64_t>& base,
                               std::int32_t part) const {
  for (const TableEntry& entry : side_.tables.of(part)) {
    std::optional<std::uint64_t> place;
    for (const Reference& reference : entry.references) {
      auto home = base.find(reference.target_piece);
      if (home == base.end() || reference.target_offset < 0) {
        continue;
      }
      const std::uint64_t at = home->second + static_cast<std::uint64_t>(reference.target_offset);
      if (place) {
        code.uses.detours.emplace(*place, at);
      } else {
        place = at;
      }
    }
  }
}

// The uses of one part, at its place in the whole.
void AddressWatch::add_part(Code& code, const std::map<std::int32_t, std::uint64_t>& base,
                            std::int32_t part) const {
  elf::AddressUses& uses = code.uses;
  const elf::Arch& arch = side_.graph.arch();
  for (const Reference& reference : side_.graph.piece(part).references) {
    const std::uint64_t field = base.at(part) + reference.offset;
    if (held_.in(reference)) {
      uses.fields.push_back(field);
      if (held_.variable >= 0 &&
          reference.target_offset >=
              static_cast<std::int64_t>(side_.graph.piece(held_.variable).size)) {
        uses.ends.push_back(field);
      }
    }
    if (!reference.is_branch) {
      continue;
    }
    std::string_view name = side_.graph.object().symbols()[reference.symbol].name;
    auto inside = base.find(reference.target_piece);
    if (arch.is_return_thunk(name)) {
      uses.returns.push_back(field);
    } else if (arch.is_entry_call(name)) {
      uses.hooks.push_back(field);
    } else if (inside != base.end() && reference.target_offset != 0) {
      uses.jumps[field] = inside->second + static_cast<std::uint64_t>(reference.target_offset);
    } else if (inside != base.end() && inside->first != part) {
      uses.jumps[field] = inside->second;
    } else {
      uses.calls.push_back(field);
      code.calls[field] = &reference;
    }
  }
}

AddressFate AddressWatch::follow(std::int32_t function, AddressArguments arguments) {
  auto [it, fresh] = known_.try_emplace({function, arguments}, AddressFate::leaves);
  if (!fresh) {
    return it->second;
  }
  Code code = assemble(function);
  code.uses.arguments = arguments;
  code.uses.contents = held_.contents;
  code.uses.comparable = comparable_;
  code.uses.pass = [&](std::uint64_t field, AddressArguments given) {
    return pass(*code.calls.at(field), given);
  };
  if (held_.forgets_pushed) {
    code.uses.pass_pushed = [&](std::uint64_t field) { return pass_pushed(*code.calls.at(field)); };
  }
  AddressFate fate = side_.graph.arch().follow_address(code.bytes, code.uses);
  return it->second = fate;
}

AddressFate AddressWatch::pass(const Reference& call, AddressArguments arguments) {
  const std::int32_t target = home_of(call.target_piece);
  std::string_view name = side_.graph.object().symbols()[call.symbol].name;
  const bool whole =
      call.target_piece < 0 ||
      (target == call.target_piece && side_.graph.piece(target).kind == PieceKind::function);
  if (!whole || call.target_offset != 0) {
    return AddressFate::leaves;
  }
  AddressFate fate = AddressFate::stays;
  if (arguments.may != 0) {
    const bool elsewhere = side_.graph.arch().goes_elsewhere(name);
    const bool unsure =
        elsewhere || side_.graph.object().symbols()[call.symbol].binding == STB_WEAK;
    // A function of the file may have any name.
    auto known = target < 0 ? known_fate(name) : std::nullopt;
    if (known && held_.contents && copies(name)) {
      known = AddressFate::leaves;
    }
    if (target < 0 && calls_back(name) && callbacks_forget()) {
      known = AddressFate::stays;
    }
    fate = elsewhere && held_.pointers_forget ? AddressFate::stays
           : unsure                           ? AddressFate::leaves
           : known                            ? *known
           : target >= 0                      ? follow(target, arguments)
                                              : outside_(name, arguments);
  }
  return fate == AddressFate::stays && yielding_.contains(target) ? AddressFate::returned : fate;
}

AddressFate AddressWatch::pass_pushed(const Reference& call) const {
  const std::string_view name = side_.graph.object().symbols()[call.symbol].name;
  return call.target_piece < 0 &&
                 (known_fate(name) == AddressFate::stays || held_.forgets_pushed(name))
             ? AddressFate::stays
             : AddressFate::leaves;
}

// The functions that the table points to do not keep what they are given.
bool AddressWatch::callbacks_forget() {
  constexpr AddressArguments first{.may = 1, .must = 1};
  if (held_.variable < 0) {
    return false;
  }
  return std::ranges::all_of(
      side_.graph.piece(held_.variable).references, [&](const Reference& member) {
        if (member.target_piece < 0) {
          return outside_(side_.graph.object().symbols()[member.symbol].name, first) ==
                 AddressFate::stays;
        }
        const Piece& target = side_.graph.piece(member.target_piece);
        if (target.kind != PieceKind::function) {
          return true;
        }
        return member.target_offset == 0 &&
               follow(member.target_piece, first) == AddressFate::stays;
      });
}

std::optional<std::set<std::int32_t>> AddressWatch::callers_of(std::int32_t function) const {
  const Piece& piece = side_.graph.piece(function);
  std::set<std::int32_t> out;
  if (piece.global) {
    return std::nullopt;
  }
  for (std::size_t i = 0; i < side_.graph.pieces().size(); ++i) {
    const Piece& user = side_.graph.pieces()[i];
    const std::int32_t home = home_of(static_cast<std::int32_t>(i));
    for (const Reference& reference : user.references) {
      if (reference.target_piece != function || home == function) {
        continue;
      }
      if (!reference.is_branch || user.kind != PieceKind::function) {
        return std::nullopt;
      }
      out.insert(home);
    }
  }
  return out;
}

}  // namespace suture::diff
