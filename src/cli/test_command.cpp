// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <optional>

#include "cli/command.h"
#include "cli/live_report.h"
#include "module/core_build.h"
#include "module/metadata.h"
#include "vm/trial.h"

namespace suture::cli {

namespace {

struct TestOptions {
  std::string release;
  fs::path vmlinuz;
  fs::path modules;
  fs::path keep_log;
  std::vector<fs::path> patches;
  std::string module_order = "before";
  module::Core core = module::Core::livepatch;  // that the patches are for
  vm::TrialOptions trial;
};

// A test needs less of a kernel than a build: an image to boot, and modules where it patches any.
Result<kernel::Kernel> find_kernel(const TestOptions& options, const module::Metadata& metadata) {
  if (!options.vmlinuz.empty()) {
    return kernel::Kernel{
        .release = metadata.release, .vmlinuz = options.vmlinuz, .modules = options.modules};
  }
  const std::string release = options.release.empty() ? metadata.release : options.release;
  if (release.empty()) {
    return fail(Code::bad_module, metadata.name, "it does not say which kernel it is for",
                "name the kernel: -k RELEASE");
  }
  kernel::Kernel kernel = TRY(kernel::find(release));
  if (kernel.release != metadata.release) {
    return fail(Code::wrong_kernel, metadata.name,
                fmt::format("it is for kernel {}, not for {}", metadata.release, kernel.release),
                fmt::format("suture test -k {}", metadata.release));
  }
  return kernel;
}

std::string verdict_word(bool ok, int fd) {
  return ok ? paint("ok", Tone::good, fd) : paint("FAILED", Tone::bad, fd);
}

// What people see while it runs: a line a phase, and what the script says, indented.
vm::TrialWatcher watcher(int fd, bool several) {
  FILE* stream = fd == STDERR_FILENO ? stderr : stdout;
  auto at_start = std::make_shared<bool>(true);
  return {
      .progress = progress(),
      .started = [](const std::string&) { clear_progress(); },
      .output =
          [stream, at_start](const std::string& text) {
            for (char c : text) {
              if (*at_start) {
                std::fputs("  | ", stream);
              }
              std::fputc(c, stream);
              *at_start = c == '\n';
            }
            std::fflush(stream);
          },
      .finished =
          [stream, fd, at_start, several](const vm::TrialPhase& phase) {
            if (!*at_start) {
              std::fputc('\n', stream);
              *at_start = true;
            }
            std::string name =
                phase.round > 1 ? fmt::format("{} ({})", phase.name, phase.round) : phase.name;
            if (several) {
              name = fmt::format("{}: {}", phase.patch, name);
            }
            fmt::print(stream, "{:<{}} {} {}\n", name, several ? 32 : 16,
                       verdict_word(phase.ok, fd),
                       phase.ok ? fmt::format("{:.2f} s", phase.seconds) : phase.reason);
            std::fflush(stream);
          },
  };
}

// The kernel's log says nothing of a script that was not content.
std::string where_to_look(const vm::TrialReport& report, const fs::path& log) {
  const auto failed = std::ranges::find(report.phases, false, &vm::TrialPhase::ok);
  if (failed != report.phases.end() && !failed->output.empty() && report.suspicious.empty()) {
    return "see above what the script said";
  }
  return log.empty() ? "run it again with --keep-log FILE and read the kernel's log"
                     : "read the kernel's log in " + log.string();
}

Error failure(const vm::TrialReport& report, const kernel::Kernel& kernel, const std::string& patch,
              const fs::path& log) {
  return {.code = Code::test_failed,
          .where = fmt::format("{} on {}", patch, kernel.release),
          .reason = report.reason,
          .remedy = where_to_look(report, log)};
}

Json to_json(const vm::TrialReport& report, const kernel::Kernel& kernel, const std::string& patch,
             const TestOptions& options) {
  Json out{{"verdict", report.passed ? "pass" : "fail"},
           {"kernel", kernel.release},
           {"patch", patch},
           {"core", module::core_name(options.core)},
           {"model", report.model.empty() ? options.trial.model : report.model},
           {"pause_ns", report.pause_ns},
           {"transition_seconds", report.transition_seconds},
           {"restored", report.restored},
           {"boot_seconds", report.boot_seconds},
           {"seconds", report.seconds}};
  if (!report.passed) {
    out["error"] = error_json(failure(report, kernel, patch, options.keep_log));
  }
  out["patches"] = Json::array();
  for (const vm::PatchVerdict& verdict : report.verdicts) {
    Json entry{{"name", verdict.name},
               {"verdict", verdict.passed ? "pass" : "fail"},
               {"transition_seconds", verdict.transition_seconds}};
    if (!verdict.passed) {
      entry["reason"] = verdict.reason;
    }
    out["patches"].push_back(std::move(entry));
  }
  out["phases"] = Json::array();
  for (const vm::TrialPhase& phase : report.phases) {
    Json entry{{"patch", phase.patch}, {"name", phase.name},       {"round", phase.round},
               {"ok", phase.ok},       {"seconds", phase.seconds}, {"output", phase.output}};
    if (!phase.model.empty()) {
      entry["model"] = phase.model;
      entry["pause_ns"] = phase.pause_ns;
    }
    if (!phase.ok) {
      entry["reason"] = phase.reason;
    }
    out["phases"].push_back(std::move(entry));
  }
  out["log"] = Json::array();
  for (const vm::LogLine& line : report.suspicious) {
    out["log"].push_back({{"patch", line.patch},
                          {"phase", line.phase},
                          {"seconds", line.seconds},
                          {"text", line.text}});
  }
  return out;
}

std::string to_text(const vm::TrialReport& report, const kernel::Kernel& kernel,
                    const std::string& patch, const fs::path& log, int fd) {
  std::string out;
  for (const vm::LogLine& line : report.suspicious) {
    out += fmt::format("[{:12.6f}] {}\n", line.seconds, line.text);
  }
  if (report.passed) {
    out += fmt::format("{} {} on {}: transition {:.1f} s{}, {:.1f} s in all\n",
                       paint("passed:", Tone::good, fd), patch, kernel.release,
                       report.transition_seconds, pause_text(report.pause_ns), report.seconds);
    return out;
  }
  return out + error_text(failure(report, kernel, patch, log), fd);
}

// Reads the modules to test, which must be for one kernel. Gives the metadata of the first.
Result<module::Metadata> read_patches(TestOptions& options) {
  std::optional<module::Metadata> first;
  for (const fs::path& path : options.patches) {
    module::Metadata metadata = TRY(module::read_metadata(path));
    if (!metadata.is_patch()) {
      return fail(Code::bad_module, path.string(), "it is a kernel module, but not a patch",
                  "give a module that `suture build` or another livepatch builder wrote");
    }
    vm::TrialPatch patch{.module = path, .name = metadata.name};
    for (const module::PatchedObject& object : metadata.objects) {
      if (object.name != "vmlinux") {
        patch.targets.push_back(object.name);
      }
    }
    if (first && first->release != metadata.release) {
      return fail(Code::wrong_kernel, metadata.name,
                  fmt::format("it is for kernel {}, {} for {}", metadata.release, first->name,
                              first->release),
                  "test modules for different kernels one after the other");
    }
    if (first && first->core != metadata.core) {
      return fail(Code::usage, metadata.name,
                  fmt::format("it is for the core {}, {} for {}", module::core_name(metadata.core),
                              first->name, module::core_name(first->core)),
                  "test modules for different cores one after the other");
    }
    auto same = std::ranges::find(options.trial.patches, metadata.name, &vm::TrialPatch::name);
    if (same != options.trial.patches.end()) {
      return fail(Code::usage, metadata.name, "two of the modules have this name",
                  "test them one after the other");
    }
    options.trial.patches.push_back(std::move(patch));
    first = first ? std::move(first) : std::move(metadata);
  }
  return *first;
}

// What patches for Suture's own core need beside it.
Status add_core(TestOptions& options, const kernel::Kernel& kernel) {
  if (options.core == module::Core::livepatch) {
    if (options.trial.model.empty() && options.trial.core.empty()) {
      return {};
    }
    return fail(Code::usage, options.trial.core.empty() ? "--model" : "--core",
                "the patches are for the kernel's own livepatch core",
                "leave --model and --core out, or build them with --for suture");
  }
  if (!options.trial.core.empty()) {
    return {};
  }
  if (kernel.source.empty()) {
    return fail(Code::usage, "--core", "the core cannot be built from the kernel's image alone",
                "give the core's file: --core FILE");
  }
  options.trial.core = TRY(module::load_core(kernel)).module;
  return {};
}

// Before the test, not when it is over.
Status check_place_of_log(const fs::path& log) {
  std::error_code ec;
  const fs::path directory = fs::absolute(log, ec).parent_path();
  if (log.empty() || (fs::is_directory(directory, ec) && ::access(directory.c_str(), W_OK) == 0)) {
    return {};
  }
  return fail(Code::usage, log.string(), "nothing can be written there",
              "give a file in a directory that you may write to");
}

Result<Report> run(TestOptions& options, bool json) {
  TRY(check_place_of_log(options.keep_log));
  module::Metadata metadata = TRY(read_patches(options));
  kernel::Kernel kernel = TRY(find_kernel(options, metadata));
  options.core = metadata.core;
  TRY(add_core(options, kernel));
  options.trial.module_order = options.module_order == "after"      ? guest::ModuleOrder::after
                               : options.module_order == "optional" ? guest::ModuleOrder::optional
                                                                    : guest::ModuleOrder::before;
  std::error_code ec;
  options.trial.program = fs::read_symlink("/proc/self/exe", ec);
  const bool several = options.patches.size() > 1;
  const std::string name =
      several ? fmt::format("{} patches", options.patches.size()) : metadata.name;
  const int fd = json ? STDERR_FILENO : STDOUT_FILENO;
  vm::TrialReport report = TRY(vm::try_modules(kernel, options.trial, watcher(fd, several)));
  if (!options.keep_log.empty()) {
    TRY(write_file(options.keep_log, report.log + "\n--- console ---\n" + report.console));
  }
  if (!report.release.empty() && report.release != metadata.release) {
    return fail(
        Code::wrong_kernel, metadata.name,
        fmt::format("it is for kernel {}, and the image is {}", metadata.release, report.release),
        fmt::format("suture test -k {}", metadata.release));
  }
  return Report{.json = to_json(report, kernel, name, options),
                .text = to_text(report, kernel, name, options.keep_log, fd),
                .exit_status = report.passed ? 0 : exit_code(Code::test_failed)};
}

}  // namespace

void register_test(Commands& commands) {
  auto options = std::make_shared<TestOptions>();
  vm::TrialOptions& trial = options->trial;
  const Command command =
      commands.add("test", "Try a patch module on its stock kernel in a virtual machine");
  command.example("suture test fix_1.ko")
      .example("suture test --script look --load hammer fix_1.ko");
  command
      .option("MODULE", options->patches,
              "Patch modules (.ko), tried one after the other in one guest")
      .required()
      .existing();
  command
      .option("-k,--kernel REL", options->release,
              "Release of a cached kernel (default: the one the module is for)")
      .offers(Offered::kernels);
  const Option vmlinuz =
      command.option("--vmlinuz FILE", options->vmlinuz, "Any other kernel: its image").existing();
  command
      .option("--modules DIR", options->modules,
              "... its modules, a directory like /lib/modules/REL")
      .needs(vmlinuz)
      .existing();
  command
      .option("--script FILE", trial.script,
              "Run in the guest with the argument before, patched, reverted; it must exit 0")
      .existing();
  command
      .option("--load FILE", trial.load_script,
              "Runs in the guest's background from before the load to the end; the test "
              "fails when it exits with another status than 0")
      .existing();
  command
      .option("--file FILE", trial.files,
              "Put into the guest's /test, programs with their libraries; may be repeated")
      .existing();
  command.option("--rounds", trial.rounds, "Load and take back so many times (default: 1)")
      .between(1, 100000);
  command.choice("--module-order", options->module_order, {"before", "after", "optional"},
                 "Load the modules that it patches before (default) or after it; optional: "
                 "before it, as far as they load without their hardware");
  add_model(command, trial.model,
            "Load patches for Suture's own core by this model: stop, lazy or hybrid (default: the "
            "core's default)");
  command
      .option("--core FILE", trial.core,
              "Suture's own core, a file (default: it is built for that kernel)")
      .existing();
  command.option("--timeout", trial.deadline, "Seconds for everything (default: 300)").positive();
  command
      .option("--transition-timeout", trial.transition_timeout,
              "Seconds for one transition (default: 120)")
      .positive();
  command.option("--memory MIB", trial.memory_mib, "MiB of the guest (default: 1024)")
      .between(128, 1 << 20);
  command.option("--cpus", trial.cpus, "CPUs of the guest (default: 2)").between(1, 255);
  command.flag(
      "--fresh-boot", trial.fresh_boot,
      "Boot the kernel anew, instead of going on from the guest that an earlier test booted");
  command.option("--keep-log FILE", options->keep_log, "Write the guest's kernel log to this file");
  commands.on_run(command, [options, &commands] { return run(*options, commands.json()); });
}

}  // namespace suture::cli
