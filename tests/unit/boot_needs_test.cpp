// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the files of a patch need of each other's boot code.
#include "diff/boot_needs.h"

#include <gmock/gmock.h>

#include "support/boot_files.h"

namespace suture::diff {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

using BootNeedsTest = test::BootFiles;

TEST_F(BootNeedsTest, BootCodeThatCallsANewFunctionOfAnotherFileDoesNotRunIt) {
  file(boot("start", "nop\n"), boot("start", "call set_limit\n"));
  file(code("reader", "nop\n"), code("reader", "mov limit(%rip), %eax\n") +
                                    code("set_limit", "movl $5, limit(%rip)\n") +
                                    variable("limit"));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("init-needed reader: it uses limit, which "
                                                "set_limit would set in another way")));
}

TEST_F(BootNeedsTest, ANewFunctionThatRunTimeCodeOfAnotherFileCallsToo) {
  file(boot("start", "nop\n") + code("caller", "nop\n"),
       boot("start", "nop\n") + code("caller", "call set_limit\n"));
  file(code("reader", "nop\n"), code("reader", "mov limit(%rip), %eax\n") +
                                    code("set_limit", "movl $5, limit(%rip)\n") +
                                    variable("limit"));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, BootCodeThatCallsARunningFunctionOfAnotherFileForTheFirstTime) {
  const std::string setter = code("set_limit", "movl $5, limit(%rip)\n") + variable("limit");
  file(boot("start", "nop\n"), boot("start", "call set_limit\n"));
  file(code("reader", "nop\n") + setter, code("reader", "mov limit(%rip), %eax\n") + setter);
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("init-needed reader: it uses limit")));
}

TEST_F(BootNeedsTest, BootCodeThatCalledItBefore) {
  const std::string setter = code("set_limit", "movl $5, limit(%rip)\n") + variable("limit");
  file(boot("start", "call set_limit\n"), boot("start", "call set_limit\nnop\n"));
  file(code("reader", "nop\n") + setter, code("reader", "mov limit(%rip), %eax\n") + setter);
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, AFunctionThatOnlyBootCodeOfUntouchedFilesCallsDoesNotRunAgain) {
  file(code("set_up", "nop\n") + code("reader", "nop\n"),
       code("set_up", "movl $5, limit(%rip)\n") + code("reader", "mov limit(%rip), %eax\n") +
           variable("limit"));
  boot_alone_calls_ = {"set_up"};
  EXPECT_THAT(refusals(),
              ElementsAre(HasSubstr("init-needed reader: it uses limit, which set_up")));
}

TEST_F(BootNeedsTest, AFunctionThatRunTimeCodeOfUntouchedFilesMayCallRunsAgain) {
  file(code("set_up", "nop\n") + code("reader", "nop\n"),
       code("set_up", "movl $5, limit(%rip)\n") + code("reader", "mov limit(%rip), %eax\n") +
           variable("limit"));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, AFunctionThatOnlyBootCodeCalledRunsWhereTheDiffCallsIt) {
  file(code("set_up", "nop\n") + code("reader", "nop\n"),
       code("set_up", "movl $5, limit(%rip)\n") + code("reader", "mov limit(%rip), %eax\n") +
           variable("limit"));
  file(code("caller", "nop\n"), code("caller", "call set_up\n"));
  boot_alone_calls_ = {"set_up"};
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, AVariableOfAnotherFileThatBootCodeSetsAnew) {
  file(boot("start", "nop\n"), boot("start", "movl $5, limit(%rip)\n"));
  file(code("reader", "nop\n") + variable("limit"),
       code("reader", "mov limit(%rip), %eax\n") + variable("limit"));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("init-needed reader: it uses limit, which start")));
}

TEST_F(BootNeedsTest, AVariableThatNoFileOfThePatchDefines) {
  file(boot("start", "nop\n"), boot("start", "movl $5, limit(%rip)\n"));
  file(code("reader", "nop\n"), code("reader", "mov limit(%rip), %eax\n"));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("init-needed reader: it uses limit, which start")));
}

TEST_F(BootNeedsTest, BootCodeThatWritesEachProcessorsCopy) {
  const std::string data =
      ".section .data..percpu,\"aw\",@progbits\n.type data, @object\ndata: .zero 64\n.size data, "
      "64\n";
  const auto start = [](const std::string& store) {
    return boot("start", "mov $data, %rdx\nadd __per_cpu_offset(,%rax,8), %rdx\n" + store);
  };
  const std::string reader = "mov $data, %rdx\nadd %gs:this_cpu_off, %rdx\nmov 48(%rdx), %eax\n";
  file(start("movl $1, 32(%rdx)\n") + code("look", "nop\n") + data,
       start("movl $1, 32(%rdx)\nmovl $1, 48(%rdx)\n") + code("look", reader) + data);
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("init-needed look: it uses data, which start would "
                                                "set in another way after the diff; only boot")));
}

