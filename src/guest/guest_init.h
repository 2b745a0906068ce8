// SPDX-License-Identifier: GPL-2.0-or-later
//
// Process 1 of the guest that `suture test` boots.
#pragma once

#include "base/error.h"

namespace suture::guest {

// Mounts the usual file systems, carries out the plan at plan_path and answers on answer_device.
// Does not return in a guest: the machine is switched off at the end. Elsewhere it is `usage`.
Status guest_init();

}  // namespace suture::guest
