// SPDX-License-Identifier: GPL-2.0-or-later
#include "module/states.h"

#include <gtest/gtest.h>

namespace suture::module {
namespace {

const PatchStates loaded{.name = "v1", .replace = true, .states = {{.id = 1, .version = 2}}};

bool taken(const PatchStates& incoming) { return !judge_states(incoming, {loaded}); }

TEST(SystemStates, ANewStateMayAlwaysCome) {
  EXPECT_TRUE(taken({.name = "v2", .replace = false, .states = {{2, 1}}}));
  EXPECT_TRUE(taken({.name = "v2", .replace = true, .states = {{1, 2}, {2, 1}}}));
}

TEST(SystemStates, AModifiedStateMayComeAgainAtTheSameOrAHigherVersion) {
  EXPECT_TRUE(taken({.name = "v2", .replace = true, .states = {{1, 2}}}));
  EXPECT_TRUE(taken({.name = "v2", .replace = true, .states = {{1, 3}}}));
  EXPECT_FALSE(taken({.name = "v2", .replace = true, .states = {{1, 1}}}));
  EXPECT_FALSE(taken({.name = "v2", .replace = false, .states = {{1, 1}}}));
}

TEST(SystemStates, AReplacingPatchCarriesEveryStateInForce) {
  EXPECT_FALSE(taken({.name = "v2", .replace = true, .states = {}}));
  EXPECT_EQ(judge_states({.name = "v2", .replace = true}, {loaded})->code, Code::state_conflict);
}

TEST(SystemStates, ANonReplacingPatchMayLeaveThemAloneOrModifyThemFurther) {
  EXPECT_TRUE(taken({.name = "v2", .replace = false, .states = {}}));
  EXPECT_TRUE(taken({.name = "v2", .replace = false, .states = {{1, 2}}}));
}

TEST(SystemStates, NothingLoadedMeansNoConflict) {
  EXPECT_FALSE(judge_states({.name = "v1", .replace = true, .states = {{1, 1}}}, {}));
}

}  // namespace
}  // namespace suture::module
