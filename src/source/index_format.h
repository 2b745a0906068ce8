// SPDX-License-Identifier: GPL-2.0-or-later
//
// How a source index is written down: a first line with what it was made for, then sections, each
// at a multiple of 8 bytes. Shared by who makes it and who reads it.
#pragma once

#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/error.h"
#include "base/file.h"
#include "source/c_text.h"
#include "source/source_index.h"

namespace suture::source {

enum class Section : std::uint8_t {
  files,
  flags,
  sets,
  edges,
  spelled,
  naming_macros,
  brace_macros,
  pastings,
  aliases,
  options,
  buckets,
  list,
};
inline constexpr std::size_t section_count = 12;
inline constexpr unsigned rest_bits = 14;  // of a name's hash, those that stand in the list
inline constexpr std::size_t bucket_count = std::size_t{1} << (32 - rest_bits);

std::optional<std::array<ByteView, section_count>> read_sections(ByteView bytes,
                                                                 std::string_view key);
Bytes write_sections(std::array<Bytes, section_count> sections, std::string_view key);

// Reads the tree.
Result<Bytes> make_index(const fs::path& tree, const std::vector<IncludeWay>& ways,
                         const std::vector<Reader>& readers, std::string_view key);

inline std::uint32_t hash_of_name(std::string_view name) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (char c : name) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return static_cast<std::uint32_t>(hash ^ (hash >> 32));
}

template <class Work>
void for_each_name(std::string_view text, const Work& work) {
  Lexer lexer(text, false);
  for (Token token = lexer.next(); token.kind != TokenKind::end; token = lexer.next()) {
    if (token.kind == TokenKind::name) {
      work(token.text);
    }
  }
}

template <class Work>
void for_each_number(std::string_view text, const Work& work) {
  std::uint32_t number = 0;
  bool open = false;
  for (char c : text) {
    bool digit = c >= '0' && c <= '9';
    if (!digit && open) {
      work(number);
      number = 0;
    }
    open = digit;
    number = digit ? number * 10 + static_cast<std::uint32_t>(c - '0') : number;
  }
  if (open) {
    work(number);
  }
}

}  // namespace suture::source
