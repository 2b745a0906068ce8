// SPDX-License-Identifier: GPL-2.0-or-later
#include "machine/tasks.h"

#include <gtest/gtest.h>

#include "live/nudge.h"
#include "machine/proc_stat.h"
#include "support/fake_machine.h"

namespace suture::machine {
namespace {

class TasksTest : public test::FakeMachine {
 protected:
  static LoadedPatch patch(bool enabled, const std::string& function = "f") {
    return {.name = "fix",
            .enabled = enabled,
            .transition = true,
            .objects = {{.name = "vmlinux", .patched = true, .functions = {{.name = function}}}}};
  }
};

TEST_F(TasksTest, TasksOfTheOtherStateBlock) {
  add_task("1", "1", "1\n");
  add_task("7", "7", "0\n");
  add_task("7", "9", "0\n");
  add_task("8", "8", "-1\n");
  put("proc/self/task/x", "");
  auto tasks = blocking_tasks(machine_, patch(true));
  ASSERT_EQ(tasks.size(), 2u);
  EXPECT_EQ(tasks[0].tid, 7);
  EXPECT_EQ(tasks[1].tid, 9);
  EXPECT_EQ(tasks[1].pid, 7);
  EXPECT_EQ(tasks[0].comm, "worker");
  EXPECT_EQ(tasks[0].state, "S (sleeping)");
  ASSERT_EQ(tasks[0].stack.size(), 2u);
  EXPECT_EQ(tasks[0].stack[0], "pipe_read+0x12/0x40");
  EXPECT_EQ(blocking_tasks(machine_, patch(false)).size(), 1u);
  EXPECT_EQ(count_blocking(machine_, patch(true)), 2u);
}

TEST_F(TasksTest, NothingBlocksWithoutATransition) {
  add_task("7", "7", "0\n");
  LoadedPatch still = patch(true);
  still.transition = false;
  EXPECT_TRUE(blocking_tasks(machine_, still).empty());
}

TEST_F(TasksTest, PatchedFunctionOnTheStackIsNamed) {
  add_task("7", "7", "0\n");
  auto tasks = blocking_tasks(machine_, patch(true, "vfs_read"));
  ASSERT_EQ(tasks.size(), 1u);
  EXPECT_EQ(tasks[0].function, "vfs_read");
  EXPECT_EQ(blocking_tasks(machine_, patch(true)).at(0).function, "");
}

TEST_F(TasksTest, TheNewFunctionIsNamedAsTheOldOne) {
  add_task("7", "7", "1\n");
  put("proc/7/task/7/stack", "[<0>] pipe_read.patched+0x1/0x2 [fix]\n");
  EXPECT_EQ(blocking_tasks(machine_, patch(false, "pipe_read")).at(0).function, "pipe_read");
}

TEST_F(TasksTest, DescriptionNamesTaskAndFunctionAndCountsTheRest) {
  add_task("7", "7", "0\n");
  add_task("9", "9", "0\n");
  EXPECT_EQ(describe(blocking_tasks(machine_, patch(true)), 1), "7 worker in pipe_read and 1 more");
  EXPECT_EQ(describe(blocking_tasks(machine_, patch(true, "vfs_read")), 1),
            "7 worker in vfs_read and 1 more");
}

TEST_F(TasksTest, TaskThatVanishesWhileItIsReadKeepsWhatWasSeen) {
  put("proc/7/task/7/patch_state", "0\n");
  auto tasks = blocking_tasks(machine_, patch(true));
  ASSERT_EQ(tasks.size(), 1u);
  EXPECT_EQ(tasks[0].comm, "?");
  EXPECT_TRUE(tasks[0].stack.empty());
}

TEST_F(TasksTest, KernelThreadIsToldByItsFlags) {
  add_task("2", "2", "0\n", "2129984");
  add_task("7", "7", "0\n");
  auto tasks = blocking_tasks(machine_, patch(true));
  ASSERT_EQ(tasks.size(), 2u);
  EXPECT_TRUE(tasks[0].kernel_thread);
  EXPECT_FALSE(tasks[1].kernel_thread);
}

TEST(ProcStatTest, ReadsPastAnyName) {
  auto stat =
      parse_stat("7 (a) S 9 (x) T 1 7 7 34816 -1 4194304 0 0 0 0 1 2 3 4 20 0 1 0 4242 1 2");
  ASSERT_TRUE(stat);
  EXPECT_EQ(stat->state, 'T');
  EXPECT_EQ(stat->terminal, 34816);
  EXPECT_EQ(stat->start_time, 4242u);
  EXPECT_FALSE(parse_stat("7 (a) S 1"));
  EXPECT_FALSE(parse_stat(""));
}

// Processes of these numbers are not there, so nothing could be signalled by mistake.
class NudgeTest : public TasksTest {
 protected:
  static constexpr int pid = 0x7ffffff0;
  std::string nudge_one(const BlockingTask& task, const std::string& stat_tail,
                        const std::string& caught = "0000000000000000") {
    const std::string directory = "proc/" + std::to_string(pid) + "/";
    put(directory + "stat", "1 (a) " + stat_tail + " 0 0 0 0 1 2 3 4 20 0 1 0 4242 1 2\n");
    put(directory + "status", "Name:\ta\nSigCgt:\t" + caught + "\n");
    auto nudged = live::nudge(machine_, LoadedPatch{}, {task});
    EXPECT_EQ(nudged.size(), 1u);
    EXPECT_FALSE(nudged.at(0).signalled);
    return nudged.at(0).what;
  }
  static BlockingTask task(const char* state) { return {.pid = pid, .tid = pid, .state = state}; }
};

TEST_F(NudgeTest, ProcessWithATerminalIsLeftAlone) {
  EXPECT_NE(nudge_one(task("S (sleeping)"), "S 1 7 7 34816 -1 4194304").find("terminal"),
            std::string::npos);
}

TEST_F(NudgeTest, ProcessThatHandlesTheSignalIsLeftAlone) {
  EXPECT_NE(nudge_one(task("S (sleeping)"), "S 1 7 7 0 -1 4194304", "0000000000020000")
                .find("handles SIGCONT"),
            std::string::npos);
}

TEST_F(NudgeTest, StoppedProcessStaysStopped) {
  EXPECT_NE(nudge_one(task("T (stopped)"), "T 1 7 7 0 -1 4194304").find("stopped"),
            std::string::npos);
}

TEST_F(NudgeTest, KernelThreadIsTheKernels) {
  EXPECT_NE(nudge_one(task("I (idle)"), "I 1 7 7 0 -1 2129984").find("kernel thread"),
            std::string::npos);
}

TEST_F(NudgeTest, UninterruptibleSleepIsNotSignalled) {
  EXPECT_NE(nudge_one(task("D (disk sleep)"), "D 1 7 7 0 -1 4194304").find("no signal ends"),
            std::string::npos);
}

TEST_F(NudgeTest, ProcessThatIsGoneIsToldSo) {
  auto nudged = live::nudge(machine_, LoadedPatch{}, {task("S (sleeping)")});
  ASSERT_EQ(nudged.size(), 1u);
  EXPECT_EQ(nudged[0].what, "gone meanwhile");
}

}  // namespace
}  // namespace suture::machine
