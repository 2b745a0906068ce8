// SPDX-License-Identifier: GPL-2.0-or-later
//
// A virtual machine that runs a stock kernel under QEMU's emulation (TCG, so that it needs no
// rights and no hardware), with a file system in memory and no devices but two serial ports: the
// first is the kernel's console, the second carries what the guest's process 1 has to say, line by
// line.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/file.h"

namespace suture::vm {

struct GuestOptions {
  fs::path vmlinuz;
  fs::path initramfs;
  std::string init;       // process 1 and its argument: "/bin/suture guest-init"
  std::string arguments;  // of the kernel, beside those that every guest has; may be empty
  unsigned memory_mib = 1024;
  unsigned cpus = 2;
  double deadline = 300;  // seconds of wall time for everything
  double silence = 90;    // seconds without any sign of life
};

struct GuestEnd {
  enum class How {
    told,    // on_line said that nothing more comes
    died,    // the machine stopped before that: a panic, a reset
    silent,  // no sign of life for that long
    deadline,
  };
  How how = How::died;
  std::string console;
  double seconds = 0;
};

// Boots and watches until on_line returns false or the guest comes to an end. The machine is gone
// when this returns. guest-failed where QEMU itself fails, interrupted.
Result<GuestEnd> run_guest(const GuestOptions& options,
                           const std::function<bool(std::string_view line)>& on_line);

// The last lines of a console, for an error.
std::string console_tail(std::string_view console, int lines);

}  // namespace suture::vm
