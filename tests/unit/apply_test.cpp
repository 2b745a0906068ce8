// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <ctime>

#include "source/patch.h"

namespace suture::source {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

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

  Result<std::vector<ChangedFile>> apply_all(const std::vector<std::string>& diffs,
                                             unsigned fuzz = 0) {
    notes_.clear();
    std::vector<Patch> patches;
    for (const std::string& diff : diffs) {
      auto patch = parse_patch(diff, "t.diff");
      EXPECT_TRUE(patch) << patch.error().reason;
      patches.push_back(*patch);
    }
    auto applied = source::apply(patches, tree(), fuzz);
    if (!applied) {
      return std::unexpected(applied.error());
    }
    notes_ = applied->notes;
    return applied->files;
  }

  std::string after(const std::vector<std::string>& diffs, unsigned fuzz = 0) {
    auto files = apply_all(diffs, fuzz);
    EXPECT_TRUE(files) << files.error().reason;
    return files && files->size() == 1 ? files->front().after : "?";
  }

  Code refused(const std::string& diff) { return error(diff).code; }

  Error error(const std::string& diff) {
    auto files = apply_all({diff});
    EXPECT_FALSE(files);
    return files ? Error{} : files.error();
  }

  // Of the last diffs that applied.
  const std::vector<std::string>& notes() const { return notes_; }

  const fs::path& tree() const { return dir_.path(); }

