// SPDX-License-Identifier: GPL-2.0-or-later
//
// What is appended to a module as its signature: whatever it says, it is read or refused, and only
// ever cuts bytes off the end.
#include "module/signature.h"

#include <cstdlib>
#include <tuple>

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace suture;
  const ByteView module(data, size);
  const auto signature = module::signature_of(module, "fuzz.ko");
  const ByteView content = module::without_signature(module);
  if (content.size() > size || (size > 0 && content.data() != data)) {
    std::abort();
  }
  if (signature && *signature && (*signature)->unsigned_size != content.size()) {
    std::abort();
  }
  std::ignore = module::signed_by(module, {Bytes(data, data + size)}, "fuzz.ko");
  return 0;
}
