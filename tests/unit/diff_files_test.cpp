// SPDX-License-Identifier: GPL-2.0-or-later
#include "source/diff_files.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/packers.h"

namespace suture::source {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using namespace std::string_view_literals;

constexpr std::string_view diff_text =
    "--- a/fs/x.c\n+++ b/fs/x.c\n@@ -1,3 +1,3 @@\n one\n-two = 2;\n+TWO = 2;\n three\n";

DiffTexts taken(ByteView bytes) {
  auto texts = diffs_in(bytes, "t.diff");
  EXPECT_TRUE(texts) << texts.error().reason;
  return texts.value_or(DiffTexts{});
}
DiffTexts taken(std::string_view text) { return taken(as_bytes(text)); }

Error refused(std::string_view bytes) {
  auto texts = diffs_in(as_bytes(bytes), "t.diff");
  EXPECT_FALSE(texts);
  return texts ? Error{} : texts.error();
}

std::string mail(std::string_view subject, std::string_view body, std::string_view headers = "") {
  return fmt::format(
      "From 1c4f {} Mon Sep 17 00:00:00 2001\nFrom: A <a@b>\nSubject: {}\n{}\n{}-- \n2.39.2\n\n",
      "x", subject, headers, body);
}

TEST(DiffsIn, UnpacksWhatIsPacked) {
  for (const Bytes& packed :
       {test::pack_gzip(as_bytes(diff_text)), test::pack_xz(as_bytes(diff_text)),
        test::pack_zstd(as_bytes(diff_text)), test::pack_bzip2(as_bytes(diff_text))}) {
    DiffTexts texts = taken(packed);
    ASSERT_THAT(texts.diffs, SizeIs(1));
    EXPECT_EQ(texts.diffs[0].text, diff_text);
  }
}

TEST(DiffsIn, UnpacksAllStreamsOfAFile) {
  Bytes twice = test::pack_gzip(as_bytes(diff_text));
  const Bytes more = test::pack_gzip(as_bytes(diff_text));
  twice.insert(twice.end(), more.begin(), more.end());
  EXPECT_EQ(taken(twice).diffs.at(0).text, std::string(diff_text) + std::string(diff_text));
}

TEST(DiffsIn, RefusesWhatIsCutOffOrGoesOnBehindItsEnd) {
  Bytes packed = test::pack_xz(as_bytes(diff_text));
  Bytes more = packed;
  more.push_back('x');
  EXPECT_EQ(refused(as_text(more)).code, Code::bad_diff);
  packed.resize(packed.size() - 8);
  EXPECT_EQ(refused(as_text(packed)).code, Code::bad_diff);
}

TEST(DiffsIn, TakesAMailboxApartInItsOrder) {
  DiffTexts texts =
      taken(mail("[PATCH 0/2] both", "what they do\n") +
            mail("[PATCH 1/2] first", std::string(diff_text)) +
            mail("[PATCH 2/2] second", "From here on it is\nbetter.\n\n" + std::string(diff_text)));
  ASSERT_THAT(texts.diffs, SizeIs(2));
  EXPECT_EQ(texts.diffs[0].name, "t.diff (mail 2)");
  EXPECT_THAT(texts.diffs[0].text, HasSubstr("first"));
  EXPECT_THAT(texts.diffs[1].text, HasSubstr("second"));
  EXPECT_THAT(texts.notes,
              ElementsAre("t.diff (mail 1): left out, it is a cover letter: [PATCH 0/2] both"));
}

TEST(DiffsIn, LeavesAnAnswerWithADiffOut) {
  DiffTexts texts = taken(mail("[PATCH] fix", std::string(diff_text)) +
                          mail("Re: [PATCH] fix", "better so:\n" + std::string(diff_text)));
  EXPECT_THAT(texts.diffs, SizeIs(1));
  EXPECT_THAT(texts.notes, ElementsAre(HasSubstr("it is an answer: Re: [PATCH] fix")));
}

TEST(DiffsIn, RefusesAMailboxThatIsNotWholeOrNotInOrder) {
  const std::string one = mail("[PATCH v2 1/3] a", std::string(diff_text));
  const std::string two = mail("[PATCH v2 2/3] b", std::string(diff_text));
  const std::string three = mail("[PATCH v2 3/3] c", std::string(diff_text));
  EXPECT_THAT(taken(one + two + three).diffs, SizeIs(3));
  EXPECT_THAT(refused(one + three).reason, HasSubstr("2/3 of its series is not in it"));
  EXPECT_THAT(refused(one + two).reason, HasSubstr("3/3 of its series is not in it"));
  EXPECT_THAT(refused(one + three + two).reason, HasSubstr("2/3 of its series does not stand"));
  // One alone was meant so.
  EXPECT_THAT(taken(two).diffs, SizeIs(1));
}

TEST(DiffsIn, SaysWhatAnEncodedMailIs) {
  for (std::string_view encoding : {"base64", "quoted-printable"}) {
    const std::string header = fmt::format("Content-Transfer-Encoding: {}\n", encoding);
    Error error = refused(mail("[PATCH] fix", "bGluZQ=\n", header));
    EXPECT_EQ(error.code, Code::bad_diff);
    EXPECT_THAT(error.reason,
                HasSubstr(fmt::format("a mail whose text is encoded ({})", encoding)));
    EXPECT_THAT(error.remedy, HasSubstr("git mailinfo message.txt fix.patch <t.diff"));
  }
}

TEST(DiffsIn, SaysWhatElseAFileIs) {
  const std::string base64(76, 'a');
  std::string wide = "\xff\xfe";
  std::string bare;
  for (char c : diff_text) {
    wide += {c, '\0'};
    bare += {c, '\0'};
  }
  std::string tar(257, '\0');
  tar += "ustar";
  struct Case {
    std::string text;
    const char* reason;
    const char* remedy;
  };
  for (const Case& it :
       std::vector<Case>{{"--- a/fs/x.c\n+++ b/fs/x.c\n@@ -1 +1 @@\n-two =3D 2;\n+TWO =3D 2;\n",
                          "quoted-printable", "decode_qp"},
                         {base64 + "\n" + base64 + "\nab==\n", "base64", "base64 -d"},
                         {wide, "UTF-16", "iconv -f UTF-16 "},
                         {bare, "UTF-16", "iconv -f UTF-16LE"},
                         {std::string("\x7f"
                                      "ELF\x02\x01\0",
                                      7),
                          "ELF", "built from"},
                         {std::string("abc\0def", 7), "zero byte at 3", "unified diff"},
                         {tar, "tar archive", "unpack"},
                         {"<!DOCTYPE html>\n<html>\n", "web page", "plain patch"},
                         {"*** a/x\n--- b/x\n***************\n*** 1 ****\n! a\n--- 1 ----\n! b\n",
                          "context diff", "diff -u"},
                         {"2c2\n< two\n---\n> TWO\n", "without context", "diff -u"}}) {
    Error error = refused(it.text);
    EXPECT_EQ(error.code, Code::bad_diff) << it.reason;
    EXPECT_THAT(error.reason, HasSubstr(it.reason));
    EXPECT_THAT(error.remedy, HasSubstr(it.remedy));
  }
}

TEST(DiffsIn, TakesNumbersBehindAnEqualsSignForNumbers) {
  EXPECT_THAT(taken("--- a/fs/x.c\n+++ b/fs/x.c\n@@ -1 +1 @@\n-x\n+timeout=20\n").diffs, SizeIs(1));
}

TEST(DiffsIn, PassesOverTheMarkOfAnEditor) {
  EXPECT_EQ(taken("\xef\xbb\xbf" + std::string(diff_text)).diffs.at(0).text, diff_text);
}

class DiffFiles : public ::testing::Test {
 protected:
  void SetUp() override {
    auto dir = TempDir::create(fs::temp_directory_path(), "diff-files-test");
    ASSERT_TRUE(dir);
    dir_ = std::move(*dir);
  }
  void put(const std::string& path, std::string_view text) {
    ASSERT_TRUE(make_directories((dir_.path() / path).parent_path()));
    ASSERT_TRUE(write_file(dir_.path() / path, text));
  }
  std::string at(const std::string& path) const { return dir_.path() / path; }

