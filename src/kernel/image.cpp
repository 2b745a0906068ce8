// SPDX-License-Identifier: GPL-2.0-or-later
//
// Problem: answer "which symbols have this name, in sympos order" and "what lies at this address"
// of a kernel with some 200,000 symbols, and be ready within milliseconds of opening the file.
// Method: sorting that many strings would cost more than everything else together. Instead, symbols
// are dealt into buckets by the hash of their name (a counting sort, so that they stay in sympos
// order), and only the few of one bucket are sorted by name. Addresses come sorted from kallsyms.
// Invariants: by_name_ holds the symbols of one name next to each other and in sympos order;
// bucket_[h] to bucket_[h + 1] are the places in by_name_ of the names with hash h.
#include "kernel/image.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <numeric>
#include <ranges>

#include "elf/runtime_constants.h"

namespace suture::kernel {

namespace {

std::unexpected<Error> bad(const std::string& where, std::string reason) {
  return fail(Code::bad_image, where, std::move(reason),
              "give the vmlinux of a whole kernel; fetch it again if it may be cut off");
}

// The text inside the n-th pair of outermost parentheses, n from 0; empty where there is none.
std::string_view parenthesized(std::string_view text, int n) {
  int depth = 0;
  std::size_t start = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '(' && depth++ == 0) {
      start = i + 1;
    } else if (text[i] == ')' && depth > 0 && --depth == 0 && n-- == 0) {
      return text.substr(start, i - start);
    }
  }
  return {};
}

constexpr std::string_view banner_start = "Linux version ";

// linux_banner, without its newline.
Result<std::string> read_banner(const Image& image, const std::string& where) {
  const RunSymbol* symbol = image.symbols().unique("linux_banner");
  const elf::Section* section = symbol == nullptr ? nullptr : image.section_at(symbol->address);
  if (section == nullptr) {
    return bad(where, "it has no linux_banner");
  }
  auto text = read_cstr(section->data, symbol->address - section->address);
  if (!text || !text->starts_with(banner_start)) {
    return bad(where, "what kallsyms calls linux_banner is not one");
  }
  while (text->ends_with('\n')) {
    text->remove_suffix(1);
  }
  return std::string(*text);
}

}  // namespace

SymbolTable::SymbolTable(std::shared_ptr<const std::string> names, std::vector<RunSymbol> symbols)
    : names_(std::move(names)), symbols_(std::move(symbols)) {
  const auto count = symbols_.size();
  by_name_.resize(count);
  by_address_.resize(count);
  std::iota(by_address_.begin(), by_address_.end(), 0U);
  auto address = [&](std::uint32_t i) { return symbols_[i].address; };
  if (!std::ranges::is_sorted(by_address_, {}, address)) {
    std::ranges::stable_sort(by_address_, {}, address);
  }

  bucket_.assign(std::bit_ceil(count + 1) + 1, 0);
  std::vector<std::uint32_t> home(count);
  for (std::size_t i = 0; i < count; ++i) {
    home[i] = bucket_of(symbols_[i].name);
    ++bucket_[home[i] + 1];
  }
  std::partial_sum(bucket_.begin(), bucket_.end(), bucket_.begin());
  std::vector<std::uint32_t> next(bucket_.begin(), bucket_.end() - 1);
  for (std::size_t i = 0; i < count; ++i) {
    by_name_[next[home[i]]++] = static_cast<std::uint32_t>(i);
  }
  auto name = [&](std::uint32_t i) { return symbols_[i].name; };
  for (std::size_t h = 0; h + 1 < bucket_.size(); ++h) {
    auto bucket = std::span(by_name_).subspan(bucket_[h], bucket_[h + 1] - bucket_[h]);
    if (!std::ranges::is_sorted(bucket, {}, name)) {
      std::ranges::stable_sort(bucket, {}, name);
    }
  }
}

std::uint32_t SymbolTable::bucket_of(std::string_view name) const {
  return static_cast<std::uint32_t>(std::hash<std::string_view>{}(name) & (bucket_.size() - 2));
}

