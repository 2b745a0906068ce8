// SPDX-License-Identifier: GPL-2.0-or-later
#include "patch/headers.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/unit_list.h"
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
    auto units = kernel::Units::parse(list_, "units");
    EXPECT_TRUE(units);
    return reader_outside(tree(), *units, header, directory_.path() / "kept")->value_or("");
  }
  // The kernel is made of that source, too.
  void unit(const std::string& stem) {
    list_ += "U\t0\t0\t" + stem + ".o\t" + stem + ".c\tm\tm\t\n";
  }
  fs::path tree() const { return directory_.path() / "tree"; }

  TempDir directory_ = *TempDir::create(fs::temp_directory_path(), "readers");
  std::string list_ = std::string(kernel::units_format) + "\nL\tgcc\n";
};

TEST_F(ReaderOutside, IsTheMakefileThatNamesTheHeader) {
  put("security/apparmor/Makefile",
      "obj-$(CONFIG_SECURITY_APPARMOR) += a.o\n$(obj)/a.h: $(srctree)/include/linux/socket.h\n");
  unit("security/apparmor/a");
  EXPECT_EQ(reader("include/linux/socket.h"), "security/apparmor/Makefile");
  EXPECT_EQ(reader("include/net/socket.h"), "");
}

TEST_F(ReaderOutside, IsNoneThatIsNotConfiguredIn) {
  put("drivers/eisa/Makefile",
      "obj-$(CONFIG_EISA) += bus.o\n$(obj)/d.h: $(srctree)/include/linux/device.h\n"
      "hostprogs := gen\n");
  put("drivers/eisa/gen.c", "#include \"../../include/own.h\"\n");
  put("include/own.h", "");
  unit("drivers/eisa2/bus");
  EXPECT_EQ(reader("include/linux/device.h"), "");
  EXPECT_EQ(reader("include/own.h"), "");
}

TEST_F(ReaderOutside, NeedsNoObjectsWhereItsMakefileListsNone) {
  put("arch/x86/tools/Makefile", "$(obj)/a.h: $(srctree)/include/linux/socket.h\n");
  EXPECT_EQ(reader("include/linux/socket.h"), "arch/x86/tools/Makefile");
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
