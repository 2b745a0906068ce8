// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/packages.h"
#include "kernel/prepare.h"

namespace suture::kernel {
namespace {

using ::testing::HasSubstr;

// A tree that calls itself Linux 6.1.9, with a makefile of one's own.
class Prepare : public ::testing::Test {
 protected:
  void SetUp() override {
    auto created = TempDir::create(fs::temp_directory_path(), "prepare-test");
    ASSERT_TRUE(created);
    directory_ = *std::move(created);
  }

  Error refused(const std::string& version, const std::string& compiler, const std::string& rules,
                const std::string& name = "tree") {
    const fs::path tree = directory_.path() / name;
    const fs::path config = directory_.path() / "config";
    const fs::path symvers = directory_.path() / "symvers";
    EXPECT_TRUE(make_directories(tree));
    EXPECT_TRUE(
        write_file(tree / "Makefile", "VERSION = 6\nPATCHLEVEL = 1\nSUBLEVEL = 9\n" + rules));
    EXPECT_TRUE(write_file(config, fmt::format("# Linux/x86 {} Kernel Configuration\n"
                                               "CONFIG_CC_VERSION_TEXT=\"{}\"\n",
                                               version, compiler)));
    EXPECT_TRUE(write_file(symvers, std::string_view("0x1\ta\tvmlinux\tEXPORT_SYMBOL\t\n")));
    Status status = prepare_tree(tree, config, symvers, "6.1.9-test", {}, [](std::string_view) {});
    EXPECT_FALSE(status);
    return status ? Error{} : status.error();
  }

  TempDir directory_;
};

constexpr const char* our_compiler = "gcc-12 (Debian 12.2.0-14) 12.2.0";

TEST_F(Prepare, AConfigurationOfAnotherVersionIsAMismatch) {
  Error error = refused("6.1.8", our_compiler, "");
  EXPECT_EQ(error.code, Code::config_mismatch);
  EXPECT_THAT(error.reason, HasSubstr("of Linux 6.1.8, the source of Linux 6.1.9"));
}

TEST_F(Prepare, ACompilerThatIsNotInstalledIsNamed) {
  Error error = refused("6.1.9", "gcc-99 (Debian 99.1.0-1) 99.1.0", "");
  EXPECT_EQ(error.code, Code::compiler_mismatch);
  EXPECT_THAT(error.remedy, HasSubstr("suture kernel add"));
  EXPECT_THAT(error.remedy, HasSubstr("apt-get install gcc-99"));
}

TEST_F(Prepare, ACompilerThatIsNotGccIsAMismatch) {
  EXPECT_EQ(refused("6.1.9", "Debian clang version 14.0.6", "").code, Code::compiler_mismatch);
}

TEST_F(Prepare, WhatMakeSaysOfItsFailureIsPassedOn) {
  Error error = refused("6.1.9", our_compiler, "olddefconfig:\n\t@echo no tool; false\n");
  EXPECT_EQ(error.code, Code::prepare_failed);
  EXPECT_THAT(error.reason, HasSubstr("no tool"));
}

TEST_F(Prepare, AnOptionThatTheSourceDoesNotTakeIsAMismatch) {
  Error error = refused("6.1.9", our_compiler, "olddefconfig:\n\techo CONFIG_NEW=y >>.config\n");
  EXPECT_EQ(error.code, Code::config_mismatch);
  EXPECT_THAT(error.reason, HasSubstr("CONFIG_NEW (not there, now y)"));
}

TEST_F(Prepare, ATreeThatMakeLeavesUnpreparedIsAFailure) {
  Error error = refused("6.1.9", our_compiler,
                        "olddefconfig prepare modules_prepare:\n\t@mkdir -p include/config\n");
  EXPECT_EQ(error.code, Code::prepare_failed);
  EXPECT_THAT(error.reason, HasSubstr("left the tree unprepared"));
}

TEST_F(Prepare, KbuildTakesNoPathWithABlank) {
  Error error = refused("6.1.9", our_compiler, "", "a tree");
  EXPECT_EQ(error.code, Code::prepare_failed);
  EXPECT_THAT(error.reason, HasSubstr("blanks"));
}

}  // namespace
}  // namespace suture::kernel
