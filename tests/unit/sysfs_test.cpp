// SPDX-License-Identifier: GPL-2.0-or-later
#include "machine/sysfs.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "live/load.h"
#include "support/fake_machine.h"

namespace suture::machine {
namespace {

using SysfsTest = test::FakeMachine;

TEST_F(SysfsTest, KernelWithoutLivepatchIsNoLivepatch) {
  EXPECT_FALSE(has_core(machine_, livepatch_core));
  auto patches = loaded_patches(machine_);
  ASSERT_FALSE(patches);
  EXPECT_EQ(patches.error().code, Code::no_livepatch);
}

TEST_F(SysfsTest, ReadsStateObjectsAndFunctions) {
  add_patch("fix", "1\n", "0\n");
  put("sys/kernel/livepatch/fix/ext4/patched", "0\n");
  ASSERT_TRUE(make_directories(machine_.sys / "kernel/livepatch/fix/ext4/ext4_sync_file,1"));
  put("sys/kernel/livepatch/fix/vmlinux/patched", "1\n");
  ASSERT_TRUE(make_directories(machine_.sys / "kernel/livepatch/fix/vmlinux/do_it,2"));
  auto patches = loaded_patches(machine_);
  ASSERT_TRUE(patches);
  ASSERT_EQ(patches->size(), 1u);
  const LoadedPatch& patch = patches->front();
  EXPECT_EQ(patch.name, "fix");
  EXPECT_TRUE(patch.enabled);
  EXPECT_FALSE(patch.transition);
  ASSERT_EQ(patch.objects.size(), 2u);
  EXPECT_EQ(patch.objects[0].name, "vmlinux");
  EXPECT_TRUE(patch.objects[0].patched);
  ASSERT_EQ(patch.objects[0].functions.size(), 1u);
  EXPECT_EQ(patch.objects[0].functions[0].name, "do_it");
  EXPECT_EQ(patch.objects[0].functions[0].sympos, 2u);
  EXPECT_EQ(patch.objects[1].name, "ext4");
  EXPECT_FALSE(patch.objects[1].patched);
}

TEST_F(SysfsTest, VmlinuxCountsAsPatchedWhereTheKernelDoesNotSay) {
  add_patch("fix", "1\n", "0\n");
  ASSERT_TRUE(make_directories(machine_.sys / "kernel/livepatch/fix/vmlinux/do_it,1"));
  auto patch = find_patch(machine_, "fix");
  ASSERT_TRUE(patch && *patch);
  EXPECT_TRUE((*patch)->objects.at(0).patched);
}

TEST_F(SysfsTest, PatchThatVanishesIsNotThere) {
  ASSERT_TRUE(make_directories(machine_.sys / "kernel/livepatch/going"));
  auto patches = loaded_patches(machine_);
  ASSERT_TRUE(patches);
  EXPECT_TRUE(patches->empty());
}

TEST_F(SysfsTest, PatchesThatComeAndGoWhileTheyAreReadAreWholeOrNotThere) {
  add_patch("stays", "1\n", "0\n");
  add_function("stays", "vmlinux", "f,1");
  std::atomic<bool> stop = false;
  std::thread churn([&] {
    while (!stop) {
      add_patch("comes", "1\n", "0\n");
      add_function("comes", "vmlinux", "g,1");
      std::error_code ec;
      fs::remove_all(machine_.sys / "kernel/livepatch/comes", ec);
    }
  });
  for (int round = 0; round < 300; ++round) {
    auto patches = loaded_patches(machine_);
    ASSERT_TRUE(patches);
    ASSERT_FALSE(patches->empty());
    EXPECT_EQ(patches->back().name, "stays");
    EXPECT_EQ(patches->back().objects.size(), 1u);
  }
  stop = true;
  churn.join();
}

TEST_F(SysfsTest, NameWithSlashIsNoPatch) {
  add_patch("fix", "1\n", "0\n");
  auto patch = find_patch(machine_, "../livepatch/fix");
  ASSERT_TRUE(patch);
  EXPECT_FALSE(*patch);
}

TEST_F(SysfsTest, SetEnabledWritesTheFile) {
  add_patch("fix", "1", "1\n");
  ASSERT_TRUE(set_enabled(machine_, "fix", false));
  EXPECT_EQ(read_text(machine_.sys / "kernel/livepatch/fix/enabled").value(), "0");
}

TEST_F(SysfsTest, BuiltInModuleIsNotLoaded) {
  put("sys/module/printk/parameters/time", "Y\n");
  put("sys/module/ext4/refcnt", "3\n");
  EXPECT_FALSE(module_loaded(machine_, "printk"));
  EXPECT_EQ(module_references(machine_, "ext4"), 3);
}

TEST_F(SysfsTest, AttributeOfAPatchThatIsGoneIsNotLoaded) {
  make("sys/kernel/livepatch");
  auto forced = force_transition(machine_, "fix");
  ASSERT_FALSE(forced);
  EXPECT_EQ(forced.error().code, Code::not_loaded);
}

TEST_F(SysfsTest, ModuleOfAPatchThatTheCoreDroppedIsKnownByItsTaint) {
  add_patch("current", "1\n", "0\n");
  put("sys/module/current/taint", "OEK\n");
  put("sys/module/replaced/taint", "OEK\n");
  put("sys/module/ext4/taint", "\n");
  EXPECT_EQ(dropped_modules(machine_), std::vector<std::string>{"replaced"});
}

TEST_F(SysfsTest, ForceOutsideOfATransitionIsNoTransition) {
  add_patch("fix", "1\n", "0\n");
  auto forced = live::force(machine_, "fix");
  ASSERT_FALSE(forced);
  EXPECT_EQ(forced.error().code, Code::no_transition);
}

TEST_F(SysfsTest, UnloadOfUnknownPatchIsNotLoaded) {
  ASSERT_TRUE(make_directories(machine_.sys / "kernel/livepatch"));
  auto outcome = live::unload(machine_, "fix", live::LoadOptions{.patience = {.deadline = 1}});
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Code::not_loaded);
}

TEST_F(SysfsTest, UnloadThatDoesNotFinishNamesTheTasks) {
  add_patch("fix", "1\n", "1\n");
  add_task("7", "7", "1\n");
  auto outcome = live::unload(machine_, "fix", live::LoadOptions{.patience = {.deadline = 0.1}});
  ASSERT_FALSE(outcome);
  EXPECT_EQ(outcome.error().code, Code::transition_incomplete);
  EXPECT_NE(outcome.error().reason.find("7 worker in pipe_read"), std::string::npos);
}

TEST_F(SysfsTest, LoadOfWhatIsNoModuleIsBadModule) {
  ASSERT_TRUE(make_directories(machine_.sys / "kernel/livepatch"));
  put("fix.ko", "not an ELF file");
  auto outcome = live::load(machine_, dir_.path() / "fix.ko", live::LoadOptions{});
  ASSERT_FALSE(outcome);
  EXPECT_TRUE(outcome.error().code == Code::bad_module || outcome.error().code == Code::bad_elf);
}

}  // namespace
}  // namespace suture::machine
