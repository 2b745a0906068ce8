// SPDX-License-Identifier: GPL-2.0-or-later
#pragma once

#include <string>

#include "base/bytes.h"
#include "base/error.h"
#include "base/file.h"

namespace suture {

// SHA-256 in lower-case hex.
std::string sha256_hex(ByteView bytes);
Result<std::string> sha256_file(const fs::path& path);

}  // namespace suture
