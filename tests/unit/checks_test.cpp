// SPDX-License-Identifier: GPL-2.0-or-later
#include "check/checks.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "check/replacing.h"
#include "machine/attachments.h"
#include "module/signature.h"
#include "support/fake_machine.h"
#include "support/signing_keys.h"

namespace suture::check {
namespace {

class ChecksTest : public test::FakeMachine {
 protected:
  void SetUp() override {
    FakeMachine::SetUp();
    run_kernel();
    put("sys/kernel/debug/kprobes/list", "");
    put("sys/kernel/tracing/available_filter_functions", "f\ng\n");
    put("sys/kernel/tracing/enabled_functions", "");
  }
  std::vector<Check> checks(const std::vector<std::string>& modinfo = {},
                            Depth depth = Depth::before_load) {
    auto checked = check_module(machine_, module("f", modinfo), depth);
    EXPECT_TRUE(checked);
    return checked ? checked->checks : std::vector<Check>{};
  }
  // The check of that name, of those made.
  static Check find(const std::vector<Check>& all, const std::string& id) {
    auto found = std::ranges::find(all, id, &Check::id);
    return found == all.end() ? Check{.id = "none"} : *found;
  }
};

TEST_F(ChecksTest, NothingSpeaksAgainstAFittingModule) {
  for (const Check& check : checks()) {
    EXPECT_NE(check.verdict, Verdict::failed) << check.id << ": " << check.detail;
  }
}

TEST_F(ChecksTest, AnotherReleaseIsWrongKernel) {
  put("proc/sys/kernel/osrelease", "6.1.0-55-amd64\n");
  const Check check = find(checks(), "release");
  EXPECT_EQ(check.verdict, Verdict::failed);
  EXPECT_EQ(check.code, Code::wrong_kernel);
}

TEST_F(ChecksTest, AnotherBuildOfTheReleaseIsWrongKernel) {
  put("sys/kernel/notes", as_text(test::build_id_note("ffff")));
  EXPECT_EQ(find(checks(), "kernel-build-id").verdict, Verdict::failed);
}

TEST_F(ChecksTest, KernelThatHidesItsBuildIdCannotBeTold) {
  fs::remove(machine_.sys / "kernel/notes");
  EXPECT_EQ(find(checks(), "kernel-build-id").verdict, Verdict::unknown);
}

TEST_F(ChecksTest, AnotherBuildOfATargetModuleIsWrongKernel) {
  put("sys/module/ext4/refcnt", "1\n");
  put("sys/module/ext4/notes/.note.gnu.build-id", as_text(test::build_id_note("ffff")));
  EXPECT_EQ(find(checks({"suture.object=ext4 abcd"}), "module-build-id ext4").verdict,
            Verdict::failed);
  EXPECT_EQ(find(checks({"suture.object=ext4 ffff"}), "module-build-id ext4").verdict, Verdict::ok);
  EXPECT_EQ(find(checks({"suture.object=xfs abcd"}), "module-build-id xfs").verdict, Verdict::ok);
}

TEST_F(ChecksTest, NameThatIsTakenIsBusy) {
  put("sys/module/fix/refcnt", "1\n");
  EXPECT_EQ(find(checks(), "name").code, Code::busy);
}

TEST_F(ChecksTest, TransitionUnderWayIsBusy) {
  add_patch("other", "1\n", "1\n");
  EXPECT_EQ(find(checks(), "transition").verdict, Verdict::failed);
}

TEST_F(ChecksTest, MissingDependencyFails) {
  EXPECT_EQ(find(checks({"depends=nf_tables"}), "dependencies").verdict, Verdict::failed);
}

TEST_F(ChecksTest, EnforcedSignaturesRefuseAnUnsignedModule) {
  put("sys/module/module/parameters/sig_enforce", "Y\n");
  EXPECT_EQ(find(checks(), "signature").verdict, Verdict::failed);
}

TEST_F(ChecksTest, LockdownRefusesAnUnsignedModule) {
  put("sys/module/module/parameters/sig_enforce", "N\n");
  put("sys/kernel/security/lockdown", "none [integrity] confidentiality\n");
  EXPECT_EQ(find(checks(), "signature").verdict, Verdict::failed);
  put("sys/kernel/security/lockdown", "[none] integrity confidentiality\n");
  EXPECT_EQ(find(checks(), "signature").verdict, Verdict::ok);
}

TEST_F(ChecksTest, WhetherTheKeyIsTrustedCannotBeTold) {
  put("sys/module/module/parameters/sig_enforce", "Y\n");
  const fs::path path = module("f");
  const test::SigningKey key = test::make_key(dir_.path(), "ours", 1);
  const auto signer = module::Signer::open(key.key, key.certificate, "sha256");
  ASSERT_TRUE(write_file(path, signer.value().sign(read_bytes(path).value()).value()));
  auto checked = check_module(machine_, path, Depth::before_load);
  ASSERT_TRUE(checked);
  EXPECT_EQ(find(checked->checks, "signature").verdict, Verdict::unknown);
}

TEST_F(ChecksTest, PatchOfTheSameFunctionIsAWarningUnlessItIsReplaced) {
  add_patch("other", "1\n", "0\n");
  add_function("other", "vmlinux", "f,1");
  EXPECT_EQ(find(checks(), "patches").verdict, Verdict::warning);
  EXPECT_EQ(find(checks({"suture.replace=1"}), "patches").id, "none");
}

TEST_F(ChecksTest, WhoIsTakenOverFromAndWhatIsLostIsSaid) {
  add_patch("old", "1\n", "0\n");
  add_function("old", "vmlinux", "f,1");
  EXPECT_EQ(find(checks({"suture.replace=1"}), "replaces").detail,
            "it replaces these patches: old");
  EXPECT_EQ(find(checks({"suture.replace=1"}), "loss").id, "none");
  EXPECT_EQ(find(checks(), "replaces").detail, "it replaces no patch");
  add_function("old", "vmlinux", "g,1");
  const Check loss = find(checks({"suture.replace=1"}), "loss");
  EXPECT_EQ(loss.verdict, Verdict::warning);
  EXPECT_EQ(loss.code, Code::fix_lost);
  EXPECT_THAT(loss.detail, testing::StartsWith("'old' alone changes g: that fix is not in"));
}

TEST_F(ChecksTest, PatchesOfAnotherCoreAreNotTakenOverFrom) {
  add_core_patch("old", "1\n", "0\n", "hybrid");
  add_function("old", "vmlinux", "g,1", "suture");
  EXPECT_EQ(find(checks({"suture.replace=1"}), "loss").id, "none");
}

TEST_F(ChecksTest, FtraceThatIsOffIsFoundBeforehand) {
  put("proc/sys/kernel/ftrace_enabled", "0\n");
  EXPECT_EQ(find(checks(), "ftrace").code, Code::ftrace_off);
  put("proc/sys/kernel/ftrace_enabled", "1\n");
  EXPECT_EQ(find(checks(), "ftrace").verdict, Verdict::ok);
}

// A patch that changes those functions and fixes those CVEs by one diff of that hash.
module::Metadata about(const std::vector<std::string>& functions,
                       const std::vector<std::string>& cves, const std::string& diff) {
  module::Metadata out{.name = "old"};
  module::PatchedObject& object = out.objects.emplace_back();
  object.name = "vmlinux";
  for (const std::string& name : functions) {
    object.functions.push_back({.name = name});
  }
  out.cves = cves;
  out.diffs = {{.sha256 = diff}};
  return out;
}

TEST(Replacing, WhatTheNewPatchLacksIsLost) {
  const Loss loss = lost_to(about({"f"}, {"CVE-1"}, "a"), about({"f", "g"}, {"CVE-2"}, "b"));
  EXPECT_EQ(describe(loss), "'old' alone changes g and fixes CVE-2");
  EXPECT_TRUE(loss.fix_lost);
}

TEST(Replacing, AFixThatIsThereInAnotherFormIsNotLost) {
  EXPECT_FALSE(lost_to(about({"f"}, {"CVE-1"}, "a"), about({"g"}, {"CVE-1"}, "b")).fix_lost);
  EXPECT_FALSE(lost_to(about({"f"}, {}, "a"), about({"g"}, {}, "a")).fix_lost);
  EXPECT_TRUE(lost_to(about({"f"}, {}, "a"), about({"g"}, {}, "b")).fix_lost);
}

TEST(Replacing, NothingIsLostToAPatchThatHasAll) {
  EXPECT_FALSE(lost_to(about({"f", "g"}, {"CVE-1"}, "a"), about({"g"}, {"CVE-1"}, "b")).any());
}

TEST_F(ChecksTest, SymbolThatIsMissingOrNotUniqueFails) {
  put("proc/kallsyms", "0000000000000000 T f\n0000000000000000 t g\n0000000000000000 t g\n");
  EXPECT_EQ(find(checks({}, Depth::everything), "symbols").verdict, Verdict::ok);
  EXPECT_EQ(find(checks({"suture.func=vmlinux h 0 a.c"}, Depth::everything), "symbols").verdict,
            Verdict::failed);
  EXPECT_EQ(find(checks({"suture.func=vmlinux g 0 a.c"}, Depth::everything), "symbols").verdict,
            Verdict::failed);
  EXPECT_EQ(find(checks({"suture.func=vmlinux g 2 a.c"}, Depth::everything), "symbols").verdict,
            Verdict::ok);
  EXPECT_EQ(find(checks({"suture.func=vmlinux g 3 a.c"}, Depth::everything), "symbols").verdict,
            Verdict::failed);
}

TEST_F(ChecksTest, FunctionWithoutAnEntryFails) {
  EXPECT_EQ(find(checks({}, Depth::everything), "entries").verdict, Verdict::ok);
  EXPECT_EQ(find(checks({"suture.func=vmlinux h 0 a.c"}, Depth::everything), "entries").verdict,
            Verdict::failed);
}

TEST_F(ChecksTest, ListsThatCannotBeReadAreNamed) {
  fs::remove(machine_.sys / "kernel/debug/kprobes/list");
  const Check check = find(checks(), "conflicts");
  EXPECT_EQ(check.verdict, Verdict::unknown);
  EXPECT_NE(check.detail.find("kprobes"), std::string::npos);
}

class AttachmentsTest : public ChecksTest {
 protected:
  std::vector<machine::Attachment> found(const std::vector<machine::LoadedPatch>& patches = {},
                                         const machine::Core* loading = nullptr) {
    const std::vector<machine::PatchedObject> objects{
        {.name = "vmlinux", .functions = {{.name = "f"}}},
        {.name = "ext4", .functions = {{.name = "g"}}}};
    return machine::attachments(machine_, objects, patches, loading).found;
  }
};

TEST_F(AttachmentsTest, ProbeInsideTheOldCodeIsSilenced) {
  put("sys/kernel/debug/kprobes/list",
      "ffffffff81000010  k  f+0x10    [OPTIMIZED]\nffffffff81000000  k  other+0x0    [FTRACE]\n");
  auto list = found();
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].effect, machine::Effect::silenced);
  EXPECT_EQ(list[0].what, "a kprobe at +0x10");
}

