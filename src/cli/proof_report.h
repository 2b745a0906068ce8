// SPDX-License-Identifier: GPL-2.0-or-later
//
// A proof, as `build` and `check` show it.
#pragma once

#include "cli/command.h"
#include "prove/prove.h"

namespace suture::cli {

Json proof_json(const prove::Proof& proof);
// What was shown, in a few words without a full stop.
std::string proof_text(const prove::Proof& proof);

}  // namespace suture::cli
