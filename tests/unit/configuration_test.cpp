// SPDX-License-Identifier: GPL-2.0-or-later
#include "source/configuration.h"

#include <gtest/gtest.h>

namespace suture::source {
namespace {

class ConfigurationTest : public ::testing::Test {
 protected:
  // "yes", "no" or "unknown"
  std::string value(const std::string& line) const {
    const auto out = configuration_.value(read_directive(line));
    return out ? *out ? "yes" : "no" : "unknown";
  }
  std::string left_of(const std::string& text) const {
    return configuration_.without_excluded_branches(text);
  }
  Configuration configuration_{
      "/* made */\n#define CONFIG_ON 1\n#define CONFIG_PART_MODULE 1\n#define CONFIG_SIZE 12\n"
      "#define CONFIG_HAND 1\n",
      [](std::string_view name) { return name == "CONFIG_HAND"; }};
};

TEST_F(ConfigurationTest, KnowsWhatIsDefined) {
  EXPECT_EQ(value("ifdef CONFIG_ON"), "yes");
  EXPECT_EQ(value("ifdef CONFIG_OFF /* why */"), "no");
  EXPECT_EQ(value("ifndef CONFIG_OFF"), "yes");
  EXPECT_EQ(value("if defined(CONFIG_ON) && !defined CONFIG_OFF"), "yes");
  EXPECT_EQ(value("elif defined(CONFIG_OFF) || (defined(CONFIG_ON) && defined(CONFIG_SIZE))"),
            "yes");
  EXPECT_EQ(value("ifdef CONFIG_PART"), "no");
}

TEST_F(ConfigurationTest, KnowsWhatIsEnabledAsModuleToo) {
  EXPECT_EQ(value("if IS_ENABLED(CONFIG_PART)"), "yes");
  EXPECT_EQ(value("if IS_ENABLED(CONFIG_OFF)"), "no");
  EXPECT_EQ(value("if IS_ENABLED(CONFIG_SIZE)"), "no");
}

TEST_F(ConfigurationTest, SaysNothingOfOtherNamesAndOfWhatIsSetByHand) {
  EXPECT_EQ(value("ifdef MODULE"), "unknown");
  EXPECT_EQ(value("ifdef CONFIG_HAND"), "unknown");
  EXPECT_EQ(value("if IS_ENABLED(CONFIG_HAND)"), "unknown");
  EXPECT_EQ(value("if defined(CONFIG_ON) && defined(MODULE)"), "unknown");
  EXPECT_EQ(value("if defined(CONFIG_OFF) && defined(MODULE)"), "no");
  EXPECT_EQ(value("if defined(CONFIG_ON) || defined(MODULE)"), "yes");
}

TEST_F(ConfigurationTest, SaysNothingOfWhatItDoesNotUnderstand) {
  for (const char* line :
       {"if CONFIG_SIZE > 3", "if defined(CONFIG_OFF) && CONFIG_SIZE > 3", "if defined(CONFIG_OFF",
        "if defined(CONFIG_OFF) == 0", "if !defined(CONFIG_OFF) != 1", "if", "if 0",
        "if defined(CONFIG_OFF) ? 1 : 0", "if IS_REACHABLE(CONFIG_ON)", "if (", "if !"}) {
    EXPECT_EQ(value(line), "unknown") << line;
  }
}

TEST_F(ConfigurationTest, LeavesTheBranchThatIsRead) {
  EXPECT_EQ(left_of("a\n#ifdef CONFIG_ON\nb\n#else\nc\n#endif\nd\n"),
            "a\n#ifdef CONFIG_ON\nb\n#else\n \n#endif\nd\n");
  EXPECT_EQ(left_of("#ifndef CONFIG_ON\nb\n#else\nc\n#endif\n"),
            "#ifndef CONFIG_ON\n \n#else\nc\n#endif\n");
}

TEST_F(ConfigurationTest, LeavesEachBranchThatMayBeRead) {
  const std::string text = "#ifdef MODULE\na\n#elif defined(CONFIG_OFF)\nb\n#else\nc\n#endif\n";
  EXPECT_EQ(left_of(text), "#ifdef MODULE\na\n#elif defined(CONFIG_OFF)\n \n#else\nc\n#endif\n");
  EXPECT_EQ(left_of("#if X\na\n#elif defined(CONFIG_ON)\nb\n#elif Y\nc\n#else\nd\n#endif\n"),
            "#if X\na\n#elif defined(CONFIG_ON)\nb\n#elif Y\n \n#else\n \n#endif\n");
}

TEST_F(ConfigurationTest, WhatIsInsideALeftOutBranchGoesWithIt) {
  EXPECT_EQ(left_of("#ifdef CONFIG_OFF\n#ifdef CONFIG_ON\na\n#else\nb\n#endif\nc\n#endif\nd\n"),
            "#ifdef CONFIG_OFF\n                \n \n     \n \n      \n \n#endif\nd\n");
  EXPECT_EQ(left_of("#ifdef CONFIG_ON\n#ifdef CONFIG_OFF\na\n#endif\nb\n#endif\n"),
            "#ifdef CONFIG_ON\n#ifdef CONFIG_OFF\n \n#endif\nb\n#endif\n");
}

TEST_F(ConfigurationTest, AConditionThatDoesNotEndStays) {
  EXPECT_EQ(left_of("#ifdef CONFIG_OFF\na\n"), "#ifdef CONFIG_OFF\na\n");
  EXPECT_EQ(left_of("#endif\n#ifdef CONFIG_OFF\na\n#endif\n"),
            "#endif\n#ifdef CONFIG_OFF\na\n#endif\n");
}

TEST_F(ConfigurationTest, AConditionInACommentOrALiteralIsNone) {
  const std::string text = "/*\n#ifdef CONFIG_OFF\n*/\nchar c[] = \"\\\"#endif\"; a\n";
  EXPECT_EQ(left_of(text), text);
}

TEST(OptionSetBy, NamesOptionsAlone) {
  EXPECT_EQ(option_set_by(read_directive("define CONFIG_A 1")), "CONFIG_A");
  EXPECT_EQ(option_set_by(read_directive(" undef CONFIG_A")), "CONFIG_A");
  EXPECT_EQ(option_set_by(read_directive("define A CONFIG_A")), "");
  EXPECT_EQ(option_set_by(read_directive("ifdef CONFIG_A")), "");
}

}  // namespace
}  // namespace suture::source
