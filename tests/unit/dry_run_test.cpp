// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/dry_run.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "kernel/included_files.h"

namespace suture::kernel {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Lines of 6.1 and 6.12, with fewer options.
constexpr const char* trap =
    "trap 'rm -f x.o; trap - HUP; kill -s HUP $$' HUP;  "
    "trap 'rm -f x.o; trap - INT; kill -s INT $$' INT;  ";

std::string compiling(std::string_view object, std::string_view source, std::string_view hidden,
                      std::string_view options, std::string_view behind = "") {
  return fmt::format(
      "set -e;  echo '  CC [M]  {0}';    {4} gcc-12 -Wp,-MMD,{2}.o.d -nostdinc -I./include "
      "-D__KERNEL__ {3}  -c -o {0} {1}  {5}; scripts/basic/fixdep {2}.o.d {0} 'gcc-12 "
      "-Wp,-MMD,{2}.o.d -D__KERNEL__ {3}  -c -o {0} {1}' > {2}.o.cmd; rm -f {2}.o.d",
      object, source, hidden, options, trap, behind);
}

DryRun of(const std::vector<std::string>& lines) {
  DryRun out;
  for (const std::string& line : lines) {
    EXPECT_TRUE(out.take(line));
  }
  return out;
}

std::vector<std::string> compiler_of(const DryRun& run, const Unit& unit) {
  return words_of(run.lists().lines().at(unit.compiler), unit);
}

TEST(DryRun, ReadsTheCommandThatCompilesAnObject) {
  DryRun run = of({compiling("fs/exec.o", "fs/exec.c", "fs/.exec",
                             R"(-DKBUILD_MODFILE='"fs/exec"' -DKBUILD_BASENAME='"exec"' )"
                             R"(-DKBUILD_MODNAME='"exec"' -D__KBUILD_MODNAME=kmod_exec)")});
  std::vector<Unit> units = run.units();
  ASSERT_EQ(units.size(), 1);
  EXPECT_EQ(units[0].object, "fs/exec.o");
  EXPECT_EQ(units[0].source, "fs/exec.c");
  EXPECT_EQ(units[0].path, "fs/exec.c");
  EXPECT_EQ(units[0].module_name, "exec");
  EXPECT_THAT(units[0].modules, IsEmpty());
  EXPECT_THAT(compiler_of(run, units[0]),
              ElementsAre("gcc-12", "-Wp,-MMD,fs/.exec.o.d", "-nostdinc", "-I./include",
                          "-D__KERNEL__", "-DKBUILD_MODFILE=\"fs/exec\"",
                          "-DKBUILD_BASENAME=\"exec\"", "-DKBUILD_MODNAME=\"exec\"",
                          "-D__KBUILD_MODNAME=kmod_exec", "-c", "-o", "fs/exec.o", "fs/exec.c"));
}

TEST(DryRun, KeepsObjtoolsCommandWithoutTheObject) {
  DryRun run = of({compiling("fs/exec.o", "fs/exec.c", "fs/.exec", "-O2",
                             "; ./tools/objtool/objtool --hacks=jump_label --orc --uaccess "
                             "fs/exec.o")});
  std::vector<Unit> units = run.units();
  ASSERT_EQ(units.size(), 1);
  EXPECT_THAT(words_of(run.lists().lines().at(units[0].objtool), units[0]),
              ElementsAre("./tools/objtool/objtool", "--hacks=jump_label", "--orc", "--uaccess"));
}

TEST(DryRun, LeavesProgramsForTheBuildingMachineOut) {
  DryRun run =
      of({"set -e;  echo '  HOSTCC  lib/gen_crc32table.o';    gcc "
          "-Wp,-MMD,lib/.gen_crc32table.o.d -O2   -c -o lib/gen_crc32table.o "
          "lib/gen_crc32table.c"});
  EXPECT_THAT(run.units(), IsEmpty());
}

TEST(DryRun, FindsTheModulesOfAnObjectByTheirLists) {
  DryRun run = of({
      compiling("arch/x86/kvm/../../../virt/kvm/kvm_main.o",
                "arch/x86/kvm/../../../virt/kvm/kvm_main.c",
                "arch/x86/kvm/../../../virt/kvm/.kvm_main", "-DMODULE"),
      R"(set -e;     printf '%s\n'   ../../../virt/kvm/kvm_main.o x86.o | awk )"
      R"('!x[$0]++ { print("arch/x86/kvm/"$0) }' > arch/x86/kvm/kvm.mod; printf '%s\n' )"
      R"('cmd_arch/x86/kvm/kvm.mod := printf '\''%s\n'\''   ../../../virt/kvm/kvm_main.o x86.o' )"
      R"(> arch/x86/kvm/.kvm.mod.cmd)",
  });
  std::vector<Unit> units = run.units();
  ASSERT_EQ(units.size(), 1);
  EXPECT_EQ(units[0].path, "virt/kvm/kvm_main.c");
  EXPECT_THAT(units[0].modules, ElementsAre("kvm"));
}

TEST(DryRun, AnObjectMayBeAPartOfSeveralModules) {
  DryRun run = of({
      compiling("drivers/x/common.o", "drivers/x/common.c", "drivers/x/.common", "-DMODULE"),
      R"(set -e;  printf '%s\n'   a.o common.o | awk '!x[$0]++ { print("drivers/x/"$0) }' )"
      R"(> drivers/x/x-one.mod; printf '%s\n' 'savedcmd_drivers/x/x-one.mod := ...' > y)",
      R"(set -e;  printf '%s\n'   common.o | awk '!x[$0]++ { print("drivers/x/"$0) }' )"
      R"(> drivers/x/x_two.mod; printf '%s\n' 'savedcmd_drivers/x/x_two.mod := ...' > y)",
  });
  EXPECT_THAT(run.units().at(0).modules, ElementsAre("x_one", "x_two"));
}

TEST(DryRun, NamesTheFilesThatRecipesMake) {
  DryRun run = of({
      "set -e;  echo '  GEN     security/selinux/flask.h security/selinux/av_permissions.h';    "
      "scripts/selinux/genheaders/genheaders security/selinux/flask.h "
      "security/selinux/av_permissions.h; printf '%s\\n' 'cmd_security/selinux/flask.h := a b' "
      "> security/selinux/.flask.h.cmd",
      "set -e;  echo '  MKREG   drivers/gpu/drm/radeon/r100_reg_safe.h';    trap 'rm -f "
      "drivers/gpu/drm/radeon/r100_reg_safe.h; trap - HUP; kill -s HUP $$' HUP; "
      "drivers/gpu/drm/radeon/mkregtable drivers/gpu/drm/radeon/reg_srcs/r100 > "
      "drivers/gpu/drm/radeon/r100_reg_safe.h",
      "  ) > net/wireless/shipped-certs.c",
      "  (echo '#include \"reg.h\"'; \\",
  });
  EXPECT_THAT(run.files(),
              ElementsAre("drivers/gpu/drm/radeon/r100_reg_safe.h", "net/wireless/shipped-certs.c",
                          "security/selinux/av_permissions.h", "security/selinux/flask.h"));
}

TEST(DryRun, RefusesACompileCommandThatEndsInsideQuotes) {
  DryRun run;
  Status taken = run.take("gcc -D__KERNEL__ -c -o a.o a.c 'x");
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, Code::child_failed);
}