  TempDir dir_;
};

TEST_F(DiffFiles, TakesASeriesWhole) {
  put("patches/series", "# ours\nb.patch\n\nsub/a.patch.gz -p0 # later\n");
  put("patches/b.patch", diff_text);
  put("patches/sub/a.patch.gz", as_text(test::pack_gzip(as_bytes(diff_text))));
  for (const char* path : {"patches/series", "patches", "patches/", "."}) {
    auto texts = read_diffs(at(path));
    ASSERT_TRUE(texts) << path << ": " << texts.error().reason;
    ASSERT_THAT(texts->diffs, SizeIs(2));
    EXPECT_THAT(texts->diffs[0].name, HasSubstr("b.patch"));
    EXPECT_FALSE(texts->diffs[0].strip);
    EXPECT_EQ(texts->diffs[1].strip, 0U);
    EXPECT_EQ(texts->diffs[1].text, diff_text);
  }
}

TEST_F(DiffFiles, KnowsASeriesOfAnotherName) {
  put("list", "b.patch\n");
  put("b.patch", diff_text);
  EXPECT_THAT(read_diffs(at("list")).value().diffs, SizeIs(1));
}

TEST_F(DiffFiles, RefusesASeriesThatIsNotWhole) {
  put("series", "b.patch\nmissing.patch\n");
  put("b.patch", diff_text);
  EXPECT_EQ(read_diffs(at("series")).error().code, Code::io);
  put("series", "b.patch -R\n");
  EXPECT_EQ(read_diffs(at("series")).error().code, Code::bad_diff);
  put("series", "../b.patch\n");
  EXPECT_EQ(read_diffs(at("series")).error().code, Code::unsafe_path);
  put("series", "# nothing\n");
  EXPECT_EQ(read_diffs(at("series")).error().code, Code::bad_diff);
}

TEST_F(DiffFiles, RefusesADirectoryWithoutASeries) {
  put("d/b.patch", diff_text);
  Error error = read_diffs(at("d")).error();
  EXPECT_EQ(error.code, Code::bad_diff);
  EXPECT_THAT(error.reason, HasSubstr("without a file 'series'"));
}

class StripLevel : public DiffFiles {
 protected:
  void SetUp() override {
    DiffFiles::SetUp();
    put("fs/x.c", "a\n");
    put("tools/lib/s.c", "a\n");
    put("lib/s.c", "a\n");
  }
  static std::string of(std::string_view old_name, std::string_view new_name) {
    return fmt::format("--- {}\n+++ {}\n@@ -1 +1 @@\n-a\n+b\n", old_name, new_name);
  }
  Result<Patch> parse(std::string text, std::optional<unsigned> strip = {}) {
    notes_.clear();
    return parse_for_tree({.name = "t.diff", .text = std::move(text), .strip = {}}, dir_.path(),
                          strip, notes_);
  }
  std::vector<std::string> notes_;
};

TEST_F(StripLevel, IsOneWhereThatNamesFiles) {
  EXPECT_EQ(parse(of("a/fs/x.c", "b/fs/x.c"))->files[0].path, "fs/x.c");
  EXPECT_EQ(parse(of("a/tools/lib/s.c", "b/tools/lib/s.c"))->files[0].path, "tools/lib/s.c");
  EXPECT_THAT(notes_, IsEmpty());
}

TEST_F(StripLevel, IsFoundByTheFilesOfTheTree) {
  EXPECT_EQ(parse(of("fs/x.c", "fs/x.c"))->files[0].path, "fs/x.c");
  EXPECT_THAT(notes_, ElementsAre("t.diff: its names are files of the source with -p0"));
  EXPECT_EQ(parse(of("a/src/fs/x.c", "b/src/fs/x.c"))->files[0].path, "fs/x.c");
  EXPECT_THAT(notes_, ElementsAre("t.diff: its names are files of the source with -p2"));
}

TEST_F(StripLevel, IsNotGuessedWhereTwoNameFiles) {
  EXPECT_EQ(parse(of("tools/lib/s.c", "tools/lib/s.c")).error().code, Code::usage);
  EXPECT_EQ(parse(of("tools/lib/s.c", "tools/lib/s.c"), 0)->files[0].path, "tools/lib/s.c");
  EXPECT_EQ(parse(of("tools/lib/s.c", "tools/lib/s.c"), 1)->files[0].path, "lib/s.c");
  // Another file of the diff decides.
  EXPECT_EQ(parse(of("tools/lib/s.c", "tools/lib/s.c") + of("fs/x.c", "fs/x.c"))->files[0].path,
            "tools/lib/s.c");
}

TEST_F(StripLevel, IsTheUsualOneForNamesThatBeginWithADot) {
  EXPECT_EQ(parse(of("./fs/x.c", "./fs/x.c"))->files[0].path, "fs/x.c");
  EXPECT_THAT(notes_, IsEmpty());
}

TEST_F(StripLevel, IsNotToldByARename) {
  auto patch = parse(
      "diff --git a/fs/x.c b/fs/y.c\nsimilarity index 100%\nrename from fs/x.c\n"
      "rename to fs/y.c\n");
  ASSERT_TRUE(patch) << patch.error().reason;
  EXPECT_EQ(patch->files[0].from, "fs/x.c");
}

TEST_F(StripLevel, IsTheUsualOneWhereNoneNamesFiles) {
  EXPECT_EQ(parse(of("a/fs/gone.c", "b/fs/gone.c"))->files[0].path, "fs/gone.c");
}

TEST_F(StripLevel, DoesNotLeadOutOfTheTree) {
  EXPECT_EQ(parse(of("../fs/x.c", "../fs/x.c")).error().code, Code::unsafe_path);
}

}  // namespace
}  // namespace suture::source