TEST_F(AttachmentsTest, ProbeAtTheEntryGoesOn) {
  put("sys/kernel/debug/kprobes/list", "ffffffff81000000  r  f+0x0    [FTRACE]\n");
  auto list = found();
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].effect, machine::Effect::beside);
  EXPECT_EQ(list[0].what, "a kretprobe at +0x0");
}

TEST_F(AttachmentsTest, ProbeWhereTheReturnMayBeOverriddenMayWin) {
  put("sys/kernel/debug/kprobes/list", "ffffffff81000000  k  f+0x0    [FTRACE]\n");
  put("sys/kernel/debug/error_injection/list", "other\tERRNO\nf\tERRNO\n");
  auto list = found();
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].effect, machine::Effect::wins);
}

TEST_F(AttachmentsTest, ProbeOfAModuleIsNotThatOfTheKernel) {
  put("sys/kernel/debug/kprobes/list",
      "ffffffffc1000010  k  f+0x10  ext4 \nffffffffc1000020  k  g+0x20  ext4 [OPTIMIZED]\n");
  auto list = found();
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].function, "g");
  EXPECT_EQ(list[0].object, "ext4");
}

TEST_F(AttachmentsTest, ProbeThatIsDisabledStandsBesideLivepatch) {
  put("sys/kernel/debug/kprobes/list", "ffffffff81000010  k  f+0x10    [DISABLED]\n");
  auto list = found();
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].effect, machine::Effect::beside);
  EXPECT_EQ(list[0].what, "a disabled kprobe at +0x10");
}

