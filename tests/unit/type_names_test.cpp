// SPDX-License-Identifier: GPL-2.0-or-later
#include "source/type_names.h"

#include <fmt/format.h>
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

TEST(TypeNames, TheDeclaredVariableMayGetAnotherNameToo) {
  EXPECT_THAT(of("int f(void)\n{\n\tstruct a *x = file->private_data;\n}\n",
                 "int f(void)\n{\n\tstruct b *y = file->private_data;\n}\n")
                  .in_place_of("a"),
              ElementsAre("b"));
  EXPECT_THAT(of("int f(struct a *x)\n{\n}\n", "int f(struct b *y)\n{\n}\n").in_place_of("a"),
              ElementsAre("b"));
}

TEST(TypeNames, AVariableThatGoesAndAnotherThatComesTellNothing) {
  for (const char* value : {"", " = NULL"}) {
    EXPECT_THAT(of(fmt::format("int f(void)\n{{\n\tstatic struct a *x{};\n}}\n", value),
                   fmt::format("int f(void)\n{{\n\tstatic struct b *y{};\n}}\n", value))
                    .in_place_of("a"),
                IsEmpty());
  }
}

std::set<TypeNames::Reading> readings(const std::string& before, const std::string& after) {
  return of("int f(void)\n{\n\t" + before + "\n}\n",
            "struct b { int x; };\nint f(void)\n{\n\t" + after + "\n}\n")
      .new_readings();
}

TEST(TypeNames, PrivateDataIsReadByANewType) {
  EXPECT_THAT(
      readings("struct a *x = file->private_data;", "struct b *y = file->private_data;"),
      ElementsAre(TypeNames::Reading{.type = "b", .before = "a", .place = "file->private_data"}));
  EXPECT_THAT(
      readings("char *x = netdev_priv(dev);", "struct b *x = netdev_priv(dev);"),
      ElementsAre(TypeNames::Reading{.type = "b", .before = "", .place = "netdev_priv(dev)"}));
}

TEST(TypeNames, PrivateDataIsAssignedToAVariableOfANewType) {
  const TypeNames::Reading reading{.type = "b", .before = "a", .place = "f.file->private_data"};
  EXPECT_THAT(readings("struct a *x;\n\tx = f.file->private_data;",
                       "struct b *y;\n\ty = f.file->private_data;"),
              ElementsAre(reading));
  EXPECT_THAT(readings("struct a *x;\n\tx = f.file->private_data;",
                       "struct b *x;\n\tx = f.file->private_data;"),
              ElementsAre(reading));
  EXPECT_THAT(readings("struct a *x;\n\tx = f.file->private_data;\n}\nint g(struct c *x)\n{",
                       "struct b *y;\n\ty = f.file->private_data;"),
              IsEmpty());
}

TEST(TypeNames, WhatAFunctionIsGivenIsNoPrivateData) {
  EXPECT_THAT(readings("struct a *x = arg;", "struct b *x = arg;"), IsEmpty());
  EXPECT_THAT(readings("struct a *x = skb->data;", "struct b *x = skb->data;"), IsEmpty());
}

TEST(TypeNames, PrivateDataOfAnotherKindOfObjectIsReadByANewType) {
  EXPECT_THAT(readings("", "struct b *x = file->private_data;"), IsEmpty());
  const std::string old = "struct a *x = file->private_data;";
  EXPECT_THAT(readings(old, old + "\n}\nint g(void)\n{\n\tstruct b *y = file->private_data;"),
              IsEmpty());
}

TEST(TypeNames, PrivateDataOfAnotherPlaceTellsNothing) {
  EXPECT_THAT(readings("struct a *x = dev->driver_data;", "struct b *x = file->private_data;"),
              IsEmpty());
}

TEST(TypeNames, ATypeThatWasThereMayBeTheRightOne) {
  EXPECT_THAT(of("struct b { int x; };\nint f(void)\n{\n\tstruct a *x = file->private_data;\n}\n",
                 "struct b { int x; };\nint f(void)\n{\n\tstruct b *x = file->private_data;\n}\n")
                  .new_readings(),
              IsEmpty());
}

TEST(TypeNames, TheHeadOfADefinitionTellsNothing) {
  EXPECT_THAT(of("struct a {\n};\n", "struct b {\n};\n").in_place_of("a"), IsEmpty());
}

}  // namespace
}  // namespace suture::source
