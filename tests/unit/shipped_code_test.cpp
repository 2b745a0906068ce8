// SPDX-License-Identifier: GPL-2.0-or-later
#include "match/shipped_code.h"

#include "support/assembled.h"

namespace suture::match {
namespace {

using elf::AddressFate;
using test::function;

class Shipped : public test::Pair {
 protected:
  void SetUp() override {
    Pair::SetUp();
    symvers_ = kernel::Symvers::parse(
                   "0x00000002\thelper\tother\tEXPORT_SYMBOL\t\n"
                   "0x00000003\tlock\tvmlinux\tEXPORT_SYMBOL\t\n",
                   "Module.symvers")
                   .value();
  }

  // What becomes of the first argument of `f`.
  AddressFate fate(const std::vector<std::string>& run) {
    load(function("caller", "ret"), run);
    // Another object, of other symbols than the run's: here, as good as an empty one.
    const RunObject vmlinux = RunObject::of_module(module_, *elf::arch_of(EM_X86_64)).value();
    ShippedCode shipped(
        run_, vmlinux, symvers_, *elf::arch_of(EM_X86_64), [](std::string_view) { return nullptr; },
        [] {
          return ShippedCode::Parameters{{"lock", 1}};
        });
    return shipped.fate("f", {.may = 1, .must = 1});
  }

  static std::string global(const std::string& name, const std::string& body,
                            const std::string& section = ".text") {
    return fmt::format(".globl {}\n", name) + function(name, body, section);
  }

  kernel::Symvers symvers_;
};

const std::string kept = ".bss; .local kept; .comm kept, 8\n";

TEST_F(Shipped, WhatIsReadThroughStays) {
  EXPECT_EQ(fate({global("f", "mov (%rdi), %eax; ret")}), AddressFate::stays);
}

TEST_F(Shipped, WhatIsStoredLeaves) {
  EXPECT_EQ(fate({kept + global("f", "mov %rdi, kept(%rip); ret")}), AddressFate::leaves);
}

TEST_F(Shipped, WhatIsGivenBackIsReturned) {
  EXPECT_EQ(fate({global("f", "lea 8(%rdi), %rax; ret")}), AddressFate::returned);
}

TEST_F(Shipped, TheEntryCallIsNoCall) {
  EXPECT_EQ(fate({global("f", "call __fentry__; mov (%rdi), %eax; jmp __x86_return_thunk")}),
            AddressFate::stays);
}

TEST_F(Shipped, CalledFunctionsAreFollowed) {
  const std::string f = global("f", "call g; xor %eax, %eax; ret");
  EXPECT_EQ(fate({f, global("g", "mov (%rdi), %eax; ret")}), AddressFate::stays);
  EXPECT_EQ(fate({kept + f + global("g", "mov %rdi, kept(%rip); ret")}), AddressFate::leaves);
}

TEST_F(Shipped, TailCallsAreFollowed) {
  const std::string f = global("f", "jmp g; nop; xor %eax, %eax; ret");
  EXPECT_EQ(fate({f, global("g", "mov (%rdi), %eax; ret")}), AddressFate::stays);
  EXPECT_EQ(fate({f, global("g", "mov %rdi, %rax; ret")}), AddressFate::returned);
}

TEST_F(Shipped, AFunctionThatCallsItselfWithItIsNotUnderstood) {
  EXPECT_EQ(fate({global("f", "call f; xor %eax, %eax; ret")}), AddressFate::leaves);
}

TEST_F(Shipped, IndirectCallsMayKeepTheirArguments) {
  EXPECT_EQ(fate({global("f", "jmp __x86_indirect_thunk_rax")}), AddressFate::leaves);
  EXPECT_EQ(fate({global("f", "mov (%rdi), %rax; xor %edi, %edi; jmp __x86_indirect_thunk_rax")}),
            AddressFate::stays);
}

TEST_F(Shipped, WhatIsNoParameterIsNotPassed) {
  const std::string lock = "call lock; xor %eax, %eax; ret";
  EXPECT_EQ(fate({global("f", "mov %rdi, %rsi; xor %edi, %edi; " + lock)}), AddressFate::stays);
  EXPECT_EQ(fate({global("f", lock)}), AddressFate::leaves);
  // Not the kernel's: what its types say of the name does not count.
  EXPECT_EQ(fate({kept + global("f", "mov %rdi, %rsi; xor %edi, %edi; " + lock) +
                  global("lock", "mov %rsi, kept(%rip); ret")}),
            AddressFate::leaves);
}

TEST_F(Shipped, AColdPartBelongsToItsFunction) {
  const std::string f = global("f",
                               "mov %rdi, %rcx; test %esi, %esi; jne f.cold + 1; mov (%rcx), "
                               "%eax; ret");
  EXPECT_EQ(fate({f + function("f.cold", "nop; xor %edi, %edi; jmp f + 11", ".text.unlikely")}),
            AddressFate::stays);
  EXPECT_EQ(
      fate({kept + f + function("f.cold", "nop; mov %rcx, kept(%rip); ret", ".text.unlikely")}),
      AddressFate::leaves);
}

TEST_F(Shipped, WhatAnotherFileHasForItselfIsNotMeant) {
  EXPECT_EQ(fate({function("f", "mov (%rdi), %eax; ret", ".text")}), AddressFate::leaves);
}

TEST_F(Shipped, AModuleThatCannotBeHadMayKeepIt) {
  EXPECT_EQ(fate({global("f", "jmp helper")}), AddressFate::leaves);
}

TEST_F(Shipped, AFunctionOfTheModuleMayHaveTheNameOfAKnownOne) {
  EXPECT_EQ(fate({kept + global("f", "call strlen; xor %eax, %eax; ret") +
                  global("strlen", "mov %rdi, kept(%rip); ret")}),
            AddressFate::leaves);
}

}  // namespace
}  // namespace suture::match
