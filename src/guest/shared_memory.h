// SPDX-License-Identifier: GPL-2.0-or-later
//
// How the files of a trial come into a guest that is up already: through memory that the host and
// the guest both see, QEMU's device ivshmem. The guest needs no driver for it: the device's memory
// is a file in /sys.
#pragma once

#include <array>
#include <cstdint>

#include "base/error.h"
#include "base/file.h"

namespace suture::guest {

// What stands at the start of that memory. The host writes the rest first and the mark last.
struct HandedOver {
  std::uint64_t mark = 0;    // 0 until all is there, then handed_over_mark
  std::uint64_t size = 0;    // of the archive
  std::int64_t seconds = 0;  // the host's clock, since 1970: the guest's may be an old one
  std::array<std::uint8_t, 32> random{};  // so that no two guests draw the same random numbers
};
inline constexpr std::uint64_t handed_over_mark = 0x31656c6966747573;  // "sutfile1"
// The archive, a cpio as the kernel's initramfs is one, starts here.
inline constexpr std::uint64_t archive_offset = 4096;

// The guest's side.
class SharedMemory {
 public:
  // Finds the device among those in /sys/bus/pci/devices. guest-failed where it cannot be used.
  static Result<SharedMemory> open(const fs::path& devices = "/sys/bus/pci/devices");
  SharedMemory(SharedMemory&& other) noexcept;
  SharedMemory& operator=(SharedMemory&&) = delete;
  ~SharedMemory();

  // The host has written all of it.
  bool has_files() const;
  // Unpacks the archive below `root`, which keeps what else it has, and takes over the host's clock
  // and its random numbers.
  Status receive(const fs::path& root) const;

 private:
  SharedMemory(std::uint8_t* bytes, std::size_t size) : bytes_(bytes), size_(size) {}
  std::uint8_t* bytes_;
  std::size_t size_;
};

// Unpacks a cpio archive below `root`. guest-failed where it is damaged or the disk is full.
Status unpack_files(ByteView archive, const fs::path& root);

}  // namespace suture::guest
