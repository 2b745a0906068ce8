// SPDX-License-Identifier: GPL-2.0-or-later
//
// x86-64. Relocations: psABI 1.0, table 4.9, as far as arch/x86/kernel/module.c applies them.
// Tables: arch/x86/include/asm/{alternative,bug,jump_label,static_call_types,paravirt_types}.h,
// objtool's outputs (tools/objtool/check.c, orc_gen.c).
#include <Zydis/Zydis.h>
#include <fmt/format.h>

#include <algorithm>
#include <span>

#include "elf/address_flow_x86_64.h"
#include "elf/arch.h"

namespace suture::elf {

namespace {

// ORC is not in this list: its two sections go in pairs, see diff/tables.cpp. Nor is
// .ibt_endbr_seal, which lists the entries that nothing in an object reaches by pointer: another
// object of the patch may, and an entry that stays open to pointers is only a hardening less.
constexpr TableLayout table_layouts[] = {
    {.section = "__bug_table", .size_constant = "bug_entry", .key_offset = 0},
    {.section = ".altinstructions",
     .size_constant = "alt_instr",
     .key_offset = 0,
     .other_field = 4,
     .other_size_from_end = 1,
     .own_size_from_end = 2},
    {.section = ".smp_locks", .size_constant = "", .entry_size = 4, .key_offset = 0},
    {.section = ".parainstructions",
     .size_constant = "",
     .entry_size = 16,
     .key_offset = 0,
     .min_tail = 10},
    {.section = "__ex_table", .size_constant = "exception_table_entry", .key_offset = 0},
    {.section = "__jump_table", .size_constant = "jump_entry", .key_offset = 0},
    {.section = ".static_call_sites", .size_constant = "", .entry_size = 8, .key_offset = 0},
    {.section = ".retpoline_sites",
     .size_constant = "",
     .entry_size = 4,
     .key_offset = 0,
     .own_instruction = true},
    {.section = ".return_sites",
     .size_constant = "",
     .entry_size = 4,
     .key_offset = 0,
     .own_instruction = true},
    {.section = ".call_sites", .size_constant = "", .entry_size = 4, .key_offset = 0},
    {.section = "__mcount_loc", .size_constant = "", .entry_size = 8, .key_offset = 0},
};

// struct jump_entry, struct static_call_site.
constexpr KeyTable key_table_layouts[] = {
    {.section = "__jump_table", .key_field = 8, .target_field = 4},
    {.section = ".static_call_sites", .key_field = 4, .target_field = std::nullopt},
};

class X86_64 final : public Arch {
 public:
  X86_64() {
    ZydisDecoderInit(&decoder_, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
    ZydisFormatterInit(&formatter_, ZYDIS_FORMATTER_STYLE_ATT);
  }

  std::uint16_t machine() const override { return EM_X86_64; }

  std::optional<Instruction> next(ByteView code, std::uint64_t offset) const override {
    ZydisDecodedInstruction raw;
    if (offset >= code.size() ||
        !ZYAN_SUCCESS(ZydisDecoderDecodeInstruction(&decoder_, nullptr, code.data() + offset,
                                                    code.size() - offset, &raw))) {
      return std::nullopt;
    }
    Instruction insn{.offset = static_cast<std::uint32_t>(offset), .length = raw.length};
    insn.is_nop = raw.mnemonic == ZYDIS_MNEMONIC_NOP || raw.mnemonic == ZYDIS_MNEMONIC_INT3;
    const bool jumps = raw.meta.category == ZYDIS_CATEGORY_UNCOND_BR;
    insn.returns = (jumps && raw.raw.imm[0].is_relative == 0) ||
                   raw.meta.category == ZYDIS_CATEGORY_RET ||
                   raw.meta.category == ZYDIS_CATEGORY_SYSRET;
    insn.goes_on = !jumps && !insn.returns && raw.mnemonic != ZYDIS_MNEMONIC_UD2;
    if (raw.raw.imm[0].is_relative != 0) {
      insn.is_branch = true;
      insn.is_call = raw.mnemonic == ZYDIS_MNEMONIC_CALL;
      insn.field = raw.raw.imm[0].offset;
      insn.field_size = raw.raw.imm[0].size / 8;
      insn.target = static_cast<std::int64_t>(offset) + raw.length + raw.raw.imm[0].value.s;
      insn.operation = operation_of(code.subspan(offset, raw.length), insn);
    }
    insn.memory = memory_of(raw);
    insn.access = names_place(raw) ? insn.memory : 0;
    return insn;
  }

  std::string text(ByteView code, std::uint64_t address) const override {
    ZydisDecodedInstruction raw;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    char line[128] = "";
    if (ZYAN_SUCCESS(ZydisDecoderDecodeFull(&decoder_, code.data(), code.size(), &raw, operands))) {
      ZydisFormatterFormatInstruction(&formatter_, &raw, operands, raw.operand_count_visible, line,
                                      sizeof(line), address, nullptr);
    }
    return line;
  }

  std::string memory_effect(ByteView code) const override {
    ZydisDecodedInstruction raw;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    if (!ZYAN_SUCCESS(
            ZydisDecoderDecodeFull(&decoder_, code.data(), code.size(), &raw, operands))) {
      return {};
    }
    std::string out;
    bool writes = false;
    for (const ZydisDecodedOperand& operand : std::span(operands, raw.operand_count_visible)) {
      if (operand.type == ZYDIS_OPERAND_TYPE_MEMORY &&
          (operand.actions & ZYDIS_OPERAND_ACTION_MASK_WRITE) != 0) {
        writes = true;
        out = fmt::format("{} {}", ZydisMnemonicGetString(raw.mnemonic), operand.size) + out;
      } else if (operand.type == ZYDIS_OPERAND_TYPE_IMMEDIATE) {
        out += fmt::format(" {:#x}", operand.imm.value.u);
      }
    }
    return writes ? out : std::string{};
  }

  std::optional<RelocationKind> relocation(std::uint32_t type) const override {
    switch (type) {
      case R_X86_64_64: return RelocationKind{.size = 8};
      case R_X86_64_PC64: return RelocationKind{.size = 8, .pc_relative = true};
      case R_X86_64_32: return RelocationKind{.size = 4};
      case R_X86_64_32S: return RelocationKind{.size = 4, .sign_extended = true};
      case R_X86_64_PC32:
      case R_X86_64_PLT32:
        return RelocationKind{.size = 4, .pc_relative = true, .sign_extended = true};
      default: return std::nullopt;
    }
  }

  std::string_view relocation_name(std::uint32_t type) const override {
    switch (type) {
      case R_X86_64_64: return "R_X86_64_64";
      case R_X86_64_PC64: return "R_X86_64_PC64";
      case R_X86_64_32: return "R_X86_64_32";
      case R_X86_64_32S: return "R_X86_64_32S";
      case R_X86_64_PC32: return "R_X86_64_PC32";
      case R_X86_64_PLT32: return "R_X86_64_PLT32";
      default: return "an unknown relocation";
    }
  }

  std::uint32_t absolute64() const override { return R_X86_64_64; }
  std::uint32_t pc_relative32() const override { return R_X86_64_PC32; }
  std::uint32_t call32() const override { return R_X86_64_PLT32; }
  std::span<const TableLayout> tables() const override { return table_layouts; }
  std::span<const KeyTable> key_tables() const override { return key_table_layouts; }

  KeyTest key_test(bool jumps_if_enabled) const override {
    // cmpl $0, key(%rip); jne or je target
    const std::uint8_t condition = jumps_if_enabled ? 0x85 : 0x84;
    return KeyTest{.code = {0x83, 0x3d, 0, 0, 0, 0, 0, 0x0f, condition, 0, 0, 0, 0},
                   .key_field = 2,
                   .key_bias = 5,
                   .target_field = 9,
                   .target_bias = 4};
  }

  Bytes jump(std::int32_t distance) const override {
    Bytes code{0xe9};
    append_le<std::int32_t>(code, distance - 5);
    return code;
  }

  EntryThunk entry_thunk() const override {
    // addq $8, %rsp; jmp new function; int3 to 16 bytes
    return EntryThunk{
        .code = {0x48, 0x83, 0xc4, 8, 0xe9, 0, 0, 0, 0, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc, 0xcc},
        .dropped = 4,
        .field = 5,
        .bias = 4};
  }

  std::optional<std::int64_t> entry_thunk_target(ByteView code) const override {
    ZydisDecodedInstruction add;
    ZydisDecodedOperand operands[ZYDIS_MAX_OPERAND_COUNT];
    if (!ZYAN_SUCCESS(
            ZydisDecoderDecodeFull(&decoder_, code.data(), code.size(), &add, operands)) ||
        add.mnemonic != ZYDIS_MNEMONIC_ADD || operands[0].type != ZYDIS_OPERAND_TYPE_REGISTER ||
        operands[0].reg.value != ZYDIS_REGISTER_RSP ||
        operands[1].type != ZYDIS_OPERAND_TYPE_IMMEDIATE || operands[1].imm.value.s != 8) {
      return std::nullopt;
    }
    const auto jump = next(code, add.length);
    if (!jump || !jump->is_branch || jump->operation != 0xe9) {
      return std::nullopt;
    }
    const ByteView rest = code.subspan(jump->offset + jump->length);
    const bool traps = std::ranges::all_of(rest, [](std::uint8_t byte) { return byte == 0xcc; });
    return traps ? std::optional(jump->target) : std::nullopt;
  }

  AddressFate follow_address(ByteView code, const AddressUses& uses) const override {
    return follow_address_x86_64(decoder_, code, uses);
  }
  // movabs $value,%reg is REX.W (and B for r8 to r15), B8 + reg, 8 bytes; mov field(%rip),%reg is
  // REX.W (and R), 8B, ModRM with reg and no base, 4 bytes. A nop of 3 bytes makes up the length.
  std::optional<VariableRead> read_of_variable(ByteView code, std::uint64_t value) const override {
    constexpr std::uint8_t rex_w = 0x48;
    constexpr std::uint8_t rex_wb = 0x49;
    constexpr std::uint8_t rex_wr = 0x4c;
    constexpr std::uint8_t load = 0xb8;
    if (value < 2 || value > code.size() || code.size() - value < 8 ||
        (code[value - 2] != rex_w && code[value - 2] != rex_wb) ||
        (code[value - 1] & 0xf8) != load) {
      return std::nullopt;
    }
    const std::uint8_t rex = code[value - 2] == rex_wb ? rex_wr : rex_w;
    const auto modrm = static_cast<std::uint8_t>((code[value - 1] & 7) << 3 | 5);
    return VariableRead{.value = 2,
                        .code = {rex, 0x8b, modrm, 0, 0, 0, 0, 0x0f, 0x1f, 0x00},
                        .field = 3,
                        .bias = 4};
  }
  bool is_return_thunk(std::string_view symbol) const override {
    return symbol == "__x86_return_thunk";
  }
  bool is_entry_call(std::string_view symbol) const override { return symbol == "__fentry__"; }
  bool goes_elsewhere(std::string_view symbol) const override {
    return symbol.starts_with("__x86_indirect") || symbol.starts_with("__SCT__");
  }

 private:
  static std::uint8_t memory_of(const ZydisDecodedInstruction& insn) {
    const bool accesses = (insn.attributes & ZYDIS_ATTRIB_HAS_MODRM) != 0 &&
                          insn.raw.modrm.mod != 3 && insn.raw.disp.size != 0 &&
                          insn.mnemonic != ZYDIS_MNEMONIC_LEA &&
                          insn.mnemonic != ZYDIS_MNEMONIC_NOP;
    return accesses ? insn.raw.disp.offset : 0;
  }

  // mod 0 with rm 5 is RIP and a displacement; rm 4 with base 5 and index 4, a displacement alone.
  static bool names_place(const ZydisDecodedInstruction& insn) {
    const auto& raw = insn.raw;
    return raw.modrm.mod == 0 &&
           (raw.modrm.rm == 5 || (raw.modrm.rm == 4 && raw.sib.base == 5 && raw.sib.index == 4));
  }

  // The opcode as the long form has it, and the prefixes before it: their number and the first.
  static std::uint32_t operation_of(ByteView code, const Instruction& branch) {
    std::uint8_t opcode = code[branch.field - 1U];
    std::size_t opcode_size = 1;
    if (opcode == 0xeb) {
      opcode = 0xe9;
    } else if (opcode >= 0x70 && opcode < 0x80) {
      opcode += 0x10;
    } else if (opcode >= 0x80 && opcode < 0x90) {
      opcode_size = 2;
    }
    const std::size_t prefixes = branch.field - opcode_size;
    const std::uint32_t first = prefixes == 0 ? 0 : code[0];
    return static_cast<std::uint32_t>(prefixes) << 16 | first << 8 | opcode;
  }

  ZydisDecoder decoder_{};
  ZydisFormatter formatter_{};
};

}  // namespace

std::uint64_t Arch::replaceable(const TableLayout& table, ByteView entry, ByteView code) const {
  if (table.own_instruction) {
    const auto insn = next(code, 0);
    return insn ? insn->length : 0;
  }
  return table.own_size_from_end == 0 || entry.size() < table.own_size_from_end
             ? 0
             : entry[entry.size() - table.own_size_from_end];
}

std::vector<Instruction> Arch::decode(ByteView code) const {
  std::vector<Instruction> out;
  out.reserve(code.size() / 4);
  std::uint64_t offset = 0;
  while (auto insn = next(code, offset)) {
    out.push_back(*insn);
    offset += insn->length;
  }
  return out;
}

const Arch* arch_of(std::uint16_t machine) {
  static const X86_64 x86_64;
  return machine == EM_X86_64 ? &x86_64 : nullptr;
}

}  // namespace suture::elf
