// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/featureset.h"

#include <gtest/gtest.h>

#include "support/archives.h"

namespace suture::kernel {
namespace {

constexpr const char* first =
    "Subject: one\n--- a/f\n+++ b/f\n@@ -1 +1,2 @@\n line\n+from the first\n";
constexpr const char* second =
    "--- a/f\n+++ b/f\n@@ -1,2 +1,3 @@\n line\n from the first\n+from the second\n";

class Featureset : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = *TempDir::create(fs::temp_directory_path(), "featureset-test");
    ASSERT_TRUE(make_directories(tree()));
    ASSERT_TRUE(write_file(tree() / "f", std::string_view("line\n")));
  }

  fs::path tree() const { return dir_.path() / "source"; }
  std::string text() const { return *read_text(tree() / "f"); }

  Status apply(const std::vector<test::Entry>& files) {
    fs::path packaging = dir_.path() / "linux_1.debian.tar.xz";
    EXPECT_TRUE(write_file(packaging, std::string_view(test::pack("ustar", "xz", files))));
    return apply_featureset(packaging, "rt", tree());
  }

 private:
  TempDir dir_;
};

TEST(FeaturesetOf, IsPartOfTheRelease) {
  EXPECT_EQ(featureset_of("6.1.0-56-rt-amd64"), "rt");
  EXPECT_EQ(featureset_of("6.12.117+deb12-rt-amd64"), "rt");
  EXPECT_EQ(featureset_of("6.1.0-56-amd64"), "");
  EXPECT_EQ(featureset_of("6.1.0-56-cloud-amd64"), "");
}

TEST_F(Featureset, IsAppliedInTheOrderOfItsSeries) {
  ASSERT_TRUE(apply({{"debian/patches-rt/a.patch", second},
                     {"debian/patches-rt/b.patch", first},
                     {"debian/patches-rt/series", "# a comment\nb.patch\n\na.patch\n"},
                     {"debian/patches/series", "other.patch\n"}}));
  EXPECT_EQ(text(), "line\nfrom the first\nfrom the second\n");
}

TEST_F(Featureset, LeavesOnlyItsChangesInTheTree) {
  ASSERT_TRUE(apply({{"debian/patches-rt/a", first}, {"debian/patches-rt/series", "a\n"}}));
  EXPECT_EQ(std::distance(fs::directory_iterator(tree()), fs::directory_iterator()), 1);
}

TEST_F(Featureset, IsRefusedWhereAPatchDoesNotFit) {
  Status status = apply({{"debian/patches-rt/a", second}, {"debian/patches-rt/series", "a\n"}});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::prepare_failed);
  EXPECT_EQ(status.error().where, "a");
}

TEST_F(Featureset, IsRefusedWhereThePackagingHasNone) {
  Status status = apply({{"debian/patches/series", "a\n"}});
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::bad_package);
}

}  // namespace
}  // namespace suture::kernel
