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
    work.diff = compare(work.pre.side(), work.post.side(), Home::vmlinux, Directives{},
                        [this](std::string_view, elf::AddressArguments) { return outside_; });
  }

  // The last file gets a callback, a function of it.
  void call_back(std::string_view function) {
    Work& work = works_.back();
    for (std::size_t i = 0; i < work.post.graph.pieces().size(); ++i) {
      if (work.post.graph.pieces()[i].name == function) {
        work.diff.directives.callbacks.push_back(
            {.kind = "post_patch", .function = static_cast<std::int32_t>(i)});
      }
    }
  }

  // What run-time code allocates and keeps.
  static std::string maker(int bytes, const std::string& after = {}) {
    return code("make",
                fmt::format("mov ${}, %edi\ncall __kmalloc\nmov %rax, 8(%rbx)\n{}", bytes, after));
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
  elf::AddressFate outside_ = elf::AddressFate::leaves;  // of what other files are given

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
    return code("make", fmt::format("mov ${}, %edi\ncall __kmalloc\nmov %rax, (%rbx)\ncall fill\n"
                                    "call kfree\n",
                                    bytes)) +
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
    return code("make", fmt::format("mov $96, %edi\nmov ${}, %esi\ncall __kmalloc\n"
                                    "mov %rax, (%rbx)\n",
                                    flags)) +
           code("other", fmt::format("mov $64, %edi\nmov ${}, %esi\ncall __kmalloc\n", flags));
  };
  file(text(0xa20), text(0xc40));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, BuffersThatEachFunctionAllocatesForItself) {
  const auto text = [](int bytes) {
    const auto buffer =
        fmt::format("mov ${}, %edi\ncall __kmalloc\nmov %rax, (%rbx)\nmov ${}, %esi\ncall fill\n",
                    bytes, bytes);
    return code("one", buffer) + code("two", "nop\n" + buffer);
  };
  file(text(2048), text(4096));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, NumbersThatAreNoSizeOfWhatIsAllocated) {
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

TEST_F(BootNeedsTest, ABufferThatIsSmallerThanTheLimitIsNow) {
  const auto text = [](int bytes) {
    return maker(bytes) + code("check", fmt::format("cmp ${}, %edi\n", bytes));
  };
  file(text(200), text(300));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("check: it goes by 300 instead of 200")));
}

TEST_F(BootNeedsTest, ATableThatWasLookedIntoByTheLowestByte) {
  file(maker(2048) + code("find", "movzbl %al, %ecx\nmovzbl %dil, %edi\n"),
       maker(4096) + code("find", "movzbl %al, %ecx\nand $511, %edi\n"));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("find: it goes by 511 instead of 255")));
}

TEST_F(BootNeedsTest, AByteThatIsReadFromMemoryIsNoLimit) {
  file(maker(1024) + code("find", "and $127, %edi\n"),
       maker(2048) + code("find", "movzbl 8(%rdi), %edi\n"));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, ALimitThatCountsElementsOfAnySize) {
  file(maker(480) + code("next", "cmp $10, %edi\n"), maker(960) + code("next", "cmp $20, %edi\n"));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("next: it goes by 20 instead of 10")));
}

TEST_F(BootNeedsTest, AMaskOfBootCodeAndTheNumberOfPlaces) {
  file(boot("start", "and $31, %edi\n") + code("next", "cmp $32, %edi\n"),
       boot("start", "and $63, %edi\n") + code("next", "cmp $64, %edi\n"));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("init-needed next: it goes by 64 instead of 32 "
                                                "after the diff, and start by 63 instead of 31")));
}

TEST_F(BootNeedsTest, ALimitThatGrowsInAnotherWayThanTheTable) {
  file(maker(128) + code("next", "cmp $96, %edi\n"), maker(256) + code("next", "cmp $100, %edi\n"));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, ErrorCodesAreNoNumbersThatCodeGoesBy) {
  for (const char* to : {"%eax", "%rax"}) {
    const auto text = [&](int error) {
      const std::string move = fmt::format("mov ${}, {}\n", error, to);
      return boot("start", move) + code("next", move);
    };
    file(text(-12), text(-22));
    EXPECT_THAT(refusals(), IsEmpty()) << to;
  }
}

