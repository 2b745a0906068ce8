// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is told and done alike of patches of the kernel's own livepatch core and of Suture's.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "check/checks.h"
#include "live/core_module.h"
#include "live/load.h"
#include "live/nudge.h"
#include "live/status.h"
#include "live/watch.h"
#include "support/fake_machine.h"

namespace suture::live {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

class CoreTest : public test::FakeMachine {
 protected:
  std::string attribute(const std::string& patch, const std::string& name) {
    return read_text(machine_.sys / "kernel/suture" / patch / name).value_or("(not there)");
  }
  // The check of that name, of those made before a load of a patch for `core` on function f.
  check::Check check(const std::string& id, const std::string& core = "suture",
                     const std::vector<std::string>& more = {}) {
    std::vector<std::string> items = more;
    if (core == "suture") {
      items.emplace_back("suture.core=suture");
    }
    auto checked = check::check_module(machine_, module("f", items), check::Depth::before_load);
    EXPECT_TRUE(checked);
    auto found = std::ranges::find(checked->checks, id, &check::Check::id);
    return found == checked->checks.end() ? check::Check{.id = "none"} : *found;
  }
};

TEST_F(CoreTest, PatchesOfBothCoresAreListedTogether) {
  add_core_patch("b", "1\n", "0\n", "stop");
  add_patch("a", "1\n", "0\n");
  add_patch("c", "0\n", "1\n");
  const auto patches = machine::loaded_patches(machine_).value();
  ASSERT_EQ(patches.size(), 3u);
  EXPECT_EQ(patches[0].name, "a");
  EXPECT_EQ(patches[0].core, &machine::livepatch_core);
  EXPECT_EQ(patches[0].model, "hybrid");
  EXPECT_FALSE(patches[0].pause_ns);
  EXPECT_EQ(patches[1].name, "b");
  EXPECT_EQ(patches[1].core, &machine::suture_core);
  EXPECT_EQ(patches[1].model, "stop");
  EXPECT_EQ(patches[1].pause_ns, 1500000);
  EXPECT_EQ(patches[1].transition_ns, 2000000);
  EXPECT_EQ(patches[1].settled, true);
}

TEST_F(CoreTest, SuturesCoreAloneIsEnough) {
  add_core_patch("fix", "1\n", "0\n", "lazy");
  const auto status = machine_status(machine_);
  ASSERT_TRUE(status);
  ASSERT_EQ(status->patches.size(), 1u);
  EXPECT_TRUE(machine::find_patch(machine_, "fix").value());
  EXPECT_FALSE(machine::find_patch(machine_, "other").value());
}

TEST_F(CoreTest, WhatIsWrittenGoesToTheCoreThatHasThePatch) {
  make("sys/kernel/livepatch");
  add_core_patch("fix", "1", "0\n", "stop");
  ASSERT_TRUE(machine::set_enabled(machine_, "fix", false));
  EXPECT_EQ(attribute("fix", "enabled"), "0");
  ASSERT_TRUE(machine::set_model(machine_, "fix", "hybrid"));
  EXPECT_EQ(attribute("fix", "model"), "hybrid");
}

TEST_F(CoreTest, LivepatchHasNoChoiceOfModels) {
  add_patch("fix", "1\n", "0\n");
  EXPECT_EQ(machine::set_model(machine_, "fix", "stop").error().code, Code::usage);
}

TEST_F(CoreTest, BlockingTasksAreThoseThatTheCoreLists) {
  add_core_patch("fix", "1\n", "1\n", "hybrid", "300\n7 pipe_read\n9 -\n11 gone\n");
  add_function("fix", "vmlinux", "pipe_read,1", "suture");
  add_task("7", "7", "-1\n");
  add_task("9", "9", "-1\n");
  const auto status = machine_status(machine_).value();
  EXPECT_EQ(status.waiting, 300u);
  ASSERT_EQ(status.blocking.size(), 2u);
  EXPECT_EQ(status.blocking[0].tid, 7);
  EXPECT_EQ(status.blocking[0].function, "pipe_read");
  EXPECT_EQ(status.blocking[0].comm, "worker");
  EXPECT_EQ(status.blocking[1].function, "");
}

TEST_F(CoreTest, TaskInsideOfThePatchesModuleIsNamedByItsStack) {
  add_core_patch("fix", "0\n", "1\n", "hybrid", "1\n7 fix\n");
  add_function("fix", "vmlinux", "vfs_read,1", "suture");
  add_task("7", "7", "-1\n");
  const auto tasks =
      machine::blocking_tasks(machine_, machine::find_patch(machine_, "fix").value().value());
  ASSERT_EQ(tasks.size(), 1u);
  EXPECT_EQ(tasks[0].function, "vfs_read");
}

TEST_F(CoreTest, ThreadIsToldWithItsProcess) {
  add_core_patch("fix", "1\n", "1\n", "lazy", "1\n9 -\n");
  add_task("9", "9", "-1\n");
  put("proc/9/status", "Name:\tworker\nTgid:\t7\n");
  const auto tasks =
      machine::blocking_tasks(machine_, machine::find_patch(machine_, "fix").value().value());
  ASSERT_EQ(tasks.size(), 1u);
  EXPECT_EQ(tasks[0].pid, 7);
  EXPECT_EQ(tasks[0].tid, 9);
}

TEST_F(CoreTest, SuturesCoreNudgesByItself) {
  add_core_patch("fix", "1\n", "1\n", "hybrid", "1\n7 -\n");
  add_task("7", "7", "-1\n");
  const machine::LoadedPatch patch = machine::find_patch(machine_, "fix").value().value();
  const auto nudged = nudge(machine_, patch, machine::blocking_tasks(machine_, patch));
  ASSERT_EQ(nudged.size(), 1u);
  EXPECT_TRUE(nudged[0].signalled);
  EXPECT_EQ(attribute("fix", "signal"), "1");
}

TEST_F(CoreTest, TasksInsideOfAStoppedPatchAreKnownAfterwards) {
  add_core_patch("fix", "1\n", "0\n", "stop", "1\n7 pipe_read\n");
  add_function("fix", "vmlinux", "pipe_read,1", "suture");
  add_task("7", "7", "-1\n");
  const machine::LoadedPatch patch = machine::find_patch(machine_, "fix").value().value();
  EXPECT_TRUE(machine::blocking_tasks(machine_, patch).empty());
  EXPECT_EQ(machine::describe(machine::tasks_inside(machine_, patch), 1), "7 worker in pipe_read");
}

TEST_F(CoreTest, ModuleThatSuturesCoreDroppedIsKnownByItsNote) {
  add_core_patch("current", "1\n", "0\n", "stop");
  const module::Metadata metadata{.name = "x", .core = module::Core::suture};
  const Bytes note = module::to_note(metadata);
  for (const char* name : {"current", "gone"}) {
    put(std::string("sys/module/") + name + "/taint", "OE\n");
    put(std::string("sys/module/") + name + "/notes/.note.suture", as_text(note));
  }
  put("sys/module/suture/taint", "OE\n");
  EXPECT_THAT(machine::dropped_modules(machine_), ElementsAre("gone"));
}

TEST_F(CoreTest, PatchForSuturesCoreNeedsItLoaded) {
  run_kernel();
  const check::Check missing = check("core");
  EXPECT_EQ(missing.verdict, check::Verdict::failed);
  EXPECT_EQ(missing.code, Code::no_core);
  EXPECT_EQ(missing.remedy, "suture core load");
  add_core();
  EXPECT_EQ(check("core").verdict, check::Verdict::ok);
}

TEST_F(CoreTest, LivepatchNeedsTheKernelsCore) {
  run_kernel();
  add_core();
  fs::remove_all(machine_.sys / "kernel/livepatch");
  EXPECT_EQ(check("core", "livepatch").code, Code::no_livepatch);
  EXPECT_EQ(check("core").verdict, check::Verdict::ok);
}

TEST_F(CoreTest, PatchOfTheOtherCoreOnTheSameFunctionIsRefusedEvenByOneThatReplaces) {
  run_kernel();
  add_core();
  add_patch("other", "1\n", "0\n");
  add_function("other", "vmlinux", "f,1");
  const check::Check refused = check("patches", "suture", {"suture.replace=1"});
  EXPECT_EQ(refused.verdict, check::Verdict::failed);
  EXPECT_EQ(refused.code, Code::busy);
  EXPECT_EQ(check("patches", "livepatch").verdict, check::Verdict::warning);
}

TEST_F(CoreTest, TransitionOfEitherCoreKeepsALoadOut) {
  run_kernel();
  add_core_patch("other", "1\n", "1\n", "lazy");
  EXPECT_EQ(check("transition", "livepatch").verdict, check::Verdict::failed);
  EXPECT_EQ(check("transition").verdict, check::Verdict::failed);
}

TEST_F(CoreTest, StatesOfTheOtherCoresPatchesDoNotCount) {
  run_kernel();
  add_core();
  add_patch("other", "1\n", "0\n");
  const module::Metadata metadata{.name = "other", .states = {{.id = 5, .version = 2}}};
  put("sys/module/other/notes/.note.suture", as_text(module::to_note(metadata)));
  EXPECT_EQ(check("states", "suture", {"suture.replace=1"}).verdict, check::Verdict::ok);
  EXPECT_EQ(check("states", "livepatch", {"suture.replace=1"}).verdict, check::Verdict::failed);
}

TEST_F(CoreTest, ModelOfALivepatchIsWrongUsage) {
  run_kernel();
  auto outcome = load(machine_, module("f"), {.model = "stop"});
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Code::usage);
}

