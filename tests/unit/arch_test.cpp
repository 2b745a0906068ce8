// SPDX-License-Identifier: GPL-2.0-or-later
#include "elf/arch.h"

#include <gtest/gtest.h>

namespace suture::elf {
namespace {

const Arch& x86() { return *arch_of(EM_X86_64); }

Instruction one(const Bytes& code) { return x86().next(code, 0).value(); }

TEST(Arch, KnowsNoMachineThatItHasNoTraitsFor) { EXPECT_EQ(arch_of(EM_ARM), nullptr); }

TEST(Arch, DecodesFromStartToEnd) {
  auto list = x86().decode(Bytes{0x55, 0x48, 0x89, 0xe5, 0xc3});
  ASSERT_EQ(list.size(), 3U);
  EXPECT_EQ(list[1].offset, 1U);
  EXPECT_EQ(list[2].offset, 4U);
}

TEST(Arch, StopsAtWhatDoesNotDecode) {
  EXPECT_EQ(x86().decode(Bytes{0x55, 0x06, 0xc3}).size(), 1U);
}

TEST(Arch, TakesNopsOfAnyLengthAndInt3ForPadding) {
  EXPECT_TRUE(one({0x90}).is_nop);
  EXPECT_TRUE(one({0x0f, 0x1f, 0x44, 0x00, 0x00}).is_nop);
  EXPECT_TRUE(one({0xcc}).is_nop);
  EXPECT_FALSE(one({0xc3}).is_nop);
}

TEST(Arch, SaysWhereAnInstructionHasTheAddressThatItAccesses) {
  EXPECT_EQ(one({0x8b, 0x05, 0, 0, 0, 0}).access, 2U);              // mov x(%rip), %eax
  EXPECT_EQ(one({0x65, 0x8b, 0x04, 0x25, 0, 0, 0, 0}).access, 4U);  // mov %gs:x, %eax
  EXPECT_EQ(one({0x83, 0x05, 0, 0, 0, 0, 1}).access, 2U);           // addl $1, x(%rip)
  EXPECT_EQ(one({0x48, 0x8b, 0x04, 0xc5, 0, 0, 0, 0}).access, 0U);  // mov x(,%rax,8), %rax
  EXPECT_EQ(one({0x48, 0x8b, 0x80, 0, 0, 0, 0}).access, 0U);        // mov x(%rax), %rax
  EXPECT_EQ(one({0x48, 0x8d, 0x05, 0, 0, 0, 0}).access, 0U);        // lea x(%rip), %rax
  EXPECT_EQ(one({0x48, 0xc7, 0xc0, 0, 0, 0, 0}).access, 0U);        // mov $x, %rax
}

TEST(Arch, SaysWhereAnInstructionAccessesMemoryWhateverRegistersAdd) {
  EXPECT_EQ(one({0x8b, 0x05, 0, 0, 0, 0}).memory, 2U);              // mov x(%rip), %eax
  EXPECT_EQ(one({0x48, 0x8b, 0x04, 0xc5, 0, 0, 0, 0}).memory, 4U);  // mov x(,%rax,8), %rax
  EXPECT_EQ(one({0x48, 0x8d, 0x05, 0, 0, 0, 0}).memory, 0U);        // lea x(%rip), %rax
  EXPECT_EQ(one({0x48, 0xc7, 0xc0, 0, 0, 0, 0}).memory, 0U);        // mov $x, %rax
}

TEST(Arch, SaysWhetherWhatFollowsMayRun) {
  EXPECT_TRUE(one({0x74, 0}).goes_on);           // je
  EXPECT_TRUE(one({0xe8, 0, 0, 0, 0}).goes_on);  // call
  EXPECT_FALSE(one({0xeb, 0}).goes_on);          // jmp
  EXPECT_FALSE(one({0xeb, 0}).returns);
  EXPECT_FALSE(one({0x0f, 0x0b}).goes_on);  // ud2
  EXPECT_FALSE(one({0x0f, 0x0b}).returns);
  EXPECT_TRUE(one({0xc3}).returns);        // ret
  EXPECT_TRUE(one({0xff, 0xe0}).returns);  // jmp *%rax
  EXPECT_FALSE(one({0xff, 0xe0}).goes_on);
}

TEST(Arch, SaysWhatAnInstructionDoesToMemoryWhateverRegisterItTakes) {
  auto effect = [](const Bytes& code) { return x86().memory_effect(code); };
  EXPECT_EQ(effect({0x89, 0x05, 0, 0, 0, 0}), effect({0x89, 0x15, 0, 0, 0, 0}));  // mov %eax, %edx
  EXPECT_TRUE(effect({0x89, 0x05, 0, 0, 0, 0}).starts_with("mov "));
  EXPECT_NE(effect({0xc6, 0x05, 0, 0, 0, 0, 1}), effect({0xc6, 0x05, 0, 0, 0, 0, 2}));  // movb
  EXPECT_EQ(effect({0x8b, 0x05, 0, 0, 0, 0}), "");                                      // a load
  EXPECT_EQ(effect({0x83, 0x3d, 0, 0, 0, 0, 0}), "");  // cmpl $0, x(%rip)
}

TEST(Arch, SaysWhereABranchGoes) {
  Instruction jump = one({0xe9, 0x10, 0, 0, 0});
  EXPECT_TRUE(jump.is_branch);
  EXPECT_FALSE(jump.is_call);
  EXPECT_EQ(jump.target, 0x15);
  EXPECT_EQ(jump.field, 1U);
  EXPECT_EQ(jump.field_size, 4U);
  EXPECT_TRUE(one({0xe8, 0, 0, 0, 0}).is_call);
}

TEST(Arch, GivesBothWidthsOfABranchOneOperation) {
  EXPECT_EQ(one({0x74, 0}).operation, one({0x0f, 0x84, 0, 0, 0, 0}).operation);
  EXPECT_EQ(one({0xeb, 0}).operation, one({0xe9, 0, 0, 0, 0}).operation);
}

TEST(Arch, TellsConditionsAndPrefixesApart) {
  EXPECT_NE(one({0x74, 0}).operation, one({0x75, 0}).operation);
  EXPECT_NE(one({0xe9, 0, 0, 0, 0}).operation, one({0xe8, 0, 0, 0, 0}).operation);
  EXPECT_NE(one({0xe8, 0, 0, 0, 0}).operation, one({0x2e, 0xe8, 0, 0, 0, 0}).operation);
}

TEST(Arch, WritesInstructionsForPeople) {
  EXPECT_EQ(x86().text(Bytes{0x48, 0x89, 0xe5}, 0), "mov %rsp, %rbp");
  EXPECT_EQ(x86().text(Bytes{0x06}, 0), "");
}

TEST(Arch, ReadsItsOwnEntryThunk) {
  const EntryThunk thunk = x86().entry_thunk();
  EXPECT_EQ(x86().entry_thunk_target(thunk.code), thunk.field + thunk.bias);
  EXPECT_EQ(one(thunk.code).length, thunk.dropped);
}

TEST(Arch, TakesNothingElseForAnEntryThunk) {
  const Bytes good = x86().entry_thunk().code;
  auto with = [&](std::size_t at, std::uint8_t byte) {
    Bytes code = good;
    code[at] = byte;
    return code;
  };
  EXPECT_FALSE(x86().entry_thunk_target(with(3, 16)));    // drops two
  EXPECT_FALSE(x86().entry_thunk_target(with(2, 0xec)));  // takes one more
  EXPECT_FALSE(x86().entry_thunk_target(with(2, 0xc0)));  // another register
  EXPECT_FALSE(x86().entry_thunk_target(with(4, 0xe8)));  // calls
  EXPECT_FALSE(x86().entry_thunk_target(with(9, 0x90)));  // what follows does not trap
  for (std::size_t size = 0; size < 9; ++size) {
    EXPECT_FALSE(x86().entry_thunk_target(ByteView(good).first(size))) << size;
  }
}

TEST(Arch, KnowsHowRelocationsWrite) {
  EXPECT_EQ(x86().relocation(R_X86_64_64)->size, 8U);
  EXPECT_TRUE(x86().relocation(R_X86_64_PLT32)->pc_relative);
  EXPECT_FALSE(x86().relocation(R_X86_64_32)->sign_extended);
  EXPECT_FALSE(x86().relocation(R_X86_64_TPOFF64));
}

}  // namespace
}  // namespace suture::elf
