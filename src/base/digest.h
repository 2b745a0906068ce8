// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <memory>
#include <string>

#include "base/bytes.h"
#include "base/error.h"
#include "base/file.h"

namespace suture {

// SHA-256 in lower-case hex.
std::string sha256_hex(ByteView bytes);
Result<std::string> sha256_file(const fs::path& path);

// The same, of bytes that come piece by piece.
class Sha256 {
 public:
  Sha256();
  void add(ByteView bytes);
  // Of all that was added; nothing can be added any more.
  std::string hex();

 private:
  struct Free {
    void operator()(void* state) const;
  };
  std::unique_ptr<void, Free> state_;  // the library's
};

}  // namespace suture
