// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/toolchain.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "kernel/kernel.h"
#include "kernel/prepare.h"

namespace suture::kernel {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

TEST(CompilerName, IsTakenApartAsDebianWritesIt) {
  const auto name = compiler_name("x86_64-linux-gnu-gcc-14 (Debian 14.2.0-19) 14.2.0");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->program, "x86_64-linux-gnu-gcc-14");
  EXPECT_EQ(name->major, "14");
  EXPECT_EQ(name->package, "gcc-14");
  EXPECT_EQ(name->version, "14.2.0-19");
}

TEST(CompilerName, OfAnotherDistributionHasNoVersionOfDebians) {
  const auto name = compiler_name("gcc (SUSE Linux) 13.2.1");
  ASSERT_TRUE(name);
  EXPECT_EQ(name->package, "gcc-13");
  EXPECT_EQ(name->version, "");
}

TEST(CompilerName, ThatWouldBecomeAnotherArgumentOrPathIsNoVersion) {
  EXPECT_EQ(compiler_name("gcc-12 (Debian 12,evil) 12.2.0")->version, "");
  EXPECT_EQ(compiler_name("gcc-12 (Debian ../12) 12.2.0")->version, "");
  EXPECT_EQ(compiler_name("../gcc-12 (Debian 12) 12.2.0").error().code, Code::compiler_mismatch);
}

TEST(CompilerName, OfNoGccIsAMismatch) {
  EXPECT_EQ(compiler_name("Debian clang version 19.1.7").error().code, Code::compiler_mismatch);
}

TEST(SeriesOfDebian, IsThatOfTheRelease) {
  EXPECT_EQ(series_of_debian("ID=debian\nVERSION_ID=\"12\"\n"), "6.1");
  EXPECT_EQ(series_of_debian("VERSION_ID=\"13\"\nID=debian\n"), "6.12");
}

TEST(SeriesOfDebian, IsNotKnownElsewhere) {
  EXPECT_EQ(series_of_debian("ID=ubuntu\nVERSION_ID=\"12\"\n"), "");
  EXPECT_EQ(series_of_debian("ID=debian\nPRETTY_NAME=\"Debian GNU/Linux forky/sid\"\n"), "");
}

TEST(Toolchain, OfTheMachineLeavesACommandAsItIs) {
  const Command command = in_toolchain({}, {.argv = {"gcc", "-c"}, .directory = "/tree"}, {}, {});
  EXPECT_THAT(command.argv, ElementsAre("gcc", "-c"));
  EXPECT_EQ(command.directory, "/tree");
}

// Commands that really run in a sandbox, whose root is the machine's own /usr and /etc.
class Sandbox : public ::testing::Test {
 protected:
  void SetUp() override {
    directory_ = TempDir::create(fs::temp_directory_path(), "suture-sandbox").value();
    for (const char* name : {"root", "in", "out"}) {
      ASSERT_TRUE(make_directories(directory_.path() / name));
    }
    fs::create_symlink("/usr", directory_.path() / "root/usr");
    fs::create_symlink("/etc", directory_.path() / "root/etc");
    ASSERT_TRUE(write_file(in() / "given", "what was given\n"));
    ASSERT_TRUE(write_file(directory_.path() / "secret", "what was not\n"));
    if (shell("true").exit_status != 0) {
      GTEST_SKIP() << "this machine allows no sandbox";
    }
  }

  fs::path in() const { return directory_.path() / "in"; }
  fs::path out() const { return directory_.path() / "out"; }

  Finished shell(const std::string& script) const {
    auto finished =
        run(in_toolchain(directory_.path() / "root",
                         {.argv = {"sh", "-c", script}, .directory = in()}, {in()}, {out()}));
    EXPECT_TRUE(finished);
    return finished.value_or(Finished{.exit_status = 1});
  }

  TempDir directory_;
};

TEST_F(Sandbox, SeesWhatItIsGivenUnderItsOwnName) {
  EXPECT_EQ(shell("pwd; cat given").out, in().string() + "\nwhat was given\n");
}

TEST_F(Sandbox, SeesNothingElseOfTheMachine) {
  EXPECT_NE(shell("cat ../secret").exit_status, 0);
  EXPECT_NE(shell("ls /root /home").exit_status, 0);
}

TEST_F(Sandbox, WritesOnlyWhereItMay) {
  EXPECT_EQ(shell("echo made >" + (out() / "made").string()).exit_status, 0);
  EXPECT_EQ(read_text(out() / "made"), "made\n");
  EXPECT_NE(shell("echo changed >given").exit_status, 0);
  EXPECT_NE(shell("echo changed >/usr/suture-was-here").exit_status, 0);
  EXPECT_EQ(read_text(in() / "given"), "what was given\n");
}

TEST_F(Sandbox, HasNoNetwork) {
  EXPECT_THAT(shell("cat /proc/net/dev").out, ::testing::Not(HasSubstr("eth")));
  EXPECT_EQ(shell("grep -c : /proc/net/dev").out, "1\n");  // the loopback
}

TEST_F(Sandbox, TellsHowTheCommandEnded) { EXPECT_EQ(shell("exit 42").exit_status, 42); }

TEST(FindCompiler, InAToolchainThatIsGoneSaysSo) {
  TempDir cache = TempDir::create(fs::temp_directory_path(), "suture-cache").value();
  ::setenv("XDG_CACHE_HOME", cache.path().c_str(), 1);
  const auto found =
      find_compiler("gcc-12 (Debian 12.2.0-14) 12.2.0", toolchain_root("gcc-12_12.2.0-14"));
  ::unsetenv("XDG_CACHE_HOME");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, Code::missing_tool);
  EXPECT_THAT(found.error().remedy, HasSubstr("suture kernel remove"));
}

TEST(FindCompiler, InAToolchainWithoutProgramsSaysThatItIsDamaged) {
  TempDir cache = TempDir::create(fs::temp_directory_path(), "suture-cache").value();
  ::setenv("XDG_CACHE_HOME", cache.path().c_str(), 1);
  const fs::path root = toolchain_root("gcc-12_12.2.0-14");
  ASSERT_TRUE(make_directories(root));
  ASSERT_TRUE(write_file(root.parent_path() / "toolchain.json", std::string_view("{}")));
  const auto found = find_compiler("gcc-12 (Debian 12.2.0-14) 12.2.0", root);
  ::unsetenv("XDG_CACHE_HOME");
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, Code::missing_tool);
  EXPECT_THAT(found.error().reason, HasSubstr("damaged"));
}

}  // namespace
}  // namespace suture::kernel
