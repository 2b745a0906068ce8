// SPDX-License-Identifier: GPL-2.0-or-later
//
// Whether anything but known code can get hold of an address.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "diff/diff.h"

namespace suture::diff {

// What functions that read their arguments and forget them, or give one of them back, do with an
// address; nothing where the name says nothing. Those whose code cannot show it are listed.
std::optional<elf::AddressFate> known_fate(std::string_view function);

class AddressWatch {
 public:
  AddressWatch(const Side& side, const OutsideFate& outside) : side_(side), outside_(outside) {}

  // Nothing can keep the address of the variable, or compare it with another's, but the functions
  // that name it and those that they give it to, for the time of the call.
  bool stays(std::int32_t variable);

  // An address that this file's code holds.
  struct Held {
    std::function<bool(const Reference&)> in;  // a field holds it
    std::int32_t variable = -1;                // of this file, whose address it is
    bool contents = false;                     // so are pointers that are read through it
    // Whether a function of other files forgets what is pushed for it; none: pushing it lets it
    // out.
    std::function<bool(std::string_view function)> forgets_pushed;
    bool pointers_forget = false;  // so does what is called by a pointer
  };
  // The first of those functions that may let the address out of the calls that get it, be it by a
  // function that it calls; nothing where none does. Comparing it does no harm.
  std::optional<std::int32_t> leak(const Held& held, std::set<std::int32_t> holders);

  // What a .cold part does is done by the function that it belongs to.
  std::int32_t owner_of(std::int32_t piece);

 private:
  // A function and its .cold parts as one piece of code.
  struct Code {
    Bytes bytes;
    elf::AddressUses uses;
    std::map<std::uint64_t, const Reference*> calls;  // by field
  };

  void index();
  std::int32_t home_of(std::int32_t piece) const;
  std::optional<std::int32_t> find_leak(std::set<std::int32_t> holders);
  Code assemble(std::int32_t function) const;
  void add_part(Code& code, const std::map<std::int32_t, std::uint64_t>& base,
                std::int32_t part) const;
  void add_detours(Code& code, const std::map<std::int32_t, std::uint64_t>& base,
                   std::int32_t part) const;
  elf::AddressFate follow(std::int32_t function, elf::AddressArguments arguments);
  elf::AddressFate pass(const Reference& call, elf::AddressArguments arguments);
  elf::AddressFate pass_pushed(const Reference& call) const;
  bool callbacks_forget();
  // Who may be given the result of a function: nothing where that cannot be known.
  std::optional<std::set<std::int32_t>> callers_of(std::int32_t function) const;

  const Side& side_;
  const OutsideFate& outside_;
  std::map<std::int32_t, std::vector<std::int32_t>> parts_;  // function → its .cold parts
  std::map<std::int32_t, std::int32_t> home_;                // .cold part → its function
  Held held_;
  bool comparable_ = false;
  bool indexed_ = false;
  std::set<std::int32_t> yielding_;  // functions whose result may be the address
  std::map<std::pair<std::int32_t, elf::AddressArguments>, elf::AddressFate> known_;
};

}  // namespace suture::diff
