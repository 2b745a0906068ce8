// SPDX-License-Identifier: GPL-2.0-or-later
//
// What an architecture knows: how its instructions are decoded, how its relocations write, and
// which tables describe its code. One traits object per architecture; a new one is a new file
// beside arch_x86_64.cpp and a line in arch_of().
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "elf/object.h"

namespace suture::elf {

// One decoded instruction, as far as matching and splitting need it.
struct Instruction {
  std::uint32_t offset = 0;  // from the start of the decoded bytes
  std::uint8_t length = 0;
  bool is_nop = false;          // NOPs of any length, and the INT3 that pads after returns
  bool goes_on = true;          // what follows may run next: not after jumps, returns and traps
  bool returns = false;         // it goes where a register or the stack says
  bool is_branch = false;       // direct, relative: call, jmp, jcc, loop
  bool is_call = false;         // a direct call
  std::uint8_t field = 0;       // where the branch displacement starts, from `offset`
  std::uint8_t field_size = 0;  // its bytes: 1 or 4
  std::uint8_t access = 0;      // where, from `offset`, the address stands that it reads or writes,
                                // where no register but the instruction pointer adds to it; or 0
  std::uint8_t memory = 0;      // the same, whatever registers add to it
  std::uint32_t operation = 0;  // of a branch: the same number for the same condition and prefixes,
                                // whatever the width of its displacement
  std::int64_t target =
      0;  // branch target, from the start of the decoded bytes, no relocation applied
};

// How a relocation writes.
struct RelocationKind {
  std::uint8_t size = 0;  // bytes written
  bool pc_relative = false;
  bool sign_extended = false;  // the value must fit as a signed number of `size` bytes
};

// A table that the kernel keeps about code: fixed-size entries, each describing one place.
struct TableLayout {
  std::string_view section;
  std::string_view size_constant;  // name of the glue constant that holds the entry size, or empty
  std::uint8_t entry_size = 0;     // used where size_constant is empty
  std::uint8_t key_offset = 0;     // where in the entry the relocation to the code stands
  std::uint8_t min_tail = 0;       // the last entry may be cut to this size (0: never)
  // The field that points at other code, and how far before the entry's end a byte says how much of
  // it there is: where that is nothing, it may point at what is another's (0: no such field).
  std::uint8_t other_field = 0;
  std::uint8_t other_size_from_end = 0;
  // The kernel may put other code in the place of what the entry describes: of as much as a byte
  // that far before the entry's end says, or of one instruction.
  std::uint8_t own_size_from_end = 0;  // 0: there is no such byte
  bool own_instruction = false;
};

// Where an address goes that the code of a function holds.
enum class AddressFate : std::uint8_t {
  stays,     // it is read through, and forgotten
  returned,  // the same, but the caller gets it
  leaves,    // it may be kept anywhere, or serves as an identity; doubt counts as this
};

// Which of the arguments that registers carry (one bit each, the first lowest) hold the address:
// on some path, on every path, and on some path as a difference from something else.
struct AddressArguments {
  std::uint8_t may = 0;
  std::uint8_t must = 0;
  std::uint8_t mixed = 0;
  auto operator<=>(const AddressArguments&) const = default;
};

// What the question where an address goes starts from: relocated fields of the code, by offset.
struct AddressUses {
  std::vector<std::uint64_t> fields;             // hold the address
  std::vector<std::uint64_t> ends;               // those of them that hold one past the end
  std::vector<std::uint64_t> returns;            // of jumps that return (is_return_thunk)
  std::vector<std::uint64_t> hooks;              // of calls that change no register (is_entry_call)
  std::vector<std::uint64_t> calls;              // of calls and jumps to other functions
  std::map<std::uint64_t, std::uint64_t> jumps;  // of other jumps → where in the code they go
  std::multimap<std::uint64_t, std::uint64_t> detours;  // places → where tables make them go, too
  AddressArguments arguments;                           // that hold the address from the start
  bool contents = false;    // pointers read through the address count as the address, too
  bool comparable = false;  // being compared does not count as leaving
  // What becomes of arguments of the call or jump at a field in `calls`. `returned` is also said of
  // a function that hands the address out without having been given it.
  std::function<AddressFate(std::uint64_t field, AddressArguments)> pass;
  // The same of arguments that the code has pushed for it. Without this, pushing counts as leaving.
  std::function<AddressFate(std::uint64_t field)> pass_pushed;
};

// Code that does by asking what a static branch (include/linux/jump_label.h) does by being
// rewritten. It touches nothing but the flags; where the branch is not taken, it runs on behind
// its end. Fields are 4 bytes, PC-relative, and zero.
struct KeyTest {
  Bytes code;
  std::uint8_t key_field = 0;  // of the key's count, and how far behind it its instruction ends
  std::uint8_t key_bias = 0;
  std::uint8_t target_field = 0;  // of the branch's target
  std::uint8_t target_bias = 0;
};

// Code to be called from the entry of a function that is replaced: it drops the address that the
// call would return to, and jumps to the new function. Whole, with what fills it up; the field is 4
// bytes, PC-relative, and zero.
struct EntryThunk {
  Bytes code;
  std::uint8_t dropped = 0;  // from here on the stack is as at a function's entry
  std::uint8_t field = 0;    // of the new function, and how far behind it its instruction ends
  std::uint8_t bias = 0;
};

// An instruction that reads a variable, as long as the one that loads a value; the field of the
// variable is 4 bytes, PC-relative, and zero.
struct VariableRead {
  std::uint8_t value = 0;  // where in the other instruction the value stands
  Bytes code;
  std::uint8_t field = 0;
  std::uint8_t bias = 0;  // how far behind the field its instruction ends
};

// Where the entries of the tables about static branches and static calls have their fields. The
// lowest two bits of a key are flags.
struct KeyTable {
  std::string_view section;
  std::uint8_t key_field = 0;
  std::optional<std::uint8_t> target_field;  // only of a branch
};

class Arch {
 public:
  virtual ~Arch() = default;
  virtual std::uint16_t machine() const = 0;
  // The instruction at `offset` of `code`; nothing where it does not decode, or at the end.
  virtual std::optional<Instruction> next(ByteView code, std::uint64_t offset) const = 0;
  // Decodes `code` from its start to its end. Bytes that do not decode end the list.
  std::vector<Instruction> decode(ByteView code) const;
  // The first instruction of `code` as a person reads it, with `address` as its place; empty where
  // it does not decode.
  virtual std::string text(ByteView code, std::uint64_t address) const = 0;
  // What the first instruction of `code` does to memory, its operation first; empty where it only
  // reads. The same words mean the same effect, whatever register the value comes from.
  virtual std::string memory_effect(ByteView code) const = 0;
  // Nothing for a relocation type that kernel code never carries.
  virtual std::optional<RelocationKind> relocation(std::uint32_t type) const = 0;
  virtual std::string_view relocation_name(std::uint32_t type) const = 0;
  virtual std::uint32_t absolute64() const = 0;  // the type for an 8-byte pointer in data
  virtual std::uint32_t pc_relative32() const = 0;
  virtual std::uint32_t call32() const = 0;  // the type for a direct call's field
  virtual std::span<const TableLayout> tables() const = 0;
  // How many bytes of `code`, which begins with what an entry describes, the kernel may put other
  // code in the place of.
  std::uint64_t replaceable(const TableLayout& table, ByteView entry, ByteView code) const;
  // Where the address goes that `uses` says the code holds.
  virtual AddressFate follow_address(ByteView code, const AddressUses& uses) const = 0;
  virtual std::span<const KeyTable> key_tables() const = 0;
  // Jumps where the key's count is not zero, or where it is.
  virtual KeyTest key_test(bool jumps_if_enabled) const = 0;
  // A direct jump over `distance` bytes from its own start.
  virtual Bytes jump(std::int32_t distance) const = 0;
  virtual EntryThunk entry_thunk() const = 0;
  // Where `code` goes, from its start, if it drops one return address, jumps, and does nothing
  // else; the rest of it must be filled with what traps.
  virtual std::optional<std::int64_t> entry_thunk_target(ByteView code) const = 0;
  // What reads a variable into the register that the instruction of `code` loads with an 8-byte
  // value at `value`; nothing where it is another instruction.
  virtual std::optional<VariableRead> read_of_variable(ByteView code,
                                                       std::uint64_t value) const = 0;
  // A jump to that symbol is a return.
  virtual bool is_return_thunk(std::string_view symbol) const = 0;
  // A call of that symbol is the one at a function's entry that ftrace redirects.
  virtual bool is_entry_call(std::string_view symbol) const = 0;
  // A call of that symbol ends up where its code does not say: a register or the kernel decides.
  virtual bool goes_elsewhere(std::string_view symbol) const = 0;
};

// The traits for an ELF machine number, or null where there are none.
const Arch* arch_of(std::uint16_t machine);

}  // namespace suture::elf
