// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: whether code that stays can get at a function is written nowhere. The image has no
// relocations left, and pointers to functions lie in data of all kinds.
//
// Method: each four bytes of the object, at any offset, may be a reference: the lower half of a
// pointer, or a distance from the field or from its end. A table of the lower 16 bits of all
// addresses that are asked for lets nearly no place through, so that many functions cost hardly
// more than one.
//
// Invariants: a reference is never missed; what only looks like one is taken for one. Zeros that
// end where a function begins are none: no code before it ends with such an instruction, but a
// jump.
#include "match/boot_callers.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <cstring>
#include <iterator>
#include <optional>
#include <string_view>
#include <vector>

#include "base/parallel.h"

namespace suture::match {

namespace {

constexpr std::uint64_t field_width = 4;
constexpr int most_steps = 3;
constexpr std::size_t most_users = 2;

// The four bytes at `field` are the distance of a direct call or jump.
bool is_call(ByteView code, std::uint64_t field) {
  constexpr std::uint8_t call = 0xe8;
  constexpr std::uint8_t jump = 0xe9;
  constexpr std::uint8_t two_bytes = 0x0f;
  constexpr std::uint8_t conditional = 0x80;
  return (field >= 1 && (code[field - 1] == call || code[field - 1] == jump)) ||
         (field >= 2 && code[field - 2] == two_bytes && (code[field - 1] & 0xf0) == conditional);
}

// Sections that name every function, or hold text.
bool tells_nothing(std::string_view section) {
  constexpr std::array<std::string_view, 8> names{".orc_unwind_ip",  ".orc_unwind",
                                                  ".orc_lookup",     "__mcount_loc",
                                                  ".ibt_endbr_seal", "__patchable_function_entries",
                                                  ".kcfi_traps",     ".BTF"};
  return std::ranges::find(names, section) != names.end();
}

// What may be a reference to `address`.
struct Hit {
  std::uint64_t offset = 0;
  std::uint64_t address = 0;
};

class Filter {
 public:
  explicit Filter(const std::set<std::uint64_t>& addresses) : addresses_(addresses) {
    for (std::uint64_t address : addresses) {
      pointer_.set(address & mask);
      distance_.set(address & mask);
      distance_.set((address - field_width) & mask);
    }
  }

  // Of the fields that begin in [begin, end) of the part.
  std::vector<Hit> hits(const RunObject::Part& part, std::uint64_t begin, std::uint64_t end) const {
    std::vector<Hit> out;
    for (std::uint64_t i = begin; i < end; ++i) {
      std::uint32_t word = 0;
      std::memcpy(&word, part.bytes.data() + i, field_width);
      const std::uint64_t place = part.start + i;
      if (!pointer_[word & mask] && !distance_[(place + word) & mask]) {
        continue;
      }
      const auto value =
          static_cast<std::uint64_t>(static_cast<std::int64_t>(static_cast<std::int32_t>(word)));
      for (std::uint64_t address : {value, place + value, place + field_width + value}) {
        if (addresses_.contains(address)) {
          out.push_back({i, address});
        }
      }
    }
    return out;
  }

 private:
  static constexpr std::uint64_t mask = 0xffff;
  const std::set<std::uint64_t>& addresses_;
  std::bitset<mask + 1> pointer_, distance_;
};

}  // namespace

BootCallers::BootCallers(const RunObject& run) : run_(run) {
  const kernel::RunSymbol* begin = run.symbols().unique("__start_mcount_loc");
  const kernel::RunSymbol* end = run.symbols().unique("__stop_mcount_loc");
  if (begin != nullptr && end != nullptr) {
    every_function_ = {begin->address, end->address};
  }
}

void BootCallers::add_user(const RunObject::Part& part, std::uint64_t offset, Users& users,
                           std::uint64_t function) const {
  const std::uint64_t place = part.start + offset;
  if (place >= every_function_.first && place < every_function_.second) {
    return;
  }
  const bool code = (part.section.flags & SHF_EXECINSTR) != 0;
  const bool call = code && is_call(part.bytes, offset);
  if (code && !call && place + field_width == function) {
    return;  // the last bytes of what pads the function before
  }
  if (run_.is_freed(place) || (!run_.is_vmlinux() && part.section.name.starts_with(".init"))) {
    // By anything but a call, boot code has given it to others.
    users.boot = true;
    users.others = users.others || !call;
    return;
  }
  const auto user = code ? run_.symbols().text_address(place) : std::nullopt;
  if (user && *user != function) {
    users.functions.insert(*user);
  }
  users.others = users.others || !user || users.functions.size() > most_users;
}

void BootCallers::survey(std::set<std::uint64_t> functions) {
  std::erase_if(functions,
                [&](std::uint64_t function) { return !known_.try_emplace(function).second; });
  if (functions.empty()) {
    return;
  }
  constexpr std::uint64_t most_bytes = 1U << 20U;
  struct Stretch {
    RunObject::Part part;
    std::uint64_t begin = 0;  // offsets
    std::uint64_t end = 0;
    std::vector<Hit> hits;
  };
  std::vector<Stretch> stretches;
  run_.for_each_part([&](const RunObject::Part& part) {
    const std::uint64_t end = tells_nothing(part.section.name) || part.bytes.size() < field_width
                                  ? 0
                                  : part.bytes.size() - field_width + 1;
    for (std::uint64_t begin = 0; begin < end; begin += most_bytes) {
      stretches.push_back({part, begin, std::min(begin + most_bytes, end), {}});
    }
  });
  const Filter filter(functions);
  parallel_for(stretches.size(), [&](std::size_t i) {
    auto& [part, begin, end, hits] = stretches[i];
    hits = filter.hits(part, begin, end);
  });
  for (const auto& [part, begin, end, hits] : stretches) {
    for (const auto& [offset, address] : hits) {
      if (Users& users = known_[address]; !users.others) {
        add_user(part, offset, users, address);
      }
    }
  }
}

std::set<std::uint64_t> BootCallers::called_by_boot_alone(
    const std::set<std::uint64_t>& functions) {
  std::set<std::uint64_t> links = functions;
  for (int step = 0; step < most_steps && !links.empty(); ++step) {
    survey(links);
    std::set<std::uint64_t> users;
    for (std::uint64_t function : links) {
      if (const Users& of = known_[function]; !of.others) {
        users.insert(of.functions.begin(), of.functions.end());
      }
    }
    links = std::move(users);
  }
  std::set<std::uint64_t> out;
  std::ranges::copy_if(functions, std::inserter(out, out.end()),
                       [&](std::uint64_t function) { return is_boot_alone(function, most_steps); });
  return out;
}

bool BootCallers::is_boot_alone(std::uint64_t function, int steps) const {
  const auto users = known_.find(function);
  if (steps == 0 || users == known_.end() || users->second.others) {
    return false;
  }
  const auto& functions = users->second.functions;
  return (users->second.boot || !functions.empty()) &&
         std::ranges::all_of(functions,
                             [&](std::uint64_t user) { return is_boot_alone(user, steps - 1); });
}

}  // namespace suture::match
