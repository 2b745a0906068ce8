// SPDX-License-Identifier: GPL-2.0-or-later
//
// Lets a fuzzer reach past checks that random bytes never pass: its input is not the file, but says
// how to damage a good one.
#pragma once

#include <algorithm>

#include "base/bytes.h"

namespace suture::test {

// `patches` is a sequence of four bytes each: a 24-bit offset and a value. An offset past the end
// cuts the file off at the remainder.
inline Bytes patched(Bytes file, ByteView patches) {
  for (std::size_t i = 0; i + 4 <= patches.size() && !file.empty(); i += 4) {
    const std::uint32_t word = *read_le<std::uint32_t>(patches, i);
    const std::size_t offset = word & 0xffffff;
    if (offset < file.size()) {
      file[offset] = static_cast<std::uint8_t>(word >> 24);
    } else {
      file.resize(std::min<std::size_t>(file.size(), offset % (file.size() + 1)));
    }
  }
  return file;
}

}  // namespace suture::test
