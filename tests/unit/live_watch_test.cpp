// SPDX-License-Identifier: GPL-2.0-or-later
#include "live/watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace suture::live {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<std::string> words(const std::vector<WatchEvent>& events) {
  std::vector<std::string> out;
  for (const WatchEvent& event : events) {
    out.emplace_back(event_word(event.kind));
  }
  return out;
}

MachineStatus status(std::vector<machine::LoadedPatch> patches) {
  MachineStatus out;
  for (machine::LoadedPatch& patch : patches) {
    out.patches.push_back({.patch = std::move(patch)});
  }
  return out;
}

TEST(ChangeFinderTest, PatchComesAndGoesOnce) {
  ChangeFinder finder(true);
  EXPECT_THAT(words(finder.take_status(status({{.name = "fix", .enabled = true}}))),
              ElementsAre("patch-came"));
  EXPECT_THAT(words(finder.take_status(status({{.name = "fix", .enabled = true}}))), IsEmpty());
  EXPECT_THAT(words(finder.take_status(status({}))), ElementsAre("patch-went"));
}

TEST(ChangeFinderTest, WordsTellOfATransitionThatNoLookSaw) {
  ChangeFinder finder(true);
  EXPECT_THAT(words(finder.take_words("'fix': starting patching transition")),
              ElementsAre("patch-came", "transition-began"));
  EXPECT_THAT(words(finder.take_words("'fix': patching complete")),
              ElementsAre("transition-ended"));
  EXPECT_THAT(words(finder.take_status(status({{.name = "fix", .enabled = true}}))), IsEmpty());
}

TEST(ChangeFinderTest, DirectionThatTheFilesShowLateIsNotTold) {
  ChangeFinder finder(true);
  EXPECT_THAT(finder.take_status(status({})), IsEmpty());
  // The transition to the patch begins, and `enabled` is still 0.
  MachineStatus early = status({{.name = "fix", .transition = true}});
  early.blocking = {{.pid = 7, .tid = 7}};
  EXPECT_THAT(finder.take_status(early), IsEmpty());
  EXPECT_THAT(words(finder.take_words("'fix': starting patching transition")),
              ElementsAre("patch-came", "transition-began"));
  EXPECT_THAT(finder.take_status(early), IsEmpty());
}

TEST(ChangeFinderTest, FilesTellOfTransitionsWhereTheWordsCannotBeHeard) {
  ChangeFinder finder(false);
  EXPECT_THAT(finder.take_status(status({})), IsEmpty());
  EXPECT_THAT(
      words(finder.take_status(status({{.name = "fix", .enabled = true, .transition = true}}))),
      ElementsAre("patch-came", "transition-began"));
  EXPECT_THAT(words(finder.take_status(status({{.name = "fix", .enabled = true}}))),
              ElementsAre("transition-ended"));
}

TEST(ChangeFinderTest, ReversalBeginsAnotherTransition) {
  ChangeFinder finder(true);
  finder.take_words("'fix': starting patching transition");
  auto events = finder.take_words("'fix': starting unpatching transition");
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind, WatchEvent::Kind::began);
  EXPECT_FALSE(events[0].enabled);
}

TEST(ChangeFinderTest, ReversalIsToldByItsOwnWords) {
  ChangeFinder finder(true);
  finder.take_words("'fix': starting patching transition");
  auto events = finder.take_words("'fix': reversing transition from patching to unpatching");
  ASSERT_EQ(events.size(), 1u);
  EXPECT_EQ(events[0].kind, WatchEvent::Kind::began);
  EXPECT_FALSE(events[0].enabled);
  EXPECT_THAT(finder.take_words("'fix': starting unpatching transition"), IsEmpty());
}

TEST(ChangeFinderTest, LateWordsOfAPatchThatWasSeenToBeGoneAreNothing) {
  ChangeFinder finder(true);
  finder.take_status(status({{.name = "fix", .enabled = true}}));
  EXPECT_THAT(words(finder.take_status(status({}))), ElementsAre("patch-went"));
  EXPECT_THAT(finder.take_words("'fix': unpatching complete"), IsEmpty());
}

TEST(ChangeFinderTest, OtherWordsAreNothing) {
  ChangeFinder finder(true);
  EXPECT_THAT(finder.take_words("enabling patch 'fix'"), IsEmpty());
  EXPECT_THAT(finder.take_words("signaling remaining tasks"), IsEmpty());
  EXPECT_THAT(finder.take_words("'fix"), IsEmpty());
  EXPECT_THAT(finder.take_words(""), IsEmpty());
}

TEST(ChangeFinderTest, OtherTasksInTheWayAreAnEvent) {
  ChangeFinder finder(true);
  MachineStatus now = status({{.name = "fix", .enabled = true, .transition = true}});
  now.blocking = {{.pid = 7, .tid = 7}};
  EXPECT_THAT(words(finder.take_status(now)),
              ElementsAre("patch-came", "transition-began", "tasks-in-the-way"));
  EXPECT_THAT(words(finder.take_status(now)), IsEmpty());
  now.blocking.clear();
  EXPECT_THAT(words(finder.take_status(now)), ElementsAre("tasks-in-the-way"));
}

TEST(ChangeFinderTest, AttachmentsComeAndGo) {
  ChangeFinder finder(true);
  MachineStatus now = status({});
  now.attached.found = {{.object = "vmlinux", .function = "f", .what = "a kprobe at +0x0"}};
  EXPECT_THAT(words(finder.take_status(now)), ElementsAre("attached"));
  EXPECT_THAT(words(finder.take_status(now)), IsEmpty());
  now.attached.found.clear();
  EXPECT_THAT(words(finder.take_status(now)), ElementsAre("detached"));
}

}  // namespace
}  // namespace suture::live
