// SPDX-License-Identifier: GPL-2.0-or-later
//
// Reading many small files of sysfs and procfs, each once and by way of its directory, so that no
// path is looked up from the root again. What is gone, or may not be read, is nothing: objects of
// the kernel come and go while they are read.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file.h"

namespace suture::machine {

class Directory {
 public:
  static std::optional<Directory> open(const fs::path& path);
  // A directory below this one.
  std::optional<Directory> sub(const std::string& name) const;

  // The whole file. The name may have slashes.
  std::optional<std::string> read(const std::string& name) const;
  std::optional<std::string> line(const std::string& name) const;  // its first line
  std::optional<long> number(const std::string& name) const;       // that as a number
  std::vector<std::string> directories() const;                    // names, sorted

 private:
  static std::optional<Directory> at(Descriptor fd);
  explicit Directory(Descriptor fd) : fd_(std::move(fd)) {}
  Descriptor fd_;
};

}  // namespace suture::machine
