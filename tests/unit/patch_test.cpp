// SPDX-License-Identifier: GPL-2.0-or-later
#include "source/patch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/digest.h"

namespace suture::source {
namespace {

using ::testing::HasSubstr;

constexpr std::string_view one_file =
    "--- a/fs/x.c\n"
    "+++ b/fs/x.c\n"
    "@@ -1,3 +1,3 @@ int f(void)\n"
    " one\n"
    "-two\n"
    "+TWO\n"
    " three\n";

Patch parsed(std::string_view text) {
  auto patch = parse_patch(text, "t.diff");
  EXPECT_TRUE(patch) << patch.error().where << ": " << patch.error().reason;
  return patch ? *patch : Patch{};
}

Error refused(std::string_view text) {
  auto patch = parse_patch(text, "t.diff");
  EXPECT_FALSE(patch) << "taken: " << text;
  return patch ? Error{} : patch.error();
}

TEST(ParsePatch, ReadsHunksAndLines) {
  Patch patch = parsed(one_file);
  ASSERT_EQ(patch.files.size(), 1U);
  EXPECT_EQ(patch.files[0].path, "fs/x.c");
  ASSERT_EQ(patch.files[0].hunks.size(), 1U);
  const Hunk& hunk = patch.files[0].hunks[0];
  EXPECT_EQ(hunk.old_start, 1U);
  EXPECT_EQ(hunk.old_count, 3U);
  ASSERT_EQ(hunk.lines.size(), 4U);
  EXPECT_EQ(hunk.lines[1].kind, '-');
  EXPECT_EQ(hunk.lines[2].text, "TWO");
}

TEST(ParsePatch, NamesThePatchByTheHashOfItsBytes) {
  EXPECT_EQ(parsed(one_file).sha256, sha256_hex(as_bytes(one_file)));
}

TEST(ParsePatch, KeepsTheMailTextAsDescription) {
  Patch patch = parsed(
      "From: A <a@b>\nSubject: fix\n\nBody --- with dashes.\n---\n fs/x.c | 2 +-\n\n"
      "diff --git a/fs/x.c b/fs/x.c\nindex 1..2 100644\n" +
      std::string(one_file) + "-- \n2.39.2\n\n");
  EXPECT_THAT(patch.description, HasSubstr("Body --- with dashes."));
  EXPECT_THAT(patch.description, ::testing::Not(HasSubstr("diff --git")));
  EXPECT_EQ(patch.files.size(), 1U);
}

TEST(ParsePatch, ReadsQuiltSections) {
  EXPECT_EQ(parsed("Fix it\n\nIndex: linux/fs/x.c\n====\n" + std::string(one_file)).description,
            "Fix it");
}

TEST(ParsePatch, ReadsRecursiveDiffWithTimeStampsAndRemarks) {
  Patch patch = parsed(
      "Only in new/fs: x.c.orig\n"
      "diff -ru old/fs/x.c new/fs/x.c\n"
      "--- old/fs/x.c\t2024-01-01 10:00:00.000000000 +0000\n"
      "+++ new/fs/x.c\t2024-01-02 10:00:00.000000000 +0000\n"
      "@@ -1 +1 @@\n-a\n+b\n");
  EXPECT_EQ(patch.files[0].path, "fs/x.c");
  EXPECT_EQ(patch.description, "");
}

TEST(ParsePatch, SeesACreatedFile) {
  Patch patch = parsed("--- /dev/null\n+++ b/fs/new.c\n@@ -0,0 +1,2 @@\n+a\n+b\n");
  EXPECT_TRUE(patch.files[0].creates);
  EXPECT_EQ(patch.files[0].path, "fs/new.c");
}

TEST(ParsePatch, SeesADeletedFile) {
  Patch patch = parsed("--- a/fs/old.c\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-a\n-b\n");
  EXPECT_TRUE(patch.files[0].deletes);
  EXPECT_EQ(patch.files[0].path, "fs/old.c");
}

TEST(ParsePatch, SeesACreatedFileByTheEpoch) {
  Patch patch = parsed(
      "--- old/fs/n.c\t1970-01-01 00:00:00.000000000 +0000\n"
      "+++ new/fs/n.c\t2024-01-02 10:00:00.000000000 +0000\n"
      "@@ -0,0 +1 @@\n+a\n");
  EXPECT_TRUE(patch.files[0].creates);
}

TEST(ParsePatch, DoesNotTakeAFileOfTheEpochForAMissingOne) {
  Patch patch = parsed(
      "--- old/fs/n.c\t1970-01-01 00:00:00.000000000 +0000\n"
      "+++ new/fs/n.c\t2024-01-02 10:00:00.000000000 +0000\n"
      "@@ -1 +1 @@\n-b\n+a\n");
  EXPECT_FALSE(patch.files[0].creates);
}

TEST(ParsePatch, SeesACreatedEmptyFile) {
  Patch patch =
      parsed("diff --git a/fs/e.c b/fs/e.c\nnew file mode 100644\nindex 0000000..e69de29\n");
  ASSERT_EQ(patch.files.size(), 1U);
  EXPECT_TRUE(patch.files[0].creates);
  EXPECT_TRUE(patch.files[0].hunks.empty());
}

TEST(ParsePatch, RemembersAMissingNewline) {
  Patch patch = parsed("--- a/x/y\n+++ b/x/y\n@@ -1 +1 @@\n-a\n+b\n\\ No newline at end of file\n");
  EXPECT_TRUE(patch.files[0].hunks[0].lines[0].newline);
  EXPECT_FALSE(patch.files[0].hunks[0].lines[1].newline);
}

TEST(ParsePatch, TakesAnEmptyLineForEmptyContext) {
  Patch patch = parsed("--- a/x/y\n+++ b/x/y\n@@ -1,2 +1,3 @@\n\n+b\n c\n");
  EXPECT_EQ(patch.files[0].hunks[0].lines[0].kind, ' ');
}

TEST(ParsePatch, UnquotesGitNames) {
  Patch patch =
      parsed("--- \"a/fs/f\\303\\266.c\"\n+++ \"b/fs/f\\303\\266.c\"\n@@ -1 +1 @@\n-a\n+b\n");
  EXPECT_EQ(patch.files[0].path, "fs/f\303\266.c");
}

TEST(ParsePatch, RefusesPathsThatLeaveTheTree) {
  for (const char* name : {"/etc/passwd", "a/../../etc/passwd", "a/fs/../../../x", "..", "x.c"}) {
    std::string text = std::string("--- ") + name + "\n+++ " + name + "\n@@ -1 +1 @@\n-a\n+b\n";
    EXPECT_EQ(refused(text).code, Code::unsafe_path) << name;
  }
}

TEST(ParsePatch, SaysThatTabsHaveBecomeSpaces) {
  const Error error = refused(
      "--- a/fs/x.c       2026-11-30 10:46:55.704995539 +0000\n"
      "+++ b/fs/x.c       2026-11-30 10:46:56.704995539 +0000\n@@ -1 +1 @@\n-a\n+b\n");
  EXPECT_EQ(error.code, Code::bad_diff);
  EXPECT_NE(error.reason.find("the tabs of the diff have become spaces"), std::string::npos);
}

TEST(ParsePatch, KeepsWhatATextDiffCannotSayWithItsFile) {
  struct Case {
    const char* text;
    const char* path;
    const char* reason;
  };
  for (const Case& it : std::initializer_list<Case>{
           {"diff --git a/f/x b/f/y\nsimilarity index 100%\nrename from f/x\nrename to f/y\n",
            "f/y", "renames f/x to f/y"},
           {"diff --git a/f/x b/f/y\nsimilarity index 90%\nrename from f/x\nrename to f/y\n"
            "index 1..2 100644\n--- a/f/x\n+++ b/f/y\n@@ -1 +1 @@\n-a\n+b\n",
            "f/y", "renames f/x to f/y"},
           {"diff --git a/f/x b/f/y\nsimilarity index 100%\ncopy from f/x\ncopy to f/y\n", "f/y",
            "copies f/x to f/y"},
           {"diff --git a/f/x b/f/x\nindex 1..2\nGIT binary patch\nliteral 3\nKcmXyz\n\n", "f/x",
            "binary file: a/f/x"},
           {"diff --git a/f/x b/f/x\nindex 1..2\nBinary files a/f/x and b/f/x differ\n", "f/x",
            "binary file: f/x"},
           {"Binary files a/f/x and b/f/x differ\n", "f/x", "binary file: f/x"},
           {"Binary files old/f/x y and new/f/x y differ\n", "f/x y", "binary file: f/x y"},
           {"Binary files /dev/null and b/f/x differ\n", "f/x", "binary file: f/x"},
           {"diff --git a/f/l b/f/l\nnew file mode 120000\nindex 0..1\n--- /dev/null\n"
            "+++ b/f/l\n@@ -0,0 +1 @@\n+x\n",
            "f/l", "no plain file"},
           {"--- a/f/x.c\n+++ b/f/y.c\n@@ -1 +1 @@\n-a\n+b\n", "f/y.c",
            "renames f/x.c to f/y.c"}}) {
    Patch patch = parsed(it.text);
    ASSERT_EQ(patch.files.size(), 1U) << it.text;
    EXPECT_EQ(patch.files[0].path, it.path);
    ASSERT_TRUE(patch.files[0].unsupported) << it.text;
    EXPECT_EQ(patch.files[0].unsupported->code, Code::unsupported_file);
    EXPECT_THAT(patch.files[0].unsupported->reason, HasSubstr(it.reason));
  }
}

TEST(ParsePatch, GoesOnBehindABinaryFile) {
  Patch patch = parsed(
      "diff --git a/f/x b/f/x\nindex 1..2\nGIT binary patch\nliteral 3\nKcmXyz\n\n"
      "literal 2\nKcmX\n\ndiff --git a/fs/x.c b/fs/x.c\nindex 1..2 100644\n" +
      std::string(one_file));
  ASSERT_EQ(patch.files.size(), 2U);
  EXPECT_FALSE(patch.files[1].unsupported);
  EXPECT_EQ(patch.files[1].hunks.size(), 1U);
}

TEST(ParsePatch, KeepsWhatTheHunksHeaderNames) {
  EXPECT_EQ(parsed(one_file).files[0].hunks[0].heading, "int f(void)");
}

TEST(ParsePatch, StripsAsManyPartsOfNamesAsItIsTold) {
  constexpr std::string_view bare =
      "diff --git fs/x.c fs/x.c\nindex 1..2 100644\n--- fs/x.c\n+++ fs/x.c\n@@ -1 +1 @@\n-a\n+b\n";
  auto none = parse_patch(bare, "t.diff", 0);
  ASSERT_TRUE(none);
  EXPECT_EQ(none->files[0].path, "fs/x.c");
  auto two =
      parse_patch("--- a/linux/fs/x.c\n+++ b/linux/fs/x.c\n@@ -1 +1 @@\n-a\n+b\n", "t.diff", 2);
  ASSERT_TRUE(two);
  EXPECT_EQ(two->files[0].path, "fs/x.c");
  EXPECT_EQ(parse_patch(bare, "t.diff", 2).error().code, Code::unsafe_path);
}

TEST(ParsePatch, SaysWhatACombinedDiffIs) {
  Error error = refused(
      "commit 1\nMerge: 2 3\n\ndiff --cc fs/x.c\nindex 1,2..3\n--- a/fs/x.c\n+++ b/fs/x.c\n"
      "@@@ -1,1 -1,1 +1,1 @@@\n- a\n -b\n++c\n");
  EXPECT_EQ(error.code, Code::bad_diff);
  EXPECT_THAT(error.reason, HasSubstr("combined diff"));
  EXPECT_THAT(error.remedy, HasSubstr("git diff MERGE^1 MERGE"));
}

TEST(ParsePatch, RefusesAHunkThatIsCutOff) {
  EXPECT_EQ(refused(one_file.substr(0, one_file.size() - 8)).code, Code::bad_diff);
}

TEST(ParsePatch, RefusesALineThatIsCutOff) {
  EXPECT_EQ(refused("--- a/x/y\n+++ b/x/y\n@@ -1 +1 @@\n-a\n+int x = 1").code, Code::bad_diff);
}

TEST(ParsePatch, RefusesCountsThatLie) {
  for (const char* header :
       {"@@ -1,2 +1,3 @@", "@@ -1,3 +1,2 @@", "@@ -1,4 +1,4 @@", "@@ -1,2 +1,2 @@",
        "@@ -1,99999999999999999999 +1,3 @@", "@@ -0,3 +1,3 @@", "@@ -1,3 @@", "@@ -1,0 +1,0 @@"}) {
    std::string text =
        std::string("--- a/f/x\n+++ b/f/x\n") + header + "\n one\n-two\n+TWO\n three\n";
    EXPECT_EQ(refused(text).code, Code::bad_diff) << header;
  }
}

TEST(ParsePatch, RefusesHunksOutOfOrder) {
  EXPECT_EQ(refused("--- a/x/y\n+++ b/x/y\n@@ -9 +9 @@\n-a\n+b\n@@ -3 +3 @@\n-a\n+b\n").code,
            Code::bad_diff);
}

TEST(ParsePatch, RefusesAHeaderWithoutHunks) {
  for (const char* text :
       {"--- a/x/y\n+++ b/x/y\n", "diff --git a/x/y b/x/y\nindex 1..2 100644\n",
        "diff --git a/x/y b/x/y\nindex 1..2 100644\n--- a/x/y\n", "@@ -1 +1 @@\n-a\n+b\n"}) {
    EXPECT_EQ(refused(text).code, Code::bad_diff) << text;
  }
}

TEST(ParsePatch, RefusesTextWithoutAChange) {
  EXPECT_EQ(refused("").code, Code::bad_diff);
  EXPECT_EQ(refused("just a letter\n").code, Code::bad_diff);
}

TEST(ParsePatch, AcceptsNoPrefixOfAPatchThatIsNotAPatch) {
  // Only a cut exactly behind a file's last hunk cannot be told from a whole patch.
  std::string text = "diff --git a/fs/x.c b/fs/x.c\nindex 1..2 100644\n" + std::string(one_file);
  for (std::size_t size = 0; size + 1 < text.size(); ++size) {
    EXPECT_FALSE(parse_patch(std::string_view(text).substr(0, size), "t.diff") &&
                 size + 6 < text.size())
        << size;
  }
}

}  // namespace
}  // namespace suture::source
