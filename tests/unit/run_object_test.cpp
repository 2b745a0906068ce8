// SPDX-License-Identifier: GPL-2.0-or-later
#include "match/run_object.h"

#include "support/assembled.h"

namespace suture::match {
namespace {

using test::function;

class RunObjectOfModule : public test::Pair {};

TEST_F(RunObjectOfModule, AppliesRelocationsToDefinedSymbols) {
  load("", {".data; p: .quad q; q: .long 3\n"});
  auto pointer = run_.at(address("p"), 8);
  ASSERT_TRUE(pointer);
  EXPECT_EQ(read_le<std::uint64_t>(*pointer, 0), address("q"));
}

TEST_F(RunObjectOfModule, AppliesDistances) {
  load("", {".data; p: .long q - .; .section .rodata; q: .long 3\n"});
  auto distance = read_le<std::int32_t>(*run_.at(address("p"), 4), 0);
  EXPECT_EQ(address("p") + static_cast<std::uint64_t>(std::int64_t{*distance}), address("q"));
}

TEST_F(RunObjectOfModule, GivesUndefinedSymbolsAddressesOfTheirOwn) {
  load("", {".data; p: .quad one, two\n"});
  EXPECT_EQ(read_le<std::uint64_t>(*run_.at(address("p"), 8), 0), run_.outside("one"));
  EXPECT_NE(run_.outside("one"), run_.outside("two"));
  EXPECT_FALSE(run_.outside("three"));
}

TEST_F(RunObjectOfModule, EndsWhereTheSectionEnds) {
  load("", {".data; p: .quad 1\n"});
  EXPECT_FALSE(run_.at(address("p"), 9));
  EXPECT_EQ(run_.from(address("p"), 100).size(), 8U);
  EXPECT_TRUE(run_.from(0x99, 8).empty());
}

TEST_F(RunObjectOfModule, FindsItsJumpTable) {
  load("", {".section __jump_table,\"aw\",@progbits; .zero 16\n"});
  EXPECT_EQ(run_.jump_table().second.size(), 16U);
  load("", {".data; .zero 16\n"});
  EXPECT_TRUE(run_.jump_table().second.empty());
}

TEST_F(RunObjectOfModule, KnowsWhichFunctionsAreSealed) {
  load("", {function("f", "ret", ".text") + function("g", "ret", ".text") +
            ".section .ibt_endbr_seal,\"a\",@progbits; .long 0; .long g - .\n"});
  EXPECT_FALSE(run_.is_sealed(address("f")));
  EXPECT_TRUE(run_.is_sealed(address("g")));
}

TEST_F(RunObjectOfModule, SaysWhatCompiledIt) {
  load("", {".section .comment,\"MS\",@progbits,1; .asciz \"GCC: (Some 1.2) 3.4\"\n"});
  EXPECT_EQ(run_.compiler(), "(Some 1.2) 3.4");
}

TEST_F(RunObjectOfModule, KnowsWhichPositionsStayWhileItIsLoaded) {
  load("", {function("f", "ret", ".init.text"),
            function("f", "ret", ".text") + function("g", "ret", ".text")});
  EXPECT_FALSE(run_.keeps_position(run_.symbols().find("f")[0]));
  EXPECT_TRUE(run_.keeps_position(run_.symbols().find("g")[0]));
}

}  // namespace
}  // namespace suture::match
