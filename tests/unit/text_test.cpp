// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"

namespace suture::cli {
namespace {

using testing::ElementsAre;
using testing::Eq;
using testing::Optional;

TEST(Listed, NamesAllOfAFew) {
  EXPECT_EQ(listed(std::vector<std::string>{}, 2), "");
  EXPECT_EQ(listed(std::vector<std::string>{"a", "b"}, 2), "a, b");
}

TEST(Listed, CountsWhatItDoesNotName) {
  EXPECT_EQ(listed(std::vector<std::string_view>{"a", "b", "c", "d"}, 2), "a, b and 2 more");
}

TEST(Wrapped, BreaksBetweenWords) {
  EXPECT_THAT(wrapped("one two three", 8), ElementsAre("one two", "three"));
}

TEST(Wrapped, CutsAWordThatIsLongerThanTheLine) {
  EXPECT_THAT(wrapped("abcdefgh ij", 5), ElementsAre("abcde", "fgh", "ij"));
}

TEST(Wrapped, CountsCharactersNotBytes) {
  EXPECT_THAT(wrapped("日本語 日本", 6), ElementsAre("日本語 日本"));
  EXPECT_THAT(wrapped("日本語日本", 3), ElementsAre("日本語", "日本"));
}

TEST(Filled, IndentsAllLinesButTheFirst) { EXPECT_EQ(filled("a b c", 3, 2), "a\n  b\n  c"); }

TEST(Table, AlignsColumns) {
  EXPECT_EQ(table({{"A", "B"}, {"long", "x"}}, 0), "A     B\nlong  x\n");
}

TEST(Table, KeepsToTheWidthByWrappingTheWidestColumn) {
  const std::string text =
      table({{"CHECK", "SEEN"}, {"core", "the core that it is for is not loaded here"}}, 30);
  EXPECT_EQ(text,
            "CHECK  SEEN\n"
            "core   the core that it is for\n"
            "       is not loaded here\n");
}

TEST(Nearest, FindsWhatWasMeant) {
  EXPECT_THAT(nearest("lod", {"list", "load", "unload"}), Optional(Eq("load")));
  EXPECT_THAT(nearest("--dedline", {"--deadline", "--model"}), Optional(Eq("--deadline")));
  EXPECT_THAT(nearest("stats", {"status", "list"}), Optional(Eq("status")));
  EXPECT_THAT(nearest("uninst", {"install", "uninstall"}), Optional(Eq("uninstall")));
}

TEST(Nearest, SaysNothingWhereNothingIsLikeIt) {
  EXPECT_EQ(nearest("frobnicate", {"load", "list"}), std::nullopt);
}

}  // namespace
}  // namespace suture::cli
