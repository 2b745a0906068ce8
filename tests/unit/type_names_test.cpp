// SPDX-License-Identifier: GPL-2.0-or-later
#include "source/type_names.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace suture::source {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

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

TEST(TypeNames, ADeclarationTellsWhatTakesATypesPlace) {
  const std::string before = "struct a { int x; };\nint f(void)\n{\n\tstruct a *a = get();\n}\n";
  EXPECT_THAT(of(before, "struct b { int x; };\nint f(void)\n{\n\tstruct b *a = get();\n}\n")
                  .in_place_of("a"),
              ElementsAre("b"));
  EXPECT_THAT(of(before, "typedef struct { int x; } b;\nint f(void)\n{\n\tb *a = get();\n}\n")
                  .in_place_of("a"),
              ElementsAre("b"));
  EXPECT_THAT(of(before, "struct b { int x; };\nint f(void)\n{\n\tstruct b *a = other();\n}\n")
                  .in_place_of("a"),
              IsEmpty());
}

TEST(TypeNames, ATypedefIsToldInTheSameWay) {
  EXPECT_THAT(
      of("int f(void)\n{\n\ta *x = get();\n}\n", "int f(void)\n{\n\tstruct b *x = get();\n}\n")
          .in_place_of_typedef("a"),
      ElementsAre("b"));
}

TEST(TypeNames, TheHeadOfAFunctionTellsToo) {
  EXPECT_THAT(of("int f(struct a *x)\n{\n}\n", "int f(struct b *x)\n{\n}\n").in_place_of("a"),
              ElementsAre("b"));
}

TEST(TypeNames, TheHeadOfADefinitionTellsNothing) {
  EXPECT_THAT(of("struct a {\n};\n", "struct b {\n};\n").in_place_of("a"), IsEmpty());
}

}  // namespace
}  // namespace suture::source
