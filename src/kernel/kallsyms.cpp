// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: a shipped vmlinux has no symbol table, but carries kallsyms' compressed tables somewhere
// in .rodata, with nothing that says where. Their order there depends on the kernel's age:
//
//   up to 6.3:  offsets relative_base num_syms names markers [seqs] token_table token_index
//   since 6.4:  num_syms names markers token_table token_index offsets relative_base [seqs]
//   7.x:        num_syms names markers token_table token_index offsets seqs
//
// (scripts/kallsyms.c; each table starts on an 8-byte boundary, in 7.x on a 4-byte one. Stable
// branches got `seqs`, 3 bytes a symbol sorted by name, later than they were branched: it may be
// there or not.)
//
// Method: the tables check each other, so each is found by its structure.
//   1. token_index holds 256 rising 16-bit offsets from 0, and just before it lie 256 strings that
//      start exactly there: tokens_at().
//   2. num_syms and names are found by going down from there: a candidate count is right when that
//      many length-prefixed names are followed by markers that give the offset of every 256th name,
//      and these end at the token table (or at seqs): find_names().
//   3. offsets and relative_base then have one place in each layout; the one that is right gives
//      addresses that never fall, above a base that lies in the image: find_addresses().
// In 7.x an offset counts from its own place. Before, it counts from relative_base; an offset below
// zero then means that the kernel was built with CONFIG_KALLSYMS_ABSOLUTE_PERCPU: it counts down
// from relative_base - 1, and the ones not below zero are absolute.
//
// Invariants: no table is read outside of .rodata's bytes; the steps that step 2 takes are paid
// for from one budget, so that no crafted input makes the search quadratic; a name is at most
// max_name long, so that no crafted token table makes the names explode.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <vector>

#include "kernel/image.h"

namespace suture::kernel {

namespace {

constexpr std::size_t token_count = 256;
constexpr std::uint64_t names_per_marker = 256;
constexpr std::size_t max_name = 511;         // KSYM_NAME_LEN without the NUL
constexpr std::uint64_t max_walk = 64 << 20;  // steps of find_names() over all candidates

constexpr std::uint64_t align_up(std::uint64_t offset, std::uint64_t alignment) {
  return (offset + alignment - 1) & ~(alignment - 1);
}

struct Tokens {
  std::uint64_t table = 0;      // where token_table starts
  std::uint64_t index_end = 0;  // where token_index ends
  std::array<std::string_view, token_count> text;
};

struct Names {
  std::uint64_t num_syms = 0;  // where the count lies
  std::uint64_t names = 0;     // where the names start
  std::uint64_t count = 0;
};

using Addresses = std::vector<std::uint64_t>;  // one a symbol

// Splits a token table into its strings; false where it is not 256 strings that start at `starts`
// with nothing but padding behind them.
bool split_tokens(ByteView table, std::uint64_t alignment,
                  const std::array<std::uint16_t, token_count>& starts,
                  std::array<std::string_view, token_count>& text) {
  for (std::size_t i = 0; i + 1 < token_count; ++i) {
    if (starts[i + 1] > table.size() || table[starts[i + 1] - 1U] != 0) {
      return false;
    }
  }
  for (std::size_t i = 0; i < token_count; ++i) {
    auto string = read_cstr(table, starts[i]);
    if (!string) {
      return false;
    }
    const std::uint64_t end = starts[i] + string->size() + 1;
    if (i + 1 < token_count ? end != starts[i + 1] : align_up(end, alignment) != table.size()) {
      return false;
    }
    text[i] = *string;
  }
  return true;
}

// The bytes of one .rodata, read where `offset` has been checked already by what found it.
class Tables {
 public:
  Tables(const elf::Section& rodata, const elf::ObjectFile& image, std::uint64_t alignment)
      : bytes_(rodata.data), address_(rodata.address), image_(image), alignment_(alignment) {}

  Result<SymbolTable> decode(const std::string& where);

 private:
  std::optional<Tokens> tokens_at(std::uint64_t index) const;
  std::optional<Names> find_names(const Tokens& tokens);
  bool names_fit(const Names& candidate, const Tokens& tokens);
  bool markers_begin(const Names& candidate, std::uint64_t markers) const;
  bool may_be_names(const Names& candidate, const Tokens& tokens) const;
  std::optional<Addresses> find_addresses(const Tokens& tokens, const Names& names) const;
  std::optional<Addresses> addresses_at(std::uint64_t offsets, std::uint64_t base,
                                        std::uint64_t count) const;
  std::optional<Addresses> addresses_from_places(std::uint64_t offsets, std::uint64_t count) const;
  std::optional<SymbolTable> symbols(const Tokens& tokens, const Names& names,
                                     const Addresses& addresses) const;
  bool inside_image(std::uint64_t address) const;
  std::uint64_t align(std::uint64_t offset) const { return align_up(offset, alignment_); }

  // A name's compressed bytes at `offset`, which moves past them; nothing at the end of the bytes.
  std::optional<ByteView> take_name(std::uint64_t& offset) const;

