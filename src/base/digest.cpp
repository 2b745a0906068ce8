// SPDX-License-Identifier: GPL-2.0-or-later
#include "base/digest.h"

#include <openssl/evp.h>

#include <array>

namespace suture {

namespace {

EVP_MD_CTX* context(void* state) { return static_cast<EVP_MD_CTX*>(state); }

}  // namespace

void Sha256::Free::operator()(void* state) const { EVP_MD_CTX_free(context(state)); }

Sha256::Sha256() : state_(EVP_MD_CTX_new()) {
  EVP_DigestInit_ex(context(state_.get()), EVP_sha256(), nullptr);
}

void Sha256::add(ByteView bytes) {
  EVP_DigestUpdate(context(state_.get()), bytes.data(), bytes.size());
}

std::string Sha256::hex() {
  std::array<std::uint8_t, EVP_MAX_MD_SIZE> digest{};
  unsigned size = 0;
  EVP_DigestFinal_ex(context(state_.get()), digest.data(), &size);
  return to_hex(ByteView(digest.data(), size));
}

std::string sha256_hex(ByteView bytes) {
  Sha256 hash;
  hash.add(bytes);
  return hash.hex();
}

Result<std::string> sha256_file(const fs::path& path) {
  MappedFile file = TRY(MappedFile::open(path));
  return sha256_hex(file.bytes());
}

}  // namespace suture
