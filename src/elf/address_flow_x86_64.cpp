// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a constant table may be replaced by a changed copy only if nothing can hold or compare
// its address but the code that is replaced with it.
//
// Method: forward data flow over the registers of one function. An address that stands in a memory
// operand is used up by the access. One that is moved or computed into a register taints it; what
// is computed from a tainted register is tainted, what is loaded through it is not. The address
// leaves where a tainted register is stored, pushed, returned, alive at a call that may take it as
// an argument, or at a jump out; and where it is compared with something that is not surely derived
// from it, for then it serves as an identity. Two sets are kept for each instruction: what may hold
// the address on some path, which is what can leak, and what must hold it on every path, which is
// what it may be compared with. Both only move one way (may grows, must shrinks), so it ends.
//
// Who asks may also mean what the address leads to (AddressUses::contents): then a pointer that is
// read through it is followed like the address itself.
//
// Invariant: whatever is not understood counts as leaving.
#include "elf/address_flow_x86_64.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <vector>

namespace suture::elf {

namespace {

using Registers = std::uint32_t;  // one bit a general register

struct State {
  Registers may = 0;
  Registers must = 0;
  Registers mixed = 0;  // the address less, or taken from, something else
  Registers low = 0;    // on every path, the lowest byte is another value's
  bool pushed = false;  // on some path, for the next call
  bool operator==(const State&) const = default;
};

struct Step {
  std::uint64_t offset = 0;
  ZydisDecodedInstruction instruction{};
  ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT]{};
  std::optional<State> before;

  std::uint64_t end() const { return offset + instruction.length; }
  std::span<const ZydisDecodedOperand> visible() const {
    return {operands, instruction.operand_count_visible};
  }
};

Registers bit(ZydisRegister name) {
  ZydisRegister whole = ZydisRegisterGetLargestEnclosing(ZYDIS_MACHINE_MODE_LONG_64, name);
  if (whole < ZYDIS_REGISTER_RAX || whole > ZYDIS_REGISTER_R15) {
    return 0;
  }
  return Registers{1} << (whole - ZYDIS_REGISTER_RAX);
}

const std::array argument_registers = {bit(ZYDIS_REGISTER_RDI), bit(ZYDIS_REGISTER_RSI),
                                       bit(ZYDIS_REGISTER_RDX), bit(ZYDIS_REGISTER_RCX),
                                       bit(ZYDIS_REGISTER_R8),  bit(ZYDIS_REGISTER_R9)};
const Registers kept_by_calls = bit(ZYDIS_REGISTER_RBX) | bit(ZYDIS_REGISTER_RBP) |
                                bit(ZYDIS_REGISTER_R12) | bit(ZYDIS_REGISTER_R13) |
                                bit(ZYDIS_REGISTER_R14) | bit(ZYDIS_REGISTER_R15);
const Registers result = bit(ZYDIS_REGISTER_RAX);

// Of registers, those that carry arguments, a bit each.
std::uint8_t as_arguments(Registers registers) {
  unsigned out = 0;
  for (std::size_t i = 0; i < argument_registers.size(); ++i) {
    out |= (registers & argument_registers[i]) != 0 ? 1U << i : 0U;
  }
  return static_cast<std::uint8_t>(out);
}

Registers as_registers(std::uint8_t arguments) {
  Registers out = 0;
  for (std::size_t i = 0; i < argument_registers.size(); ++i) {
    out |= (arguments >> i & 1) != 0 ? argument_registers[i] : 0;
  }
  return out;
}

bool is_string_operation(const ZydisDecodedInstruction& instruction) {
  return instruction.meta.category == ZYDIS_CATEGORY_STRINGOP;
}

class Flow {
 public:
  explicit Flow(const AddressUses& uses) : uses_(uses) {}

