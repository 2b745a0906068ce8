// SPDX-License-Identifier: GPL-2.0-or-later
//
// `suture core compare`: the models and the kernel's livepatch side by side, in one guest.
#include <fmt/format.h>
#include <unistd.h>

#include <memory>
#include <sstream>

#include "base/process.h"
#include "cli/command.h"
#include "cli/compare_plot.h"
#include "compare/compare.h"
#include "module/core_build.h"
#include "patch/build.h"
#include "vm/trial.h"

namespace suture::cli {

namespace {

constexpr const char* livepatch_module = "compare_livepatch";
constexpr const char* suture_module = "compare_suture";

struct CoreCompareOptions {
  KernelChoice kernel;
  fs::path plot;
  unsigned rounds = 5;
  unsigned cpus = 4;
  fs::path program = "/proc/self/exe";
};

// A change of pipe_read() that changes nothing for its callers, as a diff of that kernel's source.
Result<std::string> compared_diff(const kernel::Kernel& kernel) {
  constexpr std::string_view before = "\tif (unlikely(total_len == 0))";
  constexpr std::string_view after = "\tif (unlikely(total_len == 0 || total_len > 1UL << 40))";
  constexpr std::size_t context = 3;
  const fs::path file = kernel.source / "fs/pipe.c";
  std::istringstream text(TRY(read_text(file)));
  std::vector<std::string> lines;
  for (std::string line; std::getline(text, line);) {
    lines.push_back(line);
  }
  bool inside = false;
  for (std::size_t i = context; i + context < lines.size(); ++i) {
    inside = inside || lines[i].starts_with("pipe_read(");
    if (!inside || lines[i] != before) {
      continue;
    }
    std::string hunk = fmt::format("--- a/fs/pipe.c\n+++ b/fs/pipe.c\n@@ -{0},{1} +{0},{1} @@\n",
                                   i + 1 - context, 2 * context + 1);
    for (std::size_t k = i - context; k <= i + context; ++k) {
      hunk += k == i ? fmt::format("-{}\n+{}\n", before, after) : fmt::format(" {}\n", lines[k]);
    }
    return hunk;
  }
  return fail(Code::not_in_kernel, file.string(),
              "its pipe_read() is not as the comparison knows it", "report this with the kernel");
}

Result<fs::path> build_for(const kernel::Kernel& kernel, const fs::path& diff, module::Core core,
                           const fs::path& directory) {
  patch::Request request{.kernel = kernel,
                         .patches = {diff},
                         .name = core == module::Core::suture ? suture_module : livepatch_module,
                         .output_directory = directory,
                         .tool_version = SUTURE_VERSION};
  request.core = core;
  patch::Outcome outcome = TRY(patch::build(request, [](std::string_view) {}));
  if (!outcome.refusals.empty()) {
    return std::unexpected(outcome.refusals.front());
  }
  return outcome.module;
}

Result<std::vector<compare::ComparedWay>> run_guest(const kernel::Kernel& kernel,
                                                    const CoreCompareOptions& options,
                                                    const std::vector<fs::path>& modules,
                                                    const fs::path& script) {
  vm::TrialOptions trial{.core = TRY(module::load_core(kernel)).module,
                         .program = options.program,
                         .script = script,
                         .files = modules,
                         .deadline = 1200,
                         .cpus = options.cpus};
  std::string said;
  const vm::TrialWatcher watcher{.progress = [](std::string_view) {},
                                 .started = [](const std::string&) {},
                                 .output = [&said](const std::string& text) { said += text; },
                                 .finished = [](const vm::TrialPhase&) {}};
  const vm::TrialReport report = TRY(vm::try_modules(kernel, trial, watcher));
  std::istringstream lines(said);
  for (std::string line; std::getline(lines, line);) {
    if (auto ways = compare::parse_ways(line); ways && report.passed) {
      return *ways;
    }
  }
  return fail(Code::test_failed, "guest",
              report.passed ? "it did not say what it measured"
                            : fmt::format("{}; it said: {}", report.reason, said),
              "run it again with a machine that has less to do, or report this");
}

std::string milliseconds(double seconds) { return fmt::format("{:.2f}", seconds * 1e3); }

std::string left_at(const compare::ComparedWay& way, std::size_t mark) {
  if (way.name == "nothing") {
    return "-";
  }
  return way.refusal.empty() && mark < way.left.size() ? fmt::format("{}", way.left[mark].tasks)
                                                       : "refused";
}

std::string to_text(const std::vector<compare::ComparedWay>& ways, const kernel::Kernel& kernel,
                    const CoreCompareOptions& options) {
  std::vector<std::vector<std::string>> rows{
      {"WAY", "PAUSE MS", "WORST", "SWITCHED MS", "WORST", "LEFT AT 1 S", "10 S", "60 S"}};
  std::string refusals;
  for (const compare::ComparedWay& way : ways) {
    const bool patched = way.name != "nothing";
    rows.push_back({way.name, milliseconds(way.pause), milliseconds(way.worst_pause),
                    patched ? milliseconds(way.transition) : "-",
                    patched ? milliseconds(way.worst_transition) : "-", left_at(way, 0),
                    left_at(way, 1), left_at(way, 2)});
    if (!way.refusal.empty()) {
      const std::string why = way.refusal.substr(0, way.refusal.find(" ("));
      refusals += fmt::format("\n{} refuses while the reader sleeps, after {:.1f} s: {}\n",
                              way.name, way.refused_after, why);
    }
  }
  return fmt::format(
      "{}, {} emulated processors, {} rounds under load: medians, and the worst.\n"
      "pause: how late a pinned task of high priority woke; without a patch as \"nothing\".\n"
      "left: tasks that had not switched, with a reader asleep in the changed function.\n\n{}{}\n"
      "plot: {}\n",
      kernel.release, options.cpus, options.rounds, table(rows), refusals, options.plot.string());
}

Json to_json(const std::vector<compare::ComparedWay>& ways, const kernel::Kernel& kernel,
             const CoreCompareOptions& options) {
  Json out{{"kernel", kernel.release},
           {"cpus", options.cpus},
           {"rounds", options.rounds},
           {"plot", options.plot.string()}};
  out["ways"] = Json::array();
  for (const compare::ComparedWay& way : ways) {
    Json entry{
        {"name", way.name}, {"pause_seconds", way.pause}, {"worst_pause_seconds", way.worst_pause}};
    if (way.name != "nothing") {
      entry["transition_seconds"] = way.transition;
      entry["worst_transition_seconds"] = way.worst_transition;
      entry["left"] = Json::array();
      for (const compare::Laggards& laggards : way.left) {
        entry["left"].push_back({{"seconds", laggards.seconds}, {"tasks", laggards.tasks}});
      }
    }
    if (!way.refusal.empty()) {
      entry["refused"] = {{"reason", way.refusal}, {"after_seconds", way.refused_after}};
    }
    out["ways"].push_back(std::move(entry));
  }
  return out;
}

Result<Report> compare(CoreCompareOptions options) {
  const kernel::Kernel kernel = TRY(options.kernel.find());
  if (options.plot.empty()) {
    options.plot = fmt::format("core-compare-{}.svg", kernel.release);
  }
  const WorkDir scratch = TRY(WorkDir::create(temporary_directory(), "suture-compare"));
  const fs::path diff = scratch.path() / "compare.patch";
  const fs::path script = scratch.path() / "compare";
  const std::string change = TRY(compared_diff(kernel));
  TRY(write_file(diff, change));
  TRY(write_file(script, fmt::format("#!/bin/sh\nexec /bin/suture guest-compare --rounds {}\n",
                                     options.rounds)));
  const kernel::Progress tell = progress();
  tell("building the patch for both cores");
  std::vector<fs::path> modules{TRY(build_for(kernel, diff, module::Core::suture, scratch.path()))};
  auto livepatch = build_for(kernel, diff, module::Core::livepatch, scratch.path());
  if (livepatch) {
    modules.push_back(*livepatch);
  } else if (livepatch.error().code != Code::no_livepatch) {
    return std::unexpected(livepatch.error());
  }
  tell("measuring in a guest; a sleeper keeps some ways waiting for a minute each");
  auto ways = run_guest(kernel, options, modules, script);
  tell("");
  if (!ways) {
    return std::unexpected(ways.error());
  }
  TRY(write_file(options.plot,
                 compare_plot(*ways, fmt::format("Switching a running {}", kernel.release))));
  return Report{.json = to_json(*ways, kernel, options), .text = to_text(*ways, kernel, options)};
}

// In the guest: the modules are in /test.
Result<Report> measure(unsigned rounds) {
  const fs::path directory = "/test";
  compare::ComparedModules modules{.suture = directory / fmt::format("{}.ko", suture_module)};
  const fs::path livepatch = directory / fmt::format("{}.ko", livepatch_module);
  if (fs::exists(livepatch)) {
    modules.livepatch = livepatch;
  }
  const auto ways = TRY(compare::compare_ways(machine::Machine{}, modules, rounds));
  return Report{.text = compare::to_line(ways)};
}

}  // namespace

void register_core_compare(const Command& core, Commands& commands) {
  auto options = std::make_shared<CoreCompareOptions>();
  const Command command = core.add(
      "compare", "Measure stop, lazy, hybrid and the kernel's livepatch on a kernel, in a guest");
  options->kernel.add_options(command);
  command.option("--plot FILE", options->plot,
                 "File for the picture, SVG (default: core-compare-REL.svg)");
  command.option("--cpus", options->cpus, "Processors of the guest (default: 4)").between(1, 64);
  auto add_rounds = [options](const Command& to) {
    to.option("--rounds", options->rounds, "How often each is loaded under load (default: 5)")
        .between(1, 1000);
  };
  add_rounds(command);
  commands.on_run(command, [options] { return compare(*options); });

  const Command guest = commands.add("guest-compare", "The guest's part of `suture core compare`");
  guest.hidden();  // not for people
  add_rounds(guest);
  commands.on_run(guest, [options] { return measure(options->rounds); });
}

}  // namespace suture::cli
