// SPDX-License-Identifier: GPL-2.0-or-later
#include "patch/shadow_tree.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

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
  fs::path links() const { return directory_.path() / "links"; }
  TreePaths paths() const { return {.tree = tree(), .shadow = shadow(), .links = links()}; }

  TempDir directory_ = *TempDir::create(fs::temp_directory_path(), "shadow");
};

TEST_F(ShadowTree, AChangedFileIsSeenAndTheTreeIsNot) {
  ASSERT_TRUE(make_shadow_tree({changed("fs/a.h")}, paths()));
  EXPECT_EQ(seen("fs/a.h"), "patched");
  EXPECT_EQ(*read_text(tree() / "fs/a.h"), "tree");
}

TEST_F(ShadowTree, EverythingElseIsTheTrees) {
  ASSERT_TRUE(make_shadow_tree({changed("fs/a.h")}, paths()));
  EXPECT_EQ(seen("fs/a.c"), "tree");
  EXPECT_EQ(seen("fs/sub/c.c"), "tree");
  EXPECT_EQ(seen("lib/b.c"), "tree");
}

TEST_F(ShadowTree, LinksAreKeptForLaterShadows) {
  ASSERT_TRUE(make_shadow_tree({changed("fs/a.h")}, paths()));
  TreePaths second = paths();
  second.shadow = directory_.path() / "second";
  ASSERT_TRUE(make_directories(second.shadow));
  ASSERT_TRUE(write_file(tree() / "fs/new.c", "tree"));
  ASSERT_TRUE(make_shadow_tree({changed("fs/a.c")}, second));
  struct stat link {};
  ASSERT_EQ(lstat((shadow() / "lib").c_str(), &link), 0);
  EXPECT_EQ(link.st_nlink, 3U);  // both shadows', and the kept one
  EXPECT_EQ(*read_text(second.shadow / "fs/new.c"), "tree");
  EXPECT_EQ(*read_text(second.shadow / "fs/a.h"), "tree");
  EXPECT_EQ(*read_text(second.shadow / "fs/a.c"), "patched");
}

TEST_F(ShadowTree, KeptLinksThatLeadElsewhereAreNotUsed) {
  ASSERT_TRUE(make_shadow_tree({changed("fs/a.h")}, paths()));
  for (const auto& kept : fs::recursive_directory_iterator(links())) {
    if (kept.is_symlink()) {
      fs::remove(kept);
      fs::create_symlink("/nowhere", kept);
    }
  }
  fs::remove_all(shadow());
  ASSERT_TRUE(make_directories(shadow()));
  ASSERT_TRUE(make_shadow_tree({changed("fs/a.h")}, paths()));
  EXPECT_EQ(seen("fs/a.c"), "tree");
  EXPECT_EQ(seen("lib/b.c"), "tree");
}

TEST_F(ShadowTree, AFileInANewDirectoryIsSeen) {
  auto file = changed("new/dir/x.h");
  file.creates = true;
  ASSERT_TRUE(make_shadow_tree({file}, paths()));
  EXPECT_EQ(seen("new/dir/x.h"), "patched");
}

TEST_F(ShadowTree, ADeletedFileIsGone) {
  auto file = changed("fs/a.h");
  file.deletes = true;
  ASSERT_TRUE(make_shadow_tree({file}, paths()));
  EXPECT_EQ(seen("fs/a.h"), "none");
}

TEST_F(ShadowTree, ASourceThatIsSpelledWithDotsIsThePatchedOne) {
  ASSERT_TRUE(make_shadow_tree({changed("fs/a.c")}, paths()));
  ASSERT_EQ(seen("fs/sub/../a.c"), "tree");
  ASSERT_TRUE(make_way("fs/sub/../a.c", paths()));
  EXPECT_EQ(seen("fs/sub/../a.c"), "patched");
  EXPECT_EQ(seen("fs/sub/c.c"), "tree");
}

TEST_F(ShadowTree, WhatASourceIncludesByDotsIsThePatchedOne) {
  ASSERT_TRUE(make_shadow_tree({changed("fs/a.h")}, paths()));
  ASSERT_TRUE(make_way("fs/sub/c.c", paths()));
  EXPECT_EQ(seen("fs/sub/../a.h"), "patched");
}

TEST_F(ShadowTree, AWayPastThePatchedFileIsFound) {
  std::vector<source::ChangedFile> files{changed("fs/a.h")};
  ASSERT_TRUE(make_shadow_tree(files, paths()));
  EXPECT_EQ(find_unpatched({"fs/a.h", "lib/b.c"}, files, tree(), shadow()), "");
  EXPECT_EQ(find_unpatched({"fs/sub/../a.h"}, files, tree(), shadow()), "fs/sub/../a.h");
}

}  // namespace
}  // namespace suture::patch
