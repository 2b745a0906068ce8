// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/symvers.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>

namespace suture::kernel {

namespace {

std::unexpected<Error> bad(const std::string& where, std::size_t line, std::string_view reason) {
  return fail(Code::bad_config, fmt::format("{}:{}", where, line), std::string(reason),
              "give the Module.symvers of the kernel's headers package");
}

// Splits at tabs into at most `fields.size()` fields; returns how many there are, one more than
// that where there are too many.
std::size_t split(std::string_view line, std::array<std::string_view, 5>& fields) {
  std::size_t count = 0;
  for (;;) {
    if (count == fields.size()) {
      return count + 1;
    }
    const std::size_t tab = line.find('\t');
    fields[count++] = line.substr(0, tab);
    if (tab == std::string_view::npos) {
      return count;
    }
    line.remove_prefix(tab + 1);
  }
}

bool parse_crc(std::string_view text, std::uint32_t& crc) {
  if (!text.starts_with("0x")) {
    return false;
  }
  text.remove_prefix(2);
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), crc, 16);
  return error == std::errc{} && end == text.data() + text.size();
}

// A module's path as modpost writes it → the module's name. The characters are changed in place:
// a name is as long as the last part of its path, so that views into the text can stay views.
std::string_view name_module(std::string& text, std::string_view path) {
  const std::size_t slash = path.rfind('/');
  path.remove_prefix(slash == std::string_view::npos ? 0 : slash + 1);
  const auto start = static_cast<std::size_t>(path.data() - text.data());
  std::replace(text.begin() + static_cast<std::ptrdiff_t>(start),
               text.begin() + static_cast<std::ptrdiff_t>(start + path.size()), '-', '_');
  return path;
}

}  // namespace

Result<Symvers> Symvers::open(const fs::path& path) {
  return parse(TRY(read_text(path)), path.string());
}

Result<Symvers> Symvers::parse(std::string text, const std::string& where) {
  auto shared = std::make_shared<std::string>(std::move(text));
  Symvers symvers;
  symvers.exports_.reserve(static_cast<std::size_t>(std::ranges::count(*shared, '\n')));
  std::string_view rest = *shared;
  for (std::size_t number = 1; !rest.empty(); ++number) {
    const std::size_t end = rest.find('\n');
    if (end == std::string_view::npos) {
      return bad(where, number, "the last line is cut off");
    }
    std::array<std::string_view, 5> fields;
    const std::size_t count = split(rest.substr(0, end), fields);
    rest.remove_prefix(end + 1);
    const auto& [crc, symbol, module, kind, name_space] = fields;
    if (count != 4 && count != 5) {
      return bad(where, number, "the line does not have the five fields of an export");
    }
    Export entry;
    if (!parse_crc(crc, entry.crc)) {
      return bad(where, number, "the CRC is not a 32-bit hexadecimal number");
    }
    entry.module = name_module(*shared, module);
    if (symbol.empty() || entry.module.empty() || !kind.starts_with("EXPORT_SYMBOL")) {
      return bad(where, number, "the line is not an export");
    }
    entry.gpl_only = kind.starts_with("EXPORT_SYMBOL_GPL");
    entry.name_space = name_space;
    if (!symvers.exports_.emplace(symbol, entry).second) {
      return bad(where, number, fmt::format("{} is exported twice", symbol));
    }
  }
  if (symvers.exports_.empty()) {
    return bad(where, 1, "it has no exports");
  }
  symvers.text_ = std::move(shared);
  return symvers;
}

const Export* Symvers::find(std::string_view symbol) const {
  auto found = exports_.find(symbol);
  return found == exports_.end() ? nullptr : &found->second;
}

}  // namespace suture::kernel
