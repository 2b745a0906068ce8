// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/guest_plan.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/json.h"

namespace suture::guest {

namespace {

constexpr std::array<std::pair<EventKind, std::string_view>, 8> event_names = {{
    {EventKind::ready, "ready"},
    {EventKind::alive, "alive"},
    {EventKind::started, "started"},
    {EventKind::output, "output"},
    {EventKind::phase, "phase"},
    {EventKind::log, "log"},
    {EventKind::log_lost, "log-lost"},
    {EventKind::end, "end"},
}};

}  // namespace

std::string to_json(const GuestPlan& plan) {
  Json patches = Json::array();
  for (const PlannedPatch& patch : plan.patches) {
    patches.push_back({{"file", patch.file}, {"name", patch.name}, {"modules", patch.modules}});
  }
  return Json{{"core", plan.core},     {"model", plan.model},
              {"patches", patches},    {"module_order", static_cast<int>(plan.module_order)},
              {"script", plan.script}, {"load_script", plan.load_script},
              {"rounds", plan.rounds}, {"transition_timeout", plan.transition_timeout}}
      .text();
}

Result<GuestPlan> parse_plan(std::string_view text) {
  const Json parsed = Json::parse(text).value_or(Json{});
  JsonReader plan(parsed);
  std::vector<PlannedPatch> patches;
  bool whole = true;
  for (const Json& it : plan.items("patches")) {
    JsonReader patch(it);
    patches.push_back({patch.text("file"), patch.text("name"), patch.texts("modules")});
    whole = whole && patch.whole();
  }
  GuestPlan out{.core = plan.text("core"),
                .model = plan.text("model"),
                .patches = std::move(patches),
                .module_order = static_cast<ModuleOrder>(plan.integer("module_order")),
                .script = plan.text("script"),
                .load_script = plan.text("load_script"),
                .rounds = static_cast<unsigned>(plan.integer("rounds")),
                .transition_timeout = plan.number("transition_timeout")};
  if (!whole || !plan.whole()) {
    return fail(Code::guest_failed, std::string(plan_path), "it is not a plan of a test",
                "the plan is written by `suture test`; run that");
  }
  return out;
}

std::string to_line(const Event& event) {
  auto name = std::ranges::find(event_names, event.kind, [](const auto& it) { return it.first; });
  Json line{{"event", name->second}};
  switch (event.kind) {
    case EventKind::started:
      line["patch"] = event.patch;
      line["phase"] = event.phase;
      break;
    case EventKind::output:
      line["phase"] = event.phase;
      line["text"] = event.text;
      break;
    case EventKind::phase:
      line["patch"] = event.patch;
      line["phase"] = event.phase;
      line["round"] = event.round;
      line["ok"] = event.ok;
      line["seconds"] = event.seconds;
      line["text"] = event.text;
      line["model"] = event.model;
      line["pause_ns"] = event.pause_ns;
      break;
    case EventKind::log:
      line["level"] = event.level;
      line["from_kernel"] = event.from_kernel;
      line["seconds"] = event.seconds;
      line["text"] = event.text;
      break;
    case EventKind::ready:
    case EventKind::alive:
    case EventKind::log_lost:
    case EventKind::end: break;
  }
  return line.line() + "\n";
}

std::optional<Event> parse_line(std::string_view text) {
  const Json line = Json::parse(text).value_or(Json{});
  JsonReader reader(line);
  auto name = std::ranges::find(event_names, reader.text("event"),
                                [](const auto& it) { return it.second; });
  if (name == event_names.end()) {
    return std::nullopt;
  }
  // Each kind of event has some of these.
  Event event{.kind = name->first};
  event.patch = reader.text("patch");
  event.phase = reader.text("phase");
  event.text = reader.text("text");
  event.model = reader.text("model");
  event.round = static_cast<unsigned>(reader.integer("round"));
  event.level = static_cast<int>(reader.integer("level"));
  event.seconds = reader.number("seconds");
  event.pause_ns = reader.integer("pause_ns");
  event.ok = line.find("ok") == nullptr || reader.truth("ok");
  event.from_kernel = line.find("from_kernel") == nullptr || reader.truth("from_kernel");
  return reader.wrong() ? std::nullopt : std::optional(std::move(event));
}

}  // namespace suture::guest