TEST_F(BootNeedsTest, SmallNumbersThatAreAddedAreNoLimits) {
  file(boot("start", "mov $128, %edi\n") + code("next", "add $16, %rax\n"),
       boot("start", "mov $256, %edi\n") + code("next", "add $32, %rax\n"));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, RoomOnTheStackIsNoLimit) {
  file(boot("start", "mov $128, %edi\n") + code("next", "sub $128, %rsp\nadd $128, %rsp\n"),
       boot("start", "mov $256, %edi\n") + code("next", "sub $256, %rsp\nadd $256, %rsp\n"));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, WhatIsGivenToTheCallBeforeIsNoSize) {
  const auto text = [](int number) {
    return code("make", fmt::format("mov ${}, %edi\ncall wait\ncall __kmalloc\n"
                                    "mov %rax, (%rbx)\n",
                                    number)) +
           code("other", fmt::format("cmp ${}, %edi\n", number));
  };
  file(text(128), text(256));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, ASizeThatIsOverwrittenBeforeTheCallIsNone) {
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

TEST_F(BootNeedsTest, PagesThatAreAllocatedByTheirOrder) {
  file(code("make", pages_by("__get_free_pages", 1)) + code("fill", "cmp $8192, %edi\n"),
       code("make", pages_by("__get_free_pages", 2)) + code("fill", "cmp $16384, %edi\n"));
  EXPECT_THAT(refusals(),
              ElementsAre(HasSubstr("fill: it goes by 16384 instead of 8192 after the diff, and "
                                    "make, which allocates memory, by 16384 instead of 8192")));
}

TEST_F(BootNeedsTest, PagesThatAreAllocatedAndProfiled) {
  file(code("make", pages_by("__alloc_pages_noprof", 1)) + code("fill", "cmp $8192, %edi\n"),
       code("make", pages_by("__alloc_pages_noprof", 2)) + code("fill", "cmp $16384, %edi\n"));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("fill: it goes by 16384 instead of 8192")));
}

TEST_F(BootNeedsTest, OnePageGivesWayToTwo) {
  const auto text = [](const char* order, int bytes) {
    return code("make", fmt::format("{}, %esi\ncall __get_free_pages\nmov %rax, (%rbx)\n", order)) +
           code("fill", fmt::format("cmp ${}, %edi\n", bytes));
  };
  file(text("xor %esi", 4096), text("mov $1", 8192));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("fill: it goes by 8192 instead of 4096")));
}

TEST_F(BootNeedsTest, ASizeThatIsGivenToAnAllocatorOfADriver) {
  const auto text = [](int bytes) {
    return code("make",
                fmt::format("mov ${}, %ecx\ncall foo_alloc_ring\nmov %rax, (%rbx)\n", bytes)) +
           code("next", fmt::format("cmp ${}, %edi\n", bytes));
  };
  file(text(512), text(1024));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("next: it goes by 1024 instead of 512")));
}

TEST_F(BootNeedsTest, FlagsThatAreGivenToAnAllocatorOfADriver) {
  const auto text = [](int flags) {
    return code("make",
                fmt::format("mov ${}, %esi\ncall foo_alloc_ring\nmov %rax, (%rbx)\n", flags)) +
           code("other", fmt::format("nop\nmov ${}, %esi\ncall send\n", flags));
  };
  file(text(0xa20), text(0xc40));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, ARangeOfNumbersThatAreGivenOutIsNoSize) {
  const auto text = [](int most) {
    return code("make",
                fmt::format("mov ${}, %edx\ncall ida_alloc_range\nmov %rax, (%rbx)\n", most)) +
           code("check", fmt::format("cmp ${}, %edi\n", most));
  };
  file(text(255), text(511));
  EXPECT_THAT(refusals(), IsEmpty());
}

// A table of another size whose address goes through `moves` before it is stored, if it is.
class KeptResultTest : public BootNeedsTest {
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

TEST_F(BootNeedsTest, ACallbackSeesToWhatWasAllocated) {
  const auto text = [](int bytes) {
    return maker(bytes) + code("find", fmt::format("and ${}, %edi\n", bytes / 8 - 1));
  };
  file(text(128), text(256) + code("again", "nop\n"));
  call_back("again");
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, ACallbackSeesToWhatBootCodeSetUp) {
  file(
      boot("start", "mov $128, %edi\n") + code("find", "and $15, %edi\n"),
      boot("start", "mov $256, %edi\n") + code("find", "and $31, %edi\n") + code("again", "nop\n"));
  call_back("again");
  EXPECT_THAT(refusals(), IsEmpty());
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

TEST_F(BootNeedsTest, ACallbackOfAnotherFileSeesToNothingHere) {
  const auto text = [](int bytes) {
    return maker(bytes) + code("find", fmt::format("and ${}, %edi\n", bytes / 8 - 1));
  };
  file(text(128), text(256));
  file(code("other", "nop\n"), code("other", "nop\n") + code("again", "nop\n"));
  call_back("again");
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("layout-changed find")));
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

TEST_F(BootNeedsTest, ATableByWhichObjectsAreMadeHasAnotherSize) {
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

TEST_F(BootNeedsTest, ATableThatIsOnlyReadHasAnotherSize) {
  outside_ = elf::AddressFate::stays;
  const auto text = [](int size) {
    return template_for("nla_parse", size) + code("find", fmt::format("cmp ${}, %edi\n", size));
  };
  file(text(256), text(512));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, ATableByWhichObjectsAreMadeHasASmallerSize) {
  outside_ = elf::AddressFate::stays;
  const auto text = [](int size) {
    return template_for("ring_create", size) + code("find", fmt::format("cmp ${}, %edi\n", size));
  };
  file(text(500), text(400));
  EXPECT_THAT(refusals(), IsEmpty());
}

// Memory that is allocated in one function and freed in another.
TEST_F(BootNeedsTest, WhatWasAllocatedOtherwiseIsFreedByTheWrongFunction) {
  file(code("make", "call __kmalloc\n") + code("drop", "call kfree\n"),
       code("make", "call vmalloc\n") + code("drop", "call vfree\n"));
  EXPECT_THAT(
      refusals(),
      ElementsAre("layout-changed drop: it frees by vfree() after the diff, and make, which "
                  "allocates memory, does so by vmalloc() instead of __kmalloc(): what it "
                  "has allocated so far would be freed by the wrong function"));
}

TEST_F(BootNeedsTest, WhatFreesBothKindsFreesWhatThereIs) {
  file(code("make", "call __kmalloc\n") + code("drop", "call kfree\n"),
       code("make", "call kvmalloc_node\n") + code("drop", "call kvfree\n"));
  file(code("make", "call vmalloc\n") + code("drop", "call vfree\n"),
       code("make", "call kvmalloc_node\n") + code("drop", "call kvfree\n"));
  file(code("make", "call kmem_cache_alloc\n") + code("drop", "call kmem_cache_free\n"),
       code("make", "call kmalloc_trace\n") + code("drop", "call kfree\n"));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, WhatFreesOneOfTwoKinds) {
  file(code("make", "call kvmalloc_node\n") + code("drop", "call kvfree\n"),
       code("make", "call __kmalloc\n") + code("drop", "call kfree\n"));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("layout-changed drop: it frees by kfree()")));
}

