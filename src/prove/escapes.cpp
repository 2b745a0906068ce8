// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a module that may be freed must not have handed out the address of anything in it.
//
// Method: every function of post that lies in the module and that the running kernel does not have,
// and every such variable, is looked for in the fields of what lies in the module. The code that
// holds the address, not as the target of a call or jump, is followed (Arch::follow_address), and
// so are the functions of its file that it passes it to. A function, or a variable that holds the
// address of one, gets out where it is stored, or passed to a function of the kernel that is not
// known to call it at once. Any other variable gets out where its address is stored. An address
// that a function gives back is followed in all who call it, and gets out where these are not
// known.
//
// Invariant: who is accused has an escape in sight. What is doubtful to this reader (recursion,
// what the kernel's functions do with data) it lets pass; who wrote the module counts doubt the
// other way.
#include "prove/escapes.h"

#include <algorithm>
#include <array>
#include <set>

#include "kernel/borrowers.h"

namespace suture::prove {

namespace {

using elf::AddressArguments;
using elf::AddressFate;

// Read what they are given, as text or bytes, and forget it.
bool reads_at_once(std::string_view function) {
  constexpr std::array readers = std::to_array<std::string_view>(
      {"printk",    "_printk",       "sprintf",        "snprintf",        "scnprintf", "seq_printf",
       "seq_puts",  "strlen",        "strnlen",        "strcmp",          "strncmp",   "strcasecmp",
       "strscpy",   "strlcpy",       "memcmp",         "memcpy",          "__memcpy",  "memmove",
       "__memmove", "_copy_to_user", "strchr",         "strrchr",         "strstr",    "strnstr",
       "memchr",    "__nla_parse",   "__nla_validate", "dmi_check_system"});
  return std::ranges::find(readers, function) != readers.end();
}

// The kernel finds it when the module comes, and forgets it when it goes.
bool is_record(std::string_view section) {
  constexpr std::array records = std::to_array<std::string_view>(
      {"__dyndbg", "__tracepoint", "__param", "_ftrace_events", "__bpf_raw_tp_map", "___ksymtab",
       "__trace_printk", ".printk_index", ".suture.", ".init", ".exit", ".discard"});
  return std::ranges::any_of(records,
                             [&](std::string_view prefix) { return section.starts_with(prefix); });
}

// What is looked for: a part of one side.
struct Wanted {
  std::size_t side = 0;
  std::int32_t part = -1;
  bool code = false;
  bool holds_code = false;  // a variable that holds addresses of functions
};

// One side's code, and what it does with what is wanted.
class EscapeReader {
 public:
  EscapeReader(const Side& side, bool home, const Object& owner, const Wanted& wanted)
      : side_(side), home_(home), owner_(owner), wanted_(wanted) {}

  bool holds(const Field& field) const {
    if (wanted_.code && (field.branch || field.target.offset != 0)) {
      return false;
    }
    if (home_) {
      return field.target.part == wanted_.part;
    }
    return field.target.part < 0 && field.target.merged == 0 && is_own_name(symbol(field));
  }

  // The function that lets it out, of this one and those that it is given back to.
  std::optional<std::int32_t> who_lets_out(std::int32_t function) {
    giving_back_.clear();
    std::set<std::int32_t> holders{function};
    for (bool more = true; more;) {
      more = false;
      known_.clear();
      for (const std::int32_t holder : std::set(holders)) {
        const AddressFate fate = follow(holder, {});
        if (fate == AddressFate::leaves) {
          return holder;
        }
        if (fate == AddressFate::returned && giving_back_.insert(holder).second) {
          const auto callers = callers_of(holder);
          if (!callers) {
            return holder;
          }
          holders.insert(callers->begin(), callers->end());
          more = true;
        }
      }
    }
    return std::nullopt;
  }

  // The function that a split-off part belongs to.
  std::int32_t whole(std::int32_t part) const {
    const std::string_view parent = split_from(post().name(post().part(part)));
    for (std::size_t i = 0; !parent.empty() && i < post().parts().size(); ++i) {
      if (post().parts()[i].kind == PartKind::code && post().name(post().parts()[i]) == parent) {
        return static_cast<std::int32_t>(i);
      }
    }
    return part;
  }

 private:
  struct Code {
    Bytes bytes;
    elf::AddressUses uses;
    std::map<std::uint64_t, const Field*> calls;
  };

