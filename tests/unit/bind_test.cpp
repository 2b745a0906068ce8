// SPDX-License-Identifier: GPL-2.0-or-later
#include "module/bind.h"

#include "support/assembled.h"

namespace suture::module {
namespace {

using test::function;

class Bind : public test::Pair {
 protected:
  void SetUp() override {
    Pair::SetUp();
    symvers_ = kernel::Symvers::parse(
                   "0x12345678\tprintk\tvmlinux\tEXPORT_SYMBOL\t\n"
                   "0x00000001\tspaced\tvmlinux\tEXPORT_SYMBOL_GPL\tUSB\n"
                   "0x00000004\tfor_kvm\tvmlinux\tEXPORT_SYMBOL_GPL\tmodule:kvm,kvm-intel\n"
                   "0x00000002\thelper\tother\tEXPORT_SYMBOL\t\n"
                   "0x00000003\tf\tvmlinux\tEXPORT_SYMBOL\t\n",
                   "Module.symvers")
                   .value();
  }
  Binder binder() const { return Binder(run_, symvers_, graph_, matched_); }
  void expect_code(const Result<Binding>& binding, Code code) {
    ASSERT_FALSE(binding.has_value());
    EXPECT_EQ(binding.error().code, code);
  }

  kernel::Symvers symvers_;
};

const std::string ret = "ret";

// A variable that is not global.
std::string variable(const std::string& name) {
  return fmt::format(".data; .type {0}, @object; {0}: .long 7; .size {0}, 4\n", name);
}

TEST_F(Bind, ReachesAnExportByItsCrc) {
  load(function("g", ret), {}, "vmlinux");
  Binding binding = binder().undefined("printk").value();
  EXPECT_TRUE(binding.exported);
  EXPECT_EQ(binding.crc, 0x12345678U);
}

TEST_F(Bind, KeepsTheNameSpaceOfAnExport) {
  load(function("g", ret), {}, "vmlinux");
  EXPECT_EQ(binder().undefined("spaced")->name_space, "USB");
}

TEST_F(Bind, LooksForAnExportForNamedModulesAmongTheKernelsOwnSymbols) {
  load(function("g", ret), {}, "vmlinux");
  expect_code(binder().undefined("for_kvm"), Code::symbol_unresolved);
  load(function("g", ret), {".globl for_kvm\n" + function("for_kvm", ret, ".text")}, "vmlinux");
  EXPECT_FALSE(binder().undefined("for_kvm")->exported);
}

TEST_F(Bind, ReachesAnExportForNamedModulesFromOneOfTheseThroughLivepatch) {
  load(function("g", ret), {}, "kvm");
  const Binding binding = binder().undefined("for_kvm").value();
  EXPECT_FALSE(binding.exported);
  EXPECT_EQ(binding.object, "vmlinux");
}

TEST_F(Bind, ReachesAnExportThatTheFileDefinesByItsCrc) {
  load(".globl f\n" + function("f", ret), {".globl f\n" + function("f", ret, ".text")}, "vmlinux");
  EXPECT_TRUE(binder().piece(piece("f"))->exported);
  EXPECT_FALSE(binder().run_symbol(piece("f"))->exported);
}

TEST_F(Bind, TakesALocalFunctionForNoExportOfItsName) {
  load(function("f", ret), {function("f", ret, ".text")}, "vmlinux");
  EXPECT_FALSE(binder().piece(piece("f"))->exported);
}

TEST_F(Bind, GivesAUniqueNamePositionZero) {
  load(function("f", ret), {function("f", ret, ".text")}, "vmlinux");
  Binding binding = binder().run_symbol(piece("f")).value();
  EXPECT_EQ(binding.object, "vmlinux");
  EXPECT_EQ(binding.sympos, 0U);
}

TEST_F(Bind, CountsThePositionAtTheSolvedAddress) {
  const std::string f = function("f", ret, ".text");
  load(function("f", ret) + function("g", "call f; ret"),
       {f, f + function("g", "call f; ret", ".text"), f}, "vmlinux");
  EXPECT_EQ(binder().run_symbol(piece("f"))->sympos, 2U);
}

TEST_F(Bind, RefusesSeveralWithoutAnAddress) {
  const std::string f = function("f", ret, ".text");
  load(function("f", ret), {f, f}, "vmlinux");
  expect_code(binder().run_symbol(piece("f")), Code::symbol_ambiguous);
}

TEST_F(Bind, FindsAStaticLocalUnderItsOtherNumber) {
  load(variable("seen.5") + function("f", "mov seen.5(%rip), %eax; ret"),
       {variable("seen.9") + function("f", "mov seen.9(%rip), %eax; ret", ".text")}, "vmlinux");
  EXPECT_EQ(binder().piece(piece("seen.5"))->name, "seen.9");
}

TEST_F(Bind, RefusesAStaticLocalWithoutAnAddress) {
  load(variable("seen.5") + function("f", ret), {variable("seen.5")}, "vmlinux");
  expect_code(binder().piece(piece("seen.5")), Code::symbol_ambiguous);
}

TEST_F(Bind, RefusesAnAddressWithoutTheName) {
  load(variable("a") + function("f", "mov a(%rip), %eax; ret"),
       {variable("b") + function("f", "mov b(%rip), %eax; ret", ".text")}, "vmlinux");
  ASSERT_TRUE(matches("f"));  // nothing contradicts a name that the kernel does not list
  expect_code(binder().piece(piece("a")), Code::symbol_unresolved);
}

TEST_F(Bind, RefusesWhatTheKernelDoesNotHave) {
  load(function("g", ret), {}, "vmlinux");
  expect_code(binder().undefined("nowhere"), Code::symbol_unresolved);
}

const std::string depends_on_other = ".section .modinfo,\"a\"; .asciz \"depends=a,other\"\n";

TEST_F(Bind, RefusesAnExportOfAModuleThatNeedNotBeThere) {
  load(function("g", ret), {}, "tiny");
  expect_code(binder().undefined("helper"), Code::symbol_unresolved);
}

TEST_F(Bind, ReachesAnotherModulesExportThroughLivepatch) {
  load(function("g", ret), {depends_on_other}, "tiny");
  Binding binding = binder().undefined("helper").value();
  EXPECT_EQ(binding.object, "other");
  EXPECT_FALSE(binding.exported);
}

TEST_F(Bind, ReachesAModulesOwnFunctionThoughAnExportHasItsName) {
  load(function("g", ret), {".globl printk\n" + function("printk", ret, ".text")}, "tiny");
  Binding binding = binder().undefined("printk").value();
  EXPECT_EQ(binding.object, "tiny");
  EXPECT_FALSE(binding.exported);
  load(function("g", ret), {depends_on_other, ".globl helper\n" + function("helper", ret, ".text")},
       "tiny");
  EXPECT_EQ(binder().undefined("helper")->object, "tiny");
}

TEST_F(Bind, ReachesAnExportThoughAFileOfTheModuleHasAFunctionOfItsNameForItself) {
  load(function("g", ret), {function("printk", ret, ".text")}, "tiny");
  Binding binding = binder().undefined("printk").value();
  EXPECT_EQ(binding.object, "vmlinux");
  EXPECT_TRUE(binding.exported);
}

TEST_F(Bind, TellsAModulesOwnFunctionFromOneThatAnotherFileHasForItself) {
  const std::string f = function("f", ret, ".text");
  load(function("g", ret), {f, ".globl f\n" + f}, "tiny");
  EXPECT_EQ(binder().undefined("f")->sympos, 2U);
}

TEST_F(Bind, RefusesAPositionThatShiftsWhileTheModuleIsLoaded) {
  const std::string f = function("f", ret, ".text");
  load(function("f", ret), {function("f", "nop; ret", ".init.text"), f});
  ASSERT_TRUE(matches("f"));
  expect_code(binder().run_symbol(piece("f")), Code::symbol_ambiguous);
  load(function("f", ret), {f});
  EXPECT_EQ(binder().run_symbol(piece("f"))->sympos, 0U);
}

}  // namespace
}  // namespace suture::module
