// SPDX-License-Identifier: GPL-2.0-or-later
#include "elf/runtime_constants.h"

#include <gmock/gmock.h>

#include "support/assembled.h"

namespace suture::elf {
namespace {

using testing::ElementsAre;

class RuntimeConstantsTest : public test::Assembled {
 protected:
  // asm/runtime-const.h: the value of eight bytes ends where the entry's label stands.
  static std::string load(const std::string& variable, const std::string& target) {
    return "movabs $0x0123456789abcdef, " + target + "\n1:\n.pushsection runtime_ptr_" + variable +
           ",\"a\"\n.long 1b - 8 - .\n.popsection\n";
  }
  ObjectFile object(const std::string& body, const std::string& more = {}) {
    return ObjectFile::open(assemble("code", test::function("f", body) + more)).value();
  }
  static std::string text(const ObjectFile& object, std::size_t number) {
    const ByteView code = object.section(".text.f")->data;
    const auto all = arch_of(EM_X86_64)->decode(code);
    return arch_of(EM_X86_64)->text(code.subspan(all.at(number).offset), 0);
  }
};

TEST_F(RuntimeConstantsTest, AreReadFromTheirVariable) {
  const ObjectFile read = object(load("limit", "%rdx") + "ret\n");
  EXPECT_EQ(text(read, 0), "mov 0x0000000000000007, %rdx");
  const auto& relocations = read.section(".text.f")->relocations;
  ASSERT_EQ(relocations.size(), 1U);
  EXPECT_EQ(relocations[0].offset, 3U);
  EXPECT_EQ(relocations[0].addend, -4);
  EXPECT_EQ(read.symbols()[relocations[0].symbol].name, "limit");
  EXPECT_FALSE(read.symbols()[relocations[0].symbol].defined());
}

TEST_F(RuntimeConstantsTest, KeepTheRegister) {
  const ObjectFile read = object(load("limit", "%r10") + load("limit", "%rdi") + "ret\n");
  EXPECT_EQ(text(read, 0), "mov 0x0000000000000007, %r10");
  EXPECT_EQ(text(read, 2), "mov 0x0000000000000007, %rdi");
}

TEST_F(RuntimeConstantsTest, MayBeOfAVariableOfTheFile) {
  const ObjectFile read = object(load("table", "%rax") + "ret\n",
                                 ".data\n.type table, @object\ntable: .quad 0\n.size table, 8\n");
  EXPECT_TRUE(read.symbols()[read.section(".text.f")->relocations.at(0).symbol].defined());
}

TEST_F(RuntimeConstantsTest, LeaveOtherRelocationsInTheirOrder) {
  const ObjectFile read =
      object("call before\n" + load("limit", "%rdx") + "call after\n" + "ret\n");
  std::vector<std::string_view> names;
  for (const Relocation& relocation : read.section(".text.f")->relocations) {
    names.push_back(read.symbols()[relocation.symbol].name);
  }
  EXPECT_THAT(names, ElementsAre("before", "limit", "after"));
}

TEST_F(RuntimeConstantsTest, StayWhereAnotherInstructionHoldsThem) {
  const ObjectFile read = object(
      "shrl $12, %eax\n1:\n.pushsection runtime_ptr_shift,\"a\"\n.long 1b - 1 - .\n.popsection\n");
  EXPECT_TRUE(read.section(".text.f")->relocations.empty());
  EXPECT_NE(read.section("runtime_ptr_shift")->flags & SHF_ALLOC, 0U);
}

TEST_F(RuntimeConstantsTest, TheirListIsNoPartOfTheObjectAnyMore) {
  const ObjectFile read = object(load("limit", "%rdx") + "ret\n");
  EXPECT_EQ(read.section("runtime_ptr_limit")->flags & SHF_ALLOC, 0U);
}

TEST_F(RuntimeConstantsTest, AreReadFromTheirVariableInALinkedKernel) {
  const fs::path object = assemble("code", ".globl _start\n_start:\n" + load("limit", "%r9") +
                                               "ret\n" + ".data\n.globl limit\nlimit: .quad 0\n");
  const fs::path linked = object.parent_path() / "linked";
  const auto done = run(Command{.argv = {"ld", "-o", linked.string(), object.string()}});
  ASSERT_TRUE(done && done->exit_status == 0);
  ObjectFile read = ObjectFile::open(linked).value();
  std::uint64_t limit = 0;
  for (const Symbol& symbol : read.symbols()) {
    limit = symbol.name == "limit" ? symbol.value : limit;
  }
  read_variables_for_constants(read, [&](std::string_view name) {
    return name == "limit" ? std::optional(limit) : std::nullopt;
  });
  const Section& code = *read.section(".text");
  EXPECT_EQ(code.data[0], 0x4c);
  EXPECT_EQ(code.data[1], 0x8b);
  EXPECT_EQ(code.address + 7 + *read_le<std::uint32_t>(code.data, 3), limit);
}

}  // namespace
}  // namespace suture::elf
