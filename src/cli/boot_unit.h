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

}  // namespace suture::cli
