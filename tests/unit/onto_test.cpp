// SPDX-License-Identifier: GPL-2.0-or-later
#include "patch/onto.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace suture::patch {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

module::Metadata patch(const std::string& name, std::vector<module::PatchedFunction> functions,
                       bool replace = true) {
  module::Metadata out{.name = name, .replace = replace};
  out.objects = {{.name = "vmlinux", .build_id = "", .functions = std::move(functions)}};
  return out;
}

TEST(Succession, TellsWhatIsAddedDroppedAndKept) {
  const module::Metadata first = patch("v1", {{.name = "a"}, {.name = "b", .sympos = 2}});
  const module::Metadata second = patch("v2", {{.name = "b", .sympos = 2}, {.name = "c"}});
  const Succession onto = succession(first, second);
  EXPECT_THAT(onto.adds, ElementsAre("vmlinux c"));
  EXPECT_THAT(onto.drops, ElementsAre("vmlinux a"));
  EXPECT_THAT(onto.keeps, ElementsAre("vmlinux b,2"));
  EXPECT_TRUE(onto.takes_over);
}

TEST(Succession, WhatDoesNotTakeOverDropsNothing) {
  const Succession onto =
      succession(patch("v1", {{.name = "a"}}), patch("v2", {{.name = "c"}}, false));
  EXPECT_THAT(onto.drops, IsEmpty());
  EXPECT_FALSE(onto.takes_over);
}

TEST(Succession, WarnsOfAFunctionThatIsChangedAgainWithoutTheEarlierDiff) {
  module::Metadata first = patch("v1", {{.name = "a"}});
  module::Metadata second = patch("v2", {{.name = "a"}});
  first.diffs = {{.sha256 = "1", .file = "one.patch"}};
  second.diffs = {{.sha256 = "2", .file = "two.patch"}};
  const Succession onto = succession(first, second);
  EXPECT_THAT(onto.keeps, IsEmpty());
  EXPECT_THAT(onto.again, ElementsAre("vmlinux a"));
  EXPECT_THAT(onto.warnings, ElementsAre("v1 was built from one.patch, which is not among the "
                                         "diffs: what that does in vmlinux a may be lost"));
  second.diffs.push_back(first.diffs[0]);
  EXPECT_THAT(succession(first, second).keeps, ElementsAre("vmlinux a"));
  EXPECT_THAT(succession(first, second).warnings, IsEmpty());
}

TEST(Succession, WarnsOfWhatIsDropped) {
  EXPECT_THAT(succession(patch("v1", {{.name = "a"}}), patch("v2", {{.name = "b"}})).warnings,
              ElementsAre(HasSubstr("what v1 changes in vmlinux a is dropped")));
}

TEST(Succession, WarnsOfTwoPatchesThatStayAndChangeOneFunction) {
  module::Metadata first = patch("v1", {{.name = "a"}});
  first.diffs = {{.sha256 = "1", .file = "one.patch"}};
  EXPECT_THAT(succession(first, patch("v2", {{.name = "a"}}, false)).warnings,
              ElementsAre(HasSubstr("both patches change vmlinux a, and only")));
}

TEST(Succession, NewCodeIsNoReplacedFunction) {
  const Succession onto =
      succession(patch("v1", {}), patch("v2", {{.name = "helper", .is_new = true}}));
  EXPECT_THAT(onto.adds, IsEmpty());
}

}  // namespace
}  // namespace suture::patch
