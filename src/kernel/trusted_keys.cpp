// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/trusted_keys.h"

namespace suture::kernel {

namespace {

std::unexpected<Error> bad(std::string reason) {
  return fail(Code::bad_image, "system_certificate_list", std::move(reason),
              "fetch the kernel again");
}

}  // namespace

Result<std::vector<Bytes>> split_certificates(ByteView list) {
  // Each is a DER sequence (0x30) with a length of two bytes (0x82): shorter or longer ones the
  // kernel does not take.
  constexpr std::size_t head = 4;
  std::vector<Bytes> out;
  while (!list.empty()) {
    if (list.size() < head || list[0] != 0x30 || list[1] != 0x82) {
      return bad("it is no list of certificates");
    }
    const auto size = head + (static_cast<std::size_t>(list[2]) << 8 | list[3]);
    if (size > list.size()) {
      return bad("its last certificate is cut off");
    }
    out.emplace_back(list.begin(), list.begin() + static_cast<std::ptrdiff_t>(size));
    list = list.subspan(size);
  }
  return out;
}

Result<std::vector<Bytes>> builtin_certificates(const Image& image) {
  const RunSymbol* list = image.symbols().unique("system_certificate_list");
  const RunSymbol* size = image.symbols().unique("system_certificate_list_size");
  if (list == nullptr || size == nullptr) {
    return std::vector<Bytes>{};
  }
  const auto field = image.at(size->address, sizeof(std::uint64_t));
  const auto length = field ? read_le<std::uint64_t>(*field, 0) : std::nullopt;
  const auto bytes = length ? image.at(list->address, *length) : std::nullopt;
  if (!bytes) {
    return bad("it does not lie in the image");
  }
  return split_certificates(*bytes);
}

}  // namespace suture::kernel
