// SPDX-License-Identifier: GPL-2.0-or-later
#include "patch/shadow_tree.h"

#include <gtest/gtest.h>

namespace suture::patch {
namespace {

class ShadowTree : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* path : {"fs/a.c", "fs/a.h", "fs/sub/c.c", "lib/b.c"}) {
      ASSERT_TRUE(make_directories((tree() / path).parent_path()));
      ASSERT_TRUE(write_file(tree() / path, "tree"));
    }
    ASSERT_TRUE(make_directories(shadow()));
  }
  static source::ChangedFile changed(const std::string& path) {
    source::ChangedFile file;
    file.path = path;
    file.after_synced = "patched";
    return file;
  }
  std::string seen(const std::string& path) const {
    auto text = read_text(shadow() / path);
    return text ? *text : "none";
  }
  fs::path tree() const { return directory_.path() / "tree"; }
  fs::path shadow() const { return directory_.path() / "shadow"; }

  TempDir directory_ = *TempDir::create(fs::temp_directory_path(), "shadow");
};

TEST_F(ShadowTree, AChangedFileIsSeenAndTheTreeIsNot) {
  ASSERT_TRUE(make_shadow_tree({changed("fs/a.h")}, tree(), shadow()));
  EXPECT_EQ(seen("fs/a.h"), "patched");
  EXPECT_EQ(*read_text(tree() / "fs/a.h"), "tree");
}

TEST_F(ShadowTree, EverythingElseIsTheTrees) {
  ASSERT_TRUE(make_shadow_tree({changed("fs/a.h")}, tree(), shadow()));
  EXPECT_EQ(seen("fs/a.c"), "tree");
  EXPECT_EQ(seen("fs/sub/c.c"), "tree");
  EXPECT_EQ(seen("lib/b.c"), "tree");
}

TEST_F(ShadowTree, AFileInANewDirectoryIsSeen) {
  auto file = changed("new/dir/x.h");
  file.creates = true;
  ASSERT_TRUE(make_shadow_tree({file}, tree(), shadow()));
  EXPECT_EQ(seen("new/dir/x.h"), "patched");
}

TEST_F(ShadowTree, ADeletedFileIsGone) {
  auto file = changed("fs/a.h");
  file.deletes = true;
  ASSERT_TRUE(make_shadow_tree({file}, tree(), shadow()));
  EXPECT_EQ(seen("fs/a.h"), "none");
}

TEST_F(ShadowTree, ASourceThatIsSpelledWithDotsIsThePatchedOne) {
  ASSERT_TRUE(make_shadow_tree({changed("fs/a.c")}, tree(), shadow()));
  ASSERT_EQ(seen("fs/sub/../a.c"), "tree");
  ASSERT_TRUE(make_way("fs/sub/../a.c", tree(), shadow()));
  EXPECT_EQ(seen("fs/sub/../a.c"), "patched");
  EXPECT_EQ(seen("fs/sub/c.c"), "tree");
}

TEST_F(ShadowTree, WhatASourceIncludesByDotsIsThePatchedOne) {
  ASSERT_TRUE(make_shadow_tree({changed("fs/a.h")}, tree(), shadow()));
  ASSERT_TRUE(make_way("fs/sub/c.c", tree(), shadow()));
  EXPECT_EQ(seen("fs/sub/../a.h"), "patched");
}

TEST_F(ShadowTree, AWayPastThePatchedFileIsFound) {
  std::vector<source::ChangedFile> files{changed("fs/a.h")};
  ASSERT_TRUE(make_shadow_tree(files, tree(), shadow()));
  EXPECT_EQ(find_unpatched({"fs/a.h", "lib/b.c"}, files, tree(), shadow()), "");
  EXPECT_EQ(find_unpatched({"fs/sub/../a.h"}, files, tree(), shadow()), "fs/sub/../a.h");
}

}  // namespace
}  // namespace suture::patch