TEST_F(BootNeedsTest, AFunctionThatAllocatesAndFreesForItself) {
  const std::string before = "call __kmalloc\ncall fill\ncall kfree\n";
  const std::string after = "call vmalloc\ncall fill\ncall vfree\n";
  file(code("one", before) + code("two", "nop\n" + before),
       code("one", after) + code("two", "nop\n" + after));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, ANewFunctionFreesByTheWrongFunction) {
  file(code("make", "call __kmalloc\n") + code("drop", "call kfree\n"),
       code("make", "call vmalloc\n") + code("drop", "call drop_one\n") +
           test::function("drop_one", std::string(entry) + "call vfree\nret\n"));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("layout-changed drop_one: it frees by vfree()")));
}

TEST_F(BootNeedsTest, AFunctionThatFreesSomethingMore) {
  file(code("make", "call __kmalloc\n") + code("drop", "nop\n"),
       code("make", "call vmalloc\n") + code("drop", "call vfree\n"));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, MemoryOfADeviceIsFreedByHand) {
  file(code("probe", "call devm_kmalloc\n") + code("remove", "nop\n"),
       code("probe", "call kmalloc_trace\n") + code("remove", "call kfree\n"));
  EXPECT_THAT(refusals(), ElementsAre(HasSubstr("layout-changed remove: it frees by kfree()")));
}

TEST_F(BootNeedsTest, PagesAreFreedByAnotherOrder) {
  const auto text = [](int order) {
    return code("make", fmt::format("mov ${}, %esi\ncall __get_free_pages\n", order)) +
           code("drop", fmt::format("mov ${}, %esi\ncall free_pages\n", order));
  };
  file(text(3), text(4));
  EXPECT_THAT(refusals(),
              ElementsAre("layout-changed drop: it gives free_pages() the number 4 instead of 3 "
                          "after the diff, and make gives it to __get_free_pages(): what that has "
                          "allocated so far is of the old size"));
}

TEST_F(BootNeedsTest, ANumberThatIsFreedByChangesInAnotherWay) {
  const auto text = [](int order, int other) {
    return code("make", fmt::format("mov ${}, %esi\ncall __get_free_pages\n", order)) +
           code("drop", fmt::format("mov ${}, %esi\ncall free_pages\n", other));
  };
  file(text(3, 5), text(4, 6));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, WhyAPacketIsFreedIsNoSize) {
  const auto text = [](int number) {
    return code("make", fmt::format("mov ${}, %esi\ncall __get_free_pages\n", number)) +
           code("drop", fmt::format("mov ${}, %esi\ncall kfree_skb_reason\n", number));
  };
  file(text(3), text(4));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, WhatFreesSomethingElseThanWhatIsAllocatedNow) {
  file(code("make", "call __kmalloc\n") + code("drop", "call kfree\n"),
       code("make", "call foo_alloc_ring\n") + code("drop", "call vfree\n"));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, PagesThatAFunctionAllocatesAndFreesForItself) {
  const auto text = [](int order) {
    const std::string pages = fmt::format(
        "mov ${}, %esi\ncall __get_free_pages\nmov ${}, %esi\ncall free_pages\n", order, order);
    return code("one", pages) + code("two", "nop\n" + pages);
  };
  file(text(3), text(4));
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(BootNeedsTest, ACallbackSeesToWhatIsFreed) {
  file(code("make", "call __kmalloc\n") + code("drop", "call kfree\n"),
       code("make", "call vmalloc\n") + code("drop", "call vfree\n") + code("again", "nop\n"));
  call_back("again");
  EXPECT_THAT(refusals(), IsEmpty());
}

}  // namespace
}  // namespace suture::diff
