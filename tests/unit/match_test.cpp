// SPDX-License-Identifier: GPL-2.0-or-later
#include "match/match.h"

#include <gmock/gmock.h>

#include "match/explain.h"
#include "support/assembled.h"

namespace suture::match {
namespace {

using test::function;
using Kind = Mismatch::Kind;
using ::testing::Contains;
using ::testing::HasSubstr;

class Match : public test::Pair {
 protected:
  // One function f, in pre and as it runs.
  void load_f(const std::string& pre, const std::string& run) {
    load(function("f", pre), {function("f", run, ".text")});
  }
};

TEST_F(Match, TakesTheSameBytes) {
  load_f("push %rbx; mov %rdi, %rbx; pop %rbx; ret", "push %rbx; mov %rdi, %rbx; pop %rbx; ret");
  ASSERT_TRUE(matches("f"));
  EXPECT_EQ(matched_.functions.at(piece("f")).address, address("f"));
  EXPECT_EQ(matched_.of, 1U);
}

TEST_F(Match, FindsTheByteThatDiffers) {
  load_f("push %rbx; mov $1, %eax; pop %rbx; ret", "push %rbx; mov $2, %eax; pop %rbx; ret");
  ASSERT_FALSE(matches("f"));
  EXPECT_EQ(mismatch("f").kind, Kind::different);
  EXPECT_EQ(mismatch("f").offset, 1U);
  EXPECT_EQ(mismatch("f").run_offset, 1U);
}

TEST_F(Match, TakesAShorterFormOfTheSameJump) {
  load_f(".byte 0x0f, 0x84; .long 1f - . - 4; nop; 1: ret", "je 1f; nop; 1: ret");
  EXPECT_TRUE(matches("f"));
}

TEST_F(Match, TakesNoOtherConditionForTheSameJump) {
  load_f("je 1f; inc %eax; 1: ret", "jne 1f; inc %eax; 1: ret");
  EXPECT_FALSE(matches("f"));
}

TEST_F(Match, TakesNoOtherConditionForAShorterForm) {
  load_f(".byte 0x0f, 0x84; .long 1f - . - 4; inc %eax; 1: ret", "jne 1f; inc %eax; 1: ret");
  EXPECT_FALSE(matches("f"));
}

TEST_F(Match, TakesNoCallForAJump) {
  load_f("jmp g", "call g");
  EXPECT_FALSE(matches("f"));
}

TEST_F(Match, SkipsPadding) {
  load_f("inc %eax; .p2align 3; dec %eax; ret", "inc %eax; nop; dec %eax; ret");
  EXPECT_TRUE(matches("f"));
}

TEST_F(Match, NoticesAJumpThatArrivesElsewhere) {
  load_f(".byte 0x0f, 0x84; .long 1f - . - 4; inc %eax; dec %eax; 1: ret",
         "je 1f; inc %eax; 1: dec %eax; ret");
  ASSERT_FALSE(matches("f"));
  EXPECT_THAT(mismatch("f").reason, HasSubstr("goes elsewhere"));
}

TEST_F(Match, NoticesAJumpOverAnInstructionThatPreDoesNotSkip) {
  load_f(".byte 0x0f, 0x84; .long 1f - . - 4; inc %eax; 1: dec %eax; ret",
         "je 1f; inc %eax; dec %eax; 1: ret");
  EXPECT_FALSE(matches("f"));
}

TEST_F(Match, NoticesThatTheRunningFunctionIsCutOff) {
  load(function("f", "inc %eax; dec %eax; ret"), {function("f", "inc %eax; dec %eax", ".text")});
  ASSERT_FALSE(matches("f"));
  EXPECT_THAT(mismatch("f").reason, HasSubstr("shorter"));
}

TEST_F(Match, EndsNoFunctionAtALabelOfItsOwn) {
  load(function("f", "inc %eax; ret; .slow: dec %eax; ret"),
       {function("f", "inc %eax; ret; .slow: dec %eax; ret", ".text")});
  EXPECT_TRUE(matches("f"));
}

TEST_F(Match, EndsAFunctionAtASymbolThatIsNoLabelOfItsOwn) {
  load(function("f", "inc %eax; ret; .slow: dec %eax; ret"),
       {function("f", "inc %eax; ret; .other: dec %eax; ret", ".text")});
  ASSERT_FALSE(matches("f"));
  EXPECT_THAT(mismatch("f").reason, HasSubstr("shorter"));
}

TEST_F(Match, NoticesThatAFunctionIsMissing) {
  load(function("f", "ret"), {function("g", "ret", ".text")});
  EXPECT_EQ(mismatch("f").kind, Kind::missing);
}

TEST_F(Match, DoesNotTakeWhatDoesNotDecode) {
  load_f("jmp 1f; 1: .byte 0x06; ret", ".byte 0xe9; .long 1f - . - 4; 1: .byte 0x06; ret");
  EXPECT_FALSE(matches("f"));
}

// A place inside g that moved with the width of a jump before it.
TEST_F(Match, FollowsAJumpIntoAnotherFunction) {
  const std::string cold = "add $1, %ecx; jmp .Lback";
  load(function("g", ".byte 0x0f, 0x84; .long 2f - . - 4; inc %eax; .Lback: dec %eax; 2: ret") +
           function("g.cold", cold),
       {function("g", "je 2f; inc %eax; .Lback: dec %eax; 2: ret", ".text") +
        function("g.cold", cold, ".text")});
  EXPECT_TRUE(matches("g"));
  EXPECT_TRUE(matches("g.cold"));
}

TEST_F(Match, NoticesAJumpToAnotherPlaceInAnotherFunction) {
  const std::string cold = "add $1, %ecx; jmp .Lback";
  load(function("g", ".byte 0x0f, 0x84; .long 2f - . - 4; inc %eax; .Lback: dec %eax; 2: ret") +
           function("g.cold", cold),
       {function("g", "je 2f; .Lback: inc %eax; dec %eax; 2: ret", ".text") +
        function("g.cold", cold, ".text")});
  EXPECT_TRUE(matches("g"));
  ASSERT_FALSE(matches("g.cold"));
  EXPECT_THAT(mismatch("g.cold").reason, HasSubstr("another place in g"));
}

TEST_F(Match, LeavesInitCodeOut) {
  load(function("f", "ret", ".init.text"), {});
  EXPECT_EQ(matched_.of, 0U);
}

TEST_F(Match, TakesNoStrongFunctionForAWeakOneOfItsNameAndCode) {
  load(".weak f\n" + function("f", "ret"), {".globl f\n" + function("f", "ret", ".text")});
  ASSERT_FALSE(matches("f"));
  EXPECT_EQ(mismatch("f").kind, Mismatch::Kind::overridden);
  load(".weak f\n" + function("f", "ret"), {".weak f\n" + function("f", "ret", ".text")});
  EXPECT_TRUE(matches("f"));
}

TEST_F(Match, CountsNoWeakFunctionThatAnotherOverrides) {
  load(".weak f\n" + function("f", "ret"), {function("f", "inc %eax; ret", ".text")});
  EXPECT_EQ(mismatch("f").kind, Kind::overridden);
  EXPECT_EQ(matched_.of, 0U);
}

TEST_F(Match, SolvesWhatAFieldRefersTo) {
  const std::string data = ".data; .type number, @object; number: .long 7; .size number, 4\n";
  load(data + function("f", "mov number(%rip), %eax; call outside; ret"),
       {data + function("f", "mov number(%rip), %eax; call outside; ret", ".text")});
  ASSERT_TRUE(matches("f"));
  EXPECT_EQ(matched_.addresses.at(piece("number")), address("number"));
  EXPECT_EQ(matched_.externals.at("outside"), *run_.outside("outside"));
}

TEST_F(Match, NoticesAFieldThatRefersToAnotherName) {
  load(function("f", "call one; ret"),
       {function("f", "call two; ret", ".text") + function("g", "call one; ret", ".text")});
  EXPECT_FALSE(matches("f"));
}

TEST_F(Match, NoticesAFunctionThatRefersToAnotherVariable) {
  const std::string data =
      ".data; .type a, @object; a: .long 7; .size a, 4; .type b, @object; b: .long 8; .size b, 4\n";
  load(data + function("f", "mov a(%rip), %eax; ret"),
       {data + function("f", "mov b(%rip), %eax; ret", ".text")});
  ASSERT_FALSE(matches("f"));
  EXPECT_THAT(mismatch("f").reason, HasSubstr("refers to a"));
}

TEST_F(Match, NoticesOneNameForTwoPlaces) {
  load_f("call hidden; call hidden; ret", "call one; call two; ret");
  EXPECT_FALSE(matches("f"));
}

TEST_F(Match, ComparesMergedStringsByContent) {
  auto text = [](const char* content) {
    return fmt::format(".section .rodata.str1.1,\"aMS\",@progbits,1\n.zero 3\n.Ls: .asciz \"{}\"\n",
                       content);
  };
  load(text("yes") + function("f", "mov $.Ls, %edi; ret"),
       {text("yes") + function("f", "mov $.Ls, %edi; ret", ".text")});
  EXPECT_TRUE(matches("f"));
  load(text("yes") + function("f", "mov $.Ls, %edi; ret"),
       {text("no!") + function("f", "mov $.Ls, %edi; ret", ".text")});
  EXPECT_FALSE(matches("f"));
}

TEST_F(Match, TakesTheEndOfAStringForThatStringsEnd) {
  const std::string first = ".section .rodata.str1.1,\"aMS\",@progbits,1\n.Ls: .asciz \"yes\"\n";
  const std::string code = "cmp $.Ls + 4, %rdi; ret";
  load(first + ".Lt: .asciz \"next\"\n" + function("f", code),
       {first + ".Lt: .asciz \"other\"\n" + function("f", code, ".text")});
  EXPECT_TRUE(matches("f"));
}

// Two local functions f with the same code; what the rest says decides which one is meant.
const std::string f_in_pre = function("f", "mov $5, %eax; ret");
const std::string f_in_run = function("f", "mov $5, %eax; ret", ".text");

TEST_F(Match, TellsWhenNothingDecidesBetweenNamesakes) {
  load(f_in_pre, {f_in_run, f_in_run});
  EXPECT_EQ(mismatch("f").kind, Kind::ambiguous);
}

TEST_F(Match, DecidesBetweenNamesakesByACall) {
  load(f_in_pre + function("g", "call f; ret"),
       {f_in_run, f_in_run + function("g", "call f; ret", ".text")});
  ASSERT_TRUE(matches("f"));
  EXPECT_EQ(matched_.functions.at(piece("f")).address, address("f", 1));
}

TEST_F(Match, DecidesBetweenNamesakesByAPointerInData) {
  const std::string table = ".data; .type table, @object; table: .quad f; .size table, 8\n";
  const std::string code = "mov table(%rip), %rax; ret";
  load(table + f_in_pre + function("g", code),
       {f_in_run, table + f_in_run + function("g", code, ".text")});
  ASSERT_TRUE(matches("f"));
  EXPECT_EQ(matched_.functions.at(piece("f")).address, address("f", 1));
}

TEST_F(Match, DecidesBetweenNamesakesByTheNeighbours) {
  const std::string before = function("g", "inc %eax; ret", ".text");
  const std::string after = function("h", "dec %eax; ret", ".text");
  load(function("g", "inc %eax; ret") + f_in_pre + function("h", "dec %eax; ret"),
       {f_in_run, before + f_in_run + after});
  ASSERT_TRUE(matches("f"));
  EXPECT_EQ(matched_.functions.at(piece("f")).address, address("f", 1));
}

TEST_F(Match, TakesNoNamesakeThatContradictsTheRest) {
  load(function("f", "call hidden; ret") + function("g", "call hidden; ret"),
       {function("f", "call two; ret", ".text") + function("g", "call one; ret", ".text")});
  EXPECT_TRUE(matches("f") != matches("g"));
}

TEST_F(Match, LearnsAnAddressOnlyFromData) {
  auto table = [](const char* content) {
    return fmt::format(
        ".data; .type table, @object; table: .quad {}, hidden; .size table, 16\n"
        ".type hidden, @object; hidden: .long 3; .size hidden, 4\n",
        content);
  };
  const std::string code = "mov table(%rip), %rax; ret";
  load(table("1") + function("f", code), {table("1") + function("f", code, ".text")});
  EXPECT_EQ(matched_.addresses.at(piece("hidden")), address("hidden"));
  // Another content is no proof of anything.
  load(table("1") + function("f", code), {table("2") + function("f", code, ".text")});
  EXPECT_FALSE(matched_.addresses.contains(piece("hidden")));
}

// A static branch: 5 bytes at the site, and its entry in __jump_table.
std::string static_branch(const std::string& site, const std::string& section,
                          const std::string& key = "key", const std::string& target = ".Lyes") {
  return ".data; .type key, @object; key: .quad 0; .size key, 8; .type other, @object; other: "
         ".quad 0; .size other, 8\n" +
         function("f", ".Lsite: " + site + "; inc %eax; ret; .Lyes: dec %eax; .Lno: ret", section) +
         fmt::format(
             ".section __jump_table,\"aw\",@progbits\n.long .Lsite - ., {} - .\n.quad {} - .\n",
             target, key);
}

constexpr const char* nop = ".byte 0x0f, 0x1f, 0x44, 0x00, 0x00";
constexpr const char* jump = ".byte 0xe9; .long .Lyes - . - 4";

TEST_F(Match, TakesAStaticBranchWhoeverWroteItsBytes) {
  load(static_branch(jump, ".text.f"), {static_branch(nop, ".text")});
  EXPECT_TRUE(matches("f"));
  EXPECT_EQ(matched_.addresses.at(piece("key")), address("key"));
  load(static_branch(jump, ".text.f"), {static_branch(".byte 0x66, 0x90", ".text")});
  EXPECT_TRUE(matches("f"));
}

TEST_F(Match, NoticesAStaticBranchWithAnotherKey) {
  load(static_branch(jump, ".text.f"), {static_branch(nop, ".text", "other")});
  EXPECT_FALSE(matches("f"));
}

TEST_F(Match, NoticesAStaticBranchToElsewhere) {
  load(static_branch(jump, ".text.f"), {static_branch(nop, ".text", "key", ".Lno")});
  EXPECT_FALSE(matches("f"));
}

TEST_F(Match, TakesNoNopForAJumpThatIsNoStaticBranch) {
  load_f(std::string(jump) + "; inc %eax; ret; .Lyes: ret",
         std::string(nop) + "; inc %eax; ret; .Lyes: ret");
  EXPECT_FALSE(matches("f"));
}

TEST_F(Match, ExplainsWithBothSidesAndTheNames) {
  load_f("call one; mov $1, %eax; ret", "call one; mov $2, %eax; ret");
  Explanation explanation = explain(graph_, run_, matched_, mismatch("f"));
  EXPECT_THAT(explanation.compiled, Contains(HasSubstr("-> +0x5  mov $0x01, %eax")));
  EXPECT_THAT(explanation.running, Contains(HasSubstr("-> +0x5  mov $0x02, %eax")));
  EXPECT_THAT(explanation.compiled, Contains(HasSubstr("# one")));
  EXPECT_THAT(explanation.text(), HasSubstr("likely cause"));
}

}  // namespace
}  // namespace suture::match
