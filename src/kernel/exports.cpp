// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/exports.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>

namespace suture::kernel {

namespace {

std::unexpected<Error> bad(std::string_view section, std::string reason) {
  return fail(Code::bad_image, std::string(section), std::move(reason),
              "give the vmlinux of a whole kernel; fetch it again if it may be cut off");
}

// struct kernel_symbol with CONFIG_HAVE_ARCH_PREL32_RELOCATIONS: three 32-bit distances, each from
// its own address: the symbol, its name, its namespace.
constexpr std::uint64_t entry_size = 12;

// The string that the distance at `field` of `section` leads to.
std::optional<std::string_view> string_at(const Image& image, const elf::Section& section,
                                          std::uint64_t field) {
  auto distance = read_le<std::int32_t>(section.data, field);
  if (!distance) {
    return std::nullopt;
  }
  const std::uint64_t address =
      section.address + field + static_cast<std::uint64_t>(std::int64_t{*distance});
  const elf::Section* strings = image.section_at(address);
  return strings == nullptr ? std::nullopt : read_cstr(strings->data, address - strings->address);
}

// A byte for each export since 7.0, where one table has them all: this bit for GPL only.
constexpr const char* flags_name = "__kflagstab";
constexpr std::uint8_t flag_gpl_only = 1;

Status read_section(const Image& image, const char* symbols_name, const char* crcs_name,
                    bool gpl_only, std::vector<ImageExport>& out) {
  const elf::Section* symbols = image.elf().section(symbols_name);
  const elf::Section* crcs = image.elf().section(crcs_name);
  const elf::Section* flags = image.elf().section(flags_name);
  if (symbols == nullptr) {
    return bad(symbols_name, "the image has no such section");
  }
  const std::uint64_t count = symbols->data.size() / entry_size;
  if (symbols->data.size() % entry_size != 0 ||
      (crcs != nullptr && crcs->data.size() != count * 4) ||
      (flags != nullptr && flags->data.size() < count)) {
    return bad(symbols_name, "the exports, their CRCs and flags do not have the sizes they should");
  }
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t entry = i * entry_size;
    auto name = string_at(image, *symbols, entry + 4);
    auto name_space = string_at(image, *symbols, entry + 8);
    if (!name || name->empty() || !name_space) {
      return bad(symbols_name, fmt::format("export {} has no name", i));
    }
    const auto distance = std::int64_t{*read_le<std::int32_t>(symbols->data, entry)};
    out.push_back({.name = *name,
                   .address = symbols->address + entry + static_cast<std::uint64_t>(distance),
                   .crc = crcs == nullptr ? 0 : *read_le<std::uint32_t>(crcs->data, i * 4),
                   .gpl_only = flags == nullptr ? gpl_only : (flags->data[i] & flag_gpl_only) != 0,
                   .name_space = *name_space});
  }
  return {};
}

std::unexpected<Error> differs(std::string_view symbol, std::string reason) {
  return fail(Code::wrong_kernel, std::string(symbol), std::move(reason),
              "give the Module.symvers of the kernel that the image is of (its headers package)");
}

}  // namespace

Result<std::vector<ImageExport>> read_exports(const Image& image) {
  std::vector<ImageExport> exports;
  TRY(read_section(image, "__ksymtab", "__kcrctab", false, exports));
  if (image.elf().section(flags_name) == nullptr) {
    TRY(read_section(image, "__ksymtab_gpl", "__kcrctab_gpl", true, exports));
  }
  std::ranges::sort(exports, {}, &ImageExport::name);
  return exports;
}

Status symvers_match(const Symvers& symvers, const Image& image) {
  const auto exports = TRY(read_exports(image));
  for (const ImageExport& have : exports) {
    const Export* listed = symvers.find(have.name);
    if (listed == nullptr || listed->module != "vmlinux") {
      return differs(have.name, "the image exports it, Module.symvers does not");
    }
    if (listed->crc != have.crc) {
      return differs(have.name, fmt::format("its CRC is {:#010x} in the image, {:#010x} in "
                                            "Module.symvers",
                                            have.crc, listed->crc));
    }
  }
  std::string_view missing;
  for (const auto& [name, listed] : symvers.all()) {
    if (listed.module == "vmlinux" && (missing.empty() || name < missing) &&
        !std::ranges::binary_search(exports, name, {}, &ImageExport::name)) {
      missing = name;
    }
  }
  return missing.empty() ? Status{}
                         : differs(missing, "Module.symvers exports it, the image does not");
}

}  // namespace suture::kernel