Unit unit_of(std::string object, std::string source, std::string module) {
  Unit unit{.source = std::move(source), .object = std::move(object)};
  unit.module_file = "drivers/" + module;
  unit.module_name = std::move(module);
  return unit;
}

TEST(UnitList, GivesBackTheWordsThatWereWritten) {
  Unit unit = unit_of("a/b-c.o", "a/../x/b-c.c", "b_c");
  const std::vector<std::string> words{"gcc",
                                       "-Wp,-MMD,a/.b-c.o.d",
                                       "",
                                       "-DA=\"tab\there \\o \n\"",
                                       "-DKBUILD_BASENAME=\"b_c\"",
                                       "-D__KBUILD_MODNAME=kmod_b_c",
                                       "-D__KBUILD_MODNAME=b_c",
                                       "-DKBUILD_MODFILE=\"drivers/b_c\"",
                                       "-c",
                                       "-o",
                                       "a/b-c.o",
                                       "a/../x/b-c.c"};
  WordLists lists;
  EXPECT_EQ(words_of(lists.lines().at(lists.number_of(words, unit)), unit), words);
}

TEST(UnitList, SharesTheWordsOfUnitsThatDifferInNameAlone) {
  WordLists lists;
  auto number = [&](const std::string& name) {
    Unit unit = unit_of("a/" + name + ".o", "a/" + name + ".c", name);
    return lists.number_of(
        {"gcc", "-O2", "-DKBUILD_MODNAME=\"" + name + "\"", "-c", "-o", unit.object, unit.source},
        unit);
  };
  EXPECT_EQ(number("one"), number("two"));
  EXPECT_THAT(lists.lines(), ElementsAre("gcc\t-O2\t-DKBUILD_MODNAME=\"\\m\"\t-c\t-o\t\\o.o\t\\s"));
}

