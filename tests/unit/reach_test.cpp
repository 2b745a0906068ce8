// SPDX-License-Identifier: GPL-2.0-or-later
#include "source/reach.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/source_tree.h"

namespace suture::source {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class ReachTest : public ::testing::Test {
 protected:
  // A unit that includes the headers of those names and has that text.
  void user(const std::string& name, const std::vector<std::string>& headers,
            const std::string& text) {
    std::string all;
    for (const std::string& header : headers) {
      all += "#include <" + header + ">\n";
    }
    tree.unit(name, all + text);
  }
  // include/x.h goes over into another text.
  std::vector<std::string> seen_by(const std::string& before, const std::string& after) {
    tree.put("include/x.h", before);
    return tree.seen_by("include/x.h", after);
  }
  test::SourceTree tree;
};

constexpr const char* one = "static inline int f(int a)\n{\n\treturn a;\n}\n";
constexpr const char* two = "static inline int f(int a)\n{\n\treturn a + 1;\n}\n";

TEST_F(ReachTest, OnlyWhoNamesAChangedFunctionSeesIt) {
  user("a.c", {"x.h"}, "int a(void) { return f(1); }\n");
  user("b.c", {"x.h"}, "int b(void) { return 1; }\n");
  tree.unit("c.c", "static int f(int a) { return a; }\n");
  EXPECT_THAT(seen_by(one, two), ElementsAre("a.c"));
}

TEST_F(ReachTest, FunctionsMacrosAndTypesHandItOn) {
  tree.put("include/y.h",
           "#define M f(2)\nstatic inline int g(void) { return M; }\n"
           "struct s { char c[sizeof(g())]; };\n");
  user("a.c", {"x.h", "y.h"}, "int a = sizeof(struct s);\n");
  user("b.c", {"x.h", "y.h"}, "int b;\n");
  EXPECT_THAT(seen_by(one, two), ElementsAre("a.c"));
}

TEST_F(ReachTest, AHeaderThatNoUnitIncludesHasNoUsers) {
  user("a.c", {"x.h"}, "int a(void) { return f(1); }\n");
  tree.put("include/x.h", one);
  tree.put("arch/other/include/x.h", one);
  EXPECT_THAT(tree.sources(tree.reach("arch/other/include/x.h", two).users), IsEmpty());
}

TEST_F(ReachTest, CommentsAndBlankLinesChangeNothing) {
  user("a.c", {"x.h"}, "int a(void) { return f(1); }\n");
  EXPECT_THAT(seen_by(one, std::string("/* f */\n\n") + one), IsEmpty());
}

TEST_F(ReachTest, ANewMacroIsSeenByWhoHasTheName) {
  user("a.c", {"x.h"}, "int a = LIMIT;\n");
  user("b.c", {"x.h"}, "int b;\n");
  EXPECT_THAT(seen_by("#define OTHER 1\n", "#define OTHER 1\n#define LIMIT 2\n"),
              ElementsAre("a.c"));
}

TEST_F(ReachTest, BranchesThatTheConfigurationLeavesOutLeadNowhere) {
  tree.way({.angle = {"include"}, .first = {"include/linux/kconfig.h"}});
  tree.put("include/linux/kconfig.h", "#include <generated/autoconf.h>\n");
  tree.put("include/generated/autoconf.h", "#define CONFIG_ON 1\n");
  tree.put("include/y.h",
           "#ifdef CONFIG_ON\nint g(void);\n#else\nstatic inline int g(void) { return f(1); }\n"
           "#endif\n");
  user("a.c", {"x.h", "y.h"}, "int a(void) { return g(); }\n");
  user("b.c", {"x.h", "y.h"}, "int b(void) { return f(1); }\n");
  EXPECT_THAT(seen_by(one, two), ElementsAre("a.c", "b.c"));  // a way without the configuration
  tree.only_last_way();
  EXPECT_THAT(seen_by(one, two), ElementsAre("b.c"));
  tree.unit("c.c", "#undef CONFIG_ON\n#include <x.h>\n#include <y.h>\n");
  EXPECT_THAT(seen_by(one, two), ElementsAre("a.c", "b.c"));
}

TEST_F(ReachTest, AnOptionThatTheDiffSetsSaysNothing) {
  tree.way({.angle = {"include"}, .first = {"include/linux/kconfig.h"}});
  tree.put("include/linux/kconfig.h", "#include <generated/autoconf.h>\n");
  tree.put("include/generated/autoconf.h", "#define CONFIG_ON 1\n");
  tree.put("include/y.h",
           "#if defined(CONFIG_ON)\nint g(void);\n#else\nint g(struct s *s);\n#endif\n");
  user("a.c", {"x.h", "y.h"}, "int a(void) { return g(); }\n");
  tree.only_last_way();
  EXPECT_THAT(seen_by("struct s { int a; };\n", "struct s { int a, b; };\n"), IsEmpty());
  EXPECT_THAT(seen_by("struct s { int a; };\n", "#undef CONFIG_ON\nstruct s { int a, b; };\n"),
              ElementsAre("a.c"));
}

TEST_F(ReachTest, AChangeOfWhatBringsTheConfigurationInSaysNothing) {
  tree.way({.angle = {"include"}, .first = {"include/linux/kconfig.h"}});
  tree.put("include/linux/kconfig.h", "#include <generated/autoconf.h>\nstruct s { int a; };\n");
  tree.put("include/generated/autoconf.h", "#define CONFIG_ON 1\n");
  tree.put("include/y.h", "#ifdef CONFIG_ON\nint g(void);\n#else\nint g(struct s *s);\n#endif\n");
  user("a.c", {"y.h"}, "int a(void) { return g(); }\n");
  tree.only_last_way();
  EXPECT_THAT(tree.seen_by("include/linux/kconfig.h",
                           "#include <generated/autoconf.h>\nstruct s { int a, b; };\n"),
              ElementsAre("a.c"));
}

TEST_F(ReachTest, AnEnumeratorsPlaceIsSeenByWhoNamesAnyOfThem) {
  user("a.c", {"x.h"}, "int a = LAST;\n");
  user("b.c", {"x.h"}, "int b;\n");
  EXPECT_THAT(seen_by("enum { FIRST, LAST };\n", "enum { FIRST, MIDDLE, LAST };\n"),
              ElementsAre("a.c"));
}

TEST_F(ReachTest, AMemberIsComeToByItsTypeAlone) {
  tree.put("include/y.h", "struct t { struct s *s; };\nextern struct t t;\n");
  user("a.c", {"x.h"}, "int a(struct s *p) { return p->size; }\n");
  user("b.c", {"x.h"}, "int b(int size) { return size; }\n");
  user("c.c", {"x.h", "y.h"}, "int c(void) { return t.s->size; }\n");
  EXPECT_THAT(seen_by("struct s { int size; };\n", "struct s { int pad, size; };\n"),
              ElementsAre("a.c", "c.c"));
}

TEST_F(ReachTest, TypesAndEnumeratorsAmongMembersAreNames) {
  user("a.c", {"x.h"}, "int a = sizeof(struct in);\n");
  user("b.c", {"x.h"}, "int b = LAST;\n");
  user("c.c", {"x.h"}, "int c;\n");
  EXPECT_THAT(seen_by("struct s { struct in { int a; } in; enum { FIRST, LAST } e; };\n",
                      "struct s { struct in { int a, b; } in; enum { NONE, FIRST, LAST } e; };\n"),
              ElementsAre("a.c", "b.c"));
}

TEST_F(ReachTest, AMacroAmongMembersMayDefineATypeOnlyByBraces) {
  tree.put("include/y.h",
           "#define size other_size\n#define INNER MORE\n#define MORE struct in { int a; }\n");
  user("a.c", {"y.h", "x.h"}, "int a;\n");
  EXPECT_THAT(seen_by("struct s { int size; };\n", "struct s { int pad, size; };\n"), IsEmpty());
  EXPECT_THAT(seen_by("struct s { INNER size; };\n", "struct s { int pad; INNER size; };\n"),
              ElementsAre("a.c"));
}

TEST_F(ReachTest, AListThatIsAnObjectLikeMacroMakesNames) {
  user("a.c", {"x.h"}, "int a = LAST;\n");
  EXPECT_THAT(seen_by("#define LIST FIRST, LAST\nenum { LIST };\n",
                      "#define LIST FIRST, MIDDLE, LAST\nenum { LIST };\n"),
              ElementsAre("a.c"));
  EXPECT_THAT(seen_by("#define LIST FIRST, LAST\nenum { LIST };\n",
                      "#define LIST FIRST, LAST\nenum { NOTHING, LIST };\n"),
              ElementsAre("a.c"));
}

TEST_F(ReachTest, AListInAFileIsSeenByAllThatIncludeIt) {
  tree.put("include/y.h", "#define X(name) name##_id,\nenum {\n#include \"x.h\"\n};\n#undef X\n");
  user("a.c", {"y.h"}, "int a = two_id;\n");
  EXPECT_THAT(seen_by("X(one)\nX(two)\n", "X(zero)\nX(one)\nX(two)\n"), ElementsAre("a.c"));
}

TEST_F(ReachTest, PlainMembersInAFileAreAPartOfWhatIncludesIt) {
  tree.put("include/y.h", "struct s {\n#include \"x.h\"\n};\n");
  user("a.c", {"y.h"}, "int a = sizeof(struct s);\n");
  EXPECT_THAT(seen_by("int b;\n", "int b;\nint c;\n"), ElementsAre("a.c"));
}

TEST_F(ReachTest, AMacroThatThePartsOfANameAreGivenToMakesIt) {
  tree.put("include/y.h", "#define CALL(x) x##_ops(1)\n#define AGAIN(y) CALL(y)\n");
  user("a.c", {"x.h", "y.h"}, "int a = CALL(my);\n");
  user("b.c", {"x.h", "y.h"}, "int b = CALL(your);\n");
  user("c.c", {"x.h", "y.h"}, "int c = AGAIN(my);\n");
  EXPECT_THAT(seen_by("static inline int my_ops(int a) { return 1; }\n",
                      "static inline int my_ops(int a) { return 2; }\n"),
              ElementsAre("a.c", "c.c"));
}

TEST_F(ReachTest, BothPartsMayBeGiven) {
  tree.put("include/y.h", "#define __PASTE(a,b) a##b\n#define PASTE(a, b) __PASTE(a, b)\n");
  user("a.c", {"x.h", "y.h"}, "int a = PASTE(my,\t_ops)(1);\n");
  user("b.c", {"x.h", "y.h"}, "int b = PASTE(her, _ops)(1);\n");
  EXPECT_THAT(seen_by("static inline int my_ops(int a) { return 1; }\n",
                      "static inline int my_ops(int a) { return 2; }\n"),
              ElementsAre("a.c"));
}

TEST_F(ReachTest, APartMayBeAMacroItself) {
  tree.put("include/y.h",
           "#define __CALL(x) x##_ops(1)\n#define CALL(x) __CALL(x)\n#define WHO my\n");
  user("a.c", {"x.h", "y.h"}, "int a = CALL(WHO);\n");
  EXPECT_THAT(seen_by("static inline int my_ops(int a) { return 1; }\n",
                      "static inline int my_ops(int a) { return 2; }\n"),
              ElementsAre("a.c"));
}

TEST_F(ReachTest, AFunctionsNameThatAMacroMakesIsNotKnown) {
  tree.put("include/y.h", "#define NAME(x) my_##x\n");
  user("a.c", {"y.h", "x.h"}, "int a = my_f(1);\n");
  EXPECT_THAT(seen_by("static inline int NAME(f)(int a) { return 1; }\n",
                      "static inline int NAME(f)(int a) { return 2; }\n"),
              ElementsAre("a.c"));
}

TEST_F(ReachTest, BracesThatAreSplitByConditionsCutNothingOff) {
  const std::string head =
      "static inline int f(int a)\n{\n#ifdef A\n\tif (a) {\n#else\n\tif (!a) {\n#endif\n";
  user("a.c", {"x.h"}, "int a(void) { return f(1); }\n");
  user("b.c", {"x.h"}, "int b = LIMIT;\n");
  EXPECT_THAT(seen_by(head + "a = 1; }\nreturn a; }\n#define LIMIT 1\n",
                      head + "a = 2; }\nreturn a; }\n#define LIMIT 1\n"),
              ElementsAre("a.c"));
}

TEST_F(ReachTest, AFunctionWithAnotherHeadInEachBranchIsSeenByAll) {
  const std::string head =
      "#ifdef A\nstatic inline int f(int a) {\n#else\nstatic inline int g(int a) {\n#endif\n";
  user("a.c", {"x.h"}, "int a(void) { return g(1); }\n");
  EXPECT_THAT(seen_by(head + "return 1; }\n", head + "return 2; }\n"), ElementsAre("a.c"));
}

TEST_F(ReachTest, BracketsThatDoNotPairAreSeenByAll) {
  user("a.c", {"x.h"}, "int a;\n");
  EXPECT_THAT(seen_by("#ifdef A\n{\n#endif\nint b;\n", "#ifdef A\n{\n#endif\nint c;\n"),
              ElementsAre("a.c"));
}

TEST_F(ReachTest, AConditionThatChangesAltersWhatIsUnderIt) {
  user("a.c", {"x.h"}, "int a = f(1);\n");
  user("b.c", {"x.h"}, "int b = LIMIT;\n");
  EXPECT_THAT(seen_by(std::string("#define LIMIT 1\n#if A\n") + one + "#endif\n",
                      std::string("#define LIMIT 1\n#if B\n") + one + "#endif\n"),
              ElementsAre("a.c"));
}

TEST_F(ReachTest, AConditionOnAChangedNameAltersWhatIsUnderIt) {
  tree.put("include/y.h", "#ifndef HAVE_G\nstatic inline int g(void) { return 1; }\n#endif\n");
  user("a.c", {"x.h", "y.h"}, "int a = g();\n");
  user("b.c", {"x.h", "y.h"}, "int b;\n");
  EXPECT_THAT(seen_by("", "#define HAVE_G 1\n"), ElementsAre("a.c"));
}

TEST_F(ReachTest, AnIncludeOfAnotherFileIsSeenByAll) {
  tree.put("include/y.h", "");
  user("a.c", {"x.h"}, "int a;\n");
  Reach reach = (seen_by("", ""), tree.reach("include/x.h", "#include <y.h>\n"));
  EXPECT_THAT(tree.sources(reach.candidates), ElementsAre("a.c"));
  EXPECT_THAT(reach.reason, HasSubstr("include/x.h"));
}

TEST_F(ReachTest, WhatIsMadeThoughNobodyNamesItIsSeenByAll) {
  for (const char* text : {"int made;\n", "void f(void) {}\n", "asm(\"nop\");\n", "MAKE(it)\n",
                           "static int x __used = 1;\n", "#pragma pack(1)\n"}) {
    test::SourceTree own;
    own.put("include/x.h", "");
    own.unit("a.c", "#include <x.h>\n");
    EXPECT_THAT(own.seen_by("include/x.h", text), ElementsAre("a.c")) << text;
  }
}

TEST_F(ReachTest, AKeywordThatIsDefinedAnewIsSeenByAll) {
  user("a.c", {"x.h"}, "int a;\n");
  EXPECT_THAT(seen_by("", "#define inline\n"), ElementsAre("a.c"));
}

TEST_F(ReachTest, ATypesNameThatIsDefinedAnewIsSeenByWhoHasIt) {
  tree.put("include/y.h", "struct s { u8 a; };\n");
  user("a.c", {"y.h", "x.h"}, "u8 a;\n");
  user("b.c", {"x.h", "y.h"}, "struct s b;\n");
  EXPECT_THAT(seen_by("", "#define u8 unsigned short\n"), ElementsAre("a.c", "b.c"));
}

TEST_F(ReachTest, TheNextHeaderIsReachedToo) {
  tree.put("own/x.h", "#include_next <x.h>\n");
  tree.way({.angle = {"own", "include"}});
  tree.unit("a.c", "#include <x.h>\nint a = f(1);\n");
  EXPECT_THAT(seen_by(one, two), ElementsAre("a.c"));
}

TEST_F(ReachTest, AUnitThatIncludesAnotherUnitSeesWhatThatSees) {
  user("fs/a.c", {"x.h"}, "int a(void) { return f(1); }\n");
  tree.unit("fs/compat_a.c", "#define a compat_a\n#include \"a.c\"\n");
  EXPECT_THAT(seen_by(one, two), ElementsAre("fs/a.c", "fs/compat_a.c"));
}

TEST_F(ReachTest, AMacroOfTheCommandLineCounts) {
  tree.way({.angle = {"include"}, .names = {"CALL", "f"}});
  tree.unit("a.c", "#include <x.h>\nint a = CALL(1);\n");
  EXPECT_THAT(seen_by(one, two), ElementsAre("a.c"));
}

TEST_F(ReachTest, BracesForCPlusPlusAreNoBraces) {
  const std::string head = "#ifdef __cplusplus\nextern \"C\" {\n#endif\n";
  user("a.c", {"x.h"}, "int a = LIMIT;\n");
  user("b.c", {"x.h"}, "int b;\n");
  EXPECT_THAT(seen_by(head + "#define LIMIT 1\n", head + "#define LIMIT 2\n"), ElementsAre("a.c"));
}

}  // namespace
}  // namespace suture::source
