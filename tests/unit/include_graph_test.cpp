// SPDX-License-Identifier: GPL-2.0-or-later
#include "source/include_graph.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace suture::source {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class IncludeGraphTest : public ::testing::Test {
 protected:
  void put(const std::string& path, const std::string& text) {
    ASSERT_TRUE(make_directories((tree() / path).parent_path()));
    ASSERT_TRUE(write_file(tree() / path, text));
  }
  std::vector<std::string> users(const std::string& header) {
    auto graph = IncludeGraph::open(tree(), "x86", directory_.path() / "kept");
    return graph ? graph->users({header}) : std::vector<std::string>{"failed"};
  }
  fs::path tree() const { return directory_.path() / "tree"; }

  TempDir directory_ = *TempDir::create(fs::temp_directory_path(), "graph");
};

TEST_F(IncludeGraphTest, AFileThatIncludesTheHeaderUsesIt) {
  put("fs/a.c", "#include <linux/x.h>\n");
  put("fs/b.c", "#include <linux/y.h>\n");
  EXPECT_THAT(users("include/linux/x.h"), ElementsAre("fs/a.c"));
}

TEST_F(IncludeGraphTest, AFileThatIncludesItThroughAnotherHeaderUsesIt) {
  put("include/linux/y.h", "#  include <linux/x.h>\n");
  put("fs/a.c", "#include <linux/y.h>\n");
  EXPECT_THAT(users("include/linux/x.h"), ElementsAre("fs/a.c"));
}

TEST_F(IncludeGraphTest, APathIsFollowedWhateverTheWayToIt) {
  put("fs/ext4/a.c", "#include \"../x.h\"\n");
  put("fs/ext4/b.c", "#include \"../../fs/x.h\"\n");
  put("fs/ext4/c.c", "#include \"up/../../x.h\"\n");
  put("fs/x.h", "");
  EXPECT_THAT(users("fs/x.h"), ElementsAre("fs/ext4/a.c", "fs/ext4/b.c", "fs/ext4/c.c"));
}

TEST_F(IncludeGraphTest, AHeaderOfThatNameElsewhereIsNotMeantByALongerPath) {
  put("fs/a.c", "#include <net/x.h>\n");
  EXPECT_THAT(users("include/linux/x.h"), IsEmpty());
}

TEST_F(IncludeGraphTest, ANameInAMacroCounts) {
  put("fs/a.c", "#define HEADER <linux/x.h>\n#include HEADER\n");
  EXPECT_THAT(users("include/linux/x.h"), ElementsAre("fs/a.c"));
}

TEST_F(IncludeGraphTest, WhatTheBuildIncludesByOptionIsUsedByAll) {
  put("include/linux/kconfig.h", "#include <linux/x.h>\n");
  put("fs/a.c", "int a;\n");
  EXPECT_THAT(users("include/linux/x.h"), ElementsAre("fs/a.c"));
}

TEST_F(IncludeGraphTest, AssemblyFilesAreUsersToo) {
  put("lib/a.S", "#include <linux/x.h>\n");
  EXPECT_THAT(users("include/linux/x.h"), ElementsAre("lib/a.S"));
}

TEST_F(IncludeGraphTest, OtherArchitecturesAreNot) {
  put("arch/x86/a.c", "#include <asm/x.h>\n");
  put("arch/arm64/b.c", "#include <asm/x.h>\n");
  EXPECT_THAT(users("arch/x86/include/asm/x.h"), ElementsAre("arch/x86/a.c"));
}

TEST_F(IncludeGraphTest, HeadersThatIncludeEachOtherEnd) {
  put("include/x.h", "#include <y.h>\n");
  put("include/y.h", "#include <x.h>\n");
  put("a.c", "#include <y.h>\n");
  EXPECT_THAT(users("include/x.h"), ElementsAre("a.c"));
}

TEST_F(IncludeGraphTest, TheKeptGraphSaysTheSame) {
  put("fs/a.c", "#include <linux/x.h>\n");
  auto first = users("include/linux/x.h");
  put("fs/b.c", "#include <linux/x.h>\n");  // the tree of a kernel never changes
  EXPECT_EQ(users("include/linux/x.h"), first);
}

TEST(IncludedFiles, OnlyDirectivesCount) {
  EXPECT_THAT(included_files("// #include <a.h>\nx #include <b.h>\n # include <c.h>\n"),
              ElementsAre("c.h"));
}

TEST(IncludedFiles, ALineThatIsCutOffIsNone) {
  EXPECT_THAT(included_files("#include <a.h"), IsEmpty());
}

}  // namespace
}  // namespace suture::source
