// SPDX-License-Identifier: GPL-2.0-or-later
//
// What the host and the guest of a test say to each other. The host hands one plan over with the
// guest's files; the guest answers on its second serial port, one JSON event a line.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/error.h"

namespace suture::guest {

inline constexpr std::string_view plan_path = "/test/plan.json";
inline constexpr std::string_view answer_device = "/dev/ttyS1";
// The guest writes this, the phase's name, a blank and the patch's name into the kernel's log when
// a phase begins.
inline constexpr std::string_view log_mark = "suture: phase ";
// The phase that loads stock modules: what they say is no fault of the patch.
inline constexpr std::string_view modules_phase = "modules";
// The phases in which Suture's own core comes and goes: they are about no patch.
inline constexpr std::string_view core_phase = "core";
inline constexpr std::string_view core_gone_phase = "core-gone";

// When the modules that a patch changes are loaded.
enum class ModuleOrder {
  before,    // before the patch
  after,     // after the patch
  optional,  // before it, where they load: many do not without their hardware
};

// All paths are the guest's.
struct PlannedPatch {
  std::string file;
  std::string name;                  // as the kernel spells it
  std::vector<std::string> modules;  // what it patches, each after what it depends on
};

struct GuestPlan {
  std::string core;   // suture.ko, inserted before all else; empty where nothing needs it
  std::string model;  // that the patches are loaded by; empty: what their core would do
  std::vector<PlannedPatch> patches;  // tried one after the other, each gone before the next
  ModuleOrder module_order = ModuleOrder::before;
  // Run with before, patched, reverted; once with alone where there are no patches. May be empty.
  std::string script;
  std::string load_script;  // runs in the background all the while; may be empty
  unsigned rounds = 1;
  double transition_timeout = 60;
};

std::string to_json(const GuestPlan& plan);
Result<GuestPlan> parse_plan(std::string_view json);

enum class EventKind {
  ready,     // process 1 waits for its files (shared_memory.h), said again and again
  alive,     // nothing else happened for a while
  started,   // a phase begins: patch, phase
  output,    // of a phase's script: phase, text
  phase,     // a phase ended: patch, phase, round, ok, seconds, text (the reason where it failed);
             // of a load model, pause_ns
  log,       // a record of the kernel's log: level, from_kernel, seconds (since boot), text
  log_lost,  // records were overwritten before they could be read
  end,       // nothing more comes
};

struct Event {
  EventKind kind = EventKind::alive;
  std::string patch;  // that the phase is about
  std::string phase;
  unsigned round = 0;
  bool ok = true;
  bool from_kernel = true;
  int level = 0;
  double seconds = 0;
  std::string text;
  std::string model;  // of the phase "load": by which the patch came,
  long pause_ns = 0;  // and how long the machine stood still for it
};

// One line, newline included; bytes that are not UTF-8 are replaced.
std::string to_line(const Event& event);
// Nothing where the line is no event (cut off, or garbled by something else on the port).
std::optional<Event> parse_line(std::string_view line);

}  // namespace suture::guest