class UnitsTest : public ::testing::Test {
 protected:
  void add(std::string object, std::string source, std::vector<std::string> modules) {
    Unit unit = unit_of(std::move(object), std::move(source), "m");
    std::vector<std::string> words{"gcc", "-c", "-o", unit.object, unit.source};
    if (!modules.empty()) {
      words.insert(words.begin() + 1, "-DMODULE");
    }
    unit.compiler = parts_.lists.number_of(words, unit);
    unit.objtool = parts_.lists.number_of({}, unit);
    unit.modules = std::move(modules);
    parts_.units.push_back(std::move(unit));
  }
  Result<Units> read() { return Units::parse(list_text(parts_), "list"); }

  ListParts parts_;
};

TEST_F(UnitsTest, FindsEveryUnitOfASource) {
  add("fs/exec.o", "fs/exec.c", {});
  add("drivers/a/../common/x.o", "drivers/a/../common/x.c", {"a"});
  add("drivers/b/x.o", "drivers/common/x.c", {"b", "c"});
  Units units = read().value();
  EXPECT_EQ(units.all().size(), 3);
  auto of_x = units.of_source("drivers/common/x.c");
  ASSERT_EQ(of_x.size(), 2);
  EXPECT_EQ(of_x[0]->object, "drivers/a/../common/x.o");
  EXPECT_EQ(units.of_object("drivers/common/x.o"), of_x[0]);
  EXPECT_EQ(units.of_object("drivers/common/y.o"), nullptr);
  EXPECT_EQ(of_x[0]->source, "drivers/a/../common/x.c");
  EXPECT_TRUE(of_x[1]->is_module);
  EXPECT_THAT(of_x[1]->modules, ElementsAre("b", "c"));
  EXPECT_THAT(units.of_source("drivers/a/x.c"), IsEmpty());
  ASSERT_NE(units.of_object("fs/exec.o"), nullptr);
  EXPECT_FALSE(units.of_object("fs/exec.o")->is_module);
  EXPECT_THAT(units.compiler(*units.of_object("fs/exec.o")),
              ElementsAre("gcc", "-c", "-o", "fs/exec.o", "fs/exec.c"));
  EXPECT_THAT(units.objtool(*units.of_object("fs/exec.o")), IsEmpty());
}

TEST_F(UnitsTest, AModuleThatNamesAnObjectTwiceHasItOnce) {
  add("drivers/x/hci.o", "drivers/x/hci.c", {"hci", "other", "hci"});
  EXPECT_THAT(read().value().all().at(0).modules, ElementsAre("hci", "other"));
}

TEST_F(UnitsTest, KnowsWhatIsIncludedAndWhatIsMade) {
  parts_.included = {"fs/binfmt_elf.c"};
  parts_.made = {
      {"drivers/gpu/drm/radeon/reg_srcs/r100", "drivers/gpu/drm/radeon/r100_reg_safe.h"}};
  Units units = read().value();
  EXPECT_TRUE(units.may_be_included("fs/binfmt_elf.c"));
  EXPECT_FALSE(units.may_be_included("fs/exec.c"));
  EXPECT_EQ(units.made_of("drivers/gpu/drm/radeon/reg_srcs/r100"),
            "drivers/gpu/drm/radeon/r100_reg_safe.h");
  EXPECT_EQ(units.made_of("fs/exec.c"), "");
}

TEST(IncludedNames, AreThoseThatAreNoHeaders) {
  EXPECT_THAT(included_names("#include <linux/a.h>\n# include \"binfmt_elf.c\"\n"
                             "#define TABLE \"../x/y.tbl\"\n#define FORMAT \"%s.c\"\n"
                             "#define NAME \"a.b\"\n#include MACRO\n"),
              ElementsAre(IncludedName{"../x/y.tbl", false}, IncludedName{"binfmt_elf.c", true}));
}

TEST_F(UnitsTest, RefusesADamagedList) {
  add("fs/exec.o", "fs/exec.c", {});
  std::string text = list_text(parts_);
  for (std::string bad : {std::string("suture units 0\n"), std::string(),
                          text + "U\t9\t0\ta.o\ta.c", text + "X", text + "U\t0\t0\ta\ta.c"}) {
    auto units = Units::parse(std::move(bad), "list");
    ASSERT_FALSE(units);
    EXPECT_EQ(units.error().code, Code::bad_package);
  }
}

}  // namespace
}  // namespace suture::kernel
