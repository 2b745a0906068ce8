// SPDX-License-Identifier: GPL-2.0-or-later
#include "doctor/diagnosis.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/fake_machine.h"

namespace suture::doctor {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::IsEmpty;

class DiagnosisTest : public test::FakeMachine {
 protected:
  void SetUp() override {
    FakeMachine::SetUp();
    fs::permissions(dir_.path(), fs::perms(0755));
    store_ = {.directory = dir_.path() / "store", .top = dir_.path(), .owner = ::geteuid()};
    run_kernel();
    put("proc/sys/kernel/random/boot_id", "one\n");
  }
  std::vector<Code> problems() {
    std::vector<Code> out;
    const Diagnosis diagnosis = diagnose(machine_, store_);
    for (const Error& problem : diagnosis.problems) {
      out.push_back(problem.code);
      EXPECT_NE(problem.remedy, "");
    }
    return out;
  }

  boot::Store store_;
};

TEST_F(DiagnosisTest, FindsNothingWrongWhereNothingIs) { EXPECT_THAT(problems(), IsEmpty()); }

TEST_F(DiagnosisTest, MissesTheLivepatchCore) {
  fs::remove_all(machine_.sys / "kernel" / "livepatch");
  EXPECT_THAT(problems(), ElementsAre(Code::no_livepatch));
}

TEST_F(DiagnosisTest, MissesWhatIsInstalledAndNotInForce) {
  ASSERT_TRUE(boot::install(store_, module("f")));
  EXPECT_THAT(problems(), ElementsAre(Code::not_loaded));
  put("proc/cmdline", "suture=off\n");
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(DiagnosisTest, MissesTheCoreThatAnInstalledPatchNeeds) {
  ASSERT_TRUE(boot::install(store_, module("f", {"suture.core=suture"})));
  EXPECT_THAT(problems(), ElementsAre(Code::no_core, Code::not_loaded));
}

TEST_F(DiagnosisTest, RefusesACoreOfAnotherKernel) {
  ASSERT_TRUE(boot::install(store_, module("f", {"suture.core=suture"})));
  module_file("modules/6.1.0-56-amd64/updates/suture.ko",
              {"name=suture", "vermagic=6.1.0-9-amd64 SMP"});
  EXPECT_THAT(problems(), ElementsAre(Code::wrong_kernel, Code::not_loaded));
}

TEST_F(DiagnosisTest, SeesThatFtraceIsTurnedOff) {
  put("proc/sys/kernel/ftrace_enabled", "0\n");
  EXPECT_THAT(problems(), ElementsAre(Code::ftrace_off));
  put("proc/sys/kernel/ftrace_enabled", "1\n");
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(DiagnosisTest, SeesAUnitThatCannotStart) {
  put("units/suture.service", "[Service]\nExecStart=/no/such/suture apply\n");
  EXPECT_THAT(problems(), ElementsAre(Code::broken_unit));
  put("units/suture.service", "[Service]\nExecStart=-/bin/sh apply\n");
  EXPECT_THAT(problems(), IsEmpty());
}

TEST_F(DiagnosisTest, NamesAFileThatIsNotTrusted) {
  ASSERT_TRUE(boot::install(store_, module("f")));
  const std::string name = boot::installed_patches(store_, "6.1.0-56-amd64").value().at(0).file();
  ::chmod((store_.of("6.1.0-56-amd64") / name).c_str(), 0666);
  EXPECT_THAT(problems(), Contains(Code::untrusted_file));
}

TEST_F(DiagnosisTest, SaysFirstThatTheMachineDied) {
  ASSERT_TRUE(boot::install(store_, module("f")));
  ASSERT_TRUE(boot::apply_installed(machine_, store_, {}));
  put("proc/sys/kernel/random/boot_id", "two\n");
  EXPECT_EQ(problems().at(0), Code::boot_guard);
}

TEST_F(DiagnosisTest, KeepsSecretsOfTheCommandLineToItself) {
  put("proc/cmdline", "root=/dev/sda1 luks.passphrase=secret suture=off lockdown=integrity\n");
  EXPECT_THAT(diagnose(machine_, store_).command_line,
              ElementsAre("suture=off", "lockdown=integrity"));
}

TEST(TaintFlags, AreNamedLowestFirst) {
  EXPECT_THAT(taint_flags(1U << 15 | 1U << 12),
              ElementsAre(Field(&TaintFlag::letter, 'O'), Field(&TaintFlag::letter, 'K')));
  EXPECT_EQ(taint_flags(1ULL << 40).at(0).meaning, "bit 40");
}

}  // namespace
}  // namespace suture::doctor
