// SPDX-License-Identifier: GPL-2.0-or-later
//
// guest_script SUTURE RELEASE SCRIPT [FILE...]: boots that cached kernel and runs the script in it
// once, as root, with the argument "alone" and nothing loaded. The program under test is the
// guest's /bin/suture, and the files are in its /test. Prints what the script says. Exits 0 where
// it did and the kernel's log has nothing suspicious. Inserts $SUTURE_GUEST_CORE, a suture.ko,
// before the script runs, where that is set. Ends after $SUTURE_GUEST_SECONDS, else 300; the guest
// has $SUTURE_GUEST_CPUS processors, else 2; its kernel gets the arguments $SUTURE_GUEST_ARGUMENTS.
#include <cstdio>
#include <cstdlib>

#include "base/process.h"
#include "vm/trial.h"

int main(int argc, char** argv) {
  using namespace suture;
  catch_interrupts();
  if (argc < 4) {
    std::fputs("guest_script SUTURE RELEASE SCRIPT [FILE...]\n", stderr);
    return 2;
  }
  vm::TrialOptions options{.program = argv[1], .script = argv[3]};
  options.files.assign(argv + 4, argv + argc);
  if (const char* core = std::getenv("SUTURE_GUEST_CORE")) {
    options.core = core;
  }
  if (const char* seconds = std::getenv("SUTURE_GUEST_SECONDS")) {
    options.deadline = std::atof(seconds);
    options.memory_mib = 3072;  // for what takes long there is much of
  }
  if (const char* cpus = std::getenv("SUTURE_GUEST_CPUS")) {
    options.cpus = static_cast<unsigned>(std::atoi(cpus));
  }
  if (const char* arguments = std::getenv("SUTURE_GUEST_ARGUMENTS")) {
    options.arguments = arguments;
  }
  const vm::TrialWatcher watcher{.progress = [](std::string_view) {},
                                 .started = [](const std::string&) {},
                                 .output =
                                     [](const std::string& text) {
                                       std::fputs(text.c_str(), stdout);
                                       std::fflush(stdout);
                                     },
                                 .finished = [](const vm::TrialPhase&) {}};
  auto kernel = kernel::find(argv[2]);
  auto report = kernel ? vm::try_modules(*kernel, options, watcher)
                       : Result<vm::TrialReport>(std::unexpected(kernel.error()));
  const std::string reason = report ? report->reason : report.error().reason;
  if (!reason.empty()) {
    std::fprintf(stderr, "%s\n%s\n", report ? report->log.c_str() : "", reason.c_str());
  }
  return reason.empty() ? 0 : 1;
}
