// SPDX-License-Identifier: GPL-2.0-or-later
#include "live/watch.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <ctime>
#include <memory>

#include "cli/live_report.h"

namespace suture::cli {

namespace {

struct WatchOptions {
  live::WatchOptions watch;
  double seconds = 0;
};

std::string clock_text() {
  const std::time_t now = std::time(nullptr);
  std::tm local{};
  ::localtime_r(&now, &local);
  char text[32];
  std::strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S%z", &local);
  return text;
}

Json event_json(const live::WatchEvent& event) {
  Json out{{"schema", 1}, {"time", clock_text()}, {"event", live::event_word(event.kind)}};
  if (!event.patch.empty()) {
    out["patch"] = event.patch;
    out["enabled"] = event.enabled;
  }
  if (event.kind == live::WatchEvent::Kind::blocked) {
    out["tasks"] = Json::array();
    for (const machine::BlockingTask& task : event.tasks) {
      out["tasks"].push_back(live_json(task));
    }
  }
  if (event.attachment) {
    out.update(live_json(*event.attachment));
  }
  return out;
}

std::string to_text(const live::WatchEvent& event) {
  std::string what;
  switch (event.kind) {
    case live::WatchEvent::Kind::came: what = event.patch + " was loaded"; break;
    case live::WatchEvent::Kind::went: what = event.patch + " is gone"; break;
    case live::WatchEvent::Kind::began:
      what = fmt::format("{} begins its transition {}", event.patch,
                         event.enabled ? "to the new code" : "back");
      break;
    case live::WatchEvent::Kind::ended:
      what = fmt::format("{} is {}", event.patch, event.enabled ? "in force" : "off");
      break;
    case live::WatchEvent::Kind::blocked:
      what = event.tasks.empty() ? fmt::format("no task is in the way of {} any more", event.patch)
                                 : fmt::format("in the way of {}: {}", event.patch,
                                               machine::describe(event.tasks, 5));
      break;
    case live::WatchEvent::Kind::attached:
    case live::WatchEvent::Kind::detached:
      what = fmt::format("{} {} {} ({})", event.attachment->function,
                         event.kind == live::WatchEvent::Kind::attached ? "got" : "lost",
                         event.attachment->what, machine::effect_word(event.attachment->effect));
      break;
  }
  return fmt::format("{}  {}\n", clock_text(), what);
}

Result<Report> run(WatchOptions& options, bool json) {
  if (options.seconds > 0) {
    options.watch.seconds = options.seconds;
  }
  TRY(live::watch(machine::Machine{}, options.watch, [json](const live::WatchEvent& event) {
    const std::string text = json ? event_json(event).line() + "\n" : to_text(event);
    std::fputs(text.c_str(), stdout);
    std::fflush(stdout);
  }));
  Report report;
  report.streamed = true;
  return report;
}

}  // namespace

void register_watch(Commands& commands) {
  auto options = std::make_shared<WatchOptions>();
  const Command command = commands.add(
      "watch", "Report what happens to the patches, as it happens; with --json, one object a line");
  command.duration("--for", options->seconds, "End after this time (default: on Ctrl-C)");
  command.flag("--once", options->watch.once, "End after the first change");
  commands.on_run(command, [options, &commands] { return run(*options, commands.json()); });
}

}  // namespace suture::cli