 private:
  TempDir dir_;
  std::vector<std::string> notes_;
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

// Three functions with the same line, and one without.
constexpr std::string_view siblings =
    "int one(int x)\n{\n\treturn x;\n}\n"
    "\n"
    "int two(int x)\n{\n\treturn x;\n}\n"
    "\n"
    "int three(int x)\n{\n\treturn x;\n}\n"
    "\n"
    "int four(int x)\n{\n\treturn 4;\n}\n";

std::string in_siblings(std::string_view header) {
  return diff_of(fmt::format("{}\n {{\n-\treturn x;\n+\treturn -x;\n }}\n", header));
}

std::string siblings_with(std::size_t function) {
  std::string out(siblings);
  std::size_t at = 0;
  for (std::size_t i = 0; i < function; ++i) {
    at = out.find("return x", at + 1);
  }
  return out.replace(at, 8, "return -x");
}

TEST_F(Apply, RefusesAPlaceAwayFromItsLineWhereSeveralFit) {
  put("f/x.c", siblings);
  Error several = error(in_siblings("@@ -3,3 +3,3 @@"));
  EXPECT_EQ(several.code, Code::does_not_apply);
  EXPECT_THAT(several.reason, HasSubstr("fits equally well at lines 2, 7, 12"));
}

TEST_F(Apply, TakesItsLineWhereSeveralFitAndNothingElseIsSaid) {
  put("f/x.c", siblings);
  EXPECT_EQ(after({in_siblings("@@ -7,3 +7,3 @@")}), siblings_with(2));
  EXPECT_THAT(notes(), IsEmpty());
}

TEST_F(Apply, TakesTheFunctionThatTheHeaderNames) {
  put("f/x.c", siblings);
  EXPECT_EQ(after({in_siblings("@@ -3,3 +3,3 @@ int two(int x)")}), siblings_with(2));
  EXPECT_THAT(notes(), ElementsAre("hunk 1 of f/x.c applied 4 lines below where the diff says, in "
                                   "two(): it would also fit elsewhere"));
  EXPECT_EQ(after({in_siblings("@@ -30,3 +30,3 @@ int two(int x)")}), siblings_with(2));
}

TEST_F(Apply, DoesNotTakeItsLineInAnotherFunctionThanTheHeaderNames) {
  put("f/x.c", siblings);
  EXPECT_EQ(after({in_siblings("@@ -2,3 +2,3 @@ int three(int x)")}), siblings_with(3));
}

TEST_F(Apply, RefusesTheOnlyPlaceInAnotherFunction) {
  put("f/x.c", siblings);
  Error other =
      error(diff_of("@@ -17,3 +17,3 @@ int one(int x)\n {\n-\treturn 4;\n+\treturn 5;\n }\n"));
  EXPECT_EQ(other.code, Code::does_not_apply);
  EXPECT_THAT(other.reason, HasSubstr("is for one(), and does not match the source there"));
  EXPECT_THAT(other.reason, HasSubstr("at line 17"));
}

TEST_F(Apply, FindsTheNamedFunctionByItsNameAlone) {
  put("f/x.c", siblings);
  // It had another type where the diff was made.
  EXPECT_EQ(after({in_siblings("@@ -3,3 +3,3 @@ static long two(long x, int more)")}),
            siblings_with(2));
}

TEST_F(Apply, SaysThatTheNamedFunctionIsGone) {
  put("f/x.c", "int one(int x)\n{\n\treturn x;\n}\n");
  EXPECT_EQ(after({in_siblings("@@ -2,3 +2,3 @@ int old_name(int x)")}),
            "int one(int x)\n{\n\treturn -x;\n}\n");
  EXPECT_THAT(notes(), ElementsAre("hunk 1 of f/x.c applied where it says, the only place; this "
                                   "source has no old_name()"));
}

TEST_F(Apply, RefusesSeveralPlacesWhereTheNamedFunctionIsGone) {
  put("f/x.c", siblings);
  EXPECT_EQ(refused(in_siblings("@@ -7,3 +7,3 @@ int old_name(int x)")), Code::does_not_apply);
}

TEST_F(Apply, LooksForTheNamedFunctionWhereThePatchFoundIt) {
  // The first hunk renames the function that the second one names; its header is of the old file.
  put("f/x.c", siblings);
  EXPECT_EQ(
      after({diff_of("@@ -6 +6 @@\n-int two(int x)\n+int zwei(int x)\n"
                     "@@ -7,3 +7,3 @@ int two(int x)\n {\n-\treturn x;\n+\treturn 2;\n }\n")}),
      [] {
        std::string out(siblings);
        out.replace(out.find("int two"), 7, "int zwei");
        return out.replace(out.find("return x", out.find("zwei")), 8, "return 2");
      }());
  EXPECT_THAT(notes(), IsEmpty());
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

TEST_F(Apply, TellsEveryOffset) {
  put("f/x.c", "new\nnew\na\nb\nc\nd\n.\n.\nq\nr\n");
  EXPECT_EQ(
      after({diff_of("@@ -1,3 +1,4 @@\n a\n-b\n+B\n+B\n c\n@@ -7 +8 @@\n-q\n+Q\n@@ -9 +10 @@\n"
                     "-r\n+R\n")}),
      "new\nnew\na\nB\nB\nc\nd\n.\n.\nQ\nR\n");
  EXPECT_THAT(notes(),
              ElementsAre("hunks 1 to 2 of f/x.c applied 2 lines below where the diff says",
                          "hunk 3 of f/x.c applied 1 line below where the diff says"));
}

TEST_F(Apply, FuzzesOnlyAsFarAsItIsTold) {
  put("f/x.c", "1\n2\n3\nother\n");
  const std::string diff = diff_of("@@ -1,5 +1,5 @@\n 0\n 1\n-2\n+two\n 3\n 4\n");
  put("f/x.c", "other\n1\n2\n3\nother\n");
  Error without = error(diff);
  EXPECT_EQ(without.code, Code::does_not_apply);
  EXPECT_THAT(without.remedy, HasSubstr("--fuzz 1"));
  EXPECT_EQ(after({diff}, 1), "other\n1\ntwo\n3\nother\n");
  EXPECT_THAT(notes(), ElementsAre("hunk 1 of f/x.c applied with fuzz 1"));
}

TEST_F(Apply, DoesNotPromiseThatAFuzzWouldHelpWhereNoneDoes) {
  put("f/x.c", "other\n1\nother\n3\nother\n");
  Error without = error(diff_of("@@ -1,5 +1,5 @@\n 0\n 1\n-2\n+two\n 3\n 4\n"));
  EXPECT_THAT(without.remedy, ::testing::Not(HasSubstr("--fuzz")));
}

TEST_F(Apply, FuzzesInTheNamedFunctionOnly) {
  std::string text(siblings);
  put("f/x.c", text);
  EXPECT_EQ(
      after({diff_of("@@ -1,3 +1,3 @@ int two(int x)\n [\n-\treturn x;\n+\treturn -x;\n }\n")}, 1),
      siblings_with(2));
}

TEST_F(Apply, SaysThatAPatchIsInAlready) {
  put("f/x.c", "1\ntwo\n3\n");
  Error already = error(diff_of("@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n"));
  EXPECT_EQ(already.code, Code::does_not_apply);
  EXPECT_THAT(already.reason, HasSubstr("is in this source already"));
}

TEST_F(Apply, RefusesAnEndOfFileThatIsNoneHere) {
  put("f/x.c", "1\n2\n3\nmore\n");
  EXPECT_EQ(refused(diff_of("@@ -1,3 +1,4 @@\n 1\n 2\n+new\n 3\n")), Code::does_not_apply);
}

TEST_F(Apply, RefusesWhatHunksCannotSay) {
  put("f/x.c", "a\n");
  EXPECT_EQ(refused("diff --git a/f/x.c b/f/y.c\nsimilarity index 100%\nrename from f/x.c\n"
                    "rename to f/y.c\n"),
            Code::unsupported_file);
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

TEST_F(Apply, SaysThatTheDiffsBeforeAreInTheWay) {
  put("f/x.c", "1\n2\n3\n");
  const std::string two = diff_of("@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n");
  EXPECT_THAT(apply_all({two, two}).error().reason,
              HasSubstr("a diff before it makes the same change"));
  const Error other = apply_all({two, diff_of("@@ -1,3 +1,3 @@\n 1\n-2\n+zwei\n 3\n")}).error();
  EXPECT_THAT(other.reason, HasSubstr("does not match the source as a diff before it leaves that"));
  EXPECT_THAT(other.remedy, HasSubstr("on top of those before"));
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
