// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/command.h"

#include <fmt/format.h>
#include <syslog.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <span>

#include "base/text.h"
#include "cli/help.h"
#include "machine/sysfs.h"

namespace suture::cli {

namespace {

constexpr std::size_t widest_help = 100, usual_help = 80;

// Refused, not failed: the diff or module is not to be had, whatever one tries.
bool is_refusal(Code code) { return exit_code(code) == exit_code(Code::no_change); }

void print_json(const Json& body) {
  Json out{{"schema", 1}};
  out.update(body);
  std::fprintf(stdout, "%s\n", out.text().c_str());
}

// Each line is a message of its own.
void log_lines(std::string_view text, int priority) {
  for_each_line(
      text, [&](std::string_view line) { ::syslog(priority, "%s", std::string(line).c_str()); });
}

}  // namespace

Commands::Commands()
    : tree_("suture",
            "Make live patches for the Linux kernel from diffs; load them, watch them, keep them.",
            "Exit status: 0 done, 1 failed, 2 wrong usage, 3 refused (a safe patch cannot be made "
            "of this), 4 it is not for this kernel, 5 the transition is not complete.") {
  tree_.root()
      .section({.heading = "ENVIRONMENT",
                .entries = {{"XDG_CACHE_HOME",
                             "The cache is in its directory suture (default: ~/.cache/suture)."},
                            {"TMPDIR",
                             "Directory for temporary files, such as a guest's (default: /tmp)."},
                            {"KBUILD_SIGN_PIN", "The pass phrase of the key that signs modules."},
                            {"NO_COLOR", "If it is set, nothing is coloured."}}})
      .section(
          {.heading = "FILES",
           .entries = {
               {"~/.cache/suture",
                "Kernels, and what builds and tests keep. `suture cache clean` makes it smaller."},
               {"/var/lib/suture/RELEASE",
                "The patches that are loaded at each boot of that kernel."},
               {"/lib/modules/RELEASE/updates/suture.ko",
                "Suture's own core, if a patch needs it at boot."},
               {"/run/suture", "What Suture is doing for which patch, until the next boot."}}});
}

int Commands::fd() const { return json_ ? STDERR_FILENO : STDOUT_FILENO; }

Option Commands::on_run(const Command& command, std::function<Result<Report>()> body,
                        Logged logged) {
  command.on_run([this, body = std::move(body), logged] { finish(body(), logged); });
  return command.flag("--json", json_, "Print one JSON object on standard output");
}

int Commands::run(int argc, char** argv) {
  ::openlog("suture", LOG_PID, LOG_DAEMON);
  const auto asked = tree_.run(argc, argv);
  if (!asked) {
    const std::span words(argv, static_cast<std::size_t>(argc));
    json_ = std::ranges::any_of(words, [](std::string_view word) { return word == "--json"; });
    print_error(asked.error());
  } else if (asked->version) {
    std::fputs("suture " SUTURE_VERSION "\n", stdout);
  } else if (asked->help) {
    std::fputs(help_text(asked->command).c_str(), stdout);
  }
  return exit_status_;
}

std::string help_text(const CommandInfo& command) {
  const std::size_t width = terminal_width(STDOUT_FILENO);
  return help_text(command, width == 0 ? usual_help : std::min(width, widest_help));
}

void Commands::print_error(const Error& error) {
  clear_progress();
  std::fputs(error_text(error, STDERR_FILENO).c_str(), stderr);
  if (json_) {
    print_json(is_refusal(error.code) ? Json{{"refusals", errors_json({error})}}
                                      : Json{{"error", error_json(error)}});
  }
  exit_status_ = exit_code(error.code);
}

void Commands::finish(const Result<Report>& result, Logged logged) {
  if (!result) {
    print_error(result.error());
    if (logged == Logged::yes) {
      log_lines(error_text(result.error(), -1), LOG_ERR);
    }
    return;
  }
  clear_progress();
  if (json_ && !result->streamed) {
    print_json(result->json);
  }
  std::fputs(result->text.c_str(), json_ ? stderr : stdout);
  if (logged == Logged::yes) {
    log_lines(result->text, result->exit_status == 0 ? LOG_NOTICE : LOG_ERR);
  }
  exit_status_ = result->exit_status;
}

std::string error_text(const Error& error, int fd) {
  const std::string what =
      fmt::format("{}[{}]:", is_refusal(error.code) ? "refused" : "error", code_name(error.code));
  return fmt::format("{} {}{}{}\n{}", paint(what, Tone::bad, fd), error.where,
                     error.where.empty() ? "" : ": ", error.reason, next_text(error.remedy, fd));
}

std::string next_text(std::string_view remedy, int fd) {
  return remedy.empty() ? "" : fmt::format("{} {}\n", paint("next:", Tone::strong, fd), remedy);
}

Json error_json(const Error& error) {
  return {{"code", code_name(error.code)},
          {"where", error.where},
          {"reason", error.reason},
          {"remedy", error.remedy}};
}

Json errors_json(const std::vector<Error>& errors) {
  Json out = Json::array();
  for (const Error& error : errors) {
    out.push_back(error_json(error));
  }
  return out;
}

std::string table(const std::vector<std::vector<std::string>>& rows) {
  return table(rows, terminal_width(STDOUT_FILENO));
}

void add_model(const Command& command, std::string& model, const std::string& text) {
  command.choice("--model", model, {"stop", "lazy", "hybrid"}, text);
}

Option KernelChoice::add_options(const Command& command) {
  const Option kernel =
      command
          .option("-k,--kernel REL", release,
                  "Release of a cached kernel (default: the running one if it is cached, else the "
                  "newest of this Debian's series, else the newest)")
          .not_empty()
          .offers(Offered::kernels);
  add_file_options(command);
  return kernel;
}

void KernelChoice::add_file_options(const Command& command) {
  command.option("--vmlinuz FILE", files.vmlinuz, "Any other kernel: its bootable image");
  command.option("--config FILE", files.config, "... its configuration");
  command.option("--symvers FILE", files.symvers, "... its Module.symvers");
  command.option("--source DIR", files.source, "... its source tree");
  command.option("--modules DIR", files.modules,
                 "... its modules, a directory like /lib/modules/REL");
}

bool KernelChoice::has_files() const {
  return !files.vmlinuz.empty() || !files.config.empty() || !files.symvers.empty() ||
         !files.source.empty() || !files.modules.empty();
}

Status KernelChoice::check_files() const {
  if (files.vmlinuz.empty() || files.config.empty() || files.symvers.empty() ||
      files.source.empty()) {
    return fail(Code::usage, "--vmlinuz", "a kernel given by its files needs all of them",
                "give --vmlinuz, --config, --symvers and --source together");
  }
  return {};
}

Result<kernel::Kernel> KernelChoice::find() const {
  const bool any_file = has_files();
  if (!any_file && release.empty()) {
    const std::string running = machine::running_release(machine::Machine{});
    auto cached = kernel::find(running);
    return cached || cached.error().code != Code::not_cached ? cached : kernel::find("");
  }
  if (!any_file) {
    return kernel::find(release);
  }
  if (!release.empty()) {
    return fail(Code::usage, "--kernel", "a kernel is named, and one is given by its files",
                "give either -k or the files");
  }
  TRY(check_files());
  return kernel::from_files(files);
}

std::string KernelChoice::default_note(const kernel::Kernel& found) const {
  const std::string running = machine::running_release(machine::Machine{});
  if (!release.empty() || !files.vmlinuz.empty() || found.release == running) {
    return "";
  }
  return fmt::format("note: this is for {}; the running kernel, {}, is not in the cache\n",
                     found.release, running);
}

}  // namespace suture::cli
