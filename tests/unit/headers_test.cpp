// SPDX-License-Identifier: GPL-2.0-or-later
#include "patch/headers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "patch/header_readers.h"

namespace suture::patch {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(SameTokens, EmptyLinesAreNone) {
  EXPECT_TRUE(same_tokens("\n\nint a;\n\n\nint b;\n", "int a;\nint b;"));
  EXPECT_FALSE(same_tokens("int a;\n", "int a;\nint b;\n"));
}

TEST(SameTokens, BlanksBetweenSignsAndInLiteralsCount) {
  EXPECT_FALSE(same_tokens("a = b + +c;\n", "a = b ++c;\n"));
  EXPECT_FALSE(same_tokens("s = \"a\tb\";\n", "s = \"a b\";\n"));
}

TEST(MakefileNames, AreTheHeadersThatARuleReads) {
  EXPECT_THAT(names_in_makefile("cpufeature = $(src)/../../include/asm/cpufeatures.h\n"
                                "$(obj)/names.h : $(srctree)/include/uapi/linux/capability.h \\\n"
                                "\t$(src)/Makefile\n"
                                "\tsed -n s/a/b/ < own.h\n",
                                "arch/x86/kernel/cpu")
                  .headers,
              ElementsAre("arch/x86/include/asm/cpufeatures.h", "include/uapi/linux/capability.h",
                          "arch/x86/kernel/cpu/own.h"));
}

TEST(MakefileNames, ListsAndOptionsAreNone) {
  EXPECT_THAT(names_in_makefile("mandatory-y += errno.h\n# see x.h\n$(obj)/made.h: FORCE\n"
                                "CFLAGS_a.o := -include $(srctree)/include/linux/x.h -Ia.hidden\n"
                                "\t(echo '#include \"y.h\"'; cat $^) > $@\n",
                                "a")
                  .headers,
              IsEmpty());
}

TEST(MakefileNames, ProgramsOfTheBuildHaveSources) {
  EXPECT_THAT(
      names_in_makefile("hostprogs := one two\none-objs := part.o\nmodule-objs := a.o\n", "scripts")
          .programs,
      ElementsAre("scripts/one.c", "scripts/two.c", "scripts/part.c"));
}

class ReaderOutside : public ::testing::Test {
 protected:
  void put(const std::string& path, const std::string& text) {
    ASSERT_TRUE(make_directories((tree() / path).parent_path()));
    ASSERT_TRUE(write_file(tree() / path, text));
  }
  std::string reader(const std::string& header) {
    return reader_outside(tree(), header, directory_.path() / "kept")->value_or("");
  }
  fs::path tree() const { return directory_.path() / "tree"; }

  TempDir directory_ = *TempDir::create(fs::temp_directory_path(), "readers");
};

TEST_F(ReaderOutside, IsTheMakefileThatNamesTheHeader) {
  put("security/apparmor/Makefile", "$(obj)/a.h: $(srctree)/include/linux/socket.h\n");
  EXPECT_EQ(reader("include/linux/socket.h"), "security/apparmor/Makefile");
  EXPECT_EQ(reader("include/net/socket.h"), "");
}

TEST_F(ReaderOutside, IsTheProgramThatIncludesIt) {
  put("scripts/gen/Makefile", "hostprogs-always-y += gen\n");
  put("scripts/gen/gen.c", "#include <stdio.h>\n#include \"classmap.h\"\n#include \"own.h\"\n");
  put("scripts/gen/own.h", "");
  EXPECT_EQ(reader("security/include/classmap.h"), "scripts/gen/gen.c");
  EXPECT_EQ(reader("security/include/own.h"), "");
}

}  // namespace
}  // namespace suture::patch
