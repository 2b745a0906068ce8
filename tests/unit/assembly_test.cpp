// SPDX-License-Identifier: GPL-2.0-or-later
#include "module/assembly.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace suture::module {
namespace {

constexpr std::uint64_t code_section = SHF_ALLOC | SHF_EXECINSTR;

class AssemblyTest : public testing::Test {
 protected:
  elf::ObjectFile finish() {
    return elf::ObjectFile::parse(assembly_.finish().value(), "assembled").value();
  }
  Place call_in(const std::string& section) {
    std::int32_t number = assembly_.section(section, SHT_PROGBITS, code_section, 16);
    Place place = assembly_.append(number, Bytes{0xe8, 0, 0, 0, 0}, 5, 16);
    return Place{place.section, place.offset + 1};
  }
  Assembly assembly_{EM_X86_64, Core::livepatch};
};

TEST_F(AssemblyTest, AppendsAtMultiplesOfTheAlignment) {
  std::int32_t text = assembly_.section(".text", SHT_PROGBITS, code_section, 16);
  assembly_.append(text, Bytes{0xc3}, 1, 16);
  EXPECT_EQ(assembly_.append(text, Bytes{0xc3}, 1, 16).offset, 16U);
  EXPECT_EQ(assembly_.data(text)[1], 0xcc);  // a trap, should anything ever arrive there
}

TEST_F(AssemblyTest, PadsDataWithZeros) {
  std::int32_t data = assembly_.section(".data", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 8);
  assembly_.append(data, Bytes{1}, 1, 8);
  assembly_.append(data, Bytes{2}, 1, 8);
  EXPECT_EQ(assembly_.data(data)[1], 0);
}

TEST_F(AssemblyTest, GivesBytesToASectionThatHadNone) {
  std::int32_t bss = assembly_.section(".bss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE, 8);
  assembly_.append(bss, {}, 8, 8);
  assembly_.section(".bss", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, 8);
  assembly_.append(bss, Bytes{7}, 1, 8);
  EXPECT_EQ(finish().section(".bss")->data[8], 7);
}

TEST_F(AssemblyTest, RelocatesToItsOwnPlacesBySection) {
  Place field = call_in(".text");
  assembly_.relocate(field, R_X86_64_PLT32, Place{field.section, 32}, -4);
  elf::ObjectFile object = finish();
  const elf::Relocation& relocation = object.section(".text")->relocations.at(0);
  EXPECT_EQ(object.symbols()[relocation.symbol].type, STT_SECTION);
  EXPECT_EQ(relocation.addend, 28);
}

TEST_F(AssemblyTest, ImportsExportsByName) {
  assembly_.relocate(call_in(".text"), R_X86_64_PLT32,
                     Binding{.object = "vmlinux", .name = "printk", .exported = true}, -4,
                     "vmlinux");
  elf::ObjectFile object = finish();
  const elf::Relocation& relocation = object.section(".text")->relocations.at(0);
  EXPECT_EQ(object.symbols()[relocation.symbol].name, "printk");
  EXPECT_EQ(object.symbols()[relocation.symbol].section, std::uint32_t{SHN_UNDEF});
  EXPECT_NE(object.section(".rela.text"), nullptr);
}

TEST_F(AssemblyTest, LeavesTheRestToLivepatch) {
  assembly_.relocate(call_in(".text"), R_X86_64_PLT32,
                     Binding{.object = "vmlinux", .name = "hidden", .sympos = 3}, -4, "vmlinux");
  elf::ObjectFile object = finish();
  const elf::Relocation& relocation = object.section(".text")->relocations.at(0);
  EXPECT_EQ(object.symbols()[relocation.symbol].name, ".klp.sym.vmlinux.hidden,3");
  EXPECT_EQ(object.symbols()[relocation.symbol].section, elf::shn_livepatch);
  EXPECT_NE(object.section(".klp.rela.vmlinux..text"), nullptr);
  EXPECT_EQ(object.section(".rela.text"), nullptr);
}

TEST_F(AssemblyTest, BindsVmlinuxWhenItLoadsAndModulesWhenTheyArePatched) {
  Place field = call_in(".text");
  assembly_.relocate(field, R_X86_64_PLT32, Binding{.object = "vmlinux", .name = "a"}, -4, "fat");
  assembly_.relocate(field, R_X86_64_PLT32, Binding{.object = "other", .name = "b"}, -4, "fat");
  elf::ObjectFile object = finish();
  EXPECT_NE(object.section(".klp.rela.vmlinux..text"), nullptr);
  EXPECT_NE(object.section(".klp.rela.fat..text"), nullptr);
  EXPECT_EQ(object.section(".klp.rela.other..text"), nullptr);
}

TEST_F(AssemblyTest, ListsWhatLivepatchBinds) {
  assembly_.relocate(call_in(".text"), R_X86_64_PLT32,
                     Binding{.object = "fat", .name = "hidden", .sympos = 2}, -4, "fat");
  EXPECT_THAT(assembly_.core_symbols(), testing::ElementsAre("fat:hidden,2"));
}

TEST_F(AssemblyTest, HasAnotherDigestForAnotherTarget) {
  std::string before = assembly_.digest();
  Place field = call_in(".text");
  std::string with_code = assembly_.digest();
  assembly_.relocate(field, R_X86_64_PLT32, Binding{.object = "vmlinux", .name = "a"}, -4, "fat");
  EXPECT_NE(before, with_code);
  EXPECT_NE(with_code, assembly_.digest());
}

}  // namespace
}  // namespace suture::module
