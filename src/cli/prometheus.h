// SPDX-License-Identifier: GPL-2.0-or-later
//
// The machine's status as metrics, in Prometheus' text exposition format 0.0.4.
#pragma once

#include <string>

#include "live/status.h"

namespace suture::cli {

std::string prometheus_text(const live::MachineStatus& status);

}  // namespace suture::cli
