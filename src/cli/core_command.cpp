// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include <memory>

#include "cli/command.h"
#include "live/core_module.h"
#include "module/core_build.h"

namespace suture::cli {

namespace {

struct CoreBuildOptions {
  KernelChoice kernel;
  fs::path output = ".";
};

Result<Report> build(const CoreBuildOptions& options) {
  const kernel::Kernel kernel = TRY(options.kernel.find());
  const kernel::Progress tell = progress();
  tell(fmt::format("building the core for {}", kernel.release));
  auto built = module::load_core(kernel);
  tell("");
  const fs::path kept = TRY(std::move(built)).module;
  const Bytes bytes = TRY(read_bytes(kept));
  const fs::path module = options.output / "suture.ko";
  TRY(write_file(module, bytes));
  return Report{.json = {{"module", module.string()}, {"kernel", kernel.release}},
                .text = fmt::format("{} for {}\n", module.string(), kernel.release)};
}

// What is to be loaded where no file is named: the installed one, else the cache's.
Result<fs::path> default_core(const machine::Machine& machine) {
  const std::string release = machine::running_release(machine);
  fs::path installed = live::installed_core(machine, release);
  std::error_code ec;
  if (fs::exists(installed, ec)) {
    return installed;
  }
  auto kernel = kernel::find(release);
  if (!kernel) {
    return fail(Code::no_core, installed.string(),
                fmt::format("Suture's core is not installed, and it cannot be built here: {}",
                            kernel.error().reason),
                fmt::format("suture kernel add {0}, or copy here what `suture core build -k {0}` "
                            "writes elsewhere",
                            release));
  }
  return TRY(module::load_core(*kernel)).module;
}

Result<Report> load(const fs::path& file) {
  const machine::Machine machine;
  if (live::core_state(machine).loaded) {
    return Report{.json = {{"loaded", true}, {"was_loaded", true}},
                  .text = "the core is loaded already\n"};
  }
  const fs::path module = file.empty() ? TRY(default_core(machine)) : file;
  TRY(live::insert_core(machine, module));
  return Report{.json = {{"loaded", true}, {"was_loaded", false}, {"module", module.string()}},
                .text = fmt::format("the core is loaded, from {}\n", module.string())};
}

Result<Report> unload() {
  TRY(live::remove_core(machine::Machine{}));
  return Report{.json = {{"loaded", false}}, .text = "the core is out\n"};
}

Result<Report> status() {
  const live::CoreState state = live::core_state(machine::Machine{});
  Report report;
  report.json = {{"loaded", state.loaded},
                 {"abi", state.abi ? Json(*state.abi) : Json(nullptr)},
                 {"default_model", state.default_model},
                 {"references", state.references},
                 {"patches", state.patches}};
  report.text = state.loaded ? fmt::format(
                                   "Suture's core is loaded\n{:<14} {}\n{:<14} {}\n{:<14} {}\n"
                                   "{:<14} {}\n",
                                   "abi", state.abi.value_or(0), "default model",
                                   state.default_model, "references", state.references, "patches",
                                   state.patches.empty() ? "-" : joined(state.patches))
                             : "Suture's core is not loaded; to load it: suture core load\n";
  return report;
}

}  // namespace

void register_core(Commands& commands) {
  const Command core =
      commands.add("core", "Suture's own core, suture.ko, which patches built --for suture need");

  auto options = std::make_shared<CoreBuildOptions>();
  const Command build_command = core.add("build", "Build the core for a kernel");
  options->kernel.add_options(build_command);
  build_command.example("suture core build -o .");
  build_command
      .option("-o,--output DIR", options->output,
              "Directory for suture.ko (default: the current one); /lib/modules/REL/updates is "
              "where `suture core load` and the boot look for it")
      .existing();
  commands.on_run(build_command, [options] { return build(*options); });

  auto file = std::make_shared<fs::path>();
  const Command load_command = core.add("load", "Load the core into the running kernel");
  load_command
      .option("FILE", *file,
              "The core (default: /lib/modules/REL/updates/suture.ko, else the one that is built "
              "for this kernel in the cache)")
      .existing();
  commands.on_run(
      load_command, [file] { return load(*file); }, Logged::yes);

  commands.on_run(core.add("unload", "Unload the core, when no patch needs it"), unload,
                  Logged::yes);
  commands.on_run(core.add("status", "Show whether the core is loaded, and its patches"), status);
  register_core_compare(core, commands);
}

}  // namespace suture::cli
