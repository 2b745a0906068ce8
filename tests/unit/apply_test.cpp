// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <ctime>

#include "source/patch.h"

namespace suture::source {
namespace {

class Apply : public ::testing::Test {
 protected:
  void SetUp() override {
    auto dir = TempDir::create(fs::temp_directory_path(), "apply-test");
    ASSERT_TRUE(dir);
    dir_ = std::move(*dir);
  }

  void put(const std::string& path, std::string_view text) {
    ASSERT_TRUE(make_directories((tree() / path).parent_path()));
    ASSERT_TRUE(write_file(tree() / path, text));
  }

  Result<std::vector<ChangedFile>> apply_all(const std::vector<std::string>& diffs) {
    std::vector<Patch> patches;
    for (const std::string& diff : diffs) {
      auto patch = parse_patch(diff, "t.diff");
      EXPECT_TRUE(patch) << patch.error().reason;
      patches.push_back(*patch);
    }
    return source::apply(patches, tree());
  }

  std::string after(const std::vector<std::string>& diffs) {
    auto files = apply_all(diffs);
    EXPECT_TRUE(files) << files.error().reason;
    return files && files->size() == 1 ? files->front().after : "?";
  }

  Code refused(const std::string& diff) {
    auto files = apply_all({diff});
    EXPECT_FALSE(files);
    return files ? Code::no_change : files.error().code;
  }

  const fs::path& tree() const { return dir_.path(); }