  ByteView bytes_;
  std::uint64_t address_;
  const elf::ObjectFile& image_;
  std::uint64_t alignment_;
  std::uint64_t walked_ = 0;
};

std::optional<ByteView> Tables::take_name(std::uint64_t& offset) const {
  if (offset >= bytes_.size()) {
    return std::nullopt;
  }
  // ULEB128 of at most two bytes: names of more than 127 tokens came with 6.1.
  std::uint64_t length = bytes_[offset++];
  if (length >= 0x80) {
    if (offset >= bytes_.size()) {
      return std::nullopt;
    }
    length = (length & 0x7f) | (std::uint64_t{bytes_[offset++]} << 7);
  }
  auto name = slice(bytes_, offset, length);
  if (!name || length == 0) {
    return std::nullopt;
  }
  offset += length;
  return name;
}

// The tokens whose token_index starts at `index`, if one does.
std::optional<Tokens> Tables::tokens_at(std::uint64_t index) const {
  if (index + token_count * 2 > bytes_.size()) {
    return std::nullopt;
  }
  std::array<std::uint16_t, token_count> starts{};
  for (std::size_t i = 0; i < token_count; ++i) {
    starts[i] = *read_le<std::uint16_t>(bytes_, index + i * 2);
    if (i == 0 ? starts[i] != 0 : starts[i] <= starts[i - 1]) {
      return std::nullopt;  // nearly every candidate ends here, at its first or second number
    }
  }
  // The last string's length is not known, so the table's start is one of a few places.
  for (std::uint64_t back = align(starts.back() + 1U); back <= index; back += alignment_) {
    if (back > align(starts.back() + max_name + 1)) {
      return std::nullopt;
    }
    const ByteView table = bytes_.subspan(index - back, back);
    Tokens tokens{.table = index - back, .index_end = index + token_count * 2, .text = {}};
    if (split_tokens(table, alignment_, starts, tokens.text)) {
      return tokens;
    }
  }
  return std::nullopt;
}

// Whether `candidate.count` names start at candidate.names, and their markers follow.
bool Tables::names_fit(const Names& candidate, const Tokens& tokens) {
  const std::uint64_t marker_count = (candidate.count + names_per_marker - 1) / names_per_marker;
  std::vector<std::uint64_t> starts;
  std::uint64_t at = candidate.names;
  for (std::uint64_t i = 0; i < candidate.count; ++i) {
    if (i % names_per_marker == 0) {
      starts.push_back(at - candidate.names);
    }
    if (++walked_ > max_walk || !take_name(at) || at > tokens.table) {
      return false;
    }
  }
  const std::uint64_t markers = align(at);
  const std::uint64_t end = align(markers + marker_count * 4);
  if (end != tokens.table && align(end + candidate.count * 3) != tokens.table) {
    return false;
  }
  for (std::uint64_t i = 0; i < marker_count; ++i) {
    if (read_le<std::uint32_t>(bytes_, markers + i * 4) != starts[i]) {
      return false;
    }
  }
  return true;
}

// Whether what lies there may be the markers: the first name is at 0, the 257th behind 256 names.
bool Tables::markers_begin(const Names& candidate, std::uint64_t markers) const {
  if (markers < candidate.names || read_le<std::uint32_t>(bytes_, markers) != 0U) {
    return false;
  }
  const auto second = read_le<std::uint32_t>(bytes_, markers + 4);
  return candidate.count <= names_per_marker || (second && *second >= names_per_marker * 2 &&
                                                 *second <= names_per_marker * (max_name + 2));
}

// From the count alone follows where the markers are. That is looked at first: any number may pass
// for a count, and to walk over names takes long.
bool Tables::may_be_names(const Names& candidate, const Tokens& tokens) const {
  const std::uint64_t marker_count = (candidate.count + names_per_marker - 1) / names_per_marker;
  const std::uint64_t size = align(marker_count * 4);
  const std::uint64_t seqs = align(candidate.count * 3);
  return (size <= tokens.table && markers_begin(candidate, tokens.table - size)) ||
         (size + seqs <= tokens.table && markers_begin(candidate, tokens.table - size - seqs));
}

std::optional<Names> Tables::find_names(const Tokens& tokens) {
  for (std::uint64_t at = tokens.table; at >= alignment_ && ++walked_ <= max_walk;) {
    at -= alignment_;
    auto count = read_le<std::uint32_t>(bytes_, at);
    if (!count || *count == 0 || *count > (tokens.table - at) / 2) {
      continue;
    }
    Names candidate{.num_syms = at, .names = at + alignment_, .count = *count};
    if (may_be_names(candidate, tokens) && names_fit(candidate, tokens)) {
      return candidate;
    }
  }
  return std::nullopt;
}

bool Tables::inside_image(std::uint64_t address) const {
  return std::ranges::any_of(image_.sections(), [&](const elf::Section& section) {
    return (section.flags & SHF_ALLOC) != 0 && address >= section.address &&
           address - section.address < section.size;
  });
}

std::optional<Addresses> Tables::addresses_at(std::uint64_t offsets, std::uint64_t base,
                                              std::uint64_t count) const {
  auto relative_base = read_le<std::uint64_t>(bytes_, base);
  auto table = slice(bytes_, offsets, count * 4);
  if (!relative_base || !table || !inside_image(*relative_base)) {
    return std::nullopt;
  }
  std::vector<std::int32_t> stored(count);
  std::memcpy(stored.data(), table->data(), table->size());
  const bool absolute_percpu =
      std::ranges::any_of(stored, [](std::int32_t offset) { return offset < 0; });
  Addresses addresses;
  addresses.reserve(count);
  std::uint64_t last = 0;
  for (std::int32_t offset : stored) {
    const auto wide = static_cast<std::uint64_t>(std::int64_t{offset});
    std::uint64_t address = *relative_base + wide;
    if (absolute_percpu) {
      address = offset >= 0 ? wide : *relative_base - 1 - wide;
    }
    if (address < last) {
      return std::nullopt;
    }
    last = address;
    addresses.push_back(address);
  }
  return addresses;
}

std::optional<Addresses> Tables::addresses_from_places(std::uint64_t offsets,
                                                       std::uint64_t count) const {
  Addresses addresses;
  addresses.reserve(count);
  std::uint64_t last = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t place = offsets + i * 4;
    auto offset = read_le<std::int32_t>(bytes_, place);
    if (!offset) {
      return std::nullopt;
    }
    const std::uint64_t address =
        address_ + place + static_cast<std::uint64_t>(std::int64_t{*offset});
    if (address < last) {
      return std::nullopt;
    }
    last = address;
    addresses.push_back(address);
  }
  return !addresses.empty() && inside_image(addresses.front()) ? std::optional(std::move(addresses))
                                                               : std::nullopt;
}

std::optional<Addresses> Tables::find_addresses(const Tokens& tokens, const Names& names) const {
  const std::uint64_t size = align(names.count * 4);
  const std::uint64_t after = align(tokens.index_end);
  if (auto found = addresses_at(after, after + size, names.count)) {
    return found;
  }
  if (auto found = addresses_from_places(after, names.count)) {
    return found;
  }
  if (names.num_syms < alignment_ + size) {
    return std::nullopt;
  }
  const std::uint64_t base = names.num_syms - alignment_;
  return addresses_at(base - size, base, names.count);
}

std::optional<SymbolTable> Tables::symbols(const Tokens& tokens, const Names& names,
                                           const Addresses& addresses) const {
  // One string holds all names. It must not move while views into it are made: measured first.
  std::size_t total = 0;
  std::uint64_t at = names.names;
  for (std::uint64_t i = 0; i < names.count; ++i) {
    std::size_t length = 0;
    const ByteView packed = *take_name(at);
    for (std::uint8_t token : packed) {
      length += tokens.text[token].size();
    }
    if (length < 2 || length > max_name + 1) {  // the type and a name
      return std::nullopt;
    }
    total += length;
  }
  auto arena = std::make_shared<std::string>();
  arena->reserve(total);
  std::vector<RunSymbol> symbols;
  symbols.reserve(names.count);
  at = names.names;
  for (std::uint64_t i = 0; i < names.count; ++i) {
    const std::size_t start = arena->size();
    const ByteView packed = *take_name(at);
    for (std::uint8_t token : packed) {
      arena->append(tokens.text[token]);
    }
    std::string_view name(arena->data() + start + 1, arena->size() - start - 1);
    symbols.push_back({.name = name, .address = addresses[i], .type = (*arena)[start]});
  }
  return SymbolTable(std::move(arena), std::move(symbols));
}

Result<SymbolTable> Tables::decode(const std::string& where) {
  const char* missing = "token table";
  for (std::uint64_t index = 0; index + token_count * 2 <= bytes_.size(); index += alignment_) {
    auto tokens = tokens_at(index);
    if (!tokens) {
      continue;
    }
    auto names = find_names(*tokens);
    auto addresses = names ? find_addresses(*tokens, *names) : std::nullopt;
    auto table = addresses ? symbols(*tokens, *names, *addresses) : std::nullopt;
    if (table) {
      return *std::move(table);
    }
    missing = !names ? "names" : !addresses ? "addresses" : "names of a possible length";
  }
  return fail(Code::bad_image, where, fmt::format("its kallsyms tables have no {}", missing),
              "use a kernel with CONFIG_KALLSYMS and CONFIG_KALLSYMS_BASE_RELATIVE; fetch it again "
              "if it may be cut off");
}

}  // namespace

Result<SymbolTable> read_kallsyms(const elf::ObjectFile& vmlinux) {
  const elf::Section* rodata = vmlinux.section(".rodata");
  if (rodata == nullptr) {
    return fail(Code::bad_image, ".rodata", "the image has no such section",
                "give the vmlinux of a whole kernel");
  }
  constexpr std::uint64_t usual = 8, newest = 4;
  auto table = Tables(*rodata, vmlinux, usual).decode(rodata->name);
  return table ? table : Tables(*rodata, vmlinux, newest).decode(rodata->name);
}

}  // namespace suture::kernel
