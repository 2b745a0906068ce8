// SPDX-License-Identifier: GPL-2.0-or-later
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "guest/background_script.h"
#include "guest/guest_init.h"
#include "guest/guest_plan.h"
#include "machine/kernel_log.h"

namespace suture::guest {
namespace {

TEST(KernelLog, ParsesRecordWithContinuation) {
  auto record = machine::parse_record("4,123,5000042,-;WARNING: CPU: 0 PID: 1\n SUBSYSTEM=x\n");
  ASSERT_TRUE(record);
  EXPECT_EQ(record->level, 4);
  EXPECT_TRUE(record->from_kernel);
  EXPECT_EQ(record->microseconds, 5000042u);
  EXPECT_EQ(record->text, "WARNING: CPU: 0 PID: 1");
}

TEST(KernelLog, FacilityTellsUserSpaceFromKernel) {
  auto record = machine::parse_record("12,1,2,-;WARNING: said by a program\n");
  ASSERT_TRUE(record);
  EXPECT_FALSE(record->from_kernel);
  EXPECT_EQ(record->level, 4);
}

TEST(KernelLog, RefusesWhatIsNoRecord) {
  EXPECT_FALSE(machine::parse_record(""));
  EXPECT_FALSE(machine::parse_record("4,5"));
  EXPECT_FALSE(machine::parse_record("4,5;text"));
  EXPECT_FALSE(machine::parse_record("x,5,6,-;text"));
}

TEST(GuestPlan, SurvivesTheTrip) {
  GuestPlan plan{.core = "/test/core/suture.ko",
                 .model = "stop",
                 .patches = {{.file = "/test/patches/1/fix.ko",
                              .name = "fix",
                              .modules = {"/test/modules/a.ko", "/test/modules/b.ko"}},
                             {.file = "/test/patches/2/more.ko", .name = "more", .modules = {}}},
                 .module_order = ModuleOrder::optional,
                 .script = "/test/script",
                 .load_script = "/test/load",
                 .rounds = 3,
                 .transition_timeout = 7.5};
  auto back = parse_plan(to_json(plan));
  ASSERT_TRUE(back);
  EXPECT_EQ(to_json(*back), to_json(plan));
  ASSERT_EQ(back->patches.size(), 2u);
  EXPECT_EQ(back->patches[0].modules.size(), 2u);
  EXPECT_EQ(back->patches[1].name, "more");
  EXPECT_EQ(back->module_order, ModuleOrder::optional);
  EXPECT_EQ(back->rounds, 3u);
  EXPECT_EQ(back->core, "/test/core/suture.ko");
  EXPECT_EQ(back->model, "stop");
}

TEST(GuestPlan, CutOffPlanIsGuestFailed) {
  auto plan = parse_plan(R"({"patch": "/test/fix.ko", )");
  ASSERT_FALSE(plan);
  EXPECT_EQ(plan.error().code, Code::guest_failed);
}

TEST(GuestEvent, PhaseSurvivesTheTrip) {
  const std::string line = to_line(Event{.kind = EventKind::phase,
                                         .phase = "load",
                                         .round = 2,
                                         .ok = false,
                                         .seconds = 1.5,
                                         .text = "line one\nline two",
                                         .model = "stop",
                                         .pause_ns = 42});
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  auto event = parse_line(line);
  ASSERT_TRUE(event);
  EXPECT_EQ(event->kind, EventKind::phase);
  EXPECT_EQ(event->phase, "load");
  EXPECT_EQ(event->round, 2u);
  EXPECT_FALSE(event->ok);
  EXPECT_EQ(event->seconds, 1.5);
  EXPECT_EQ(event->model, "stop");
  EXPECT_EQ(event->pause_ns, 42);
  EXPECT_EQ(event->text, "line one\nline two");
}

TEST(GuestEvent, BytesThatAreNoTextStillMakeALine) {
  EXPECT_TRUE(parse_line(to_line(Event{.kind = EventKind::output, .text = "\xff\xfe\x80"})));
}

TEST(GuestEvent, GarbledLinesAreNoEvents) {
  EXPECT_FALSE(parse_line(""));
  EXPECT_FALSE(parse_line("[    0.1] printk"));
  EXPECT_FALSE(parse_line(R"({"event":"phase","pha)"));
  EXPECT_FALSE(parse_line(R"({"event":"nothing we know"})"));
  EXPECT_FALSE(parse_line(R"({"event":"log","text":7})"));
  EXPECT_FALSE(parse_line("[1,2]"));
}

TEST(GuestInit, RefusesToRunElsewhere) {
  auto status = guest_init();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, Code::usage);
}

class BackgroundScriptTest : public testing::Test {
 protected:
  std::string script(std::string_view text) {
    auto dir = TempDir::create(fs::temp_directory_path(), "suture-script-test");
    EXPECT_TRUE(dir);
    dir_ = std::move(*dir);
    EXPECT_TRUE(write_file(dir_.path() / "script", text, 0755));
    return (dir_.path() / "script").string();
  }
  TempDir dir_;
};

TEST_F(BackgroundScriptTest, GivesOutputStatusArgumentAndEnvironment) {
  auto child = BackgroundScript::start(script("#!/bin/sh\necho $1 $WHO; echo err >&2; exit 3\n"),
                                       "patched", {{"WHO", "me"}});
  ASSERT_TRUE(child);
  EXPECT_EQ(child->wait(5000), 3);
  EXPECT_EQ(child->new_output(), "patched me\nerr\n");
  EXPECT_EQ(child->new_output(), "");
}

TEST_F(BackgroundScriptTest, ScriptWithoutInterpreterLineRunsInTheShell) {
  auto child = BackgroundScript::start(script("exit 4\n"), "x", {});
  ASSERT_TRUE(child);
  EXPECT_EQ(child->wait(5000), 4);
}

TEST_F(BackgroundScriptTest, StopEndsARunningScriptAndGivesNoStatus) {
  auto child = BackgroundScript::start(script("#!/bin/sh\nsleep 1000\n"), "x", {});
  ASSERT_TRUE(child);
  EXPECT_EQ(child->wait(50), std::nullopt);
  EXPECT_EQ(child->stop(), std::nullopt);
}

TEST_F(BackgroundScriptTest, StopGivesTheStatusOfAScriptThatHadEnded) {
  auto child = BackgroundScript::start(script("#!/bin/sh\nexit 1\n"), "x", {});
  ASSERT_TRUE(child);
  EXPECT_EQ(child->wait(5000), 1);
  EXPECT_EQ(child->stop(), 1);
}

TEST_F(BackgroundScriptTest, WhatTheScriptLeavesRunningKeepsItsOutput) {
  auto child =
      BackgroundScript::start(script("#!/bin/sh\n(sleep 0.2; echo late) &\nexit 0\n"), "x", {});
  ASSERT_TRUE(child);
  EXPECT_EQ(child->wait(5000), 0);
  std::string text;
  for (int i = 0; i < 50 && text.empty(); ++i) {
    ::usleep(100000);
    text = child->new_output();
  }
  EXPECT_EQ(text, "late\n");
}

}  // namespace
}  // namespace suture::guest
