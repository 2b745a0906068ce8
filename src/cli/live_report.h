// SPDX-License-Identifier: GPL-2.0-or-later
//
// What list and status have in common.
#pragma once

#include <string>

#include "cli/command.h"
#include "live/sysfs.h"

namespace suture::cli {

// "enabled", "enabling", "disabling" or "disabled".
std::string state_word(const live::LoadedPatch& patch);
Json to_json(const live::LoadedPatch& patch);

}  // namespace suture::cli
