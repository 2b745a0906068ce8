// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>

#include "cli/command.h"

namespace suture::cli {
namespace {

using testing::HasSubstr;

class HelpCommand : public testing::Test {
 protected:
  HelpCommand() {
    const Command core = commands_.add("core", "About cores");
    core.add("build", "Build one").flag("--hot", hot_, "Hot");
    register_help(commands_);
  }

  // What is printed, to either stream.
  std::string run(std::vector<std::string> words) {
    words.insert(words.begin(), "suture");
    std::vector<char*> argv;
    for (std::string& word : words) {
      argv.push_back(word.data());
    }
    testing::internal::CaptureStdout();
    testing::internal::CaptureStderr();
    status_ = commands_.run(static_cast<int>(argv.size()), argv.data());
    return testing::internal::GetCapturedStdout() + testing::internal::GetCapturedStderr();
  }

  Commands commands_;
  bool hot_ = false;
  int status_ = -1;
};

TEST_F(HelpCommand, SaysWhatTheOptionOfACommandSays) {
  const std::string text = run({"help", "core", "build"});
  EXPECT_THAT(text, HasSubstr("--hot"));
  EXPECT_EQ(text, run({"core", "build", "--help"}));
  EXPECT_EQ(status_, 0);
}

TEST_F(HelpCommand, NamesAllCommandsWhereNoneIsAskedFor) {
  EXPECT_EQ(run({"help"}), run({"--help"}));
}

TEST_F(HelpCommand, SuggestsACommandForOneThatIsNotThere) {
  EXPECT_THAT(
      run({"help", "core", "bulid"}),
      HasSubstr("there is no command 'suture core bulid'; did you mean 'suture core build'"));
  EXPECT_EQ(status_, 2);
}

}  // namespace
}  // namespace suture::cli