TEST_F(AttachmentsTest, AnyProbeInTheFunctionRefusesAPatchForSuturesCore) {
  for (const char* flags : {"", "[FTRACE]", "[DISABLED]", "[DISABLED][FTRACE]", "[OPTIMIZED]"}) {
    put("sys/kernel/debug/kprobes/list", std::string("ffffffff81000004  k  f+0x4    ") + flags);
    auto list = found({}, &machine::suture_core);
    ASSERT_EQ(list.size(), 1u) << flags;
    EXPECT_EQ(list[0].effect, machine::Effect::refuses) << flags;
  }
}

TEST_F(AttachmentsTest, ProbeOfAnEventIsNamedByIt) {
  put("sys/kernel/debug/kprobes/list",
      "ffffffff81000010  k  f+0x10    \nffffffffc1000000  k  g+0x0  ext4 [FTRACE]\n");
  put("sys/kernel/tracing/kprobe_events",
      "p:kprobes/mine f+16 arg1=%di\nr:kprobes/other f\np:mods/theirs ext4:g\n");
  auto list = found();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].what, "a kprobe at +0x10 (the event kprobes/mine)");
  EXPECT_EQ(list[1].what, "a kprobe at +0x0 (the event mods/theirs)");
}

TEST_F(AttachmentsTest, ProbeWithAPostHandlerRefusesThePatch) {
  put("sys/kernel/debug/kprobes/list", "ffffffff81000000  k  f+0x0    [FTRACE]\n");
  put("sys/kernel/tracing/enabled_functions", "f (1) R I   \n");
  auto list = found();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[1].effect, machine::Effect::refuses);
  EXPECT_EQ(list[1].what, "a kprobe with a post handler (IPMODIFY)");
}