  AddressFate follow(const ZydisDecoder& decoder, ByteView code) {
    if (!decode(decoder, code)) {
      return AddressFate::leaves;
    }
    const State entry{.may = as_registers(uses_.arguments.may),
                      .must = as_registers(uses_.arguments.must),
                      .mixed = as_registers(uses_.arguments.mixed)};
    std::vector<std::size_t> roots{0};
    for (State anywhere; !leaves_;) {
      for (std::size_t root : roots) {
        enter(root, root == 0 ? entry : anywhere);
      }
      while (!work_.empty() && !leaves_) {
        std::size_t index = work_.back();
        work_.pop_back();
        visit(index);
      }
      State seen = held_anywhere();
      std::size_t hidden = find_unvisited();
      if (hidden == steps_.size() && seen == anywhere) {
        break;
      }
      anywhere = seen;
      if (hidden != steps_.size()) {
        roots.push_back(hidden);
      }
    }
    // Comparisons are judged by what must hold on every path, which is known only now.
    leaves_ = leaves_ || (!uses_.comparable && std::ranges::any_of(steps_, [&](const Step& step) {
                return step.before && is_identity_test(step);
              }));
    return leaves_ ? AddressFate::leaves : returned_ ? AddressFate::returned : AddressFate::stays;
  }

