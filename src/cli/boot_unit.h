// SPDX-License-Identifier: GPL-2.0-or-later
//
// suture.service, which loads what is installed at boot.
#pragma once

#include <optional>

#include "base/error.h"

namespace suture::cli {

// Whether systemd starts it at boot; nothing where this machine does not run systemd.
std::optional<bool> boot_unit_enabled();

// Has systemd start it at boot. child-failed where systemd cannot, e.g. has no such unit.
Status enable_boot_unit();

// Has suture-confirm.timer begin anew, which calls the machine well when its time is over. False
// where systemd does not run here, or has no such unit.
bool start_confirm_timer();

}  // namespace suture::cli
