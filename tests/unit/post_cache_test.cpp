// SPDX-License-Identifier: GPL-2.0-or-later
#include "patch/post_cache.h"

#include <gtest/gtest.h>

namespace suture::patch {
namespace {

class PostCacheTest : public ::testing::Test {
 protected:
  void SetUp() override {
    dir_ = TempDir::create(fs::temp_directory_path(), "posts").value();
    for (const char* header : {"fs/a.h", "inc/b.h"}) {
      ASSERT_TRUE(make_directories((shadow() / header).parent_path()));
      ASSERT_TRUE(write_file(shadow() / header, std::string_view("the tree's")));
    }
  }

  // The cache as a build with these changed files sees it.
  PostCache open(const std::vector<source::ChangedFile>& files) {
    for (const source::ChangedFile& file : files) {
      EXPECT_TRUE(make_directories((shadow() / file.path).parent_path()));
      EXPECT_TRUE(write_file(shadow() / file.path, file.after_synced));
    }
    return PostCache::open(dir_.path() / "post", files, shadow()).value();
  }
  static source::ChangedFile file(const std::string& path, const std::string& text) {
    return {.path = path, .before = "x", .after = text, .after_synced = text};
  }
  // An object that the compiler made of fs/a.c, which includes fs/a.h.
  void compile(const PostCache& cache) {
    PostCache::Entry made{.object = dir_.path() / "a.o", .dependencies = dir_.path() / "a.d"};
    ASSERT_TRUE(write_file(made.object, std::string_view("object")));
    ASSERT_TRUE(
        write_file(made.dependencies, std::string_view("a.o: fs/a.c fs/../fs/a.h \\\n inc/b.h\n")));
    ASSERT_TRUE(cache.keep("gcc a", made));
  }
  fs::path shadow() const { return dir_.path() / "tree"; }

  TempDir dir_;
};

TEST_F(PostCacheTest, ServesAgainWhereNothingThatWasReadDiffers) {
  compile(open({file("fs/a.c", "one")}));
  const PostCache later = open({file("fs/a.c", "one"), file("fs/z.c", "new")});
  auto entry = later.find("gcc a");
  ASSERT_TRUE(entry);
  EXPECT_EQ(read_text(entry->object).value(), "object");
}

TEST_F(PostCacheTest, DoesNotServeAnotherCommand) {
  const PostCache cache = open({file("fs/a.c", "one")});
  compile(cache);
  EXPECT_FALSE(cache.find("gcc -O3 a"));
}

TEST_F(PostCacheTest, DoesNotServeWhereTheSourceDiffers) {
  compile(open({file("fs/a.c", "one")}));
  EXPECT_FALSE(open({file("fs/a.c", "two")}).find("gcc a"));
  EXPECT_TRUE(open({file("fs/a.c", "one")}).find("gcc a"));
}

TEST_F(PostCacheTest, DoesNotServeWhereAHeaderIsChangedOrNoLongerIs) {
  compile(open({file("fs/a.c", "one")}));
  EXPECT_FALSE(open({file("fs/a.c", "one"), file("fs/a.h", "changed")}).find("gcc a"));
  compile(open({file("fs/a.c", "one"), file("fs/a.h", "changed")}));
  EXPECT_TRUE(open({file("fs/a.c", "one")}).find("gcc a"));
}

TEST_F(PostCacheTest, DoesNotServeWhereADiffCreatesAFileThatMayBeFoundFirst) {
  compile(open({file("fs/a.c", "one")}));
  source::ChangedFile created = file("fs/b.h", "new");
  created.creates = true;
  EXPECT_FALSE(open({file("fs/a.c", "one"), created}).find("gcc a"));
}

TEST_F(PostCacheTest, KeepsTheNewestOfACommand) {
  for (int i = 0; i < 12; ++i) {
    compile(open({file("fs/a.c", std::to_string(i))}));
  }
  EXPECT_TRUE(open({file("fs/a.c", "11")}).find("gcc a"));
  std::size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(dir_.path() / "post")) {
    files += entry.is_regular_file() ? 1 : 0;
  }
  EXPECT_LE(files, 16U);
}

}  // namespace
}  // namespace suture::patch
