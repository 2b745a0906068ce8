// SPDX-License-Identifier: GPL-2.0-or-later
#include "source/pasting.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace suture::source {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

std::vector<std::string> patterns_of(const std::vector<std::string>& definitions) {
  std::vector<std::string> out;
  Parts parts;
  parts.words.emplace_back("MACRO", "word");
  parts.made.insert("MADE");
  for (const Pasting& pasting : pastings(definitions, parts)) {
    std::string pattern = pasting.pattern;
    std::ranges::replace(pattern, Pasting::given, '?');
    std::ranges::replace(pattern, Pasting::unknown, '*');
    std::ranges::replace(pattern, Pasting::number, '#');
    out.push_back(pasting.macro + " " + pattern);
  }
  return out;
}

using Ways = std::vector<std::vector<std::string>>;

Ways ways(std::string_view pattern, std::string_view name) {
  return ways_to_paste(pattern, name, [](std::string_view part) {
    return part == "vma" || part == "anonymous" || part == "_anonymous" || part == "vma_is";
  });
}

TEST(Pastings, AreReadOffTheBody) {
  EXPECT_THAT(patterns_of({"A(x) vma_##x##_is", "B(x, y) x ## y", "C one##two",
                           "D(x, ...) f(x, ##__VA_ARGS__)"}),
              ElementsAre("A vma_?_is", "B ??", "C onetwo"));
}

TEST(Pastings, AreHandedOnWithTheArguments) {
  EXPECT_THAT(patterns_of({"__A(x, y) x##y", "A(x, y) __A(x, y)", "B(z) A(vma_, z)",
                           "D(z) f(z) A(one, two)"}),
              UnorderedElementsAre("__A ??", "A ??", "B vma_?"));
}

TEST(Pastings, KnowWhatAMacroInThemStandsFor) {
  EXPECT_THAT(
      patterns_of({"A(x, y) x##y", "B(z) A(MACRO, z)", "C(z) A(MADE, z)", "D(z) A(z, __LINE__)"}),
      UnorderedElementsAre("A ??", "B MACRO?", "B word?", "C *?", "D ?#"));
}

TEST(Pastings, AreMadeOfInnerCallsToo) {
  EXPECT_THAT(patterns_of({"A(x, y) x##y", "B(z) A(A(__UNIQUE_, z), __COUNTER__)", "C(z) A(b, (z))",
                           "D(z) A(1, z)", "E(z) A(b, z - 1)", "F(z) A(b, z##_init)"}),
              UnorderedElementsAre("A ??", "B __UNIQUE_?#", "E b*", "F ?_init", "F b?_init"));
}

TEST(WaysToPaste, AreThosePartsThatExist) {
  EXPECT_THAT(ways("vma_is_\1", "vma_is_anonymous"), (Ways{{"anonymous"}}));
  EXPECT_THAT(ways("vma_is_\1", "vma_is_hugetlb"), IsEmpty());
  EXPECT_THAT(ways("\1\1", "vma_is_anonymous"), (Ways{{"vma_is", "_anonymous"}}));
  EXPECT_THAT(ways("\1\2", "vma_is_anonymous"),
              UnorderedElementsAre(ElementsAre("vma"), ElementsAre("vma_is")));
  EXPECT_THAT(ways("vma_is_anonymous", "vma_is_anonymous"), (Ways{{}}));
}

TEST(WaysToPaste, NumbersNeedNotBeWritten) { EXPECT_THAT(ways("vma\1", "vma32"), (Ways{{"32"}})); }

TEST(WaysToPaste, AWholeNameIsNotPasted) { EXPECT_THAT(ways("\1\1", "vma"), IsEmpty()); }

}  // namespace
}  // namespace suture::source
