// SPDX-License-Identifier: GPL-2.0-or-later
#include "source/c_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace suture::source {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::SizeIs;

std::vector<std::string> tokens_of(std::string text) {
  std::vector<std::string> out;
  const std::string joined = joined_lines(std::move(text));
  Lexer lexer(joined);
  for (Token token = lexer.next(); token.kind != TokenKind::end; token = lexer.next()) {
    out.emplace_back(token.text);
  }
  return out;
}

// The one chunk of a text.
Chunk only(const CText& text) {
  EXPECT_THAT(text.chunks, SizeIs(1));
  return text.chunks.empty() ? Chunk{} : text.chunks.front();
}

TEST(Lexer, CommentsAreBlanksAndLiteralsAreWhole) {
  EXPECT_THAT(tokens_of("a/* b */c // d\n\"e /* f\" 'g' 1.5e+3x ##"),
              ElementsAre("a", "c", "\"e /* f\"", "'g'", "1.5e+3x", "##"));
}

TEST(Lexer, LinesAreJoinedAnywhere) {
  EXPECT_THAT(tokens_of("na\\\nme // a comment \\\ngoes on\nx\\ \ny"), ElementsAre("name", "xy"));
}

TEST(Lexer, ADirectiveIsALineWithTheCommentsInIt) {
  EXPECT_THAT(tokens_of("#define A /* one\ntwo */ 1\n # if B\nx # y"),
              ElementsAre("define A /* one\ntwo */ 1", " if B", "x", "#", "y"));
}

TEST(Lexer, ALiteralThatDoesNotEndEndsWithItsLine) {
  EXPECT_THAT(tokens_of("don't stop\nhere"), ElementsAre("don", "'t stop", "here"));
}

TEST(CutUp, AStaticFunctionIsInertAndDefinesItsName) {
  CText text =
      cut_up("static __always_inline struct page *f(int a) __must_hold(x)\n{ return g(a); }\n");
  Chunk chunk = only(text);
  EXPECT_EQ(chunk.kind, ChunkKind::function);
  EXPECT_TRUE(chunk.inert);
  EXPECT_THAT(chunk.defines, ElementsAre("f"));
  EXPECT_THAT(chunk.uses, ::testing::IsSupersetOf({"g", "page", "__always_inline"}));
}

TEST(CutUp, DeclarationsDefineWhatTheyDeclare) {
  const std::pair<const char*, std::vector<std::string_view>> cases[] = {
      {"extern int a, *b[2];", {"a", "b"}},
      {"int f(struct page *page);", {"f"}},
      {"__printf(1, 2) int f(const char *, ...);", {"f"}},
      {"struct s;", {"s"}},
      {"static const char *const names[] = { \"a\", other };", {"names"}},
      {"typedef struct s t;", {"t"}},
      {"struct s { int a; union { long b, c:3; }; void (*d)(int); } __packed;", {"s"}},
      {"enum e { A, B = A + 1, C };", {"A", "B", "C", "e"}},
      {"typedef enum { A } e_t;", {"A", "e_t"}},
  };
  for (const auto& [source, names] : cases) {
    CText text = cut_up(source);
    Chunk chunk = only(text);
    EXPECT_TRUE(chunk.inert) << source;
    EXPECT_THAT(chunk.defines, ::testing::IsSupersetOf(names)) << source;
  }
}

TEST(CutUp, OfMembersOnlyTypesAndEnumeratorsAreDefined) {
  CText text = cut_up(
      "struct s { int a; struct __attribute__((packed)) in { int b[2]; } c; enum e { A } d; };\n");
  EXPECT_THAT(only(text).defines, ElementsAre("A", "e", "in", "packed", "s"));
}

TEST(CutUp, WhatMakesSomethingIsNotInert) {
  for (const char* source :
       {"int a;", "int f(void) { return 1; }", "MAKE(a);", "MAKE(a)", "asm(\"nop\");",
        "struct s { int a; } b;", "static int NAME(f)(int a) { return a; }",
        "static int a __section(\"x\") = 1;", "struct s { MEMBERS(a) };",
        "struct s { __struct_group(t, g, , int a;); };", "#pragma once\n"}) {
    CText text = cut_up(source);
    EXPECT_FALSE(only(text).inert) << source;
  }
}

TEST(CutUp, AMacroNamesNeitherItselfNorItsParameters) {
  CText text = cut_up("#define M(a, b...) M(a) + g(b)\n");
  EXPECT_THAT(only(text).defines, ElementsAre("M"));
  EXPECT_THAT(only(text).uses, ElementsAre("g"));
}

TEST(CutUp, TheConditionsBelongToWhatIsUnderThem) {
  CText text = cut_up("#if A\nint f(void);\n#elif B\nint g(void);\n#endif\nint h(void);\n");
  ASSERT_THAT(text.chunks, SizeIs(3));
  EXPECT_THAT(text.chunks[0].uses, ElementsAre("A", "f", "int", "void"));
  EXPECT_THAT(text.chunks[1].uses, ElementsAre("A", "B", "g", "int", "void"));
  EXPECT_THAT(text.chunks[2].uses, ElementsAre("h", "int", "void"));
}

TEST(CutUp, EachBranchBeginsWithTheBracketsOfTheFirst) {
  CText text = cut_up(
      "static int f(int a)\n{\n#ifdef A\nif (a) {\n#else\nif (!a) {\n#endif\nreturn 1; } }\n"
      "struct s { int b; };\n");
  EXPECT_FALSE(text.broken);
  ASSERT_THAT(text.chunks, SizeIs(2));
  EXPECT_THAT(text.chunks[0].defines, ElementsAre("f"));
  EXPECT_TRUE(text.chunks[0].inert);
}

TEST(CutUp, BranchesThatEndDifferentlyBreakTheText) {
  EXPECT_TRUE(cut_up("static int f(void) {\n#ifdef A\nif (a) {\n#endif\n}\n").broken);
  EXPECT_TRUE(cut_up("#ifdef A\n{\n#else\n{ {\n#endif\n}\n").broken);
  EXPECT_TRUE(cut_up("int a; }\n").broken);
}

TEST(CutUp, WhatNoKernelsCompilerReadsIsNoPart) {
  EXPECT_THAT(cut_up("#if 0\n{ int a;\n#endif\n#ifdef __cplusplus\n}\n#endif\n").chunks, IsEmpty());
}

TEST(Macros, SayWhetherTheyCanNameSomething) {
  for (const char* nothing :
       {"A 1", "A(x) ((x) + 1)", "A __attribute__((__packed__))", "A A", "A"}) {
    EXPECT_TRUE(read_macro(nothing).names_nothing()) << nothing;
  }
  for (const char* something :
       {"A b", "A B, C", "A(x) x##_b", "A __b", "A __b, __c", "A(x) f(x)"}) {
    EXPECT_FALSE(read_macro(something).names_nothing()) << something;
  }
}

TEST(NumberMacros, AreANameAndANumberAlone) {
  auto number = [](std::string_view line) {
    auto macro = read_number_macro(line);
    return macro ? std::string(macro->name) + "=" + std::string(macro->number) : "none";
  };
  EXPECT_EQ(number("define A 0x1fUL "), "A=0x1fUL");
  EXPECT_EQ(number(" define\tA\t2"), "A=2");
  for (const char* other : {"define A", "define A B", "define A(x) 1", "define A 1 /* B */",
                            "define A 1 + B", "define A 1.5", "undef A 1", "defineA 1"}) {
    EXPECT_EQ(number(other), "none") << other;
  }
}

}  // namespace
}  // namespace suture::source
