// SPDX-License-Identifier: GPL-2.0-or-later
//
// Late keys: static keys and static calls (tracepoints have one of each) that belong to a module.
// livepatch binds them when that module is patched, after the loader has read the tables of this
// module that name them; so code that uses one must do without its table entry.
//
// A static call keeps calling its trampoline (__SCT__NAME), which the kernel keeps up to date.
//
// A static branch asks its key. Its site, 5 bytes, becomes `jmp stub`; the stubs of a function (or
// of a .cold part) follow its own bytes without a gap, in the order of their entries in
// __jump_table, and lie inside its symbol's size. Each is 18 bytes:
//
//     83 3d KEY 00       cmpl $0, key(%rip)      KEY: R_X86_64_PC32, key + 0 - 5
//     0f 85 TARGET       jne target              or 0f 84: je; TARGET: R_X86_64_PC32, target - 4
//     e9 DISTANCE        jmp to the end of the site
//
// jne where the lowest bit of the entry's key is 0, je where it is 1. The ORC row in force at the
// site is in force in the whole stub.
//
// Near jumps: where functions share a section (.sched.text), the assembler lets one jump into
// another by a distance of one byte, which no relocation can write. Such a jump leads to a stub,
// too, if one is within its reach; they follow those of static branches, in the order of their
// jumps:
//
//     e9 TARGET          jmp target              TARGET: as the distance of a direct call
#pragma once

#include <set>
#include <vector>

#include "module/resolve.h"

namespace suture::module {

// A static branch that asks its key.
struct LateBranch {
  std::uint64_t site = 0;  // offsets in the function
  std::uint64_t stub = 0;
  Bytes code;  // of the stub
  // The stub's fields.
  diff::Reference key;
  diff::Reference target;
};

// A jump to another function by a distance of one byte.
struct NearJump {
  std::uint64_t field = 0;  // offsets in the function: of the byte,
  std::uint64_t end = 0;    // of what follows its instruction
  std::uint64_t stub = 0;
  diff::Reference target;  // the stub's field
};

// What becomes of one function's late keys and near jumps.
struct LateSites {
  std::vector<LateBranch> branches;
  std::vector<NearJump> jumps;
  std::set<std::size_t> dropped;  // table entries that the module does without, by number

  std::uint64_t size() const;  // of all stubs
  // Writes the jumps and the stubs into the bytes of the function.
  void write(Bytes& function, const elf::Arch& arch) const;
  // A field that a jump to a stub has taken the place of, or that leads to one.
  bool overwrites(const diff::Reference& reference, const elf::Arch& arch) const;
};

class LateKeys {
 public:
  // `resolver` must outlive this.
  explicit LateKeys(const Resolver& resolver) : resolver_(resolver) {}

  // module-static-key where a site is too narrow for a jump.
  Result<LateSites> of(const LinkInput& input, std::int32_t piece) const;

 private:
  bool is_late(const LinkInput& input, std::int32_t piece, const diff::Reference& key) const;

  const Resolver& resolver_;
};

}  // namespace suture::module
