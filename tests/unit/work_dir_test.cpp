// SPDX-License-Identifier: GPL-2.0-or-later
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "base/file.h"

namespace suture {
namespace {

class WorkDirs : public testing::Test {
 protected:
  void SetUp() override {
    auto dir = TempDir::create(fs::temp_directory_path(), "suture-work-test");
    ASSERT_TRUE(dir);
    dir_ = std::move(*dir);
  }
  const fs::path& parent() const { return dir_.path(); }

  TempDir dir_;
};

TEST_F(WorkDirs, OneThatIsInUseStays) {
  auto first = WorkDir::create(parent(), "build");
  ASSERT_TRUE(first);
  ASSERT_TRUE(write_file(first->path() / "half.o", std::string_view("x")));
  auto second = WorkDir::create(parent(), "build");
  ASSERT_TRUE(second);
  EXPECT_NE(first->path(), second->path());
  EXPECT_TRUE(fs::exists(first->path() / "half.o"));
}

TEST_F(WorkDirs, ALockThatAnotherHoldsIsBusy) {
  auto first = FileLock::try_acquire(parent() / "lock");
  ASSERT_TRUE(first);
  auto second = FileLock::try_acquire(parent() / "lock");
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, Code::busy);
}

TEST_F(WorkDirs, OneThatEndsIsGone) {
  fs::path path;
  {
    auto work = WorkDir::create(parent(), "build");
    ASSERT_TRUE(work);
    path = work->path();
  }
  EXPECT_FALSE(fs::exists(path));
}

TEST_F(WorkDirs, WhatAKilledProcessLeftIsRemoved) {
  int made[2];
  ASSERT_EQ(::pipe(made), 0);
  pid_t child = ::fork();
  if (child == 0) {
    auto work = WorkDir::create(parent(), "build");
    const std::string path = work ? work->path().string() : std::string("failed");
    (void)!::write(made[1], path.data(), path.size());
    ::pause();
    ::_exit(0);
  }
  char buffer[4096];
  const ssize_t got = ::read(made[0], buffer, sizeof(buffer));
  ASSERT_GT(got, 0);
  const fs::path left(std::string(buffer, static_cast<std::size_t>(got)));
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  ::close(made[0]);
  ::close(made[1]);
  ASSERT_TRUE(fs::exists(left));
  auto work = WorkDir::create(parent(), "build");
  ASSERT_TRUE(work);
  EXPECT_FALSE(fs::exists(left));
}

TEST_F(WorkDirs, ALinkOfThatNameIsLeftAlone) {
  ASSERT_TRUE(make_directories(parent() / "elsewhere"));
  fs::create_symlink(parent() / "elsewhere", parent() / "build.abcdef");
  auto work = WorkDir::create(parent(), "build");
  ASSERT_TRUE(work);
  EXPECT_TRUE(fs::is_symlink(parent() / "build.abcdef"));
  EXPECT_TRUE(fs::is_empty(parent() / "elsewhere"));
}

TEST_F(WorkDirs, AnotherUsersDirectoryIsLeftAlone) {
  ASSERT_TRUE(make_directories(parent() / "build.abcdef"));
  if (::chown((parent() / "build.abcdef").c_str(), 1234, 1234) != 0) {
    GTEST_SKIP() << "only root can give a directory to another user";
  }
  auto work = WorkDir::create(parent(), "build");
  ASSERT_TRUE(work);
  EXPECT_TRUE(fs::exists(parent() / "build.abcdef"));
}

TEST_F(WorkDirs, AnotherPrefixIsLeftAlone) {
  ASSERT_TRUE(make_directories(parent() / "glue.abcdef"));
  auto work = WorkDir::create(parent(), "build");
  ASSERT_TRUE(work);
  EXPECT_TRUE(fs::exists(parent() / "glue.abcdef"));
}

}  // namespace
}  // namespace suture
