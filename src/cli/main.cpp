// SPDX-License-Identifier: GPL-2.0-or-later
#include <fmt/format.h>

#include "base/process.h"
#include "cli/command.h"

int main(int argc, char** argv) {
  suture::catch_interrupts();
  CLI::App app("Live-patch the Linux kernel: a diff goes in, a running stock machine has the fix.",
               "suture");
  app.set_version_flag("--version", "suture " SUTURE_VERSION);
  app.require_subcommand(1);
  app.get_formatter()->column_width(34);
  app.footer(
      "Exit status: 0 done, 1 failed, 2 wrong usage, 3 refused (a safe patch cannot be made of "
      "this),\n4 it is not for this kernel, 5 the transition is not complete.");
  suture::cli::Commands commands(app);
  suture::cli::register_kernel(commands);
  suture::cli::register_build(commands);
  suture::cli::register_inspect(commands);
  suture::cli::register_check(commands);
  suture::cli::register_test(commands);
  suture::cli::register_load(commands);
  suture::cli::register_unload(commands);
  suture::cli::register_list(commands);
  suture::cli::register_status(commands);
  suture::cli::register_watch(commands);
  suture::cli::register_signal(commands);
  suture::cli::register_force(commands);
  suture::cli::register_accept(commands);
  suture::cli::register_keep_trial(commands);
  suture::cli::register_core(commands);
  suture::cli::register_install(commands);
  suture::cli::register_uninstall(commands);
  suture::cli::register_apply(commands);
  suture::cli::register_doctor(commands);
  suture::cli::register_guest_init(commands);
  suture::cli::register_man(commands);
  suture::cli::register_completion(commands);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    // CLI11 throws for --help and --version too; those have code 0.
    return app.exit(error) == 0 ? 0 : suture::exit_code(suture::Code::usage);
  }
  return commands.exit_status();
}
