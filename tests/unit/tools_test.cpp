// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/tools.h"

#include <gmock/gmock.h>

namespace suture::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

TEST(Tools, EachStandsWithWhatItIsFor) {
  const std::string text = tools_text({{Purpose::build, "make", "make", "GNU Make 4.3"},
                                       {Purpose::test, "busybox", "busybox-static", "installed"}});
  EXPECT_THAT(text, HasSubstr("for build    make  GNU Make 4.3\n"));
  EXPECT_THAT(text, HasSubstr("for test     busybox  installed\n"));
  EXPECT_THAT(text, Not(HasSubstr("apt-get")));
}

TEST(Tools, WhatIsMissingIsInstalledByOneCommandForEachPurpose) {
  const std::string text =
      tools_text({{Purpose::build, "pahole", "dwarves", ""},
                  {Purpose::build, "bc", "bc", ""},
                  {Purpose::test, "qemu-system-x86_64", "qemu-system-x86", ""}});
  EXPECT_THAT(text, HasSubstr("pahole  not installed\n"));
  EXPECT_THAT(text, HasSubstr("apt-get install dwarves bc\n"));
  EXPECT_THAT(text, HasSubstr("apt-get install qemu-system-x86\n"));
}

TEST(Tools, WhatIsInstalledIsFound) {
  for (const Tool& tool : find_tools()) {
    if (tool.name == "patch") {
      EXPECT_THAT(tool.version, HasSubstr("GNU patch"));
      return;
    }
  }
  FAIL() << "patch is not looked for";
}

}  // namespace
}  // namespace suture::cli