 private:
  TempDir dir_;
};

std::string diff_of(std::string_view hunks) {
  return fmt::format("--- a/f/x.c\n+++ b/f/x.c\n{}", hunks);
}

TEST_F(Apply, ReplacesLines) {
  put("f/x.c", "1\n2\n3\n");
  EXPECT_EQ(after({diff_of("@@ -1,3 +1,4 @@\n 1\n-2\n+two\n+more\n 3\n")}), "1\ntwo\nmore\n3\n");
}

TEST_F(Apply, WritesNothing) {
  put("f/x.c", "1\n2\n3\n");
  EXPECT_TRUE(apply_all({diff_of("@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n")}));
  EXPECT_EQ(*read_text(tree() / "f/x.c"), "1\n2\n3\n");
}

TEST_F(Apply, FindsAHunkThatMoved) {
  put("f/x.c", "new\nnew\na\nb\nc\nd\n");
  EXPECT_EQ(after({diff_of("@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n")}), "new\nnew\na\nB\nc\nd\n");
}

TEST_F(Apply, TakesTheNearestOfSeveralPlaces) {
  put("f/x.c", "a\nb\na\n.\n.\n.\n.\n.\na\nb\na\n");
  EXPECT_EQ(after({diff_of("@@ -8,3 +8,3 @@\n a\n-b\n+B\n a\n")}),
            "a\nb\na\n.\n.\n.\n.\n.\na\nB\na\n");
}

TEST_F(Apply, RefusesTwoPlacesEquallyFar) {
  put("f/x.c", "a\nb\na\n.\na\nb\na\n");
  EXPECT_EQ(refused(diff_of("@@ -3,3 +3,3 @@\n a\n-b\n+B\n a\n")), Code::does_not_apply);
}

TEST_F(Apply, FindsAHunkWhoseHeaderPointsFarPastTheEndAtOnce) {
  const std::clock_t start = std::clock();
  put("f/x.c", "new\na\nb\nc\nd\n");
  EXPECT_EQ(after({diff_of("@@ -1000000000,3 +1000000000,3 @@\n a\n-b\n+B\n c\n")}),
            "new\na\nB\nc\nd\n");
  EXPECT_EQ(refused(diff_of("@@ -1000000000,3 +1000000000,3 @@\n a\n-x\n+X\n c\n")),
            Code::does_not_apply);
  EXPECT_LT(std::clock() - start, CLOCKS_PER_SEC);
}

TEST_F(Apply, DoesNotMoveTheEndOfAFileIntoItsMiddle) {
  put("f/x.c", "x\n}\n\nf\n\nx\n}\n\ng\n");
  EXPECT_EQ(refused(diff_of("@@ -8,2 +8,3 @@\n x\n }\n+tail\n")), Code::does_not_apply);
}

TEST_F(Apply, DoesNotFuzz) {
  put("f/x.c", "1\n2\n3\nother\n");
  EXPECT_EQ(refused(diff_of("@@ -1,4 +1,4 @@\n 1\n-2\n+two\n 3\n 4\n")), Code::does_not_apply);
}

TEST_F(Apply, RefusesAPatchThatIsInAlready) {
  put("f/x.c", "1\ntwo\n3\n");
  EXPECT_EQ(refused(diff_of("@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n")), Code::does_not_apply);
}

TEST_F(Apply, FollowsTheOffsetOfEarlierHunks) {
  // By its header alone the second hunk would change the first q.
  put("f/x.c", "0\na\nb\nc\nq\nq\nq\n");
  EXPECT_EQ(after({diff_of("@@ -1,3 +1,3 @@\n a\n-b\n+B\n c\n@@ -5 +5 @@\n-q\n+Q\n")}),
            "0\na\nB\nc\nq\nQ\nq\n");
}

TEST_F(Apply, AppliesPatchesOneUponTheOther) {
  put("f/x.c", "1\n2\n3\n");
  EXPECT_EQ(after({diff_of("@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n"),
                   diff_of("@@ -1,3 +1,3 @@\n 1\n-two\n+zwei\n 3\n")}),
            "1\nzwei\n3\n");
}

TEST_F(Apply, LeavesOutAFileThatALaterPatchTookBack) {
  put("f/x.c", "1\n2\n3\n");
  auto files = apply_all({diff_of("@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n"),
                          diff_of("@@ -1,3 +1,3 @@\n 1\n-two\n+2\n 3\n")});
  ASSERT_TRUE(files);
  EXPECT_TRUE(files->empty());
}

TEST_F(Apply, CreatesAndDeletes) {
  put("f/old.c", "1\n");
  auto files =
      apply_all({"--- /dev/null\n+++ b/f/new.c\n@@ -0,0 +1 @@\n+a\n"
                 "--- a/f/old.c\n+++ /dev/null\n@@ -1 +0,0 @@\n-1\n"});
  ASSERT_TRUE(files);
  ASSERT_EQ(files->size(), 2U);
  EXPECT_TRUE((*files)[0].creates);
  EXPECT_EQ((*files)[0].after, "a\n");
  EXPECT_TRUE((*files)[1].deletes);
}

TEST_F(Apply, RefusesToCreateWhatIsThere) {
  put("f/x.c", "1\n");
  EXPECT_EQ(refused("--- /dev/null\n+++ b/f/x.c\n@@ -0,0 +1 @@\n+a\n"), Code::does_not_apply);
}

TEST_F(Apply, RefusesToDeleteMoreThanThePatchShows) {
  put("f/x.c", "1\n2\n");
  EXPECT_EQ(refused("--- a/f/x.c\n+++ /dev/null\n@@ -1 +0,0 @@\n-1\n"), Code::does_not_apply);
}

TEST_F(Apply, RefusesAFileThatIsNotThere) {
  EXPECT_EQ(refused(diff_of("@@ -1 +1 @@\n-a\n+b\n")), Code::does_not_apply);
}

TEST_F(Apply, MindsAMissingNewline) {
  put("f/x.c", "1\n2");
  EXPECT_EQ(refused(diff_of("@@ -1,2 +1,2 @@\n 1\n-2\n+3\n")), Code::does_not_apply);
  EXPECT_EQ(after({diff_of("@@ -1,2 +1,2 @@\n 1\n-2\n\\ No newline at end of file\n+3\n"
                           "\\ No newline at end of file\n")}),
            "1\n3");
}

TEST_F(Apply, RefusesToEndAFileInItsMiddle) {
  put("f/x.c", "1\n2\n3\n");
  EXPECT_EQ(refused(diff_of("@@ -1 +1,2 @@\n 1\n+x\n\\ No newline at end of file\n")),
            Code::does_not_apply);
}

TEST_F(Apply, AppliesCrlfToCrlfOnly) {
  std::string crlf = diff_of("@@ -1,2 +1,2 @@\n 1\r\n-2\r\n+3\r\n");
  put("f/x.c", "1\r\n2\r\n");
  EXPECT_EQ(after({crlf}), "1\r\n3\r\n");
  put("f/x.c", "1\n2\n");
  auto files = apply_all({crlf});
  ASSERT_FALSE(files);
  EXPECT_NE(files.error().remedy.find("CRLF"), std::string::npos);
}

TEST_F(Apply, RefusesToFollowSymbolicLinks) {
  put("real/x.c", "a\n");
  fs::create_directory_symlink(tree() / "real", tree() / "f");
  EXPECT_EQ(refused(diff_of("@@ -1 +1 @@\n-a\n+b\n")), Code::unsafe_path);
}

TEST_F(Apply, InsertsWithoutContextOnlyWhereTheHeaderSays) {
  put("f/x.c", "1\n2\n");
  EXPECT_EQ(after({diff_of("@@ -1,0 +2 @@\n+new\n")}), "1\nnew\n2\n");
  EXPECT_EQ(refused(diff_of("@@ -9,0 +10 @@\n+new\n")), Code::does_not_apply);
}

TEST_F(Apply, NumbersLinesOnlyInC) {
  put("f/x.c", "1\n2\n");
  put("f/Makefile", "1\n2\n");
  auto files = apply_all({diff_of("@@ -1,2 +1,3 @@\n 1\n+new\n 2\n"),
                          "--- a/f/Makefile\n+++ b/f/Makefile\n@@ -1,2 +1,3 @@\n 1\n+new\n 2\n"});
  ASSERT_TRUE(files);
  EXPECT_EQ((*files)[0].after_synced, "1\nnew\n2\n");
  EXPECT_EQ((*files)[1].after_synced, "1\nnew\n#line 2\n2\n");
}

}  // namespace
}  // namespace suture::source
