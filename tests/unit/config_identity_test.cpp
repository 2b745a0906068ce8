// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>

#include "kernel/prepare.h"

namespace suture::kernel {
namespace {

constexpr std::string_view title = "# Linux/x86 6.1.192 Kernel Configuration\n";

Result<ConfigIdentity> identity_of(std::string_view compiler_line) {
  return config_identity(std::string(title) + std::string(compiler_line) + "\nCONFIG_X=y\n", "c");
}

TEST(ConfigIdentity, IsTakenFromTheTitleAndTheCompilersLine) {
  auto identity = identity_of("CONFIG_CC_VERSION_TEXT=\"gcc-12 (Debian 12.2.0) 12.2.0\"");
  ASSERT_TRUE(identity) << identity.error().reason;
  EXPECT_EQ(identity->arch, "x86");
  EXPECT_EQ(identity->version, "6.1.192");
  EXPECT_EQ(identity->compiler_text, "gcc-12 (Debian 12.2.0) 12.2.0");
}

TEST(ConfigIdentity, ATextThatIsNotClosedIsNone) {
  for (std::string_view line : {"CONFIG_CC_VERSION_TEXT=\"", "CONFIG_CC_VERSION_TEXT=\"gcc",
                                "CONFIG_CC_VERSION_TEXT=\"\"", "CONFIG_CC_VERSION_TEXT="}) {
    auto identity = identity_of(line);
    ASSERT_FALSE(identity) << line;
    EXPECT_EQ(identity.error().code, Code::bad_config);
  }
}

TEST(ConfigIdentity, WithoutATitleThereIsNone) {
  EXPECT_FALSE(config_identity("CONFIG_CC_VERSION_TEXT=\"gcc-12 12.2.0\"\n", "c"));
}

TEST(HasOption, MeansTheWholeNameAndBuiltIn) {
  constexpr std::string_view config = "# title\nCONFIG_A=y\nCONFIG_B=m\n# CONFIG_C is not set\n";
  EXPECT_TRUE(has_option(config, "CONFIG_A"));
  EXPECT_FALSE(has_option(config, "CONFIG_B"));
  EXPECT_FALSE(has_option(config, "CONFIG_C"));
  EXPECT_FALSE(has_option(config, "CONFIG_"));
  EXPECT_FALSE(has_option(config, "ONFIG_A"));
}

}  // namespace
}  // namespace suture::kernel
