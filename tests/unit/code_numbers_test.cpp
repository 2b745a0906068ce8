// SPDX-License-Identifier: GPL-2.0-or-later
//
// Sizes of what was made before the patch, and the limits that the patch goes by.
#include "diff/code_numbers.h"

#include <gmock/gmock.h>

#include "support/boot_files.h"

namespace suture::diff {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using CodeNumbersTest = test::BootFiles;

TEST_F(CodeNumbersTest, ATableThatRunTimeCodeAllocatedHasTheOldSize) {
  const auto table = [](int bytes) {
    return code("make", fmt::format("mov ${}, %edi\ncall __kmalloc\nmov %rax, 8(%rbx)\n", bytes));
  };
  const auto user = [](int mask) { return code("find", fmt::format("and ${}, %edi\n", mask)); };
  file(table(128) + user(15), table(256) + user(31));
  EXPECT_THAT(refusals(),
              ElementsAre("layout-changed find: it goes by 31 instead of 15 after the diff, and "
                          "make, which allocates memory, by 256 instead of 128: what it has "
                          "allocated so far may be of the old size"));
}

TEST_F(CodeNumbersTest, ATableWhosePlacesAreWhatIsLeftOfAHash) {
  const auto text = [](int bytes, int shift) {
    return code("make", fmt::format("mov ${}, %edi\ncall __kmalloc\nmov %rax, 8(%rbx)\n", bytes)) +
           code("find", fmt::format("shr ${}, %edi\n", shift));
  };
  file(text(1024, 25), text(2048, 24));
  EXPECT_THAT(refusals(),
              ElementsAre(HasSubstr("layout-changed find: it shifts by 24 instead of 25 "
                                    "after the diff, and make, which allocates")));
}

TEST_F(CodeNumbersTest, ATableThatIsLookedIntoByASmallerMask) {
  const auto text = [](int bytes, int mask) {
    return code("make", fmt::format("mov ${}, %edi\ncall __kmalloc\nmov %rax, 8(%rbx)\n", bytes)) +
           code("find", fmt::format("and ${}, %edi\n", mask));
  };
  file(text(256, 31), text(128, 15));
  EXPECT_THAT(refusals(),
              ElementsAre(HasSubstr("layout-changed find: it goes by 15 instead of 31")));
}

TEST_F(CodeNumbersTest, ABufferThatWasLargerThanTheLimitIsNow) {
  const auto text = [](int bytes) {
    return code("make", fmt::format("mov ${}, %edi\ncall __kmalloc\nmov %rax, 8(%rbx)\n", bytes)) +
           code("check", fmt::format("cmp ${}, %edi\n", bytes));
  };
  file(text(300), text(200));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(CodeNumbersTest, ATableThatIsLookedIntoByTheLowestByte) {
  file(code("make", "mov $1024, %edi\ncall __kmalloc\n") +
           code("find", "movzbl %al, %ecx\nand $127, %edi\n"),
       code("make", "mov $2048, %edi\ncall __kmalloc\n") +
           code("find", "movzbl %al, %ecx\nmovzbl %dil, %edi\n"));
  EXPECT_THAT(refusals(),
              ElementsAre(HasSubstr("layout-changed find: it goes by 255 instead of 127")));
}

TEST_F(CodeNumbersTest, MemoryThatIsUsedWhileTheAllocatingFunctionRuns) {
  const auto text = [](int bytes) {
    return code("make", fmt::format("mov ${}, %edi\ncall __kmalloc\nmov %rax, (%rbx)\ncall fill\n"
                                    "call kfree\n",
                                    bytes)) +
           static_code("fill", fmt::format("cmp ${}, %edi\n", bytes));
  };
  file(text(128), text(256));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(CodeNumbersTest, MemoryThatOtherFilesMayUseByTheSameFunction) {
  const auto text = [](int bytes) {
    return code("make", fmt::format("mov ${}, %edi\ncall __kmalloc\nmov %rax, (%rbx)\ncall fill\n"
                                    "call kfree\n",
                                    bytes)) +
           code("fill", fmt::format("cmp ${}, %edi\n", bytes));
  };
  file(text(128), text(256));
  EXPECT_THAT(refusals(),
              ElementsAre(HasSubstr("layout-changed fill: it goes by 256 instead of 128")));
}

TEST_F(CodeNumbersTest, WhatTheAllocatingFunctionCallsAndOthersToo) {
  const auto text = [](int bytes) {
    return code("make", fmt::format("mov ${}, %edi\ncall __kmalloc\nmov %rax, (%rbx)\ncall fill\n",
                                    bytes)) +
           code("fill", fmt::format("cmp ${}, %edi\n", bytes)) + code("later", "call fill\n");
  };
  file(text(128), text(256));
  EXPECT_THAT(refusals(),
              ElementsAre(HasSubstr("layout-changed fill: it goes by 256 instead of 128")));
}

TEST_F(CodeNumbersTest, TheEndOfATableIsAnAddress) {
  const auto text = [](int bytes) {
    return code("make",
                fmt::format("mov ${}, %edi\ncall kmalloc_large\nmov %rax, (%rbx)\n", bytes)) +
           code("walk", fmt::format("lea {}(%rdi), %rdx\n", bytes));
  };
  file(text(16384), text(32768));
  EXPECT_THAT(refusals(),
              ElementsAre(HasSubstr("layout-changed walk: it goes by 32768 instead of 16384")));
}

TEST_F(CodeNumbersTest, ABufferThatIsClearedInLine) {
  const auto text = [](int bytes) {
    return code("make",
                fmt::format("mov ${}, %esi\ncall devm_kmalloc\nmov %rax, (%rbx)\n", bytes)) +
           code("clear", fmt::format("movq $0, (%rdi)\nmovq $0, {}(%rdi)\n", bytes - 8));
  };
  file(text(63), text(126));
  EXPECT_THAT(refusals(),
              ElementsAre(HasSubstr("layout-changed clear: it goes by 118 instead of 55")));
}

TEST_F(CodeNumbersTest, WhatIsReadInAnObjectIsNoEndOfIt) {
  const auto text = [](int bytes) {
    return code("make", fmt::format("mov ${}, %edi\ncall __kmalloc\nmov %rax, (%rbx)\n", bytes)) +
           code("look", fmt::format("mov {}(%rdi), %rax\n", bytes - 8));
  };
  file(text(64), text(128));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(CodeNumbersTest, ANumberThatIsThereForSomethingElseToo) {
  const auto text = [](int bytes) {
    return code("make", fmt::format("mov $1024, %edi\ncall __kmalloc\nmov %rax, (%rbx)\n"
                                    "mov ${}, %edi\ncall __kmalloc\nmov %rax, 8(%rbx)\n",
                                    bytes)) +
           code("fill", fmt::format("test $1024, %ecx\nmov ${}, %esi\nmov $4096, %ecx\n", bytes));
  };
  file(text(1024), text(4096));
  EXPECT_THAT(refusals(),
              ElementsAre(HasSubstr("layout-changed fill: it goes by 4096 instead of 1024")));
}

TEST_F(CodeNumbersTest, AVariableOnTheStackIsComparedWithALimit) {
  const auto text = [](int bytes) {
    return code("make",
                fmt::format("mov ${}, %edi\ncall vzalloc_node\nmov %rax, (%rbx)\n", 24 * bytes)) +
           code("set", fmt::format("cmpq ${}, 0x30(%rsp)\n", bytes));
  };
  file(text(65536), text(131072));
  EXPECT_THAT(refusals(),
              ElementsAre(HasSubstr("layout-changed set: it goes by 131072 instead of 65536")));
}

TEST_F(CodeNumbersTest, ABufferThatItsFunctionDoesNotKeep) {
  const auto text = [](int bytes) {
    return code("get", fmt::format("mov ${}, %edi\ncall __kmalloc\nmov %rax, %rbp\n"
                                   "mov %rax, 8(%rsp)\nmovl $1, (%rax)\nmov %rbp, %rdi\n"
                                   "call kfree\n",
                                   bytes)) +
           code("check", fmt::format("cmp ${}, %edi\n", bytes));
  };
  file(text(2048), text(4096));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(CodeNumbersTest, FlagsOfAllocationsAreNoSize) {
  const auto text = [](int flags) {
    return code("make", fmt::format("mov $96, %edi\nmov ${}, %esi\ncall __kmalloc\n"
                                    "mov %rax, (%rbx)\n",
                                    flags)) +
           code("other", fmt::format("mov $64, %edi\nmov ${}, %esi\ncall __kmalloc\n", flags));
  };
  file(text(0xa20), text(0xc40));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(CodeNumbersTest, BuffersThatEachFunctionAllocatesForItself) {
  const auto text = [](int bytes) {
    const auto buffer =
        fmt::format("mov ${}, %edi\ncall __kmalloc\nmov %rax, (%rbx)\nmov ${}, %esi\ncall fill\n",
                    bytes, bytes);
    return code("one", buffer) + code("two", "nop\n" + buffer);
  };
  file(text(2048), text(4096));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(CodeNumbersTest, NumbersThatAreNoSizeOfWhatIsAllocated) {
  const auto text = [](int number) {
    return code("make",
                fmt::format("mov $96, %edi\ncall __kmalloc\nmov %rax, (%rbx)\nmov ${}, %edi\n"
                            "call wait\n",
                            number)) +
           code("other", fmt::format("cmp ${}, %edi\n", number));
  };
  file(text(128), text(256));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(CodeNumbersTest, ASmallLimitOfATableThatBootCodeMade) {
  file(boot("start", "mov $6656, %edi\ncall __kmalloc\n") + code("next", "cmp $31, %edi\n"),
       boot("start", "mov $9984, %edi\ncall __kmalloc\n") + code("next", "cmp $47, %edi\n"));
  EXPECT_THAT(refusals(),
              ElementsAre(HasSubstr("init-needed next: it goes by 47 instead of 31 after "
                                    "the diff, and start by 9984 instead of 6656")));
}

TEST_F(CodeNumbersTest, ABufferThatIsSmallerThanTheLimitIsNow) {
  const auto text = [](int bytes) {
    return maker(bytes) + code("check", fmt::format("cmp ${}, %edi\n", bytes));
  };
  file(text(200), text(300));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("check: it goes by 300 instead of 200")));
}

TEST_F(CodeNumbersTest, ATableThatWasLookedIntoByTheLowestByte) {
  file(maker(2048) + code("find", "movzbl %al, %ecx\nmovzbl %dil, %edi\n"),
       maker(4096) + code("find", "movzbl %al, %ecx\nand $511, %edi\n"));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("find: it goes by 511 instead of 255")));
}

TEST_F(CodeNumbersTest, AByteThatIsReadFromMemoryIsNoLimit) {
  file(maker(1024) + code("find", "and $127, %edi\n"),
       maker(2048) + code("find", "movzbl 8(%rdi), %edi\n"));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(CodeNumbersTest, ALimitThatCountsElementsOfAnySize) {
  file(maker(480) + code("next", "cmp $10, %edi\n"), maker(960) + code("next", "cmp $20, %edi\n"));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("next: it goes by 20 instead of 10")));
}

TEST_F(CodeNumbersTest, AMaskOfBootCodeAndTheNumberOfPlaces) {
  file(boot("start", "and $31, %edi\n") + code("next", "cmp $32, %edi\n"),
       boot("start", "and $63, %edi\n") + code("next", "cmp $64, %edi\n"));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("init-needed next: it goes by 64 instead of 32 "
                                                "after the diff, and start by 63 instead of 31")));
}

TEST_F(CodeNumbersTest, ALimitThatGrowsInAnotherWayThanTheTable) {
  file(maker(128) + code("next", "cmp $96, %edi\n"), maker(256) + code("next", "cmp $100, %edi\n"));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(CodeNumbersTest, ErrorCodesAreNoNumbersThatCodeGoesBy) {
  for (const char* to : {"%eax", "%rax"}) {
    const auto text = [&](int error) {
      const std::string move = fmt::format("mov ${}, {}\n", error, to);
      return boot("start", move) + code("next", move);
    };
    file(text(-12), text(-22));
    EXPECT_THAT(refusals(), IsEmpty()) << to;
  }
}

TEST_F(CodeNumbersTest, SmallNumbersThatAreAddedAreNoLimits) {
  file(boot("start", "mov $128, %edi\n") + code("next", "add $16, %rax\n"),
       boot("start", "mov $256, %edi\n") + code("next", "add $32, %rax\n"));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(CodeNumbersTest, RoomOnTheStackIsNoLimit) {
  file(boot("start", "mov $128, %edi\n") + code("next", "sub $128, %rsp\nadd $128, %rsp\n"),
       boot("start", "mov $256, %edi\n") + code("next", "sub $256, %rsp\nadd $256, %rsp\n"));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(CodeNumbersTest, WhatIsGivenToTheCallBeforeIsNoSize) {
  const auto text = [](int number) {
    return code("make", fmt::format("mov ${}, %edi\ncall wait\ncall __kmalloc\n"
                                    "mov %rax, (%rbx)\n",
                                    number)) +
           code("other", fmt::format("cmp ${}, %edi\n", number));
  };
  file(text(128), text(256));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(CodeNumbersTest, ASizeThatIsOverwrittenBeforeTheCallIsNone) {
  const auto text = [](int number) {
    return code("make", fmt::format("mov ${}, %edi\nmov %rdi, %rdx\nmov %rsi, %rdi\n"
                                    "call __kmalloc\nmov %rax, (%rbx)\n",
                                    number)) +
           code("other", fmt::format("cmp ${}, %edi\n", number));
  };
  file(text(128), text(256));
  EXPECT_THAT(refusals(), IsEmpty());
}

std::string pages_by(const std::string& function, int order) {
  return fmt::format("mov $0xcc0, %edi\nmov ${}, %esi\ncall {}\nmov %rax, (%rbx)\n", order,
                     function);
}

TEST_F(CodeNumbersTest, PagesThatAreAllocatedByTheirOrder) {
  file(code("make", pages_by("__get_free_pages", 1)) + code("fill", "cmp $8192, %edi\n"),
       code("make", pages_by("__get_free_pages", 2)) + code("fill", "cmp $16384, %edi\n"));
  EXPECT_THAT(refusals(),
              ElementsAre(HasSubstr("fill: it goes by 16384 instead of 8192 after the diff, and "
                                    "make, which allocates memory, by 16384 instead of 8192")));
}

TEST_F(CodeNumbersTest, PagesThatAreAllocatedAndProfiled) {
  file(code("make", pages_by("__alloc_pages_noprof", 1)) + code("fill", "cmp $8192, %edi\n"),
       code("make", pages_by("__alloc_pages_noprof", 2)) + code("fill", "cmp $16384, %edi\n"));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("fill: it goes by 16384 instead of 8192")));
}

TEST_F(CodeNumbersTest, OnePageGivesWayToTwo) {
  const auto text = [](const char* order, int bytes) {
    return code("make", fmt::format("{}, %esi\ncall __get_free_pages\nmov %rax, (%rbx)\n", order)) +
           code("fill", fmt::format("cmp ${}, %edi\n", bytes));
  };
  file(text("xor %esi", 4096), text("mov $1", 8192));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("fill: it goes by 8192 instead of 4096")));
}

TEST_F(CodeNumbersTest, ASizeThatIsGivenToAnAllocatorOfADriver) {
  const auto text = [](int bytes) {
    return code("make",
                fmt::format("mov ${}, %ecx\ncall foo_alloc_ring\nmov %rax, (%rbx)\n", bytes)) +
           code("next", fmt::format("cmp ${}, %edi\n", bytes));
  };
  file(text(512), text(1024));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("next: it goes by 1024 instead of 512")));
}

