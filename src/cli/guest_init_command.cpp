// SPDX-License-Identifier: GPL-2.0-or-later
#include "cli/command.h"
#include "guest/guest_init.h"

namespace suture::cli {

void register_guest_init(Commands& commands) {
  const Command command = commands.add("guest-init", "Process 1 of the guest of `suture test`");
  command.hidden();  // not for people
  commands.on_run(command, []() -> Result<Report> {
    TRY(guest::guest_init());
    return Report{};
  });
}

}  // namespace suture::cli
