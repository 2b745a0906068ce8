// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the files of a patch need of each other's boot code.
#include "diff/boot_needs.h"

#include <gmock/gmock.h>

#include <deque>

#include "support/assembled.h"

namespace suture::diff {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class BootNeedsTest : public test::Assembled {
 protected:
  static constexpr std::string_view entry =
      "1: call __fentry__\n.pushsection __mcount_loc,\"a\"\n.quad 1b\n.popsection\n";

  static std::string code(const std::string& name, const std::string& body) {
    return ".globl " + name + "\n" + test::function(name, std::string(entry) + body + "ret\n");
  }
  static std::string boot(const std::string& name, const std::string& body) {
    return ".globl " + name + "\n" + test::function(name, body + "ret\n", ".init.text");
  }
  static std::string variable(const std::string& name) {
    return ".section .bss." + name + ",\"aw\",@nobits\n.globl " + name + "\n.type " + name +
           ", @object\n" + name + ": .zero 4\n.size " + name + ", 4\n";
  }

  void file(const std::string& pre, const std::string& post) {
    Work& work = works_.emplace_back();
    open(work.pre, fmt::format("pre{}", works_.size()), pre);
    open(work.post, fmt::format("post{}", works_.size()), post);
    work.diff =
        compare(work.pre.side(), work.post.side(), Home::vmlinux, Directives{},
                [](std::string_view, elf::AddressArguments) { return elf::AddressFate::leaves; });
  }

  std::vector<std::string> refusals() {
    std::vector<Side> sides;
    for (Work& work : works_) {
      sides.push_back(work.pre.side());
      sides.push_back(work.post.side());
    }
    std::vector<BootFile> files;
    for (std::size_t i = 0; i < works_.size(); ++i) {
      files.push_back({.pre = sides[2 * i],
                       .post = sides[2 * i + 1],
                       .home = Home::vmlinux,
                       .object = this,
                       .diff = works_[i].diff,
                       .boot_alone_calls = [this](const Names& functions) {
                         Names out;
                         std::ranges::set_intersection(functions, boot_alone_calls_,
                                                       std::inserter(out, out.end()));
                         return out;
                       }});
    }
    judge_boot_needs(files);
    std::vector<std::string> out;
    for (const Work& work : works_) {
      for (const Error& refusal : work.diff.refusals) {
        out.push_back(
            fmt::format("{} {}: {}", code_name(refusal.code), refusal.where, refusal.reason));
      }
    }
    return out;
  }

  Names boot_alone_calls_;

 private:
  struct Half {
    elf::ObjectFile object;
    PieceGraph graph;
    CodeTables tables;
    Side side() const { return {graph, tables}; }
  };
  struct Work {
    Half pre, post;
    ObjectDiff diff;
  };

  void open(Half& half, const std::string& name, const std::string& text) {
    half.object = elf::ObjectFile::open(assemble(name, text)).value();
    half.graph = PieceGraph::build(half.object, *elf::arch_of(EM_X86_64)).value();
    half.tables = CodeTables::build(half.graph, {}).value();
  }

  std::deque<Work> works_;
};

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

TEST_F(BootNeedsTest, ATableThatRunTimeCodeAllocatedHasTheOldSize) {
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

TEST_F(BootNeedsTest, ATableWhosePlacesAreWhatIsLeftOfAHash) {
  const auto text = [](int bytes, int shift) {
    return code("make", fmt::format("mov ${}, %edi\ncall __kmalloc\nmov %rax, 8(%rbx)\n", bytes)) +
           code("find", fmt::format("shr ${}, %edi\n", shift));
  };
  file(text(1024, 25), text(2048, 24));
  EXPECT_THAT(refusals(),
              ElementsAre(HasSubstr("layout-changed find: it shifts by 24 instead of 25 "
                                    "after the diff, and make, which allocates")));
}

TEST_F(BootNeedsTest, ATableThatIsLookedIntoByASmallerMask) {
  const auto text = [](int bytes, int mask) {
    return code("make", fmt::format("mov ${}, %edi\ncall __kmalloc\nmov %rax, 8(%rbx)\n", bytes)) +
           code("find", fmt::format("and ${}, %edi\n", mask));
  };
  file(text(256, 31), text(128, 15));
  EXPECT_THAT(refusals(),
              ElementsAre(HasSubstr("layout-changed find: it goes by 15 instead of 31")));
}

TEST_F(BootNeedsTest, ABufferThatWasLargerThanTheLimitIsNow) {
  const auto text = [](int bytes) {
    return code("make", fmt::format("mov ${}, %edi\ncall __kmalloc\nmov %rax, 8(%rbx)\n", bytes)) +
           code("check", fmt::format("cmp ${}, %edi\n", bytes));
  };
  file(text(300), text(200));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, ATableThatIsLookedIntoByTheLowestByte) {
  file(code("make", "mov $1024, %edi\ncall __kmalloc\n") +
           code("find", "movzbl %al, %ecx\nand $127, %edi\n"),
       code("make", "mov $2048, %edi\ncall __kmalloc\n") +
           code("find", "movzbl %al, %ecx\nmovzbl %dil, %edi\n"));
  EXPECT_THAT(refusals(),
              ElementsAre(HasSubstr("layout-changed find: it goes by 255 instead of 127")));
}

TEST_F(BootNeedsTest, MemoryThatIsUsedWhileTheAllocatingFunctionRuns) {
  const auto text = [](int bytes) {
    return code("make",
                fmt::format("mov ${}, %edi\ncall __kmalloc\ncall fill\ncall kfree\n", bytes)) +
           code("fill", fmt::format("cmp ${}, %edi\n", bytes));
  };
  file(text(128), text(256));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, ABufferThatItsFunctionDoesNotKeep) {
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

TEST_F(BootNeedsTest, FlagsOfAllocationsAreNoSize) {
  const auto text = [](int flags) {
    return code("make", fmt::format("mov $96, %edi\nmov ${}, %esi\ncall __kmalloc\n", flags)) +
           code("other", fmt::format("mov $64, %edi\nmov ${}, %esi\ncall __kmalloc\n", flags));
  };
  file(text(0xa20), text(0xc40));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, BuffersThatEachFunctionAllocatesForItself) {
  const auto text = [](int bytes) {
    const auto buffer =
        fmt::format("mov ${}, %edi\ncall __kmalloc\nmov ${}, %esi\ncall fill\n", bytes, bytes);
    return code("one", buffer) + code("two", "nop\n" + buffer);
  };
  file(text(2048), text(4096));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, NumbersThatAreNoSizeOfWhatIsAllocated) {
  const auto text = [](int number) {
    return code("make",
                fmt::format("mov $96, %edi\ncall __kmalloc\nmov ${}, %edi\ncall wait\n", number)) +
           code("other", fmt::format("cmp ${}, %edi\n", number));
  };
  file(text(128), text(256));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, ASmallLimitOfATableThatBootCodeMade) {
  file(boot("start", "mov $6656, %edi\ncall __kmalloc\n") + code("next", "cmp $31, %edi\n"),
       boot("start", "mov $9984, %edi\ncall __kmalloc\n") + code("next", "cmp $47, %edi\n"));
  EXPECT_THAT(refusals(),
              ElementsAre(HasSubstr("init-needed next: it goes by 47 instead of 31 after "
                                    "the diff, and start by 9984 instead of 6656")));
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

}  // namespace
}  // namespace suture::diff
