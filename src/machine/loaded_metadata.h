// SPDX-License-Identifier: GPL-2.0-or-later
//
// What a loaded patch says about itself.
#pragma once

#include <optional>
#include <string>

#include "machine/sysfs.h"
#include "module/metadata.h"

namespace suture::machine {

// A module that does nothing any more and cannot be freed, as others may still use what it gave
// them.
struct Staying {
  std::string name;
  std::string why;  // what others have of it
};

// From /sys/module/NAME/notes/.note.suture, which root may read. Nothing where Suture did not make
// the patch, where it is gone, or without the right to read.
std::optional<module::Metadata> loaded_metadata(const Machine& machine, const std::string& name);

// What keeps the module of that name in memory until the next boot, for people; empty where nothing
// is known to.
std::string pinned_by(const Machine& machine, const std::string& name);

}  // namespace suture::machine