std::span<const std::uint32_t> SymbolTable::find(std::string_view name) const {
  if (symbols_.empty()) {
    return {};
  }
  const std::uint32_t h = bucket_of(name);
  auto bucket = std::span(by_name_).subspan(bucket_[h], bucket_[h + 1] - bucket_[h]);
  auto range =
      std::ranges::equal_range(bucket, name, {}, [&](std::uint32_t i) { return symbols_[i].name; });
  return {range.begin(), range.end()};
}

const RunSymbol* SymbolTable::unique(std::string_view name) const {
  auto found = find(name);
  return found.size() == 1 ? &symbols_[found.front()] : nullptr;
}

std::vector<std::uint32_t> SymbolTable::at(std::uint64_t address) const {
  auto range = std::ranges::equal_range(by_address_, address, {},
                                        [&](std::uint32_t i) { return symbols_[i].address; });
  return {range.begin(), range.end()};
}

std::optional<std::uint64_t> SymbolTable::next_address(std::uint64_t address) const {
  auto above = std::ranges::upper_bound(by_address_, address, {},
                                        [&](std::uint32_t i) { return symbols_[i].address; });
  if (above == by_address_.end()) {
    return std::nullopt;
  }
  return symbols_[*above].address;
}

std::optional<std::uint64_t> SymbolTable::text_address(std::uint64_t address) const {
  auto above = std::ranges::upper_bound(by_address_, address, {},
                                        [&](std::uint32_t i) { return symbols_[i].address; });
  const auto below = std::ranges::subrange(by_address_.begin(), above) | std::views::reverse;
  const auto text =
      std::ranges::find_if(below, [&](std::uint32_t i) { return symbols_[i].is_text(); });
  return text == below.end() ? std::nullopt : std::optional(symbols_[*text].address);
}

std::uint32_t SymbolTable::sympos(std::uint32_t index) const {
  auto same = find(symbols_[index].name);
  if (same.size() == 1) {
    return 0;
  }
  return static_cast<std::uint32_t>(std::ranges::find(same, index) - same.begin()) + 1;
}

Result<Image> Image::open(const fs::path& vmlinux) {
  const std::string where = vmlinux.string();
  Image image;
  auto elf = elf::ObjectFile::open(vmlinux);
  if (!elf) {
    Error error = std::move(elf).error();
    if (error.code == Code::bad_elf) {
      error.code = Code::bad_image;
    }
    return std::unexpected(std::move(error));
  }
  image.elf_ = *std::move(elf);
  if (image.elf_.file_type() != ET_EXEC && image.elf_.file_type() != ET_DYN) {
    return bad(where, "it is an object file, not a linked kernel");
  }
  const elf::Section* notes = image.elf_.section(".notes");
  auto id = notes == nullptr ? std::nullopt : elf::build_id(notes->data);
  if (!id) {
    return bad(where, "it has no build id");
  }
  image.build_id_ = *id;
  image.symbols_ = TRY(read_kallsyms(image.elf_));
  elf::read_variables_for_constants(image.elf_, [&](std::string_view name) {
    const RunSymbol* symbol = image.symbols_.unique(name);
    return symbol == nullptr ? std::nullopt : std::optional(symbol->address);
  });
  image.banner_ = TRY(read_banner(image, where));
  std::string_view rest = std::string_view(image.banner_).substr(banner_start.size());
  image.release_ = rest.substr(0, rest.find(' '));
  // "(builder) (compiler, linker) #1 SMP ..."
  std::string_view tools = parenthesized(rest, 1);
  image.compiler_ = tools.substr(0, tools.find(','));
  return image;
}

const elf::Section* Image::section_at(std::uint64_t address) const {
  for (const elf::Section& section : elf_.sections()) {
    if ((section.flags & SHF_ALLOC) != 0 && address >= section.address &&
        address - section.address < section.size) {
      return &section;
    }
  }
  return nullptr;
}

std::optional<ByteView> Image::at(std::uint64_t address, std::uint64_t size) const {
  const elf::Section* section = section_at(address);
  if (section == nullptr) {
    return std::nullopt;
  }
  return slice(section->data, address - section->address, size);
}

}  // namespace suture::kernel
