// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/command_tree.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/text.h"
#include "cli/help.h"
#include "cli/text.h"

namespace suture::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// A program with "sew FILE... [--model stop|lazy] [--for TIME] [-n N]" and "box open".
class Tree : public testing::Test {
 protected:
  Tree() : tree_("needle", "Sews.", "Exit status: 0 done.") {
    const Command sew =
        tree_.root().add("sew", "Sew things that are far longer to describe than to do");
    sew.option("FILE", files_, "What to sew").required();
    sew.choice("--model", model_, {"stop", "lazy"}, "How");
    sew.duration("--for", seconds_, "How long");
    sew.option("-n,--count N", count_, "How often").between(1, 9);
    const Option thread = sew.option("--thread", thread_, "Which").not_empty();
    sew.option("--knot", knot_, "How to end it").needs(thread);
    sew.option("--glue", glue_, "No thread").excludes(thread);
    sew.on_run([this] { ++runs_; });
    tree_.root().add("box", "A box").add("open", "Opens it").on_run([] {});
    const Command cut = tree_.root().add("cut", "Cut");
    cut.option("CLOTH", cloth_, "What to cut").existing();
    cut.on_run([this] { ++runs_; });
  }

  Result<CommandTree::Asked> run(std::vector<std::string> words) {
    words.insert(words.begin(), "needle");
    std::vector<char*> argv;
    for (std::string& word : words) {
      argv.push_back(word.data());
    }
    return tree_.run(static_cast<int>(argv.size()), argv.data());
  }

  std::string wrong(const std::vector<std::string>& words) {
    const auto asked = run(words);
    return asked ? "nothing is wrong"
                 : std::string(code_name(asked.error().code)) + " " + asked.error().where + ": " +
                       asked.error().reason;
  }

  CommandTree tree_;
  std::vector<std::string> files_;
  fs::path cloth_;
  std::string thread_, knot_, glue_;
  std::string model_;
  double seconds_ = 0;
  unsigned count_ = 0;
  int runs_ = 0;
};

TEST_F(Tree, RunsTheCommandWithItsOptions) {
  ASSERT_TRUE(run({"sew", "-n", "3", "a", "--for", "2m", "b", "--model", "lazy"}));
  EXPECT_EQ(runs_, 1);
  EXPECT_THAT(files_, ElementsAre("a", "b"));
  EXPECT_EQ(model_, "lazy");
  EXPECT_EQ(seconds_, 120);
  EXPECT_EQ(count_, 3U);
}

TEST_F(Tree, AnArgumentMayHaveTheNameOfACommand) {
  ASSERT_TRUE(run({"sew", "cut"}));
  EXPECT_THAT(files_, ElementsAre("cut"));
}

TEST_F(Tree, AnUnknownCommandGetsASuggestion) {
  EXPECT_EQ(wrong({"swe"}), "usage needle: there is no command 'swe'; did you mean 'needle sew'?");
  EXPECT_EQ(wrong({"box", "opne"}),
            "usage needle box: there is no command 'opne'; did you mean 'needle box open'?");
}

TEST_F(Tree, AnUnknownOptionGetsASuggestion) {
  EXPECT_EQ(wrong({"sew", "--modle", "lazy"}),
            "usage needle sew: there is no option --modle; did you mean '--model'?");
}

TEST_F(Tree, AWrongValueIsNamed) {
  EXPECT_THAT(wrong({"sew", "a", "--model", "fast"}), HasSubstr("'fast' is none of stop, lazy"));
  EXPECT_THAT(wrong({"sew", "a", "-n", "10"}), HasSubstr("10 not in range"));
  EXPECT_THAT(wrong({"sew", "a", "--for", "0"}), HasSubstr("must be more than 0"));
  EXPECT_THAT(wrong({"sew", "a", "--for"}), HasSubstr("--for needs a value"));
  EXPECT_THAT(wrong({"sew", "a", "--thread", ""}), HasSubstr("--thread: the value is empty"));
}

TEST_F(Tree, OptionsThatBelongTogetherAreNamed) {
  EXPECT_EQ(wrong({"sew", "a", "--knot", "x"}), "usage needle sew: --knot needs --thread as well");
  EXPECT_EQ(wrong({"sew", "a", "--thread", "x", "--glue", "y"}),
            "usage needle sew: --thread and --glue cannot be given together");
}

TEST_F(Tree, TheVersionHasAShortOption) {
  for (const char* option : {"-V", "--version"}) {
    const auto asked = run({option});
    ASSERT_TRUE(asked);
    EXPECT_TRUE(asked->version);
  }
}

TEST_F(Tree, WrongUsageSaysHowTheCommandIsUsed) {
  const auto asked = run({"sew"});
  ASSERT_FALSE(asked);
  EXPECT_EQ(asked.error().reason, "FILE is required");
  EXPECT_THAT(asked.error().remedy, HasSubstr("needle sew [OPTIONS] FILE..."));
  EXPECT_EQ(runs_, 0);
}

TEST_F(Tree, AMissingFileIsToldBeforeAnythingRuns) {
  EXPECT_EQ(wrong({"cut", "/not/there"}), "io /not/there: open: No such file or directory");
  EXPECT_EQ(runs_, 0);
}

TEST_F(Tree, ACommandWithOthersBelowShowsHelp) {
  const auto asked = run({"box"});
  ASSERT_TRUE(asked);
  EXPECT_TRUE(asked->help);
  EXPECT_THAT(asked->command.path, ElementsAre("needle", "box"));
  EXPECT_TRUE(run({})->help);
}

TEST_F(Tree, HelpRunsNothing) {
  const auto asked = run({"sew", "--help"});
  ASSERT_TRUE(asked && asked->help);
  EXPECT_EQ(runs_, 0);
}

TEST_F(Tree, HelpKeepsToItsWidth) {
  for (const CommandInfo& command : {tree_.info(), tree_.info().commands.front()}) {
    for_each_line(help_text(command, 40),
                  [](std::string_view line) { EXPECT_LE(columns(line), 40U) << line; });
  }
}

}  // namespace
}  // namespace suture::cli