TEST_F(BootNeedsTest, BootCodeThatWritesWhereAPointerLeads) {
  const auto start = [](const std::string& more) {
    return boot("start",
                "call make\nmov %rax, mnt(%rip)\ntest %rax, %rax\nje 1f\n" + more + "1:\n");
  };
  const std::string reader = "mov mnt(%rip), %rax\ntestb $8, 32(%rax)\n";
  file(start("") + code("look", "nop\n"), start("orl $8, 32(%rax)\n") + code("look", reader));
  EXPECT_THAT(refusals(),
              ElementsAre(HasSubstr("init-needed look: it uses mnt, which start would set "
                                    "in another way after the diff")));
}

TEST_F(BootNeedsTest, BootCodeThatReadsAPointerAndWritesWhereItLeads) {
  const auto start = [](const std::string& more) {
    return boot("start", "mov mnt(%rip), %rax\n" + more + "call done\n");
  };
  file(start("") + code("look", "nop\n"),
       start("orl $8, 32(%rax)\n") + code("look", "mov mnt(%rip), %rax\n"));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("init-needed look: it uses mnt")));
}

TEST_F(BootNeedsTest, BootCodeThatWritesWhereAnotherPointerLeads) {
  const auto start = [](const std::string& more) {
    return boot("start", "mov mnt(%rip), %rax\nmov 8(%rax), %rdx\n" + more + "call done\n");
  };
  file(start("") + code("look", "nop\n"),
       start("orl $8, 32(%rdx)\n") + code("look", "mov mnt(%rip), %rax\n"));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, BootCodeThatWritesEachProcessorsCopyAsBefore) {
  const std::string data =
      ".section .data..percpu,\"aw\",@progbits\n.type data, @object\ndata: .zero 64\n.size data, "
      "64\n";
  const auto start = [](const std::string& more, const std::string& to) {
    return boot("start", "mov $data, %" + to + "\nadd __per_cpu_offset(,%rax,8), %" + to + "\n" +
                             more + "movl $1, 32(%" + to + ")\n");
  };
  file(start("", "rdx") + code("look", "nop\n") + data,
       start("nop\n", "rcx") + code("look", "mov $data, %rdx\nmov 48(%rdx), %eax\n") + data);
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, WhatBootCodeNewlyCallsIsNotSaidToRunAtBootAlone) {
  const std::string setter = code("set_limit", "movl $5, limit(%rip)\n") + variable("limit") +
                             code("caller", "call set_limit\n");
  file(boot("start", "nop\n"), boot("start", "call set_limit\n"));
  file(code("reader", "nop\n") + setter, code("reader", "mov limit(%rip), %eax\n") + setter);
  EXPECT_THAT(refusals(),
              ElementsAre(HasSubstr("it uses limit, which set_limit would set in another way after "
                                    "the diff; that is because of what boot code calls")));
}

TEST_F(BootNeedsTest, ACallbackRegistersAgain) {
  const auto start = [](int number) {
    return boot("start",
                fmt::format("mov $tick, %rdi\nmov $data{}, %rsi\ncall register_it\n", number));
  };
  file(start(1) + code("tick", "nop\n"),
       start(2) + code("tick", "mov $1, %eax\n") + code("again", "nop\n"));
  call_back("again");
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, BootCodeThatRegistersWithOtherDataAndNoCallback) {
  const auto start = [](int number) {
    return boot("start",
                fmt::format("mov $tick, %rdi\nmov $data{}, %rsi\ncall register_it\n", number));
  };
  file(start(1) + code("tick", "nop\n"), start(2) + code("tick", "mov $1, %eax\n"));
  EXPECT_THAT(refusals(),
              ElementsAre(HasSubstr("init-needed tick: with the diff, start would register")));
}

TEST_F(BootNeedsTest, BootCodeThatTurnsAKeyOfAnotherFileOn) {
  const auto start = [](const std::string& more) { return boot("start", more + "call done\n"); };
  file(start("") + code("look", "nop\n"), start("mov $some_key, %rdi\ncall static_key_enable\n") +
                                              code("look", "mov some_key(%rip), %eax\n"));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("init-needed look: it uses some_key")));
}

TEST_F(BootNeedsTest, BootCodeThatSetsTheAddressOfAnotherThing) {
  const auto start = [](const std::string& thing) {
    return boot("start", "movq $" + thing + ", handler(%rip)\n");
  };
  file(start("old_one") + code("look", "nop\n"),
       start("new_one") + code("look", "mov handler(%rip), %rax\n"));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("init-needed look: it uses handler")));
}

TEST_F(BootNeedsTest, BootCodeThatWritesToItsStackBesideEachProcessorsCopy) {
  const std::string data =
      ".section .data..percpu,\"aw\",@progbits\n.type data, @object\ndata: .zero 64\n.size data, "
      "64\n";
  const auto start = [](const std::string& more) {
    return boot("start", "mov $data, %rdx\nadd __per_cpu_offset(,%rax,8), %rdx\n" + more);
  };
  file(start("") + code("look", "nop\n") + data,
       start("movl $1, 8(%rsp)\n") + code("look", "mov $data, %rdx\nmov 48(%rdx), %eax\n") + data);
  EXPECT_THAT(refusals(), IsEmpty());
}

}  // namespace
}  // namespace suture::diff