  const Object& post() const { return side_.post.object; }
  std::string_view symbol(const Field& field) const {
    return post().elf().symbols()[field.target.symbol].name;
  }
  bool is_own_name(std::string_view name) const {
    return std::ranges::any_of(owner_.part(wanted_.part).symbols, [&](std::uint32_t index) {
      const elf::Symbol& own = owner_.elf().symbols()[index];
      return own.binding != STB_LOCAL && own.name == name;
    });
  }

  // Nothing where others than this file's code may call it.
  std::optional<std::set<std::int32_t>> callers_of(std::int32_t function) const {
    std::set<std::int32_t> out;
    if (post().global(post().part(function))) {
      return std::nullopt;
    }
    for (std::size_t i = 0; i < post().parts().size(); ++i) {
      const Part& user = post().parts()[i];
      const std::int32_t caller = whole(static_cast<std::int32_t>(i));
      for (const Field& field : side_.post.fields[i]) {
        if (field.target.part != function || caller == function ||
            is_record(post().section_of(user).name)) {
          continue;
        }
        if (!field.branch || user.kind != PartKind::code) {
          return std::nullopt;
        }
        out.insert(caller);
      }
    }
    return out;
  }

  // The function first, then what was split off it.
  Code assemble(std::int32_t function) const {
    std::map<std::int32_t, std::uint64_t> base;
    Code code;
    auto add = [&](std::int32_t part) {
      const ByteView bytes = post().bytes(post().part(part));
      base[part] = code.bytes.size();
      code.bytes.insert(code.bytes.end(), bytes.begin(), bytes.end());
    };
    add(function);
    for (std::size_t i = 0; i < post().parts().size(); ++i) {
      const auto part = static_cast<std::int32_t>(i);
      if (part != function && post().parts()[i].kind == PartKind::code && whole(part) == function) {
        add(part);
      }
    }
    for (const auto& [part, start] : base) {
      for (const Field& field : side_.post.fields_of(part)) {
        add_field(code, base, part, field);
      }
      for (const Entry& entry : side_.post.tables.entries[static_cast<std::size_t>(part)]) {
        add_detours(code, base, entry);
      }
    }
    return code;
  }

  void add_field(Code& code, const std::map<std::int32_t, std::uint64_t>& base, std::int32_t part,
                 const Field& field) const {
    const std::uint64_t at = base.at(part) + field.offset;
    elf::AddressUses& uses = code.uses;
    if (holds(field)) {
      uses.fields.push_back(at);
    }
    if (!field.branch) {
      return;
    }
    const std::string_view name = field.target.part < 0 ? symbol(field) : std::string_view{};
    const auto inside = base.find(field.target.part);
    if (post().arch().is_return_thunk(name)) {
      uses.returns.push_back(at);
    } else if (post().arch().is_entry_call(name)) {
      uses.hooks.push_back(at);
    } else if (inside != base.end() && (inside->first != part || field.target.offset != 0)) {
      uses.jumps[at] = inside->second + static_cast<std::uint64_t>(field.target.offset);
    } else {
      uses.calls.push_back(at);
      code.calls[at] = &field;
    }
  }

  // An entry of a jump label or an exception names a place, and then where it goes on.
  static void add_detours(Code& code, const std::map<std::int32_t, std::uint64_t>& base,
                          const Entry& entry) {
    std::optional<std::uint64_t> place;
    for (const Field& field : entry.fields) {
      const auto inside = base.find(field.target.part);
      if (inside == base.end() || field.target.offset < 0) {
        continue;
      }
      const std::uint64_t at = inside->second + static_cast<std::uint64_t>(field.target.offset);
      if (place) {
        code.uses.detours.emplace(*place, at);
      } else {
        place = at;
      }
    }
  }

  AddressFate follow(std::int32_t function, AddressArguments arguments) {
    auto [it, fresh] = known_.try_emplace({function, arguments}, AddressFate::stays);
    if (!fresh) {
      return it->second;
    }
    Code code = assemble(function);
    code.uses.arguments = arguments;
    code.uses.contents = wanted_.holds_code;
    code.uses.comparable = true;
    code.uses.pass = [&](std::uint64_t field, AddressArguments given) {
      return pass(*code.calls.at(field), given);
    };
    return it->second = post().arch().follow_address(code.bytes, code.uses);
  }

