// SPDX-License-Identifier: GPL-2.0-or-later
#include "match/explain.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <functional>

#include "match/compare.h"

namespace suture::match {

namespace {

constexpr std::size_t lines_before = 2;
constexpr std::size_t lines_after = 3;

// Smaller numbers are displacements and constants.
constexpr std::uint64_t lowest_address = 0x100000;

using Annotate = std::function<std::string(const elf::Instruction&, const std::string& text)>;

// The instructions around `place`; `address` is what the first byte of `code` has.
std::vector<std::string> around(const elf::Arch& arch, ByteView code, std::uint64_t place,
                                std::uint64_t address, const Annotate& annotate) {
  std::vector<elf::Instruction> instructions = arch.decode(code);
  auto at = std::ranges::lower_bound(instructions, place, {}, &elf::Instruction::offset);
  auto index = static_cast<std::size_t>(at - instructions.begin());
  std::size_t first = index < lines_before ? 0 : index - lines_before;
  std::size_t end = std::min(instructions.size(), index + lines_after + 1);
  std::vector<std::string> out;
  for (std::size_t i = first; i < end; ++i) {
    const elf::Instruction& insn = instructions[i];
    std::string text = arch.text(code.subspan(insn.offset, insn.length), address + insn.offset);
    std::string note = annotate(insn, text);
    out.push_back(fmt::format("{} +{:#x}  {}{}{}", i == index ? "->" : "  ", insn.offset, text,
                              note.empty() ? "" : "  # ", note));
  }
  if (index == instructions.size()) {
    out.push_back(fmt::format("-> +{:#x}  (the end)", place));
  }
  return out;
}

std::string plus(std::string_view name, std::int64_t offset) {
  return offset == 0 ? std::string(name)
                     : fmt::format("{}{}{:#x}", name, offset < 0 ? "-" : "+", std::abs(offset));
}

// The names that the relocations inside the instruction give.
std::string names_in(const diff::PieceGraph& pre, const diff::Piece& piece,
                     const elf::Instruction& insn) {
  std::string out;
  for (const diff::Reference& reference : piece.references) {
    if (reference.offset < insn.offset ||
        reference.offset >= std::uint64_t{insn.offset} + insn.length) {
      continue;
    }
    std::string_view name = pre.object().symbols()[reference.symbol].name;
    if (reference.target_piece >= 0) {
      const diff::Piece& target = pre.piece(reference.target_piece);
      name = target.name.empty() ? std::string_view(pre.section_of(target).name) : target.name;
    }
    out += (out.empty() ? "" : ", ") + plus(name, reference.target_offset);
  }
  return out;
}

// The name of the first address in `text` that is one of a symbol, or lies in the function itself.
std::string name_in(const RunObject& run, const std::string& text, std::uint64_t start,
                    std::uint64_t size) {
  for (std::size_t at = text.find("0x"); at != std::string::npos; at = text.find("0x", at + 2)) {
    std::uint64_t address = 0;
    std::from_chars(text.data() + at + 2, text.data() + text.size(), address, 16);
    if (address < lowest_address) {
      continue;
    }
    auto symbols = run.symbols().at(address);
    if (!symbols.empty()) {
      return std::string(run.symbols().all()[symbols[0]].name);
    }
    if (address >= start && address - start < size) {
      return fmt::format("+{:#x}", address - start);
    }
  }
  return {};
}

std::string_view compiler_of(const diff::PieceGraph& pre) {
  const elf::Section* comment = pre.object().section(".comment");
  return comment == nullptr ? std::string_view{} : elf::compiler(*comment);
}

void judge_cause(const diff::PieceGraph& pre, const RunObject& run, const MatchResult& result,
                 Explanation& out) {
  auto different = static_cast<std::size_t>(
      std::ranges::count(result.mismatches, Mismatch::Kind::different,
                         [](const auto& pair) { return pair.second.kind; }));
  std::string_view ours = compiler_of(pre);
  std::string_view theirs = run.compiler();
  if (!ours.empty() && !theirs.empty() && ours != theirs) {
    out.cause = Cause::compiler;
    out.cause_text = fmt::format("the compiler: {} was used here, {} for the kernel", ours, theirs);
  } else if (different * 2 > result.of) {
    out.cause = Cause::options;
    out.cause_text = fmt::format(
        "the compiler's options or the configuration: {} of {} functions of the file differ",
        different, result.of);
  } else {
    out.cause = Cause::source;
    out.cause_text = fmt::format(
        "the source's version, or an option of the configuration: {} of {} functions of the file "
        "differ",
        different, result.of);
  }
}

}  // namespace

std::string_view cause_name(Cause cause) {
  switch (cause) {
    case Cause::compiler: return "compiler";
    case Cause::options: return "options";
    case Cause::source: return "source";
  }
  return "unknown";
}

std::string Explanation::text() const {
  std::string out =
      fmt::format("what was compiled is not what runs: {}; the likely cause is {}\ncompiled:\n",
                  reason, cause_text);
  for (const std::string& line : compiled) {
    out += fmt::format("  {}\n", line);
  }
  out += fmt::format("running, at {:#x}:", address);
  for (const std::string& line : running) {
    out += fmt::format("\n  {}", line);
  }
  return out;
}

Explanation explain(const diff::PieceGraph& pre, const RunObject& run, const MatchResult& result,
                    const Mismatch& mismatch) {
  const diff::Piece& piece = pre.piece(mismatch.piece);
  Explanation out{.function = std::string(piece.name),
                  .offset = mismatch.offset,
                  .address = mismatch.address,
                  .run_offset = mismatch.run_offset,
                  .reason = mismatch.reason};
  judge_cause(pre, run, result, out);
  out.compiled = around(
      pre.arch(), pre.bytes(piece), mismatch.offset, 0,
      [&](const elf::Instruction& insn, const std::string&) { return names_in(pre, piece, insn); });
  ByteView code = running_function(pre, run, piece, mismatch.address);
  out.running = around(pre.arch(), code, mismatch.run_offset, mismatch.address,
                       [&](const elf::Instruction&, const std::string& text) {
                         return name_in(run, text, mismatch.address, code.size());
                       });
  return out;
}

}  // namespace suture::match
