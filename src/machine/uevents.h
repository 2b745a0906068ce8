// SPDX-License-Identifier: GPL-2.0-or-later
//
// The kernel's uevents (netlink(7), NETLINK_KOBJECT_UEVENT), of modules only: livepatch's own
// objects send none.
#pragma once

#include <utility>

#include "base/descriptor.h"
#include "base/error.h"

namespace suture::machine {

class ModuleEvents {
 public:
  static Result<ModuleEvents> open();
  int descriptor() const { return fd_.get(); }  // to poll
  // Takes what has come. True where a module came or went, or events were lost.
  bool any() const;

 private:
  explicit ModuleEvents(Descriptor fd) : fd_(std::move(fd)) {}
  Descriptor fd_;
};

}  // namespace suture::machine
