// SPDX-License-Identifier: GPL-2.0-or-later
#include "source/type_names.h"

#include <gtest/gtest.h>

namespace suture::source {
namespace {

TypeNames of(const std::string& before, const std::string& after) {
  TypeNames out;
  out.add(before, after);
  return out;
}

TEST(TypeNames, ADefinitionHasABrace) {
  const TypeNames names = of(
      "struct a {\n};\nstruct b *use;\nunion c\n{\n};\nenum __packed d { x };\nint f(struct e e) {}"
      "struct g h = { 1 };",
      "");
  for (const char* name : {"a", "c", "d"}) {
    EXPECT_TRUE(names.defined_before(name)) << name;
  }
  for (const char* name : {"b", "e", "f", "g", "h", "x"}) {
    EXPECT_FALSE(names.defined_before(name)) << name;
  }
}

TEST(TypeNames, ATypedefOfWhatHasNoNameIsADefinition) {
  const TypeNames names = of("typedef struct {\n\tstruct { int x; } y;\n} a;\ntypedef int b;", "");
  EXPECT_TRUE(names.defined_before("a"));
  EXPECT_FALSE(names.defined_before("b"));
  EXPECT_FALSE(names.defined_before("y"));
}

TEST(TypeNames, WhatWasThereBeforeIsNotNew) {
  const TypeNames names = of("struct a { int x; };", "struct a { int x; }; struct b { int x; };");
  EXPECT_FALSE(names.is_new("a"));
  EXPECT_TRUE(names.is_new("b"));
}

TEST(TypeNames, ADeclarationTellsWhatTakesATypesPlace) {
  const std::string before = "struct a { int x; };\nint f(void)\n{\n\tstruct a *a = get();\n}\n";
  EXPECT_TRUE(of(before, "struct b { int x; };\nint f(void)\n{\n\tstruct b *a = get();\n}\n")
                  .takes_the_place("b", "a"));
  EXPECT_TRUE(of(before, "typedef struct { int x; } b;\nint f(void)\n{\n\tb *a = get();\n}\n")
                  .takes_the_place("b", "a"));
  EXPECT_FALSE(of(before, "struct b { int x; };\nint f(void)\n{\n\tstruct b *a = other();\n}\n")
                   .takes_the_place("b", "a"));
}

TEST(TypeNames, TheHeadOfAFunctionTellsToo) {
  EXPECT_TRUE(
      of("int f(struct a *x)\n{\n}\n", "int f(struct b *x)\n{\n}\n").takes_the_place("b", "a"));
}

TEST(TypeNames, TheHeadOfADefinitionTellsNothing) {
  EXPECT_FALSE(of("struct a {\n};\n", "struct b {\n};\n").takes_the_place("b", "a"));
}

}  // namespace
}  // namespace suture::source
