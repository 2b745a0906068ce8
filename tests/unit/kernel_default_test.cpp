// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <cstdlib>

#include "cli/command.h"
#include "kernel/cache_space.h"
#include "kernel/kernel.h"

namespace suture::kernel {
namespace {

// A cache of its own, with entries that hold just enough to be found.
class CachedKernels : public testing::Test {
 protected:
  void SetUp() override {
    auto dir = TempDir::create(fs::temp_directory_path(), "suture-cache-test");
    ASSERT_TRUE(dir);
    dir_ = std::move(*dir);
    ::setenv("XDG_CACHE_HOME", dir_.path().c_str(), 1);
  }
  void TearDown() override { ::unsetenv("XDG_CACHE_HOME"); }

  void put(const std::string& release, const std::string& toolchain = "") {
    const fs::path root = dir_.path() / "suture" / "kernels" / release;
    ASSERT_TRUE(make_directories(root / "modules"));
    ASSERT_TRUE(make_directories(root / "source"));
    for (const char* file : {"vmlinuz", "vmlinux", "config", "Module.symvers", "source/Makefile"}) {
      ASSERT_TRUE(write_file(root / file, std::string_view("x")));
    }
    ASSERT_TRUE(
        write_file(root / "kernel.json",
                   R"({"schema": 1, "package_version": "1", "build_id": "ab", "release": ")" +
                       release + R"(", "toolchain": ")" + toolchain + "\"}"));
  }

  // Of the Debian that the test runs on; the tests know one for those that have none yet.
  static std::string usual_series() {
    const std::string series = series_of_debian(read_text("/etc/os-release").value_or(""));
    return series.empty() ? "99.12" : series;
  }

  std::string default_release() {
    auto kernel = find("");
    return kernel ? kernel->release : std::string(code_name(kernel.error().code));
  }

