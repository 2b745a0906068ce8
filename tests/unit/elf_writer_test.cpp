// SPDX-License-Identifier: GPL-2.0-or-later
#include "elf/writer.h"

#include <gtest/gtest.h>

namespace suture::elf {
namespace {

OutObject sample() {
  OutObject out{.machine = EM_X86_64};
  out.sections.push_back({.name = ".text",
                          .flags = SHF_ALLOC | SHF_EXECINSTR,
                          .alignment = 16,
                          .data = {0xe8, 0, 0, 0, 0, 0xc3}});
  out.sections.push_back(
      {.name = ".bss", .type = SHT_NOBITS, .flags = SHF_ALLOC | SHF_WRITE, .size = 4096});
  out.symbols.push_back({.name = "f", .value = 0, .size = 6, .type = STT_FUNC, .section = 0});
  out.symbols.push_back({.name = "outside", .binding = STB_GLOBAL});
  out.symbols.push_back(
      {.name = ".klp.sym.vmlinux.g,2", .binding = STB_GLOBAL, .special = shn_livepatch});
  out.relocations.push_back(
      {.name = ".rela.text",
       .target = 0,
       .entries = {{.offset = 1, .type = R_X86_64_PLT32, .symbol = 1, .addend = -4}}});
  out.relocations.push_back({.name = ".klp.rela.vmlinux..text",
                             .flags = SHF_INFO_LINK | SHF_ALLOC | shf_rela_livepatch,
                             .target = 0,
                             .entries = {{.offset = 1, .type = R_X86_64_PC32, .symbol = 2}}});
  return out;
}

ObjectFile read_back(const OutObject& object) {
  return ObjectFile::parse(write(object).value(), "written").value();
}

TEST(ElfWriter, WritesSectionsThatReadBackTheSame) {
  ObjectFile object = read_back(sample());
  EXPECT_EQ(object.file_type(), ET_REL);
  EXPECT_EQ(object.machine(), EM_X86_64);
  const Section* text = object.section(".text");
  ASSERT_NE(text, nullptr);
  EXPECT_EQ(text->alignment, 16U);
  EXPECT_EQ(text->flags, SHF_ALLOC | SHF_EXECINSTR);
  EXPECT_EQ(Bytes(text->data.begin(), text->data.end()), sample().sections[0].data);
}

TEST(ElfWriter, WritesTheSizeOfWhatHasNoBytes) {
  EXPECT_EQ(read_back(sample()).section(".bss")->size, 4096U);
}

TEST(ElfWriter, WritesRelocationsThatNameTheirSymbols) {
  ObjectFile object = read_back(sample());
  const auto& relocations = object.section(".text")->relocations;
  ASSERT_EQ(relocations.size(), 2U);
  EXPECT_EQ(object.symbols()[relocations[0].symbol].name, "outside");
  EXPECT_EQ(relocations[0].type, std::uint32_t{R_X86_64_PLT32});
  EXPECT_EQ(relocations[0].addend, -4);
}

TEST(ElfWriter, WritesSymbolsWithTheirPlaces) {
  ObjectFile object = read_back(sample());
  const Symbol& symbol = object.symbols()[1];
  EXPECT_EQ(symbol.name, "f");
  EXPECT_EQ(symbol.size, 6U);
  EXPECT_EQ(object.sections()[symbol.section].name, ".text");
}

TEST(ElfWriter, KeepsTheSectionNumberThatMarksLivepatchSymbols) {
  EXPECT_EQ(read_back(sample()).symbols()[3].section, shn_livepatch);
}

TEST(ElfWriter, KeepsTheFlagsOfLivepatchRelocations) {
  const ObjectFile object = read_back(sample());
  const Section* rela = object.section(".klp.rela.vmlinux..text");
  EXPECT_EQ(rela->flags, SHF_INFO_LINK | SHF_ALLOC | shf_rela_livepatch);
  EXPECT_EQ(object.sections()[rela->info].name, ".text");
}

TEST(ElfWriter, CountsTheLocalSymbolsForTheTable) {
  EXPECT_EQ(read_back(sample()).section(".symtab")->info, 2U);
}

TEST(ElfWriter, WritesTheSameBytesForTheSameInput) {
  EXPECT_EQ(write(sample()).value(), write(sample()).value());
}

TEST(ElfWriter, RefusesMoreSectionsThanElfCanNumber) {
  OutObject out = sample();
  out.sections.resize(SHN_LORESERVE);
  EXPECT_EQ(write(out).error().code, Code::too_many_symbols);
}

}  // namespace
}  // namespace suture::elf
