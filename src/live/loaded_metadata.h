// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a loaded patch says about itself.
#pragma once

#include <optional>
#include <string>

#include "live/sysfs.h"
#include "module/metadata.h"

namespace suture::live {

// From /sys/module/NAME/notes/.note.suture, which root may read. Nothing where Suture did not make
// the patch, where it is gone, or without the right to read.
std::optional<module::Metadata> loaded_metadata(const Machine& machine, const std::string& name);

}  // namespace suture::live
