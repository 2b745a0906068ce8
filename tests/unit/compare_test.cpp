// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include "compare/compare.h"

namespace suture::compare {
namespace {

TEST(Compare, WhatTheGuestSaysIsWhatTheHostReads) {
  const std::vector<ComparedWay> said{
      {.name = "nothing", .pause = 0.001, .worst_pause = 0.002},
      {.name = "lazy",
       .pause = 0.003,
       .worst_pause = 0.004,
       .transition = 0.5,
       .worst_transition = 0.6,
       .left = {{.seconds = 1, .tasks = 7}, {.seconds = 60, .tasks = 0}}},
      {.name = "stop", .refusal = "busy \"here\"\n", .refused_after = 4}};
  const auto read = parse_ways(to_line(said));
  ASSERT_TRUE(read);
  ASSERT_EQ(read->size(), 3U);
  EXPECT_EQ(read->at(1).left.at(0).tasks, 7U);
  EXPECT_EQ(read->at(1).worst_transition, 0.6);
  EXPECT_EQ(read->at(2).refusal, "busy \"here\"\n");
  EXPECT_EQ(read->at(2).refused_after, 4);
}

TEST(Compare, ALineThatIsCutOffOrOfSomethingElseIsNone) {
  const std::string line = to_line({{.name = "stop"}});
  EXPECT_FALSE(parse_ways(line.substr(0, line.size() / 2)));
  EXPECT_FALSE(parse_ways("suture: stop"));
  EXPECT_FALSE(parse_ways("compared [{\"name\": 3}]"));
}

}  // namespace
}  // namespace suture::compare
