// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/shell_words.h"

namespace suture::kernel {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(SplitWords, SplitsAtBlanks) {
  EXPECT_THAT(*split_words("gcc  -c\t-o a.o a.c "), ElementsAre("gcc", "-c", "-o", "a.o", "a.c"));
}

TEST(SplitWords, FindsNothingInBlanks) { EXPECT_THAT(*split_words("  \t "), IsEmpty()); }

TEST(SplitWords, KeepsWhatIsInSingleQuotes) {
  EXPECT_THAT(*split_words(R"(-DKBUILD_MODNAME='"proc"' 'a \ b')"),
              ElementsAre("-DKBUILD_MODNAME=\"proc\"", "a \\ b"));
}

TEST(SplitWords, UnescapesInDoubleQuotesOnlyWhatTheShellDoes) {
  EXPECT_THAT(*split_words(R"("a\"b\\c\d")"), ElementsAre(R"(a"b\c\d)"));
}

TEST(SplitWords, TakesABackslashedCharacterAsItIs) {
  EXPECT_THAT(*split_words(R"(a\ b \" 'x'\''y')"), ElementsAre("a b", "\"", "x'y"));
}

TEST(SplitWords, KeepsAnEmptyQuotedWord) {
  EXPECT_THAT(*split_words("a '' b"), ElementsAre("a", "", "b"));
}

TEST(SplitWords, MakesCommandEndsWordsOfTheirOwn) {
  EXPECT_THAT(*split_words("cc a.c; objtool a.o"), ElementsAre("cc", "a.c", ";", "objtool", "a.o"));
}

TEST(SplitWords, DoesNotEndACommandInsideQuotes) {
  EXPECT_THAT(*split_words("echo 'a;b'"), ElementsAre("echo", "a;b"));
}

TEST(SplitWords, RefusesAnUnfinishedQuote) {
  for (const char* line : {"gcc 'a", "gcc \"a", "gcc a\\"}) {
    auto words = split_words(line);
    ASSERT_FALSE(words) << line;
    EXPECT_EQ(words.error().code, Code::child_failed);
  }
}

}  // namespace
}  // namespace suture::kernel
