// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/unpack.h"

#include <gtest/gtest.h>

#include <vector>

#include "support/archives.h"

namespace suture::kernel {
namespace {

using test::Entry;
using test::pack;

std::string pack_deb(const std::vector<Entry>& files) {
  return pack("arbsd", nullptr,
              {{"debian-binary", "2.0\n"}, {"data.tar.xz", pack("ustar", "xz", files)}});
}

class Unpack : public ::testing::Test {
 protected:
  void SetUp() override {
    auto dir = TempDir::create(fs::temp_directory_path(), "unpack-test");
    ASSERT_TRUE(dir);
    dir_ = std::move(*dir);
    ASSERT_TRUE(make_directories(to()));
  }

  fs::path deb() const { return dir_.path() / "p.deb"; }
  fs::path to() const { return dir_.path() / "to"; }

  Status unpack(const std::vector<Entry>& files) {
    EXPECT_TRUE(write_file(deb(), pack_deb(files)));
    return unpack_deb(deb(), to(), [](std::string_view name) { return std::string(name); });
  }

  Status unpack_source(const std::string& tarball) {
    EXPECT_TRUE(write_file(deb(), pack_deb({{"./usr/src/s.tar.xz", tarball}})));
    return unpack_tar_in_deb(deb(), "usr/src/s.tar.xz", to());
  }

  void expect_refused(const std::vector<Entry>& files) {
    Status status = unpack(files);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, Code::bad_package);
  }

  std::string text(const char* name) { return read_text(to() / name).value_or("?"); }

 private:
  TempDir dir_;
};

TEST_F(Unpack, WritesFilesDirectoriesAndLinks) {
  ASSERT_TRUE(unpack({{"./d/", "", AE_IFDIR}, {"./d/f", "text"}, {"./d/l", "../d/f", AE_IFLNK}}));
  EXPECT_EQ(text("d/f"), "text");
  EXPECT_EQ(text("d/l"), "text");
}

TEST_F(Unpack, LeavesOutWhatHasNoPlace) {
  ASSERT_TRUE(write_file(deb(), pack_deb({{"a", "1"}, {"b", "2"}})));
  ASSERT_TRUE(unpack_deb(deb(), to(), [](std::string_view name) {
    return name == "b" ? std::optional<std::string>("c") : std::nullopt;
  }));
  EXPECT_EQ(text("c"), "2");
  EXPECT_FALSE(fs::exists(to() / "a"));
}

TEST_F(Unpack, RefusesNamesThatLeaveTheDirectory) {
  expect_refused({{"../evil", "x"}});
  expect_refused({{"d/../../evil", "x"}});
  expect_refused({{"/tmp/evil", "x"}});
  EXPECT_FALSE(fs::exists(to().parent_path() / "evil"));
}

TEST_F(Unpack, RefusesLinksThatLeaveTheDirectory) {
  expect_refused({{"l", "/etc", AE_IFLNK}});
  expect_refused({{"d/l", "../../x", AE_IFLNK}});
}

TEST_F(Unpack, RefusesToWriteThroughALink) {
  expect_refused({{"d/", "", AE_IFDIR}, {"l", "d", AE_IFLNK}, {"l/f", "x"}});
}

TEST_F(Unpack, RefusesToWriteThroughALinkWhoseNameIsSpelledInAnotherWay) {
  for (const char* way : {"x//l/evil", "x/./l/evil", "./x/y//../l/evil"}) {
    expect_refused({{"x/y/", "", AE_IFDIR}, {"x/l", "..", AE_IFLNK}, {way, "x"}});
    fs::remove_all(to() / "x");
  }
  EXPECT_FALSE(fs::exists(to() / "evil"));
}

TEST_F(Unpack, RefusesToWriteThroughALinkOfAnotherArchive) {
  ASSERT_TRUE(unpack({{"d/", "", AE_IFDIR}, {"l", "d", AE_IFLNK}}));
  expect_refused({{"l/f", "x"}});
  EXPECT_FALSE(fs::exists(to() / "d/f"));
}

TEST_F(Unpack, RefusesALinkThatLeadsUpBehindAnotherLink) {
  // d/a is the destination itself, so d/a/.. is above it, though it reads like d.
  expect_refused({{"d/a", "..", AE_IFLNK}, {"x", "d/a/..", AE_IFLNK}});
}

TEST_F(Unpack, FollowsALinkForADirectoryInNoWay) {
  expect_refused({{"d/", "", AE_IFDIR}, {"l", "d", AE_IFLNK}, {"l/sub/", "", AE_IFDIR}});
  EXPECT_FALSE(fs::exists(to() / "d/sub"));
}

TEST_F(Unpack, RefusesHardLinksAndDevices) {
  expect_refused({{"f", "x"}, {"h", "f", AE_IFREG, true}});
  expect_refused({{"fifo", "", AE_IFIFO}});
}

TEST_F(Unpack, DoesNotWriteOverAFile) {
  EXPECT_FALSE(unpack({{"f", "1"}, {"f", "2"}}));
  EXPECT_EQ(text("f"), "1");
}

TEST_F(Unpack, RefusesWhatIsNoPackage) {
  ASSERT_TRUE(write_file(deb(), std::string_view("not an archive")));
  EXPECT_FALSE(unpack_deb(deb(), to(), [](std::string_view name) { return std::string(name); }));
}

TEST_F(Unpack, RefusesACutOffPackage) {
  std::string whole = pack_deb({{"f", std::string(50000, 'x')}, {"g", "y"}});
  for (std::size_t size = 0; size < whole.size(); size += 37) {
    TempDir to = *TempDir::create(fs::temp_directory_path(), "unpack-test");
    ASSERT_TRUE(write_file(deb(), std::string_view(whole).substr(0, size)));
    EXPECT_FALSE(unpack_deb(deb(), to.path(), [](std::string_view n) { return std::string(n); }))
        << size << " of " << whole.size();
  }
}

TEST_F(Unpack, StreamsATarballInsideAPackage) {
  ASSERT_TRUE(unpack_source(pack("ustar", "xz", {{"top/", "", AE_IFDIR}, {"top/d/f", "text"}})));
  EXPECT_EQ(text("d/f"), "text");
}

TEST_F(Unpack, RefusesADamagedTarballInsideAPackage) {
  std::string tarball = pack("ustar", "xz", {{"top/f", std::string(3000, 'x')}});
  EXPECT_FALSE(unpack_source(tarball.substr(0, tarball.size() / 2)));
  tarball[tarball.size() / 2] = static_cast<char>(tarball[tarball.size() / 2] ^ 0x55);
  EXPECT_FALSE(unpack_source(tarball));
}

TEST_F(Unpack, RefusesAPackageWithoutTheTarball) {
  ASSERT_TRUE(write_file(deb(), pack_deb({{"f", "x"}})));
  EXPECT_FALSE(unpack_tar_in_deb(deb(), "usr/src/s.tar.xz", to()));
}

}  // namespace
}  // namespace suture::kernel