TEST_F(CodeNumbersTest, ASizeThatIsGivenToAnAllocatorOfTheFile) {
  const auto text = [](int bytes) {
    return code("make", fmt::format("mov ${}, %edi\ncall alloc_ring\nmov %rax, (%rbx)\n", bytes)) +
           code("alloc_ring", "call __kmalloc\n") +
           code("next", fmt::format("cmp ${}, %edi\n", bytes));
  };
  file(text(512), text(1024));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("next: it goes by 1024 instead of 512")));
}

TEST_F(CodeNumbersTest, AJumpToAColdPartGivesItNothing) {
  const auto text = [](int number) {
    return code("alloc_it",
                fmt::format("mov ${}, %edi\njne alloc_it.cold\nmov %rax, (%rbx)\n", number)) +
           test::function("alloc_it.cold", "ud2", ".text.unlikely.alloc_it") +
           code("next", fmt::format("cmp ${}, %edi\n", number));
  };
  file(text(512), text(1024));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(CodeNumbersTest, FlagsThatAreGivenToAnAllocatorOfADriver) {
  const auto text = [](int flags) {
    return code("make",
                fmt::format("mov ${}, %esi\ncall foo_alloc_ring\nmov %rax, (%rbx)\n", flags)) +
           code("other", fmt::format("nop\nmov ${}, %esi\ncall send\n", flags));
  };
  file(text(0xa20), text(0xc40));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(CodeNumbersTest, ARangeOfNumbersThatAreGivenOutIsNoSize) {
  const auto text = [](int most) {
    return code("make",
                fmt::format("mov ${}, %edx\ncall ida_alloc_range\nmov %rax, (%rbx)\n", most)) +
           code("check", fmt::format("cmp ${}, %edi\n", most));
  };
  file(text(255), text(511));
  EXPECT_THAT(refusals(), IsEmpty());
}

// A table of another size whose address goes through `moves` before it is stored, if it is.
class KeptResultTest : public CodeNumbersTest {
 protected:
  bool is_kept(const std::string& moves) {
    const auto text = [&](int bytes) {
      return ".globl make\n" +
             test::function("make", std::string(entry) +
                                        fmt::format("mov ${}, %edi\ncall __kmalloc\n", bytes) +
                                        moves) +
             code("find", fmt::format("and ${}, %edi\n", bytes / 8 - 1));
    };
    file(text(128), text(256));
    return !refusals().empty();
  }
};

TEST_F(KeptResultTest, ByAWayThroughOtherRegisters) {
  EXPECT_TRUE(is_kept("mov %rax, %r12\nmov %r12, %rdx\nmov %rdx, 8(%rbx)\nxor %eax, %eax\nret\n"));
}

TEST_F(KeptResultTest, ByHalfOfARegister) {
  EXPECT_TRUE(is_kept("mov %rax, %r12\nmov %r12d, 8(%rbx)\nxor %eax, %eax\nret\n"));
}

TEST_F(KeptResultTest, ByAJumpOverWhatOverwritesIt) {
  EXPECT_TRUE(
      is_kept("mov %rax, %rdx\ntest %rax, %rax\njne 1f\nxor %edx, %edx\nxor %eax, %eax\n"
              "1: mov %rdx, 8(%rbx)\nxor %eax, %eax\nret\n"));
}

TEST_F(KeptResultTest, AsWhatTheFunctionReturns) { EXPECT_TRUE(is_kept("ret\n")); }

TEST_F(KeptResultTest, AsWhatTheFunctionReturnsByAThunk) {
  EXPECT_TRUE(is_kept("jmp __x86_return_thunk\n"));
}

TEST_F(KeptResultTest, NotWhatAnotherValueHasOverwritten) {
  EXPECT_FALSE(
      is_kept("mov %rax, %rdx\nxor %eax, %eax\nmov (%rsi), %rdx\nmov %rdx, 8(%rbx)\n"
              "ret\n"));
}

TEST_F(KeptResultTest, NotBehindAJumpThatLeavesIt) {
  EXPECT_FALSE(
      is_kept("mov %rax, %rdx\nxor %eax, %eax\njmp 2f\n1: mov %rdx, 8(%rbx)\n"
              "2: mov (%rsi), %rdx\nret\n"));
}

TEST_F(CodeNumbersTest, ACallbackSeesToWhatWasAllocated) {
  const auto text = [](int bytes) {
    return maker(bytes) + code("find", fmt::format("and ${}, %edi\n", bytes / 8 - 1));
  };
  file(text(128), text(256) + code("again", "nop\n"));
  call_back("again");
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(CodeNumbersTest, ACallbackSeesToWhatBootCodeSetUp) {
  file(
      boot("start", "mov $128, %edi\n") + code("find", "and $15, %edi\n"),
      boot("start", "mov $256, %edi\n") + code("find", "and $31, %edi\n") + code("again", "nop\n"));
  call_back("again");
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(CodeNumbersTest, ACallbackOfAnotherFileSeesToNothingHere) {
  const auto text = [](int bytes) {
    return maker(bytes) + code("find", fmt::format("and ${}, %edi\n", bytes / 8 - 1));
  };
  file(text(128), text(256));
  file(code("other", "nop\n"), code("other", "nop\n") + code("again", "nop\n"));
  call_back("again");
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("layout-changed find")));
}

// A constant table with `size` in it, which `make` gives to `function`.
std::string template_for(const std::string& function, int size) {
  return fmt::format(
      ".section .rodata.form,\"a\",@progbits\n.type form, @object\nform: .long 7, {}, 9\n"
      ".size form, 12\n.globl make\n"
      "{}",
      size,
      test::function("make", fmt::format("1: call __fentry__\n.pushsection __mcount_loc,\"a\"\n"
                                         ".quad 1b\n.popsection\nmov $form, %rdi\ncall {}\nret\n",
                                         function)));
}

TEST_F(CodeNumbersTest, ATableByWhichObjectsAreMadeHasAnotherSize) {
  outside_ = elf::AddressFate::stays;
  const auto text = [](int size, int shift) {
    return template_for("cache_create_net", size) +
           code("find", fmt::format("shr ${}, %edi\n", shift));
  };
  file(text(256, 24), text(512, 23));
  EXPECT_THAT(refusals(),
              ElementsAre("layout-changed find: it shifts by 23 instead of 24 after the diff, and "
                          "form has 512 instead of 256, by which make makes objects: those that "
                          "there are may be of the old size"));
}

TEST_F(CodeNumbersTest, ATableThatIsOnlyReadHasAnotherSize) {
  outside_ = elf::AddressFate::stays;
  const auto text = [](int size) {
    return template_for("nla_parse", size) + code("find", fmt::format("cmp ${}, %edi\n", size));
  };
  file(text(256), text(512));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(CodeNumbersTest, ATableByWhichObjectsAreMadeHasASmallerSize) {
  outside_ = elf::AddressFate::stays;
  const auto text = [](int size) {
    return template_for("ring_create", size) + code("find", fmt::format("cmp ${}, %edi\n", size));
  };
  file(text(500), text(400));
  EXPECT_THAT(refusals(), IsEmpty());
}

}  // namespace
}  // namespace suture::diff
