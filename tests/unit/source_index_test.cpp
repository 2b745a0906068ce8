// SPDX-License-Identifier: GPL-2.0-or-later
#include "source/source_index.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/source_tree.h"

namespace suture::source {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class SourceIndexTest : public ::testing::Test {
 protected:
  std::vector<std::string> naming(const std::string& name) {
    std::vector<std::string> out;
    SourceIndex index = tree.index();
    for (std::uint32_t file : index.files_naming(name)) {
      out.push_back(index.path(file));
    }
    return out;
  }
  test::SourceTree tree;
};

TEST_F(SourceIndexTest, AUnitThatIncludesTheHeaderThroughAnotherUsesIt) {
  tree.put("include/linux/x.h", "");
  tree.put("include/linux/y.h", "#  include <linux/x.h>\n");
  tree.unit("fs/a.c", "#include <linux/y.h>\n");
  tree.unit("fs/b.c", "int b;\n");
  EXPECT_THAT(tree.users("include/linux/x.h"), ElementsAre("fs/a.c"));
}

TEST_F(SourceIndexTest, QuotesLookBesideTheIncluderFirstAndBracketsNeverDo) {
  tree.put("fs/internal.h", "");
  tree.put("fs/proc/internal.h", "");
  tree.put("include/internal.h", "");
  tree.unit("fs/proc/a.c", "#include \"internal.h\"\n");
  tree.unit("fs/proc/b.c", "#include <internal.h>\n");
  tree.unit("fs/c.c", "#include \"internal.h\"\n");
  EXPECT_THAT(tree.users("fs/proc/internal.h"), ElementsAre("fs/proc/a.c"));
  EXPECT_THAT(tree.users("fs/internal.h"), ElementsAre("fs/c.c"));
  EXPECT_THAT(tree.users("include/internal.h"), ElementsAre("fs/proc/b.c"));
}

TEST_F(SourceIndexTest, TheFirstDirectoryOfEachUnitsOwnWayCounts) {
  tree.put("include/asm/x.h", "");
  tree.put("drivers/own/asm/x.h", "");
  tree.put("include/y.h", "#include <asm/x.h>\n");
  tree.unit("a.c", "#include <y.h>\n");
  tree.way({.angle = {"drivers/own", "include"}});
  tree.unit("b.c", "#include <y.h>\n");
  EXPECT_THAT(tree.users("include/asm/x.h"), ElementsAre("a.c"));
  EXPECT_THAT(tree.users("drivers/own/asm/x.h"), ElementsAre("b.c"));
  EXPECT_THAT(tree.users("include/y.h"), ElementsAre("a.c", "b.c"));
}

TEST_F(SourceIndexTest, AHeaderIsFoundUnderEachSpelling) {
  tree.put("fs/x.h", "");
  tree.put("fs/up/y.h", "");
  tree.unit("fs/ext4/a.c", "#include \"../x.h\"\n");
  tree.unit("fs/ext4/b.c", "#include \"../../fs/x.h\"\n");
  tree.unit("fs/ext4/c.c", "#include <../fs/./x.h>\n");
  tree.unit("fs/ext4/d.c", "#include \"../up/../x.h\"\n");
  EXPECT_THAT(tree.users("fs/x.h"),
              ElementsAre("fs/ext4/a.c", "fs/ext4/b.c", "fs/ext4/c.c", "fs/ext4/d.c"));
}

TEST_F(SourceIndexTest, TheNextOneIsAnyThatMayBeMeant) {
  tree.put("include/x.h", "int x;\n");
  tree.put("own/x.h", "#include_next <x.h>\n");
  tree.way({.angle = {"own", "include"}});
  tree.unit("a.c", "#include <x.h>\n");
  EXPECT_THAT(tree.users("include/x.h"), ElementsAre("a.c"));
}

TEST_F(SourceIndexTest, ANameInAMacroCountsAsIncluded) {
  tree.put("include/x.h", "");
  tree.put("include/y.h", "#define HEADER <x.h>\n");
  tree.unit("a.c", "#include <y.h>\n#include HEADER\n");
  EXPECT_THAT(tree.users("include/x.h"), ElementsAre("a.c"));
}

TEST_F(SourceIndexTest, WhatTheCommandIncludesByOptionIsUsedByItsUnits) {
  tree.put("include/x.h", "");
  tree.put("include/kconfig.h", "#include <x.h>\n");
  tree.unit("a.c", "int a;\n");
  tree.way({.angle = {"include"}, .first = {"include/kconfig.h"}});
  tree.unit("b.c", "int b;\n");
  EXPECT_THAT(tree.users("include/x.h"), ElementsAre("b.c"));
}

TEST_F(SourceIndexTest, AUnitThatIncludesAnotherUnitUsesWhatThatIncludes) {
  tree.put("include/x.h", "");
  tree.unit("fs/a.c", "#include <x.h>\n");
  tree.unit("fs/compat_a.c", "#include \"a.c\"\n");
  EXPECT_THAT(tree.users("include/x.h"), ElementsAre("fs/a.c", "fs/compat_a.c"));
  EXPECT_THAT(tree.users("fs/a.c"), ElementsAre("fs/a.c", "fs/compat_a.c"));
}

TEST_F(SourceIndexTest, ANewFileIsUsedByWhoeverMayTakeItFromNowOn) {
  tree.put("include/x.h", "");
  tree.unit("fs/a.c", "#include \"x.h\"\n");
  tree.unit("fs/b.c", "#include \"y.h\"\n");
  EXPECT_THAT(tree.users("fs/x.h"), ElementsAre("fs/a.c"));
}

TEST_F(SourceIndexTest, HeadersThatIncludeEachOtherEnd) {
  tree.put("include/x.h", "#include <y.h>\n");
  tree.put("include/y.h", "#include <x.h>\n");
  tree.unit("a.c", "#include <y.h>\n");
  EXPECT_THAT(tree.users("include/x.h"), ElementsAre("a.c"));
}

TEST_F(SourceIndexTest, FilesAreFoundByTheNamesInThem) {
  tree.put("include/x.h", "#define NAME(a) other(a) /* not_me */\n");
  tree.put("include/unread.h", "NAME\n");
  tree.unit("a.c", "#include <x.h>\nint NA\\\nME; char *s = \"not_me\";\n");
  EXPECT_THAT(naming("NAME"), ElementsAre("a.c", "include/x.h"));
  EXPECT_THAT(naming("other"), ElementsAre("include/x.h"));
  EXPECT_THAT(naming("not_me"), IsEmpty());
}

TEST_F(SourceIndexTest, WhatIsKeptSaysTheSameAndIsOfTheseUnitsOnly) {
  tree.put("include/x.h", "");
  tree.unit("a.c", "#include <x.h>\nint name;\n");
  EXPECT_THAT(tree.users("include/x.h"), ElementsAre("a.c"));
  tree.put("a.c", "int name;\n");  // the tree of a kernel never changes
  EXPECT_THAT(tree.users("include/x.h"), ElementsAre("a.c"));
  EXPECT_THAT(naming("name"), ElementsAre("a.c"));
  tree.unit("b.c", "#include <x.h>\n");
  EXPECT_THAT(tree.users("include/x.h"), ElementsAre("b.c"));
}

TEST(IncludeWayTest, IsReadOffTheCompilersWords) {
  IncludeWay way = include_way(
      {"gcc", "-I./arch/x86/include", "-I", "/tree/drivers/own/", "-iquote", ".", "-include",
       "./include/linux/kconfig.h", "-I./arch/x86/include", "-DKBUILD_MODNAME=\"a\"", "-DX=name",
       "-isystem", "/usr/lib/gcc/include", "-c", "a.c"},
      "/tree");
  EXPECT_THAT(way.angle, ElementsAre("arch/x86/include", "drivers/own"));
  EXPECT_THAT(way.quote, ElementsAre(""));
  EXPECT_THAT(way.first, ElementsAre("include/linux/kconfig.h"));
  EXPECT_THAT(way.names, ElementsAre("X", "name"));
}

}  // namespace
}  // namespace suture::source
