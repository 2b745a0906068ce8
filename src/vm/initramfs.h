// SPDX-License-Identifier: GPL-2.0-or-later
//
// The guest's file system: an uncompressed cpio archive in the "newc" format
// (Documentation/driver-api/early-userspace/buffer-format.rst). Nothing is compressed: under
// emulation unpacking costs more than copying.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/bytes.h"
#include "base/error.h"
#include "base/file.h"

namespace suture::vm {

class Initramfs {
 public:
  Initramfs() = default;
  // What comes on top of another, which stays: what that one has is not added again.
  explicit Initramfs(const Initramfs* below) : below_(below) {}

  // Paths in the guest are absolute; the directories above them come by themselves.
  void add_directory(const std::string& path);
  void add_link(const std::string& path, const std::string& target);
  void add_bytes(const std::string& path, Bytes content, unsigned mode);
  Status add_file(const std::string& path, const fs::path& source, unsigned mode);

  // A program, with its dynamic linker and the shared libraries that it needs.
  Status add_program(const std::string& path, const fs::path& source);
  // A script or a program: for a script also its interpreter, unless the archive has one at that
  // path already.
  Status add_script(const std::string& path, const fs::path& source);
  // Busybox as /bin/busybox, with a link for each of its commands.
  Status add_busybox();

  bool contains(const std::string& path) const {
    return entries_.contains(path.substr(1)) || (below_ != nullptr && below_->contains(path));
  }

  // Bytes of all files.
  std::uint64_t size() const;
  // Of all entries: their paths, kinds, modes and contents.
  std::string sha256() const;
  Status write(const fs::path& archive) const;

 private:
  enum class Kind { directory, link, file };
  struct Entry {
    Kind kind = Kind::directory;
    unsigned mode = 0755;
    Bytes content;  // a link's: its target
  };
  void put(const std::string& path, Entry entry);

  const Initramfs* below_ = nullptr;
  std::map<std::string, Entry> entries_;  // by path without the leading slash: parents come first
};

}  // namespace suture::vm