TEST_F(AttachmentsTest, ADirectCallThatIsNotBpfsRefusesThePatch) {
  put("sys/kernel/tracing/enabled_functions",
      "f (1)     D \ttramp: ftrace_caller (call_direct_funcs+0x0/0x10) ->x\n"
      "\tdirect-->my_tramp+0x0/0x15 [sample]\n"
      "g [ext4] (1)     D \n\tdirect-->bpf_trampoline_6442467823_1+0x0/0x1000\n");
  auto list = found();
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].effect, machine::Effect::refuses);
  EXPECT_EQ(list[0].what, "a direct call to my_tramp [sample]");
}

TEST_F(AttachmentsTest, TracersAreBesideThePatch) {
  put("sys/kernel/tracing/enabled_functions", "f (2)           \n");
  put("sys/kernel/tracing/current_tracer", "function_graph\n");
  put("proc/sys/kernel/stack_tracer_enabled", "1\n");
  auto list = found();
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].effect, machine::Effect::beside);
  EXPECT_EQ(
      list[0].what,
      "2 users of ftrace that only look on (a tracer, fprobe, kprobe_multi or perf; the tracer "
      "function_graph is on; the stack tracer is on)");
}

TEST_F(AttachmentsTest, NobodyIsCountedTwice) {
  // The patch itself, by its hook and its direct call; a probe; one tracer.
  put("sys/kernel/debug/kprobes/list", "ffffffff81000000  k  f+0x0    [FTRACE]\n");
  put("sys/kernel/tracing/enabled_functions",
      "f (4) R I D \n\tdirect-->thunk+0x0/0x5 [fix]\ng [ext4] (1) R I  \n");
  const machine::LoadedPatch patch{.name = "fix",
                                   .enabled = true,
                                   .objects = {{.name = "vmlinux", .functions = {{.name = "f"}}},
                                               {.name = "ext4", .functions = {{.name = "g"}}}}};
  auto list = found({patch});
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].what, "a kprobe at +0x0");
  EXPECT_THAT(list[1].what, testing::StartsWith("1 user of ftrace that only looks on"));
}

TEST_F(AttachmentsTest, AnotherRedirectionRefusesThePatch) {
  put("sys/kernel/tracing/enabled_functions",
      "f (1) R I   \ttramp: 0xffffffffc0 (klp_ftrace_handler+0x0/0x1)\n"
      "g [other] (1) R I  \n");
  auto list = found();
  ASSERT_EQ(list.size(), 1u);
  EXPECT_EQ(list[0].effect, machine::Effect::refuses);
}

TEST_F(AttachmentsTest, RedirectionByALoadedPatchIsNone) {
  put("sys/kernel/tracing/enabled_functions", "f (1) R I  \n");
  const machine::LoadedPatch patch{.name = "fix",
                                   .enabled = true,
                                   .objects = {{.name = "vmlinux", .functions = {{.name = "f"}}}}};
  EXPECT_TRUE(found({patch}).empty());
}

TEST_F(AttachmentsTest, FailFunctionWinsOverThePatch) {
  put("sys/kernel/debug/fail_function/inject", "f\ng [ext4]\nother\n");
  auto list = found();
  ASSERT_EQ(list.size(), 2u);
  EXPECT_EQ(list[0].effect, machine::Effect::wins);
}

}  // namespace
}  // namespace suture::check