  AddressFate pass(const Field& call, AddressArguments arguments) {
    const AddressFate fate =
        arguments.may == 0 ? AddressFate::stays : fate_of_given(call, arguments);
    return fate == AddressFate::stays && giving_back_.contains(call.target.part)
               ? AddressFate::returned
               : fate;
  }

  AddressFate fate_of_given(const Field& call, AddressArguments arguments) {
    if (call.target.part >= 0) {
      const bool entry = call.target.offset == 0 &&
                         post().part(call.target.part).kind == PartKind::code &&
                         whole(call.target.part) == call.target.part;
      return entry ? follow(call.target.part, arguments) : AddressFate::stays;
    }
    const std::string_view name = symbol(call);
    const bool borrowed = kernel::calls_at_once(name) || reads_at_once(name);
    return (wanted_.code || wanted_.holds_code) && !borrowed ? AddressFate::leaves
                                                             : AddressFate::stays;
  }

  const Side& side_;
  bool home_ = false;  // what is wanted is this side's
  const Object& owner_;
  const Wanted& wanted_;
  std::map<std::pair<std::int32_t, AddressArguments>, AddressFate> known_;
  std::set<std::int32_t> giving_back_;  // functions that return the address
};

// Of functions that are new.
bool holds_code(const Side& side, std::int32_t part) {
  return std::ranges::any_of(side.post.fields_of(part), [&](const Field& field) {
    return field.target.part >= 0 && field.target.offset == 0 &&
           side.pairing.pre(field.target.part) < 0 &&
           side.post.object.part(field.target.part).kind == PartKind::code;
  });
}

// The author answers for it.
bool is_taken_back(const Side& side, std::string_view name) {
  return std::ranges::any_of(side.word.taken_back,
                             [&](const auto& word) { return word.first == name; });
}

std::optional<Wanted> wanted_of(const std::deque<Side>& sides, std::size_t index,
                                std::int32_t number) {
  const Side& side = sides[index];
  const Object& object = side.post.object;
  const Part& part = object.part(number);
  if (side.unit == nullptr || side.pairing.pre(number) >= 0 ||
      is_record(object.section_of(part).name) || is_taken_back(side, object.name(part))) {
    return std::nullopt;
  }
  const bool code = part.kind == PartKind::code;
  const bool table = part.kind == PartKind::data && holds_code(side, number);
  const bool data = part.kind == PartKind::data && part.size != 0 &&
                    !is_copy_as_good(object, part) && !serves_anew(unnumbered(object.name(part)));
  if ((!code || !split_from(object.name(part)).empty()) && !table && !data) {
    return std::nullopt;
  }
  return Wanted{.side = index, .part = number, .code = code, .holds_code = table};
}

std::string name_of(const Object& object, std::int32_t part) {
  const std::string_view name = object.name(object.part(part));
  return name.empty() ? object.section_of(object.part(part)).name : std::string(name);
}

}  // namespace

std::optional<Escape> find_escape(const std::deque<Side>& sides, const Linkage& linkage,
                                  const std::map<Place, std::uint64_t>& placed) {
  for (const auto& [what, address] : placed) {
    const auto wanted = wanted_of(sides, what.first, what.second);
    // What goes on as another file's keeps that one's address.
    if (!wanted || linkage.ancestor(what) != nullptr) {
      continue;
    }
    const Object& owner = sides[what.first].post.object;
    std::size_t read = 0;  // the side that `reader` is of; the glue names nothing of a unit
    std::optional<EscapeReader> reader;
    for (const auto& [holder, at] : placed) {
      const Side& side = sides[holder.first];
      const Object& object = side.post.object;
      const Part& part = object.part(holder.second);
      if (side.unit == nullptr || part.kind != PartKind::code ||
          side.unit->object != sides[what.first].unit->object) {
        continue;
      }
      if (holder.first != read) {
        read = holder.first;
        reader.emplace(side, read == what.first, owner, *wanted);
      }
      const auto& fields = side.post.fields_of(holder.second);
      const bool holds =
          std::ranges::any_of(fields, [&](const Field& field) { return reader->holds(field); });
      const auto by = holds ? reader->who_lets_out(reader->whole(holder.second)) : std::nullopt;
      if (by) {
        return Escape{.source = side.unit->source,
                      .what = name_of(owner, what.second),
                      .by = name_of(object, *by)};
      }
    }
  }
  return std::nullopt;
}

}  // namespace suture::prove
