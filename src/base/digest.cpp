// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/digest.h"

#include <openssl/evp.h>

#include <array>

namespace suture {

std::string sha256_hex(ByteView bytes) {
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_Digest(bytes.data(), bytes.size(), digest.data(), &size, EVP_sha256(), nullptr);
  return to_hex(ByteView(digest.data(), size));
}

Result<std::string> sha256_file(const fs::path& path) {
  MappedFile file = TRY(MappedFile::open(path));
  return sha256_hex(file.bytes());
}

}  // namespace suture
