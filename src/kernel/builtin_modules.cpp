// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/builtin_modules.h"

namespace suture::kernel {

namespace {

// An array between two symbols, whose entries point to strings.
struct Table {
  std::string_view start, stop;
  std::uint64_t entry_size = 0;
  std::uint64_t name = 0;  // where an entry has the pointer
};

// struct kernel_param
constexpr Table parameters{"__start___param", "__stop___param", 40, 0};
constexpr std::uint64_t parameter_mode = 24;
// struct module_version_attribute
constexpr Table versions{"__start___modver", "__stop___modver", 72, 56};

ByteView bytes_of(const Image& image, const Table& table) {
  const RunSymbol* start = image.symbols().unique(table.start);
  const RunSymbol* stop = image.symbols().unique(table.stop);
  if (start == nullptr || stop == nullptr || stop->address < start->address ||
      (stop->address - start->address) % table.entry_size != 0) {
    return {};
  }
  return image.at(start->address, stop->address - start->address).value_or(ByteView{});
}

// Empty where there is none.
std::string_view name_at(const Image& image, ByteView bytes, std::uint64_t field) {
  const std::uint64_t address = read_le<std::uint64_t>(bytes, field).value_or(0);
  const elf::Section* section = image.section_at(address);
  return section == nullptr
             ? std::string_view{}
             : read_cstr(section->data, address - section->address).value_or(std::string_view{});
}

}  // namespace

std::set<std::string_view> builtin_modules(const Image& image) {
  // The kernel's own parameters have no dot in their names and lie in "kernel". livepatch takes
  // "vmlinux" for the kernel.
  std::set<std::string_view> out{"kernel", "vmlinux"};
  const ByteView all = bytes_of(image, parameters);
  for (std::uint64_t entry = 0; entry < all.size(); entry += parameters.entry_size) {
    // One without a mode is for the command line only.
    const std::string_view name = name_at(image, all, entry + parameters.name);
    const std::size_t dot = name.find('.');
    if (dot != std::string_view::npos && read_le<std::uint16_t>(all, entry + parameter_mode) != 0) {
      out.insert(name.substr(0, dot));
    }
  }
  const ByteView stated = bytes_of(image, versions);
  for (std::uint64_t entry = 0; entry < stated.size(); entry += versions.entry_size) {
    const std::string_view name = name_at(image, stated, entry + versions.name);
    if (!name.empty()) {
      out.insert(name);
    }
  }
  return out;
}

}  // namespace suture::kernel
