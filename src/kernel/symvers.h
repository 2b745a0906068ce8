// SPDX-License-Identifier: GPL-2.0-or-later
//
// Module.symvers (scripts/mod/modpost.c, write_dump): one export a line, tab-separated:
// CRC, symbol, module ("vmlinux" or its path), EXPORT_SYMBOL or EXPORT_SYMBOL_GPL, namespace.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "base/error.h"
#include "base/file.h"

namespace suture::kernel {

struct Export {
  std::uint32_t crc = 0;
  std::string_view module;  // "vmlinux", or the module's name with underscores
  bool gpl_only = false;
  std::string_view name_space;
};

class Symvers {
 public:
  static Result<Symvers> open(const fs::path& path);
  static Result<Symvers> parse(std::string text, const std::string& where);
  const Export* find(std::string_view symbol) const;
  std::size_t size() const { return exports_.size(); }
  const std::unordered_map<std::string_view, Export>& all() const { return exports_; }

 private:
  std::shared_ptr<const std::string> text_;  // what every view here points into
  std::unordered_map<std::string_view, Export> exports_;
};

}  // namespace suture::kernel
