// SPDX-License-Identifier: GPL-2.0-or-later
//
// Names that several files and several objects share, from the decision to the proof.
#include "module/moves.h"

#include <gmock/gmock.h>

#include "support/several.h"

namespace suture::module {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

using test::new_f;
using test::old_f;
using test::Source;
using test::traced;

std::string global(const std::string& name, const std::string& body) {
  return fmt::format(".globl {}\n", name) + traced(name, body);
}

std::string weak(const std::string& name, const std::string& body) {
  return fmt::format(".weak {}\n", name) + traced(name, body);
}

std::string variable(const std::string& name, int value) {
  return fmt::format(
      ".section .data.{0},\"aw\",@progbits; .type {0}, @object\n{0}: .quad {1}; .size {0}, 8\n",
      name, value);
}

std::string global_variable(const std::string& name, int value) {
  return fmt::format(".globl {}\n", name) + variable(name, value);
}

const std::string calls_f = "call f; nop; ret";

class Moving : public test::Several {
 protected:
  // What the patch redirects, as "object name source".
  std::vector<std::string> redirects() {
    auto linked = link();
    EXPECT_TRUE(linked.has_value()) << linked.error().where << ": " << linked.error().reason;
    std::vector<std::string> out;
    for (const PatchedObject& object : linked->metadata.objects) {
      for (const PatchedFunction& function : object.functions) {
        out.push_back(fmt::format("{} {} {}{}", object.name, function.name, function.source,
                                  function.is_new ? " new" : ""));
      }
    }
    EXPECT_EQ(accusations(linked->module), "");
    return out;
  }
};

TEST_F(Moving, RedirectsAFunctionThatMovesToAnotherFile) {
  files({{"a.c", "one", global("f", old_f) + global("g", calls_f), global("g", calls_f)},
         {"b.c", "one", global("h", calls_f), global("h", calls_f) + global("f", new_f)}});
  EXPECT_THAT(refusals(), IsEmpty());
  EXPECT_THAT(redirects(), ElementsAre("one f b.c"));
}

TEST_F(Moving, RefusesAFunctionThatMovesAndThatATaskNeverLeaves) {
  const std::string loop = "1: call schedule; jmp 1b";
  files({{"a.c", "one", global("f", loop) + global("g", calls_f), global("g", calls_f)},
         {"b.c", "one", global("h", calls_f), global("h", calls_f) + global("f", "nop; " + loop)}});
  EXPECT_THAT(refusals_of_code(),
              ElementsAre(HasSubstr("f: it sleeps in a loop that nothing leads out")));
}

TEST_F(Moving, RedirectsItForSuturesCore) {
  for_suture();
  files({{"a.c", "one", global("f", old_f) + global("g", calls_f), global("g", calls_f)},
         {"b.c", "one", global("h", calls_f), global("h", calls_f) + global("f", new_f)}});
  EXPECT_THAT(redirects(), ElementsAre("one f b.c"));
}

TEST_F(Moving, RedirectsAStaticFunctionThatBecomesAnotherFilesGlobal) {
  files({{"a.c", "one", traced("f", old_f) + global("g", calls_f), global("g", calls_f)},
         {"b.c", "one", global("h", old_f), global("h", old_f) + global("f", new_f)}});
  EXPECT_THAT(redirects(), ElementsAre("one f b.c"));
}

TEST_F(Moving, TakesAStaticFunctionThatIsGoneForNothingElse) {
  files({{"a.c", "one", traced("f", old_f) + global("g", calls_f), global("g", "nop; ret")},
         {"b.c", "one", global("h", old_f), global("h", old_f) + global("f", new_f)}});
  EXPECT_THAT(redirects(), ElementsAre("one g a.c", "one f b.c new"));
}

TEST_F(Moving, RedirectsAGlobalFunctionThatBecomesAnotherFilesOwn) {
  files({{"a.c", "one", global("f", old_f) + global("g", old_f), global("g", old_f)},
         {"b.c", "one", global("h", calls_f), traced("f", new_f) + global("h", calls_f)}});
  EXPECT_THAT(redirects(), ElementsAre("one f b.c"));
}

TEST_F(Moving, RefusesOneOfTwoFunctionsThatBecomeOne) {
  files({{"a.c", "one", global("f", old_f), global("g", old_f)},
         {"b.c", "one", traced("f", new_f) + global("h", calls_f),
          global("f", new_f) + global("h", calls_f)}});
  EXPECT_THAT(refusals(), ElementsAre("symbol-moved b.c: f"));
}

TEST_F(Moving, RefusesAFunctionWithoutAnEntryCall) {
  files({{"a.c", "one", ".globl f\n" + test::function("f", old_f) + global("g", old_f),
          global("g", old_f)},
         {"b.c", "one", global("h", calls_f), global("h", calls_f) + global("f", new_f)}});
  EXPECT_THAT(refusals(), ElementsAre("symbol-moved b.c: f"));
}

const std::string uses_count = "mov count(%rip), %rax; ret";

TEST_F(Moving, KeepsTheStorageOfAVariableThatMoves) {
  files({{"a.c", "one", global_variable("count", 7) + global("g", uses_count),
          global("g", "nop; " + uses_count)},
         {"b.c", "one", global("h", uses_count),
          global_variable("count", 7) + global("h", "nop; " + uses_count)}});
  EXPECT_THAT(refusals(), IsEmpty());
  EXPECT_THAT(redirects(), ElementsAre("one g a.c", "one h b.c"));
}

TEST_F(Moving, RefusesAVariableThatMovesAndStartsWithAnotherValue) {
  files({{"a.c", "one", global_variable("count", 7) + global("g", uses_count),
          global("g", uses_count)},
         {"b.c", "one", global("h", uses_count),
          global_variable("count", 8) + global("h", uses_count)}});
  EXPECT_THAT(refusals(), ElementsAre("data-changed b.c: count"));
}

TEST_F(Moving, KeepsTheStaticVariableOfAFunctionThatMoves) {
  files({{"a.c", "one", variable("count", 7) + global("f", uses_count) + global("g", calls_f),
          global("g", calls_f)},
         {"b.c", "one", global("h", old_f),
          variable("count", 7) + global("f", "nop; " + uses_count) + global("h", old_f)}});
  EXPECT_THAT(redirects(), ElementsAre("one f b.c"));
}

TEST_F(Moving, KeepsAStaticVariableThatBecomesAnotherFilesGlobal) {
  files({{"a.c", "one", variable("count", 7) + global("g", uses_count),
          global("g", "nop; " + uses_count)},
         {"b.c", "one", global("h", old_f),
          global_variable("count", 7) + global("h", "nop; " + uses_count)}});
  EXPECT_THAT(refusals(), IsEmpty());
  EXPECT_THAT(redirects(), ElementsAre("one g a.c", "one h b.c"));
}

TEST_F(Moving, KeepsTheStaticLocalOfAFunctionThatMoves) {
  files(
      {{"a.c", "one",
        variable("count.3", 7) + global("f", "mov count.3(%rip), %rax; ret") + global("g", calls_f),
        global("g", calls_f)},
       {"b.c", "one", global("h", old_f),
        variable("count.9", 7) + global("f", "nop; mov count.9(%rip), %rax; ret") +
            global("h", old_f)}});
  EXPECT_THAT(refusals(), IsEmpty());
  EXPECT_THAT(redirects(), ElementsAre("one f b.c"));
}

TEST_F(Moving, RefusesStaticLocalsOfOneNameThatMoveTogether) {
  auto two = [](const std::string& first, const std::string& second) {
    return variable(first, 7) + variable(second, 7) +
           global("f", fmt::format("mov {}(%rip), %rax; mov {}(%rip), %rbx; ret", first, second));
  };
  files({{"a.c", "one", two("count.3", "count.4") + global("g", calls_f), global("g", calls_f)},
         {"b.c", "one", global("h", old_f), two("count.8", "count.9") + global("h", old_f)}});
  EXPECT_THAT(refusals(), ElementsAre("symbol-ambiguous b.c: count"));
}

TEST_F(Moving, LeavesAStaticVariableOfItsNameInAThirdFileAlone) {
  files({{"a.c", "one", variable("count", 7) + global("f", uses_count) + global("g", calls_f),
          variable("count", 7) + global("g", "mov count(%rip), %rbx; " + calls_f)},
         {"b.c", "one", global("h", old_f),
          variable("count", 8) + global("f", "nop; " + uses_count) + global("h", old_f)}});
  EXPECT_THAT(refusals(), IsEmpty());
  EXPECT_THAT(redirects(), ElementsAre("one g a.c", "one f b.c"));
}

TEST_F(Moving, LetsTablesThatPointToWhatMovesBeAsTheyAre) {
  const std::string table =
      ".section .data.ops,\"aw\",@progbits; .globl ops; .type ops, @object\n"
      "ops: .quad f, count; .size ops, 16\n";
  files({{"a.c", "one", traced("f", old_f) + variable("count", 7) + table + global("g", old_f),
          table + global("g", old_f)},
         {"b.c", "one", global("h", old_f),
          global("h", old_f) + global("f", new_f) + global_variable("count", 7)}});
  EXPECT_THAT(refusals(), IsEmpty());
  EXPECT_THAT(redirects(), ElementsAre("one f b.c"));
}

TEST_F(Moving, MakesNothingOfWhatIsFreedAfterBoot) {
  files(
      {{"a.c", "one", ".globl f\n" + test::function("f", old_f, ".init.text") + global("g", old_f),
        global("g", old_f)},
       {"b.c", "one", global("h", old_f), global("h", "nop; " + calls_f) + global("f", new_f)}});
  EXPECT_THAT(refusals(), IsEmpty());
  EXPECT_THAT(redirects(), ElementsAre("one h b.c", "one f b.c new"));
}

TEST_F(Moving, RefusesAnAliasThatStaysWhereItsFunctionGoes) {
  files({{"a.c", "one", ".globl f, k\n.set k, f\n" + traced("f", old_f) + global("g", calls_f),
          global("k", old_f) + global("g", calls_f)},
         {"b.c", "one", global("h", old_f), global("h", old_f) + global("f", new_f)}});
  EXPECT_THAT(refusals(), ElementsAre("symbol-moved b.c: f"));
}

TEST_F(Moving, TakesAFunctionsAliasesAlong) {
  const std::string alias = ".globl f, k\n.set k, f\n";
  files({{"a.c", "one", alias + traced("f", old_f) + global("g", calls_f), global("g", calls_f)},
         {"b.c", "one", global("h", old_f), alias + traced("f", new_f) + global("h", old_f)}});
  EXPECT_THAT(refusals(), IsEmpty());
  EXPECT_EQ(redirects().size(), 1U);
}

TEST_F(Moving, RedirectsTheStaticFunctionOfAFunctionThatMoves) {
  const std::string calls_s = "call s; mov $s, %rdi; ret";
  files({{"a.c", "one", traced("s", old_f) + global("f", calls_s) + global("g", calls_f),
          global("g", calls_f)},
         {"b.c", "one", global("h", old_f),
          traced("s", new_f) + global("f", calls_s) + global("h", old_f)}});
  EXPECT_THAT(redirects(), ElementsAre("one s b.c", "one f b.c"));
}

TEST_F(Moving, RedirectsAWeakFunctionToAStrongOneOfAFileOfThePatch) {
  files({{"a.c", "one", weak("f", old_f) + global("g", calls_f),
          weak("f", old_f) + global("g", calls_f)},
         {"b.c", "one", global("h", calls_f), global("h", calls_f) + global("f", new_f)}});
  EXPECT_THAT(redirects(), ElementsAre("one f b.c"));
}

TEST_F(Moving, RedirectsAWeakFunctionOfAFileThatIsNotInThePatch) {
  for (bool suture : {false, true}) {
    works_.clear();
    if (suture) {
      for_suture();
    }
    files({{"b.c", "one", global("h", calls_f), global("h", calls_f) + global("f", new_f)}},
          {{"one", weak("f", old_f)}});
    EXPECT_THAT(redirects(), ElementsAre("one f b.c"));
  }
}

TEST_F(Moving, LetsAWeakFunctionTakeOverWhereTheStrongOneGoes) {
  files({{"a.c", "one", weak("f", "mov $3, %eax; nop; ret") + global("g", calls_f),
          weak("f", "mov $3, %eax; nop; ret") + global("g", calls_f)},
         {"b.c", "one", global("h", calls_f) + global("f", old_f), global("h", calls_f)}});
  EXPECT_THAT(redirects(), ElementsAre("one f a.c"));
}

TEST_F(Moving, RefusesAStrongFunctionThatGoesWhileOthersCallIt) {
  files({{"b.c", "one", global("h", old_f) + global("f", old_f), global("h", old_f)}},
        {{"one", global("g", calls_f)}});
  EXPECT_THAT(refusals(), ElementsAre("symbol-moved b.c: f"));
}

TEST_F(Moving, LetsAFunctionGoThatNobodyElseCalls) {
  files({{"b.c", "one", global("h", calls_f) + global("f", old_f), global("h", "nop; ret")}},
        {{"one", global("g", old_f)}});
  EXPECT_THAT(redirects(), ElementsAre("one h b.c"));
}

TEST_F(Moving, LetsAFunctionGoThatOnlyItsOwnFileCallsByAnAlias) {
  files({{"b.c", "one",
          global("h", "call k; nop; ret") + ".globl f, k\n.set k, f\n" + traced("f", old_f),
          global("h", "nop; ret")}});
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(Moving, RefusesASecondStrongDefinition) {
  files({{"b.c", "one", global("h", old_f), global("h", old_f) + global("f", new_f)}},
        {{"one", global("f", old_f)}});
  EXPECT_THAT(refusals(), ElementsAre("symbol-ambiguous b.c: f"));
}

TEST_F(Moving, RefusesANewGlobalThatHasTheNameOfAnExportThatItsModuleUses) {
  const std::string user = global("h", "call module_layout; nop; ret");
  files({{"b.c", "one", user, user + global("module_layout", new_f)}});
  EXPECT_THAT(refusals(), ElementsAre("symbol-ambiguous b.c: module_layout"));
}

TEST_F(Moving, TakesANewGlobalThatHasTheNameOfAnExportThatItsModuleDoesNotUse) {
  files({{"b.c", "one", global("h", calls_f),
          global("h", calls_f) + global("module_layout", new_f)}});
  EXPECT_THAT(refusals(), IsEmpty());
}

TEST_F(Moving, LeavesEachObjectItsOwnNewGlobals) {
  files(
      {{"a.c", "one", global("g", calls_f), global("g", "nop; " + calls_f) + global("f", old_f)},
       {"b.c", "two", global("h", calls_f), global("h", "nop; " + calls_f) + global("f", new_f)}});
  EXPECT_THAT(refusals(), IsEmpty());
  EXPECT_THAT(redirects(), ElementsAre("one g a.c", "one f a.c new", "two h b.c", "two f b.c new"));
}

TEST_F(Moving, BindsANameToItsObjectThoughAnotherAddsIt) {
  files({{"a.c", "one", global("g", old_f), global("g", new_f) + global("f", new_f)},
         {"b.c", "two", global("h", calls_f), global("h", "nop; " + calls_f)}},
        {{"two", global("f", old_f)}});
  const Bytes module = made();
  EXPECT_EQ(accusations(module), "");
  const elf::ObjectFile object = elf::ObjectFile::parse(module, "patch.ko").value();
  EXPECT_TRUE(std::ranges::any_of(object.symbols(), [](const elf::Symbol& symbol) {
    return symbol.name == ".klp.sym.two.f,0";
  }));
}

TEST_F(Moving, RefusesWhatOnlyAnotherModuleAdds) {
  files({{"a.c", "one", global("g", old_f), global("g", new_f) + global("f", new_f)},
         {"b.c", "two", global("h", old_f), global("h", calls_f)}});
  auto linked = link();
  ASSERT_FALSE(linked.has_value());
  EXPECT_EQ(linked.error().code, Code::symbol_unresolved);
}

TEST_F(Moving, GivesEachModuleOfAFileItsOwn) {
  const std::string pre = global("f", old_f);
  files({{"a.c", "one", pre, global("f", new_f)}, {"a.c", "two", pre, global("f", new_f)}});
  EXPECT_THAT(redirects(), ElementsAre("one f a.c", "two f a.c"));
}

// The proof by itself: what was made as if nothing had moved.
TEST_F(Moving, AccusesAFunctionThatMovedAndIsNotRedirected) {
  files(
      {{"a.c", "one", global("f", old_f) + global("g", calls_f), global("g", calls_f)},
       {"b.c", "one", global("h", calls_f), global("h", "nop; " + calls_f) + global("f", new_f)}});
  moves_.of = {{}, {}};
  EXPECT_THAT(accusations(made()), HasSubstr("nothing redirects it"));
}

TEST_F(Moving, AccusesASecondCopyOfAVariableThatMoved) {
  files({{"a.c", "one", global_variable("count", 7) + global("g", uses_count),
          global("g", "nop; " + uses_count)},
         {"b.c", "one", global("h", uses_count),
          global_variable("count", 7) + global("h", "nop; " + uses_count)}});
  moves_.of = {{}, {}};
  EXPECT_THAT(accusations(made()), HasSubstr("count"));
}

TEST_F(Moving, AccusesAWeakFunctionThatIsNotRedirectedToTheStrongOne) {
  files({{"b.c", "one", global("h", calls_f), global("h", "nop; " + calls_f) + global("f", new_f)}},
        {{"one", weak("f", old_f)}});
  moves_.of = {{}};
  EXPECT_THAT(accusations(made()), HasSubstr("nothing redirects it"));
}

TEST_F(Moving, AccusesANameThatIsBoundToAnotherObject) {
  const std::vector<Source> right{
      {"a.c", "one", global("g", old_f), global("g", new_f) + global("f", new_f)},
      {"b.c", "two", global("h", calls_f), global("h", "nop; " + calls_f)}};
  files(right, {{"two", global("f", old_f)}});
  // Written as if both were files of one object.
  const Bytes module = made();
  std::string text(as_text(module));
  for (std::size_t at = text.find(".klp.sym.two.f"); at != std::string::npos;
       at = text.find(".klp.sym.two.f", at + 1)) {
    text.replace(at, 14, ".klp.sym.two.h");
  }
  EXPECT_THAT(accusations(Bytes(text.begin(), text.end())), HasSubstr("b.c: h"));
}

}  // namespace
}  // namespace suture::module
