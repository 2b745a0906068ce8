// SPDX-License-Identifier: GPL-2.0-or-later
#include "patch/export_types.h"

#include <gtest/gtest.h>

namespace suture::patch {
namespace {

// As `genksyms -T` writes them.
constexpr std::string_view knows_names =
    "s#sock struct sock { UNKNOWN } \n"
    "t#u32 typedef unsigned int u32 \n"
    "s#item struct item { int a ; s#sock * s ; t#u32 n ; } \n"
    "f extern int f ( s#item * , t#u32 ) \n";
constexpr std::string_view knows_more =
    "s#deep struct deep { UNKNOWN } \n"
    "s#sock struct sock { int inner ; s#deep * d ; } \n"
    "t#u32 typedef unsigned int u32 \n"
    "s#item struct item { int a ; s#sock * s ; t#u32 n ; } \n"
    "f int f ( s#item * , t#u32 ) \n";

std::optional<ExportChange> between(std::string_view pre, std::string_view post) {
  return export_change(ExportTypes(pre), ExportTypes(post), "f");
}

std::string edited(std::string_view text, std::string_view from, std::string_view to) {
  std::string out(text);
  return out.replace(out.find(from), from.size(), to);
}

TEST(ExportChange, IsNoneWhereMoreIsKnownOfATypeOnly) {
  EXPECT_FALSE(between(knows_names, knows_more));
  EXPECT_FALSE(between(knows_more, knows_names));
}

TEST(ExportChange, IsAnotherPrototype) {
  auto change = between(knows_names, edited(knows_more, "s#item * , t#u32 )", "s#item * )"));
  ASSERT_TRUE(change);
  EXPECT_EQ(change->what, "");
  EXPECT_EQ(change->before, "int f ( struct item * , u32 )");
  EXPECT_EQ(change->after, "int f ( struct item * )");
}

TEST(ExportChange, IsAnotherTypeHoweverDeep) {
  auto member = between(knows_more, edited(knows_more, "int inner", "long inner"));
  ASSERT_TRUE(member);
  EXPECT_EQ(member->what, "struct sock");
  EXPECT_EQ(member->before, "int inner ; struct deep * d ; }");
  auto alias =
      between(knows_names, edited(knows_more, "typedef unsigned int", "typedef unsigned long"));
  ASSERT_TRUE(alias);
  EXPECT_EQ(alias->what, "u32");
}

TEST(ExportChange, IsADeclarationThatIsGone) {
  EXPECT_TRUE(between(knows_names, "t#u32 typedef unsigned int u32 \n"));
}

}  // namespace
}  // namespace suture::patch