 private:
  bool decode(const ZydisDecoder& decoder, ByteView code) {
    for (std::uint64_t offset = 0; offset < code.size();) {
      Step step;
      step.offset = offset;
      if (!ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder, code.data() + offset, code.size() - offset,
                                               &step.instruction, step.operands))) {
        return false;
      }
      at_[offset] = steps_.size();
      if (step.instruction.raw.imm[0].is_relative != 0) {
        targets_.insert(step.end() +
                        static_cast<std::uint64_t>(step.instruction.raw.imm[0].value.s));
      }
      offset = step.end();
      steps_.push_back(step);
    }
    return !steps_.empty();
  }

  State held_anywhere() const {
    State out;
    for (const Step& step : steps_) {
      out.may |= step.before ? step.before->may : 0;
      out.mixed |= step.before ? step.before->mixed : 0;
      out.pushed = out.pushed || (step.before && step.before->pushed);
    }
    return out;
  }

  // Code that only a table leads to (jump labels, exception fixups, switches): it may be entered
  // from anywhere.
  std::size_t find_unvisited() const {
    auto it = std::ranges::find_if(steps_, [](const Step& step) {
      return !step.before && step.instruction.mnemonic != ZYDIS_MNEMONIC_NOP &&
             step.instruction.mnemonic != ZYDIS_MNEMONIC_INT3;
    });
    return static_cast<std::size_t>(it - steps_.begin());
  }

  void enter(std::size_t index, State state) {
    std::optional<State>& known = steps_[index].before;
    State joined = state;
    if (known) {
      joined = State{known->may | state.may, known->must & state.must, known->mixed | state.mixed,
                     known->low & state.low, known->pushed || state.pushed};
    }
    if (known != joined) {
      known = joined;
      work_.push_back(index);
    }
  }

  void visit(std::size_t index) {
    const Step& step = steps_[index];
    State state = *step.before;
    auto [first, last] = uses_.detours.equal_range(step.offset);
    for (auto detour = first; detour != last; ++detour) {
      auto target = at_.find(detour->second);
      leaves_ = leaves_ || target == at_.end();
      if (target != at_.end()) {
        enter(target->second, state);
      }
    }
    switch (step.instruction.meta.category) {
      case ZYDIS_CATEGORY_CALL:
        if (!is_in(uses_.hooks, branch_field(step))) {
          const bool returns = call(step, state);
          state = only(state, kept_by_calls);
          state.may |= returns ? result : 0;
          state.pushed = false;
        }
        break;
      case ZYDIS_CATEGORY_RET: give_back(state); return;
      case ZYDIS_CATEGORY_COND_BR: {
        const Registers at_end = found_at_end(index);
        const bool if_equal = step.instruction.mnemonic == ZYDIS_MNEMONIC_JZ;
        branch(step, without(state, if_equal ? at_end : 0));
        state = without(state, if_equal ? 0 : at_end);
        break;
      }
      case ZYDIS_CATEGORY_UNCOND_BR: branch(step, state); return;
      default:
        if (step.instruction.mnemonic == ZYDIS_MNEMONIC_UD2 ||
            step.instruction.mnemonic == ZYDIS_MNEMONIC_INT3) {
          break;
        }
        compute(step, state);
    }
    if (index + 1 < steps_.size()) {
      enter(index + 1, state);
    }
  }

  static State only(State state, Registers kept) {
    return State{state.may & kept, state.must & kept, state.mixed & kept, state.low & kept,
                 state.pushed};
  }
  static State without(State state, Registers gone) { return only(state, ~gone); }

  void give_back(const State& state) {
    leaves_ = leaves_ || (state.mixed & result) != 0;
    returned_ = returned_ || (state.may & result) != 0;
  }

  // Whether the result of the call may be the address.
  bool call(const Step& step, const State& state) {
    const AddressArguments given{as_arguments(state.may), as_arguments(state.must),
                                 as_arguments(state.mixed)};
    AddressFate fate = given.may == 0 ? AddressFate::stays : AddressFate::leaves;
    if (is_in(uses_.calls, branch_field(step))) {
      fate = uses_.pass(branch_field(step), given);
    }
    leaves_ = leaves_ || fate == AddressFate::leaves ||
              (state.pushed && (!is_in(uses_.calls, branch_field(step)) ||
                                uses_.pass_pushed(branch_field(step)) != AddressFate::stays));
    return fate == AddressFate::returned;
  }

  // The register that a jump on (in)equality has found to be one past the end: whoever gets that
  // cannot read through it. Loops leave it behind in the register of the result.
  Registers found_at_end(std::size_t index) const {
    const ZydisMnemonic jump = steps_[index].instruction.mnemonic;
    if (index == 0 || (jump != ZYDIS_MNEMONIC_JZ && jump != ZYDIS_MNEMONIC_JNZ) ||
        targets_.contains(steps_[index].offset)) {
      return 0;
    }
    const Step& test = steps_[index - 1];
    const auto& raw = test.instruction.raw;
    const bool with_end = std::ranges::any_of(raw.imm, [&](const auto& immediate) {
      return immediate.size != 0 && is_in(uses_.ends, test.offset + immediate.offset);
    });
    return test.instruction.mnemonic == ZYDIS_MNEMONIC_CMP && with_end &&
                   test.operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER
               ? bit(test.operands[0].reg.value)
               : 0;
  }

  void branch(const Step& step, State state) {
    const std::uint64_t field = branch_field(step);
    if (is_in(uses_.returns, field)) {
      give_back(state);
      return;
    }
    if (is_in(uses_.calls, field)) {  // a tail call
      returned_ = call(step, state) || returned_;
      return;
    }
    const auto& immediate = step.instruction.raw.imm[0];
    auto moved = uses_.jumps.find(field);
    auto target = at_.end();
    if (moved != uses_.jumps.end()) {
      target = at_.find(moved->second);
    } else if (immediate.is_relative != 0) {
      target = at_.find(step.end() + static_cast<std::uint64_t>(immediate.value.s));
    }
    if (target != at_.end()) {
      enter(target->second, state);
    } else {
      leaves_ = leaves_ || state.may != 0;
    }
  }

  static std::uint64_t branch_field(const Step& step) {
    return step.offset + step.instruction.raw.imm[0].offset;
  }
  static bool is_in(const std::vector<std::uint64_t>& list, std::uint64_t offset) {
    return std::ranges::find(list, offset) != list.end();
  }
  bool in_displacement(const Step& step) const {
    const auto& raw = step.instruction.raw.disp;
    return raw.size != 0 && is_in(uses_.fields, step.offset + raw.offset);
  }
  bool in_immediate(const Step& step) const {
    return std::ranges::any_of(step.instruction.raw.imm, [&](const auto& raw) {
      return raw.size != 0 && is_in(uses_.fields, step.offset + raw.offset);
    });
  }

  // The registers whose value, as against what it points at, goes into the instruction.
  static Registers values_read(const Step& step, const State& state) {
    Registers out = 0;
    for (const ZydisDecodedOperand& operand : step.visible()) {
      if (operand.type == ZYDIS_OPERAND_TYPE_REGISTER &&
          (operand.actions & ZYDIS_OPERAND_ACTION_MASK_READ) != 0) {
        const Registers read = bit(operand.reg.value);
        out |= is_lowest_byte(operand) ? read & ~state.low : read;
      } else if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY &&
                 operand.mem.type == ZYDIS_MEMOP_TYPE_AGEN) {
        out |= bit(operand.mem.base) | bit(operand.mem.index);
      }
    }
    return out;
  }

  static bool is_lowest_byte(const ZydisDecodedOperand& operand) {
    return operand.size == 8 &&
           (operand.reg.value < ZYDIS_REGISTER_AH || operand.reg.value > ZYDIS_REGISTER_BH);
  }

  static bool computes_address(const Step& step) {
    return step.instruction.mnemonic == ZYDIS_MNEMONIC_LEA;
  }

  static bool is_zeroing(const Step& step) {
    auto operands = step.visible();
    return (step.instruction.mnemonic == ZYDIS_MNEMONIC_XOR ||
            step.instruction.mnemonic == ZYDIS_MNEMONIC_SUB) &&
           operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
           operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
           operands[0].reg.value == operands[1].reg.value;
  }

  // The instruction reads a pointer out of what the address leads to.
  bool reads_contents(const Step& step, const State& state) const {
    return uses_.contents && std::ranges::any_of(step.visible(), [&](const auto& operand) {
             return operand.type == ZYDIS_OPERAND_TYPE_MEMORY && operand.size == 64 &&
                    operand.mem.type != ZYDIS_MEMOP_TYPE_AGEN &&
                    (operand.actions & ZYDIS_OPERAND_ACTION_MASK_READ) != 0 &&
                    (operand.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) == 0 &&
                    (in_displacement(step) ||
                     ((bit(operand.mem.base) | bit(operand.mem.index)) & state.may) != 0);
           });
  }

  void compute(const Step& step, State& state) {
    if (is_string_operation(step.instruction)) {
      bool stores = step.instruction.mnemonic >= ZYDIS_MNEMONIC_STOSB &&
                    step.instruction.mnemonic <= ZYDIS_MNEMONIC_STOSW;
      bool copies = uses_.contents && step.instruction.mnemonic >= ZYDIS_MNEMONIC_MOVSB &&
                    step.instruction.mnemonic <= ZYDIS_MNEMONIC_MOVSW;
      leaves_ = leaves_ || (stores && (state.may & result) != 0) ||
                (copies && (state.may & bit(ZYDIS_REGISTER_RSI)) != 0);
      return;  // the others read through rsi and rdi, and move them on
    }
    const bool holds = in_immediate(step) || (in_displacement(step) && computes_address(step));
    const bool zero = is_zeroing(step);
    const Registers read = zero ? 0 : values_read(step, state);
    const bool may = holds || (read & state.may) != 0 || reads_contents(step, state);
    const bool must = holds || (read & state.must) != 0;
    const bool mixes = is_difference(step, state);
    const bool mixed = mixes || (read & state.mixed) != 0;
    leaves_ = leaves_ || (mixed && !mixes && !only_moves(step));
    for (const ZydisDecodedOperand& operand :
         std::span(step.operands, step.instruction.operand_count)) {
      if ((operand.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) == 0) {
        continue;
      }
      if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY) {
        const bool pushes =
            step.instruction.mnemonic == ZYDIS_MNEMONIC_PUSH && uses_.pass_pushed != nullptr;
        state.pushed = state.pushed || (may && pushes);
        leaves_ = leaves_ || (may && !pushes);
      } else if (operand.type == ZYDIS_OPERAND_TYPE_REGISTER) {
        Registers written = bit(operand.reg.value);
        bool sure = (operand.actions & ZYDIS_OPERAND_ACTION_CONDWRITE) == 0 && operand.size >= 32;
        state.may = may ? state.may | written : sure ? state.may & ~written : state.may;
        state.must = must && sure && !mixed ? state.must | written : state.must & ~written;
        state.mixed = mixed ? state.mixed | written : sure ? state.mixed & ~written : state.mixed;
        state.low = !may && is_lowest_byte(operand) ? state.low | written : state.low & ~written;
      }
    }
  }

  static bool only_moves(const Step& step) {
    return step.instruction.mnemonic == ZYDIS_MNEMONIC_MOV ||
           step.instruction.mnemonic == ZYDIS_MNEMONIC_LEA;
  }

  // A subtraction, of what is not surely from the same table, that nothing asks the outcome of.
  bool is_difference(const Step& step, const State& state) const {
    return step.instruction.mnemonic == ZYDIS_MNEMONIC_SUB &&
           step.operands[0].type == ZYDIS_OPERAND_TYPE_REGISTER &&
           step.operands[1].type == ZYDIS_OPERAND_TYPE_REGISTER &&
           (values_read(step, state) & state.may) != 0 &&
           (values_read(step, state) & state.mixed) == 0 && compares_others(step, state) &&
           flags_are_lost(step);
  }

  // The flags that the instruction sets are set anew before anything reads them.
  bool flags_are_lost(const Step& step) const {
    for (std::size_t i = at_.at(step.offset) + 1; i < steps_.size(); ++i) {
      const ZydisDecodedInstruction& next = steps_[i].instruction;
      constexpr ZyanU32 outcome =
          ZYDIS_CPUFLAG_CF | ZYDIS_CPUFLAG_ZF | ZYDIS_CPUFLAG_SF | ZYDIS_CPUFLAG_OF;
      if (next.meta.category == ZYDIS_CATEGORY_CALL || next.meta.category == ZYDIS_CATEGORY_RET) {
        return true;
      }
      if (next.cpu_flags == nullptr) {
        continue;
      }
      const ZydisAccessedFlags& flags = *next.cpu_flags;
      if ((flags.tested & outcome) != 0 || next.meta.category == ZYDIS_CATEGORY_UNCOND_BR) {
        return false;
      }
      if (((flags.modified | flags.set_0 | flags.set_1 | flags.undefined) & outcome) == outcome) {
        return true;
      }
    }
    return false;
  }

  // Compared with what is not surely an address of the same table.
  bool is_identity_test(const Step& step) const {
    ZydisMnemonic mnemonic = step.instruction.mnemonic;
    return (mnemonic == ZYDIS_MNEMONIC_CMP || mnemonic == ZYDIS_MNEMONIC_SUB) &&
           !is_difference(step, *step.before) && compares_others(step, *step.before);
  }

  bool compares_others(const Step& step, const State& state) const {
    const ZydisDecodedOperand& right = step.operands[1];
    const bool holds = in_immediate(step);
    if (is_zeroing(step) || (right.type == ZYDIS_OPERAND_TYPE_IMMEDIATE && !holds)) {
      return false;  // a number is no address
    }
    bool involved = holds;
    bool all_sure = true;
    for (const ZydisDecodedOperand& operand : step.visible()) {
      if (operand.type == ZYDIS_OPERAND_TYPE_REGISTER) {
        involved = involved || (state.may & bit(operand.reg.value)) != 0;
        all_sure = all_sure && (state.must & bit(operand.reg.value)) != 0;
      } else if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY) {
        all_sure = false;
      }
    }
    return involved && !all_sure;
  }

  const AddressUses& uses_;
  std::vector<Step> steps_;
  std::map<std::uint64_t, std::size_t> at_;
  std::set<std::uint64_t> targets_;  // of jumps
  std::vector<std::size_t> work_;
  bool leaves_ = false;
  bool returned_ = false;
};

}  // namespace

AddressFate follow_address_x86_64(const ZydisDecoder& decoder, ByteView code,
                                  const AddressUses& uses) {
  return Flow(uses).follow(decoder, code);
}

}  // namespace suture::elf
