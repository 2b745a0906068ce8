// SPDX-License-Identifier: GPL-2.0-or-later
#include "guest/guest_plan.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <utility>

namespace suture::guest {

namespace {

using nlohmann::json;

constexpr std::array<std::pair<EventKind, std::string_view>, 7> event_names = {{
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
  json patches = json::array();
  for (const PlannedPatch& patch : plan.patches) {
    patches.push_back({{"file", patch.file}, {"name", patch.name}, {"modules", patch.modules}});
  }
  return json{{"core", plan.core},     {"model", plan.model},
              {"patches", patches},    {"module_order", static_cast<int>(plan.module_order)},
              {"script", plan.script}, {"load_script", plan.load_script},
              {"rounds", plan.rounds}, {"transition_timeout", plan.transition_timeout}}
      .dump(2);
}

Result<GuestPlan> parse_plan(std::string_view text) {
  try {
    const json plan = json::parse(text);
    std::vector<PlannedPatch> patches;
    for (const json& patch : plan.at("patches")) {
      patches.push_back({patch.at("file"), patch.at("name"), patch.at("modules")});
    }
    return GuestPlan{.core = plan.at("core"),
                     .model = plan.at("model"),
                     .patches = std::move(patches),
                     .module_order = static_cast<ModuleOrder>(plan.at("module_order").get<int>()),
                     .script = plan.at("script"),
                     .load_script = plan.at("load_script"),
                     .rounds = plan.at("rounds"),
                     .transition_timeout = plan.at("transition_timeout")};
  } catch (const json::exception& error) {
    return fail(Code::guest_failed, std::string(plan_path), error.what(),
                "the plan is written by `suture test`; run that");
  }
}

std::string to_line(const Event& event) {
  auto name = std::ranges::find(event_names, event.kind, [](const auto& it) { return it.first; });
  json line{{"event", name->second}};
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
    case EventKind::alive:
    case EventKind::log_lost:
    case EventKind::end: break;
  }
  return line.dump(-1, ' ', true, json::error_handler_t::replace) + "\n";
}

std::optional<Event> parse_line(std::string_view text) {
  const json line = json::parse(text, nullptr, false);
  if (!line.is_object()) {
    return std::nullopt;
  }
  try {
    const std::string kind = line.at("event");
    auto name = std::ranges::find(event_names, kind, [](const auto& it) { return it.second; });
    if (name == event_names.end()) {
      return std::nullopt;
    }
    return Event{.kind = name->first,
                 .patch = line.value("patch", ""),
                 .phase = line.value("phase", ""),
                 .round = line.value("round", 0U),
                 .ok = line.value("ok", true),
                 .from_kernel = line.value("from_kernel", true),
                 .level = line.value("level", 0),
                 .seconds = line.value("seconds", 0.0),
                 .text = line.value("text", ""),
                 .model = line.value("model", ""),
                 .pause_ns = line.value("pause_ns", 0L)};
  } catch (const json::exception&) {
    return std::nullopt;
  }
}

}  // namespace suture::guest
