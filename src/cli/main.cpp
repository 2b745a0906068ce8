// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/process.h"
#include "cli/command.h"

int main(int argc, char** argv) {
  suture::catch_interrupts();
  suture::cli::Commands commands;
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
  suture::cli::register_help(commands);  // knows the commands above
  return commands.run(argc, argv);
}
