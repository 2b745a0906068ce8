// SPDX-License-Identifier: GPL-2.0-or-later
#include "patch/manifest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace suture::patch {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Result<Manifest> parse(std::string_view text) {
  return parse_manifest(text, "fix.toml", "patches");
}

// The error's place and reason.
std::string wrong(std::string_view text) {
  auto manifest = parse(text);
  if (manifest) {
    return "it is taken";
  }
  EXPECT_EQ(manifest.error().code, Code::bad_manifest);
  return manifest.error().where + ": " + manifest.error().reason;
}

TEST(Manifest, SaysWhatTheDiffsDoNot) {
  const Manifest manifest = parse(R"(
diffs = ["a.patch", "/b.patch"]
[patch]
name = "fix"
version = "3"
description = "mend it"
cves = ["CVE-2026-1234"]
replace = false
[[state]]
id = 0x100000000
version = 2
[[ignore]]
file = "fs/x.c"
name = "limit"
reason = "set by a callback"
)")
                                .value();
  EXPECT_THAT(manifest.diffs, ElementsAre("patches/a.patch", "/b.patch"));
  EXPECT_EQ(manifest.name, "fix");
  EXPECT_EQ(manifest.version, "3");
  EXPECT_EQ(manifest.description, "mend it");
  EXPECT_THAT(manifest.cves, ElementsAre("CVE-2026-1234"));
  EXPECT_EQ(manifest.replace, false);
  EXPECT_EQ(manifest.states.at(0).id, 0x100000000U);
  EXPECT_EQ(manifest.states.at(0).version, 2U);
  EXPECT_EQ(manifest.ignored.at(0).source, "fs/x.c");
  EXPECT_EQ(manifest.ignored.at(0).reason, "set by a callback");
}

TEST(Manifest, AnEmptyOneSaysNothing) {
  const Manifest manifest = parse("").value();
  EXPECT_FALSE(manifest.name || manifest.version || manifest.replace);
  EXPECT_TRUE(manifest.diffs.empty() && manifest.states.empty() && manifest.ignored.empty());
}

TEST(Manifest, NamesTheLineOfWhatIsNoToml) {
  EXPECT_THAT(wrong("[patch]\nname = \n"), HasSubstr("fix.toml:2"));
}

TEST(Manifest, RefusesAKeyThatItDoesNotKnow) {
  EXPECT_THAT(wrong("[patch]\nnmae = \"x\"\n"), HasSubstr("fix.toml:2: 'nmae'"));
  EXPECT_THAT(wrong("[[state]]\nid = 1\nversion = 1\nlevel = 2\n"), HasSubstr("'level'"));
}

TEST(Manifest, RefusesValuesOfAnotherKind) {
  EXPECT_THAT(wrong("diffs = \"a.patch\"\n"), HasSubstr("list of texts"));
  EXPECT_THAT(wrong("[patch]\nreplace = 1\n"), HasSubstr("true or false"));
  EXPECT_THAT(wrong("[patch]\nname = \"a\\nb\"\n"), HasSubstr("one line"));
  EXPECT_THAT(wrong("state = 1\n"), HasSubstr("[[state]]"));
}

TEST(Manifest, RefusesAStateThatTheKernelCannotHave) {
  EXPECT_THAT(wrong("[[state]]\nid = 0\nversion = 1\n"), HasSubstr("'id'"));
  EXPECT_THAT(wrong("[[state]]\nid = 1\nversion = 4294967296\n"), HasSubstr("'version'"));
  EXPECT_THAT(wrong("[[state]]\nid = 1\nversion = -1\n"), HasSubstr("'version'"));
  EXPECT_THAT(wrong("[[state]]\nid = 1\nversion = 1\n[[state]]\nid = 1\nversion = 2\n"),
              HasSubstr("twice"));
}

TEST(Manifest, AsksForAReason) {
  EXPECT_THAT(wrong("[[ignore]]\nfile = \"fs/x.c\"\nname = \"f\"\n"), HasSubstr("'reason'"));
}

}  // namespace
}  // namespace suture::patch
