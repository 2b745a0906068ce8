// SPDX-License-Identifier: GPL-2.0-or-later
//
// Objects that no compiler makes: what the headers say is there may be missing.
#include <gtest/gtest.h>

#include "diff/pieces.h"
#include "diff/tables.h"
#include "elf/object.h"
#include "support/tiny_elf.h"

namespace suture::diff {
namespace {

using test::TinySection;
using test::TinySymbol;

constexpr std::uint64_t code_flags = SHF_ALLOC | SHF_EXECINSTR;
constexpr std::uint64_t huge = std::uint64_t{1} << 40;

Bytes relocations_at(const std::vector<std::uint64_t>& offsets) {
  Bytes out;
  for (std::uint64_t offset : offsets) {
    test::append_struct(out, Elf64_Rela{offset, ELF64_R_INFO(1, R_X86_64_PC32), 0});
  }
  return out;
}

// Section `target` with relocations to the first symbol. `symbol_table` is its section number.
TinySection relocating(std::uint32_t target, std::uint32_t symbol_table,
                       const std::vector<std::uint64_t>& offsets) {
  return {".rela", SHT_RELA,          0, 0, relocations_at(offsets), symbol_table,
          target,  sizeof(Elf64_Rela)};
}

TinySection code() { return {".text", SHT_PROGBITS, code_flags, 0, Bytes(64, 0x90)}; }

class DamagedObject : public testing::Test {
 protected:
  Status read(const std::vector<TinySection>& sections, const std::vector<TinySymbol>& symbols) {
    object_ = TRY(elf::ObjectFile::parse(test::tiny_elf(ET_REL, sections, symbols), "x.o"));
    graph_ = TRY(PieceGraph::build(object_, *elf::arch_of(EM_X86_64)));
    tables_ = TRY(CodeTables::build(graph_, TableSizes{}));
    return {};
  }
  // An object with one function and these two sections of ORC.
  Status read_orc(TinySection rows, TinySection places,
                  const std::vector<std::uint64_t>& relocated) {
    return read({code(), std::move(rows), std::move(places), relocating(3, 5, relocated)},
                {{"f", 1}});
  }

  elf::ObjectFile object_;
  PieceGraph graph_;
  CodeTables tables_;
};

TEST_F(DamagedObject, WithoutASymbolTableThereIsStillTheSymbolThatStandsForNone) {
  Bytes bytes = test::tiny_elf(ET_REL, {code()}, {});
  const auto table = *read_le<std::uint64_t>(bytes, offsetof(Elf64_Ehdr, e_shoff));
  for (std::uint64_t at = table; at + sizeof(Elf64_Shdr) <= bytes.size();
       at += sizeof(Elf64_Shdr)) {
    const std::uint64_t type = at + offsetof(Elf64_Shdr, sh_type);
    if (read_le<std::uint32_t>(bytes, type) == SHT_SYMTAB) {
      write_le<std::uint32_t>(bytes, type, SHT_PROGBITS);
    }
  }
  const elf::ObjectFile object = elf::ObjectFile::parse(std::move(bytes), "x.o").value();
  ASSERT_EQ(object.symbols().size(), 1U);
  EXPECT_EQ(object.symbols()[0].name, "");
}

TEST_F(DamagedObject, RelocationsOfASectionWithoutContentsAreDamage) {
  TinySection bss{".bss", SHT_NOBITS, SHF_ALLOC, 0, {}};
  bss.size = 64;
  auto status = read({code(), bss, relocating(2, 4, {8})}, {{"f", 1}});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::bad_elf);
}

TEST_F(DamagedObject, OrcRowsAreReadWhereTheyFitTheirPlaces) {
  ASSERT_TRUE(read_orc({".orc_unwind", SHT_PROGBITS, SHF_ALLOC, 0, Bytes(12, 7)},
                       {".orc_unwind_ip", SHT_PROGBITS, SHF_ALLOC, 0, Bytes(8)}, {0, 4}));
  ASSERT_FALSE(tables_.orc(0).empty());
  EXPECT_EQ(tables_.orc(0)[0].entry.size(), 6U);
}

TEST_F(DamagedObject, OrcRowsWithoutContentsAreRefused) {
  TinySection rows{".orc_unwind", SHT_NOBITS, SHF_ALLOC, 0, {}};
  rows.size = 6;
  auto status = read_orc(rows, {".orc_unwind_ip", SHT_PROGBITS, SHF_ALLOC, 0, Bytes(4)}, {0});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::special_section);
}

TEST_F(DamagedObject, HalfAnOrcPlaceIsRefused) {
  for (std::size_t size : {3U, 6U}) {
    auto status = read_orc({".orc_unwind", SHT_PROGBITS, SHF_ALLOC, 0, Bytes(6)},
                           {".orc_unwind_ip", SHT_PROGBITS, SHF_ALLOC, 0, Bytes(size)}, {size - 1});
    ASSERT_FALSE(status) << size;
    EXPECT_EQ(status.error().code, Code::special_section);
  }
}

TEST_F(DamagedObject, MergeableConstantsWithoutContentsAreOnePiece) {
  TinySection constants{".rodata.cst8", SHT_NOBITS, SHF_ALLOC | SHF_MERGE, 0, {}, 0, 0, 8};
  constants.size = huge;
  ASSERT_TRUE(read({code(), constants}, {{"f", 1}}));
  EXPECT_EQ(graph_.pieces().size(), 2U);
}

TEST_F(DamagedObject, TheRoomBeforeAFunctionWithoutContentsHasNoBytes) {
  TinySection text{".text", SHT_NOBITS, code_flags, 0, {}};
  text.size = 64;
  ASSERT_TRUE(read({text}, {{"__pfx_f", 1, 0, STT_FUNC, STB_LOCAL, 16}, {"f", 1, 16, STT_FUNC}}));
  const Piece& function = graph_.piece(0);
  ASSERT_EQ(function.prefix, 16U);
  EXPECT_TRUE(graph_.prefix_bytes(function).empty());
}

TEST_F(DamagedObject, APlaceThatIsTooFarAwayGoesRound) {
  constexpr std::int64_t far = std::numeric_limits<std::int64_t>::max();
  Bytes relocations;
  test::append_struct(relocations, Elf64_Rela{8, ELF64_R_INFO(1, R_X86_64_64), far});
  ASSERT_TRUE(read({code(),
                    {".data", SHT_PROGBITS, SHF_ALLOC, 0, Bytes(64)},
                    {".rela", SHT_RELA, 0, 0, relocations, 4, 2, sizeof(Elf64_Rela)}},
                   {{"f", 1, 32}}));
  const Reference& reference = graph_.pieces().back().references.at(0);
  EXPECT_EQ(graph_.piece(reference.target_piece).name, "f");
  EXPECT_EQ(reference.target_offset, far);
}

}  // namespace
}  // namespace suture::diff
