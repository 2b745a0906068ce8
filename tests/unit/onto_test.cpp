// SPDX-License-Identifier: GPL-2.0-or-later
#include "patch/onto.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace suture::patch {
namespace {

using ::testing::ElementsAre;
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

TEST(Succession, NewCodeIsNoReplacedFunction) {
  const Succession onto =
      succession(patch("v1", {}), patch("v2", {{.name = "helper", .is_new = true}}));
  EXPECT_THAT(onto.adds, IsEmpty());
}

}  // namespace
}  // namespace suture::patch