TEST_F(CoreTest, StateOfTheCoreIsRead) {
  EXPECT_FALSE(core_state(machine_).loaded);
  add_core_patch("fix", "1\n", "0\n", "stop");
  put("sys/module/suture/refcnt", "1\n");
  const CoreState state = core_state(machine_);
  EXPECT_TRUE(state.loaded);
  EXPECT_EQ(state.abi, 1);
  EXPECT_EQ(state.default_model, "hybrid");
  EXPECT_EQ(state.references, 1);
  EXPECT_THAT(state.patches, ElementsAre("fix"));
}

TEST_F(CoreTest, AnotherModuleIsNotLoadedAsTheCore) {
  run_kernel();
  EXPECT_EQ(insert_core(machine_, module("f")).error().code, Code::bad_module);
  add_core();
  EXPECT_EQ(insert_core(machine_, module("f")).error().code, Code::busy);
}

TEST_F(CoreTest, CoreThatIsNotLoadedCannotBeRemoved) {
  run_kernel();
  EXPECT_EQ(remove_core(machine_).error().code, Code::no_core);
}

TEST(CoreWords, AreHeardWithoutTheCoresName) {
  EXPECT_EQ(machine::words_of_a_core("livepatch: 'a': patching complete"),
            "'a': patching complete");
  EXPECT_EQ(machine::words_of_a_core("suture: 'a': patching complete"), "'a': patching complete");
  EXPECT_FALSE(machine::words_of_a_core("usb 1-1: new device"));
  EXPECT_FALSE(machine::words_of_a_core("suture"));
}

}  // namespace
}  // namespace suture::live
