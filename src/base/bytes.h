// SPDX-License-Identifier: GPL-2.0-or-later
//
// Views on foreign bytes. Every offset that comes from a file is checked here before it is used.
// All numbers are little-endian: every kernel that Suture reads today is.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace suture {

using Bytes = std::vector<std::uint8_t>;
using ByteView = std::span<const std::uint8_t>;

// The part [offset, offset + size) of `bytes`, or nothing where it does not lie inside.
inline std::optional<ByteView> slice(ByteView bytes, std::uint64_t offset, std::uint64_t size) {
  if (offset > bytes.size() || size > bytes.size() - offset) {
    return std::nullopt;
  }
  return bytes.subspan(offset, size);
}

// Reads a little-endian integer at `offset`, or nothing where it does not lie inside.
template <class T>
requires std::is_integral_v<T> std::optional<T> read_le(ByteView bytes, std::uint64_t offset) {
  auto part = slice(bytes, offset, sizeof(T));
  if (!part) {
    return std::nullopt;
  }
  T value;
  std::memcpy(&value, part->data(), sizeof(T));
  return value;
}

// Writes a little-endian integer; the caller has made room (asserted by vector::at in debug
// builds).
template <class T>
requires std::is_integral_v<T>
void write_le(Bytes& bytes, std::size_t offset, T value) {
  std::memcpy(&bytes.at(offset + sizeof(T) - 1) - (sizeof(T) - 1), &value, sizeof(T));
}

template <class T>
requires std::is_integral_v<T>
void append_le(Bytes& bytes, T value) {
  bytes.resize(bytes.size() + sizeof(T));
  std::memcpy(bytes.data() + bytes.size() - sizeof(T), &value, sizeof(T));
}

// The NUL-terminated string at `offset`, or nothing where no NUL follows inside `bytes`.
inline std::optional<std::string_view> read_cstr(ByteView bytes, std::uint64_t offset) {
  if (offset >= bytes.size()) {
    return std::nullopt;
  }
  const auto* start = bytes.data() + offset;
  const auto* nul = static_cast<const std::uint8_t*>(std::memchr(start, 0, bytes.size() - offset));
  if (nul == nullptr) {
    return std::nullopt;
  }
  return std::string_view(reinterpret_cast<const char*>(start),
                          static_cast<std::size_t>(nul - start));
}

inline std::string_view as_text(ByteView bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline ByteView as_bytes(std::string_view text) {
  return {reinterpret_cast<const std::uint8_t*>(text.data()), text.size()};
}

inline std::string to_hex(ByteView bytes) {
  static constexpr char digits[] = "0123456789abcdef";
  std::string out;
  out.reserve(bytes.size() * 2);
  for (std::uint8_t byte : bytes) {
    out += digits[byte >> 4];
    out += digits[byte & 15];
  }
  return out;
}

}  // namespace suture