  TempDir dir_;
};

TEST_F(CachedKernels, WithoutAnyThereIsNoDefault) { EXPECT_EQ(default_release(), "not-cached"); }

TEST_F(CachedKernels, TheDefaultIsTheNewestByNumber) {
  put("6.1.0-9-amd64");
  put("6.1.0-56-amd64");
  EXPECT_EQ(default_release(), "6.1.0-56-amd64");
}

TEST_F(CachedKernels, TheDefaultIsTheRunningOneWhereItIsThere) {
  utsname running{};
  ASSERT_EQ(::uname(&running), 0);
  put("6.1.0-999-amd64");
  put(running.release);
  const auto chosen = cli::KernelChoice{}.find();
  ASSERT_TRUE(chosen);
  EXPECT_EQ(chosen->release, running.release);
}

TEST_F(CachedKernels, OneThatIsRemovedIsGoneWithWhatWasMadeOfIt) {
  put("6.1.0-9-amd64");
  put("6.1.0-56-amd64");
  const fs::path derived = find("6.1.0-9-amd64")->derived;
  ASSERT_TRUE(write_file(derived / "made", std::string(5000, 'x')));
  const auto freed = remove_kernel("6.1.0-9-amd64", {});
  ASSERT_TRUE(freed);
  EXPECT_GE(*freed, 5000U);
  EXPECT_EQ(find("6.1.0-9-amd64").error().code, Code::not_cached);
  EXPECT_TRUE(find("6.1.0-56-amd64"));
  EXPECT_FALSE(fs::exists(derived / "made"));
}

TEST_F(CachedKernels, ADamagedOneCanBeRemoved) {
  put("6.1.0-9-amd64");
  ASSERT_TRUE(
      write_file(dir_.path() / "suture/kernels/6.1.0-9-amd64/kernel.json", std::string_view("{")));
  EXPECT_EQ(find("6.1.0-9-amd64").error().code, Code::bad_package);
  ASSERT_TRUE(remove_kernel("6.1.0-9-amd64", {}));
  EXPECT_EQ(find("6.1.0-9-amd64").error().code, Code::not_cached);
}

TEST_F(CachedKernels, ADamagedOneHidesNoOtherFromTheList) {
  put("6.1.0-9-amd64");
  put("6.1.0-47-amd64");
  put("6.1.0-56-amd64");
  ASSERT_TRUE(write_file(dir_.path() / "suture/kernels/6.1.0-47-amd64/kernel.json",
                         R"({"schema": 1, "release": "6.1.)"));
  const auto listing = list();
  ASSERT_TRUE(listing);
  ASSERT_EQ(listing->kernels.size(), 2U);
  EXPECT_EQ(listing->kernels.at(0).release, "6.1.0-9-amd64");
  EXPECT_EQ(listing->kernels.at(1).release, "6.1.0-56-amd64");
  ASSERT_EQ(listing->bad.size(), 1U);
  const BadEntry& bad = listing->bad.at(0);
  EXPECT_EQ(bad.release, "6.1.0-47-amd64");
  EXPECT_EQ(bad.error.code, Code::bad_package);
  EXPECT_EQ(bad.error.reason, "the cached kernel is damaged: its kernel.json is not whole");
  EXPECT_EQ(bad.error.remedy,
            "suture kernel remove 6.1.0-47-amd64, then: suture kernel add 6.1.0-47-amd64");
}

TEST_F(CachedKernels, AToolchainGoesWithTheLastKernelThatItCompiles) {
  const fs::path toolchain = dir_.path() / "suture/toolchains/gcc-14_14.2.0-19";
  ASSERT_TRUE(make_directories(toolchain / "root"));
  put("6.12.117+deb13-amd64", "gcc-14_14.2.0-19");
  put("6.12.118+deb13-amd64", "gcc-14_14.2.0-19");
  EXPECT_EQ(find("6.12.117+deb13-amd64")->toolchain, toolchain / "root");
  ASSERT_TRUE(remove_kernel("6.12.117+deb13-amd64", {}));
  ASSERT_TRUE(clean_cache({}));
  EXPECT_TRUE(fs::exists(toolchain));
  ASSERT_TRUE(remove_kernel("6.12.118+deb13-amd64", {}));
  EXPECT_FALSE(fs::exists(toolchain));
}

TEST_F(CachedKernels, WhileOneIsDamagedNoToolchainGoes) {
  const fs::path toolchain = dir_.path() / "suture/toolchains/gcc-14_14.2.0-19";
  ASSERT_TRUE(make_directories(toolchain / "root"));
  put("6.12.118+deb13-amd64", "gcc-14_14.2.0-19");
  ASSERT_TRUE(write_file(dir_.path() / "suture/kernels/6.12.118+deb13-amd64/kernel.json",
                         std::string_view("{")));
  ASSERT_TRUE(clean_cache({}));
  EXPECT_TRUE(fs::exists(toolchain));
}

TEST_F(CachedKernels, AToolchainThatLiesElsewhereIsDamage) {
  put("6.12.118+deb13-amd64", "../../elsewhere");
  EXPECT_EQ(find("6.12.118+deb13-amd64").error().code, Code::bad_package);
}

TEST_F(CachedKernels, OneThatABuildIsUnderWayForStays) {
  put("6.1.0-9-amd64");
  const fs::path derived = find("6.1.0-9-amd64")->derived;
  const auto build = WorkDir::create(derived / "work", "build");
  ASSERT_TRUE(build);
  EXPECT_EQ(remove_kernel("6.1.0-9-amd64", {}).error().code, Code::busy);
  ASSERT_TRUE(clean_cache({}));
  EXPECT_TRUE(fs::exists(build->path()));
}

TEST_F(CachedKernels, WhatIsNotThereCannotBeRemoved) {
  EXPECT_EQ(remove_kernel("6.1.0-9-amd64", {}).error().code, Code::not_cached);
  EXPECT_EQ(remove_kernel("../..", {}).error().code, Code::not_cached);
}

TEST_F(CachedKernels, CleaningLeavesTheKernels) {
  put("6.1.0-9-amd64");
  const fs::path derived = find("6.1.0-9-amd64")->derived;
  ASSERT_TRUE(write_file(derived / "made", std::string(5000, 'x')));
  const fs::path package = dir_.path() / "suture/downloads/a.deb";
  ASSERT_TRUE(make_directories(package.parent_path()));
  ASSERT_TRUE(write_file(package, std::string(5000, 'x')));
  const auto freed = clean_cache({});
  ASSERT_TRUE(freed);
  EXPECT_GE(*freed, 10000U);
  EXPECT_FALSE(fs::exists(package));
  EXPECT_FALSE(fs::exists(derived / "made"));
  EXPECT_TRUE(find("6.1.0-9-amd64"));
}

TEST_F(CachedKernels, ANewerSeriesDoesNotBecomeTheDefault) {
  const std::string usual = usual_series() + ".0-47-amd64";
  put(usual);
  put("99.12.111+deb12-amd64");
  EXPECT_EQ(default_release(), usual);
}

TEST_F(CachedKernels, AnotherFlavourDoesNotBecomeTheDefault) {
  const std::string usual = usual_series() + ".0-47-amd64";
  put(usual);
  put(usual_series() + ".0-56-cloud-amd64");
  put(usual_series() + ".0-56-rt-amd64");
  EXPECT_EQ(default_release(), usual);
}

TEST_F(CachedKernels, WithoutOneOfTheUsualSeriesTheNewestOfAnyOtherIsTheDefault) {
  put("4.19.0-30-amd64");
  put("6.5.0-1-amd64");
  EXPECT_EQ(default_release(), "6.5.0-1-amd64");
}

TEST_F(CachedKernels, RootUsesNoCacheThatAnotherUserOwns) {
  if (::geteuid() != 0) {
    GTEST_SKIP() << "only root can give a directory away";
  }
  put("6.1.0-56-amd64");
  for (const char* part : {"suture", "suture/kernels", "suture/kernels/6.1.0-56-amd64"}) {
    ASSERT_EQ(::chown((dir_.path() / part).c_str(), 1000, 1000), 0);
    EXPECT_EQ(default_release(), "untrusted-file") << part;
    ::setenv("SUDO_UID", "1000", 1);  // who became root by sudo brought the own cache along
    EXPECT_EQ(default_release(), "6.1.0-56-amd64") << part;
    ::setenv("SUDO_UID", "1001", 1);
    EXPECT_EQ(default_release(), "untrusted-file") << part;
    ::unsetenv("SUDO_UID");
    ASSERT_EQ(::chown((dir_.path() / part).c_str(), 0, 0), 0);
  }
  fs::permissions(dir_.path() / "suture", fs::perms(0777));
  EXPECT_EQ(default_release(), "untrusted-file");
}

TEST_F(CachedKernels, ADamagedOneThatIsNotMeantDoesNotStandInTheWay) {
  const std::string usual = usual_series() + ".999-56-amd64";
  put(usual);
  put("99.12.111+deb12-amd64");
  fs::remove(dir_.path() / "suture" / "kernels" / "99.12.111+deb12-amd64" / "vmlinuz");
  EXPECT_EQ(default_release(), usual);
}

}  // namespace
}  // namespace suture::kernel
