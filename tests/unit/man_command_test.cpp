// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>

#include "base/file.h"
#include "cli/command.h"

namespace suture::cli {
namespace {

using testing::HasSubstr;
using testing::Not;

class Manual : public testing::Test {
 protected:
  void SetUp() override {
    directory_ = TempDir::create(fs::temp_directory_path(), "suture-man-test").value();
    commands_.add("sew", "Sew").example("suture sew --fast fix.ko");
    commands_.add("cut", "Cut");
    register_man(commands_);
    std::vector<std::string> words{"suture", "man", "-o", directory_.path().string()};
    std::vector<char*> argv;
    for (std::string& word : words) {
      argv.push_back(word.data());
    }
    testing::internal::CaptureStdout();
    ASSERT_EQ(commands_.run(static_cast<int>(argv.size()), argv.data()), 0);
    testing::internal::GetCapturedStdout();
  }

  std::string page(const char* name) const {
    return read_text(directory_.path() / name).value_or("not there");
  }

  Commands commands_;
  TempDir directory_;
};

TEST_F(Manual, NamesVariablesAndFilesOnTheFirstPage) {
  EXPECT_THAT(page("suture.1"), HasSubstr(".SH ENVIRONMENT\n.TP\n\\fBXDG_CACHE_HOME\\fR\n"));
  EXPECT_THAT(page("suture.1"), HasSubstr("\\fB/var/lib/suture/RELEASE\\fR\n"));
  EXPECT_THAT(page("suture-sew.1"), Not(HasSubstr("ENVIRONMENT")));
}

TEST_F(Manual, ShowsTheExamplesOfACommand) {
  EXPECT_THAT(page("suture-sew.1"),
              HasSubstr(".SH EXAMPLES\n.nf\nsuture sew \\-\\-fast fix.ko\n.fi\n"));
  EXPECT_THAT(page("suture-cut.1"), Not(HasSubstr("EXAMPLES")));
}

TEST_F(Manual, SaysWhatTheExitStatusMeansOnEachPage) {
  EXPECT_THAT(page("suture-cut.1"), HasSubstr(".SH EXIT STATUS\n0 done, 1 failed"));
}

}  // namespace
}  // namespace suture::cli
