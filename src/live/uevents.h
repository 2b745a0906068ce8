// SPDX-License-Identifier: GPL-2.0-or-later
//
// The kernel's uevents (netlink(7), NETLINK_KOBJECT_UEVENT), of modules only: livepatch's own
// objects send none.
#pragma once

#include "base/error.h"

namespace suture::live {

class ModuleEvents {
 public:
  static Result<ModuleEvents> open();
  ModuleEvents(ModuleEvents&& other) noexcept;
  ModuleEvents& operator=(ModuleEvents&&) = delete;
  ModuleEvents(const ModuleEvents&) = delete;
  ModuleEvents& operator=(const ModuleEvents&) = delete;
  ~ModuleEvents();

  int descriptor() const { return fd_; }  // to poll
  // Takes what has come. True where a module came or went, or events were lost.
  bool any() const;

 private:
  explicit ModuleEvents(int fd) : fd_(fd) {}
  int fd_ = -1;
};

}  // namespace suture::live
