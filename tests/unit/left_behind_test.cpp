// SPDX-License-Identifier: GPL-2.0-or-later
//
// A variable that goes from one file, where what takes its place comes in another.
#include "diff/left_behind.h"

#include <gmock/gmock.h>

#include <deque>

#include "support/assembled.h"

namespace suture::diff {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class LeftBehindTest : public test::Assembled {
 protected:
  static std::string code(const std::string& name, const std::string& body) {
    return ".globl " + name + "\n" +
           test::function(name,
                          "1: call __fentry__\n.pushsection __mcount_loc,\"a\"\n.quad "
                          "1b\n.popsection\n" +
                              body + "ret\n");
  }
  static std::string variable(const std::string& name, const std::string& globl = {}) {
    return fmt::format(
        ".section .bss.{},\"aw\",@nobits\n{}.type {}, @object\n{}: .zero 8\n.size {}, 8\n", name,
        globl.empty() ? "" : ".globl " + globl + "\n", name, name, name);
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
    NewGlobals globals;
    for (const Work& work : works_) {
      globals.merge(new_globals(work.post.graph, work.diff));
    }
    std::vector<std::string> out;
    for (Work& work : works_) {
      judge_lost_state(work.pre.side(), work.post.side(), globals, work.diff);
      for (const Error& refusal : work.diff.refusals) {
        out.push_back(
            fmt::format("{} {}: {}", code_name(refusal.code), refusal.where, refusal.reason));
      }
    }
    return out;
  }

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

TEST_F(LeftBehindTest, AVariableGivesWayToAnotherFilesOne) {
  file(code("add", "incq count(%rip)\n") + variable("count"), code("add", "incq total(%rip)\n"));
  file(code("other", "nop\n"), code("other", "nop\n") + variable("total", "total"));
  EXPECT_THAT(refusals(),
              ElementsAre(HasSubstr("data-changed total: it takes the place of count")));
}

TEST_F(LeftBehindTest, AVariableGivesWayToAnotherFilesFunctionThatKeepsOne) {
  file(code("add", "incq count(%rip)\n") + variable("count"), code("add", "call add_one\n"));
  file(code("other", "nop\n"),
       code("other", "nop\n") + code("add_one", "incq total(%rip)\n") + variable("total"));
  EXPECT_THAT(refusals(),
              ElementsAre(HasSubstr("data-changed total: it takes the place of count")));
}

TEST_F(LeftBehindTest, AnotherFilesNewFunctionWithoutAVariable) {
  file(code("add", "incq count(%rip)\n") + variable("count"), code("add", "call add_one\n"));
  file(code("other", "nop\n"), code("other", "nop\n") + code("add_one", "mov $1, %eax\n"));
  EXPECT_THAT(refusals(), IsEmpty());
}

}  // namespace
}  // namespace suture::diff
