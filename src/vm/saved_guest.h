// SPDX-License-Identifier: GPL-2.0-or-later
//
// Guests that were booted once and saved when they waited for the files of a trial, kept in the
// kernel's derived directory: a trial goes on from there instead of booting.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "vm/guest.h"
#include "vm/initramfs.h"

namespace suture::vm {

struct GuestWanted {
  Hardware hardware;
  fs::path vmlinuz;
  const Initramfs* files = nullptr;  // that it boots with
  std::string init;                  // as Boot has it
  std::string arguments;
  Limits limits;
  fs::path keep;  // where saved guests are; empty: it boots
  std::function<void(std::string_view)> progress = [](std::string_view) {};
};

struct ReadyGuest {
  Guest guest;            // it waits for its files
  bool restored = false;  // no kernel had to be booted for it now
  double before = 0;      // seconds until it was started: a boot for others to come, or a wait
};

// A guest that waits for its files: a saved one that was booted with the same kernel, files, QEMU,
// hardware and arguments; where there is none, or it is damaged, one is booted and saved. Where
// none can be kept (the disk is full), progress is told, and it is one that was booted.
// guest-failed, interrupted.
Result<ReadyGuest> ready_guest(const GuestWanted& wanted);

}  // namespace suture::vm
