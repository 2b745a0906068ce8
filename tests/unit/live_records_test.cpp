// SPDX-License-Identifier: GPL-2.0-or-later
#include "live/records.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include "live/load.h"
#include "live/status.h"
#include "live/trial.h"
#include "support/fake_machine.h"

namespace suture::live {
namespace {

class RecordsTest : public test::FakeMachine {
 protected:
  // This very process, as the fake machine's /proc would show it.
  void show_this_process() {
    put("proc/" + std::to_string(::getpid()) + "/stat",
        "1 (a) S 1 7 7 0 -1 4194304 0 0 0 0 1 2 3 4 20 0 1 0 4242 1000 10\n");
  }
  Record trial(double seconds_left) {
    Record record{.patch = "fix",
                  .kind = Record::Kind::trial,
                  .deadline = seconds_since_boot() + seconds_left,
                  .trial_seconds = 600};
    keep_by_this_process(machine_, record);
    return record;
  }
};

TEST_F(RecordsTest, SurvivesTheTrip) {
  show_this_process();
  ASSERT_TRUE(write_record(machine_, trial(5)));
  auto records = read_records(machine_);
  ASSERT_EQ(records.size(), 1u);
  EXPECT_EQ(records[0].patch, "fix");
  EXPECT_EQ(records[0].kind, Record::Kind::trial);
  EXPECT_EQ(records[0].start_time, 4242u);
  EXPECT_EQ(records[0].trial_seconds, 600);
}

TEST_F(RecordsTest, FileThatIsNoRecordIsLeftOut) {
  put("run/patches/cut.json", "{\"patch\": ");
  put("run/patches/other.json", "{\"patch\": \"x\", \"kind\": \"unheard of\"}");
  put("run/patches/notes.txt", "hello");
  EXPECT_TRUE(read_records(machine_).empty());
}

TEST_F(RecordsTest, ADamagedRecordIsSaid) {
  add_patch("fix", "1\n", "0\n");
  for (const char* text : {"", "[]", "{\"patch\": ", R"({"patch": 3, "kind": "trial"})",
                           R"({"patch": "../x", "kind": "trial", "pid": 1, "start_time": 1,
                               "deadline": 1, "trial_seconds": 1})"}) {
    put("run/patches/fix.json", text);
    EXPECT_EQ(read_record(machine_, "fix").error().code, Code::bad_config) << text;
    EXPECT_EQ(accept(machine_, "fix").error().code, Code::bad_config) << text;
  }
}

TEST_F(RecordsTest, NamesThatLeadElsewhereTouchNothing) {
  make("sys/kernel/livepatch");
  make("run/patches");
  put("x.json", "somebody's");
  for (const char* name : {"../../x", "a/../../x", "..", ""}) {
    EXPECT_EQ(unload(machine_, name, {}).error().code, Code::usage) << name;
    EXPECT_EQ(force(machine_, name).error().code, Code::usage) << name;
    EXPECT_EQ(accept(machine_, name).error().code, Code::usage) << name;
    EXPECT_EQ(write_record(machine_, {.patch = name}).error().code, Code::usage) << name;
    EXPECT_FALSE(remove_record(machine_, name)) << name;
  }
  EXPECT_TRUE(read_text(machine_.run.parent_path() / "x.json"));
}

TEST_F(RecordsTest, TheirLockIsTheOwnersAlone) {
  make("run/patches");
  put("run/patches/.lock", "");  // as earlier versions made it: 0644
  ASSERT_TRUE(lock_records(machine_));
  EXPECT_EQ(fs::status(machine_.run / "patches/.lock").permissions(),
            fs::perms::owner_read | fs::perms::owner_write);
}

TEST_F(RecordsTest, AnotherProcessOfThePidIsNotTheKeeper) {
  show_this_process();
  Record record = trial(5);
  EXPECT_TRUE(keeper_alive(machine_, record));
  record.start_time = 1;
  EXPECT_FALSE(keeper_alive(machine_, record));
}

TEST_F(RecordsTest, AcceptEndsTheTrialOnce) {
  add_patch("fix", "1\n", "0\n");
  ASSERT_TRUE(write_record(machine_, trial(5)));
  EXPECT_TRUE(accept(machine_, "fix"));
  auto again = accept(machine_, "fix");
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, Code::not_on_trial);
}

TEST_F(RecordsTest, PatchInTransitionCannotBeAccepted) {
  add_patch("fix", "1\n", "1\n");
  ASSERT_TRUE(write_record(machine_, trial(5)));
  auto accepted = accept(machine_, "fix");
  ASSERT_FALSE(accepted);
  EXPECT_EQ(accepted.error().code, Code::transition_incomplete);
}

TEST_F(RecordsTest, TrialThatIsOverCannotBeAccepted) {
  add_patch("fix", "1\n", "0\n");
  Record record = trial(-1);
  record.kind = Record::Kind::reverting;
  ASSERT_TRUE(write_record(machine_, record));
  EXPECT_FALSE(accept(machine_, "fix"));
  EXPECT_TRUE(read_record(machine_, "fix").value());
}

TEST_F(RecordsTest, KeeperLeavesAnAcceptedPatchAlone) {
  add_patch("fix", "1\n", "0\n");
  EXPECT_TRUE(keep_trial(machine_, "fix"));
  EXPECT_EQ(read_text(machine_.sys / "kernel/livepatch/fix/enabled").value(), "1\n");
}

TEST_F(RecordsTest, KeeperOfAPatchThatIsGoneEnds) {
  make("sys/kernel/livepatch");
  ASSERT_TRUE(write_record(machine_, trial(-1)));
  EXPECT_TRUE(keep_trial(machine_, "fix"));
  EXPECT_FALSE(read_record(machine_, "fix").value());
}

TEST_F(RecordsTest, StatusExplainsATrialAndADeadKeeper) {
  PatchStatus status{.patch = {.name = "fix", .enabled = true}, .record = trial(5)};
  EXPECT_NE(undertaking_text(status).find("is gone; run: suture accept"), std::string::npos);
  status.keeper_alive = true;
  EXPECT_EQ(undertaking_text(status), "on trial: it is taken back in 5 s unless accepted");
}

TEST_F(RecordsTest, StatusTellsOfAFunctionThatTwoPatchesHave) {
  add_patch("one", "1\n", "0\n");
  add_function("one", "vmlinux", "f,1");
  add_function("one", "vmlinux", "g,1");
  add_patch("two", "1\n", "0\n");
  add_function("two", "vmlinux", "f,1");
  add_function("two", "vmlinux", "g,2");
  auto status = machine_status(machine_);
  ASSERT_TRUE(status);
  ASSERT_EQ(status->attached.found.size(), 1u);
  EXPECT_EQ(status->attached.found[0].function, "f");
  EXPECT_EQ(status->attached.found[0].effect, machine::Effect::wins);
}

TEST_F(RecordsTest, StatusExplainsAKilledLoad) {
  PatchStatus status{.patch = {.name = "fix", .enabled = true, .transition = true},
                     .record = Record{.patch = "fix", .pid = 17, .deadline = 1}};
  EXPECT_EQ(undertaking_text(status),
            "the `suture load` that waited for it (17) is gone, and nothing takes it back by "
            "itself; its transition goes on");
}

}  // namespace
}  // namespace suture::live
