// SPDX-License-Identifier: GPL-2.0-or-later
//
// A virtual machine that runs a stock kernel under QEMU's emulation (TCG, so that it needs no
// rights and no hardware), with a file system in memory and no devices but two serial ports and
// memory that the host sees too: the first port is the kernel's console, the second carries what
// the guest's process 1 has to say, line by line; its files come through the memory
// (guest/shared_memory.h).
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "base/error.h"
#include "base/file.h"
#include "base/process.h"

namespace suture::vm {

struct Hardware {
  unsigned memory_mib = 1024;
  unsigned cpus = 2;
  std::uint64_t shared_bytes = 64 << 20;  // a power of two
};

struct Boot {
  fs::path vmlinuz;
  fs::path initramfs;
  std::string init;       // process 1 and its argument: "/bin/suture guest-init"
  std::string arguments;  // of the kernel, beside those that every guest has; may be empty
};

// Seconds.
struct Limits {
  double deadline = 300;  // since the machine was started
  double silence = 90;    // without any sign of life
};

struct GuestEnd {
  enum class How {
    told,    // on_line said that nothing more comes
    died,    // the machine stopped before that: a panic, a reset
    silent,  // no sign of life for that long
    deadline,
  };
  How how = How::died;
  double seconds = 0;  // since the machine was started
};

// A pipe that QEMU writes a serial port into.
class SerialPort {
 public:
  static Result<SerialPort> create(const fs::path& path);
  int descriptor() const { return fd_.get(); }
  // Appends what is there; true where it was anything.
  bool read_into(std::string& text) const;

 private:
  Descriptor fd_;
};

// A running machine; it is gone when this is destroyed. guest-failed where QEMU itself fails,
// interrupted.
class Guest {
 public:
  static Result<Guest> boot(const Hardware& hardware, const Boot& boot);
  // Goes on where a machine of the same hardware was saved. guest-failed also where the file is not
  // what was written.
  static Result<Guest> restore(const Hardware& hardware, const fs::path& state,
                               const std::string& sha256);

  // Watches until process 1 says that it waits for its files. guest-failed, with the console's end,
  // where it does not come up.
  Status wait_until_ready(const Limits& limits);
  // To one that is ready: the archive that it waits for.
  Status hand_over(ByteView archive);
  // Writes what is needed to go on from here, while it waits for its files. Its SHA-256.
  Result<std::string> save(const fs::path& state);

  // Watches until on_line returns false or the guest comes to an end.
  Result<GuestEnd> watch(const Limits& limits,
                         const std::function<bool(std::string_view line)>& on_line);

  const std::string& console() const { return console_; }
  double seconds() const { return now_seconds() - start_; }

 private:
  static Result<Guest> start(const Hardware& hardware, std::vector<std::string> more);
  Status check_qemu();

  WorkDir scratch_;
  SerialPort console_port_;
  SerialPort answer_port_;
  Child qemu_;
  double start_ = 0;
  std::string console_;
  std::string answers_;  // of its last line, what has come
};

// The last lines of a console, for an error.
std::string console_tail(std::string_view console, int lines);

}  // namespace suture::vm
