// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/vmlinuz.h"

#include <elf.h>
#include <fmt/format.h>

#include "kernel/decompress.h"

namespace suture::kernel {

namespace {

std::unexpected<Error> bad(const std::string& where, std::string reason) {
  return fail(Code::bad_image, where, std::move(reason),
              "give a bzImage of boot protocol 2.08 or later, or the vmlinux ELF file; fetch it "
              "again if it may be cut off");
}

bool is_elf(ByteView bytes) { return as_text(bytes).starts_with(ELFMAG); }

// The setup header's fields, at the offsets that the boot protocol gives them.
constexpr std::uint64_t setup_sects_at = 0x1f1;
constexpr std::uint64_t boot_flag_at = 0x1fe;
constexpr std::uint64_t magic_at = 0x202;
constexpr std::uint64_t version_at = 0x206;
constexpr std::uint64_t payload_offset_at = 0x248;
constexpr std::uint64_t payload_length_at = 0x24c;

constexpr std::uint32_t setup_magic = 0x53726448;  // "HdrS"

Result<ByteView> find_payload(ByteView vmlinuz, const std::string& where) {
  if (read_le<std::uint16_t>(vmlinuz, boot_flag_at) != std::uint16_t{0xaa55} ||
      read_le<std::uint32_t>(vmlinuz, magic_at) != setup_magic) {
    return bad(where, "it is neither an x86 boot image nor an ELF file");
  }
  const auto version = read_le<std::uint16_t>(vmlinuz, version_at);
  const auto setup_sects = read_le<std::uint8_t>(vmlinuz, setup_sects_at);
  const auto offset = read_le<std::uint32_t>(vmlinuz, payload_offset_at);
  const auto length = read_le<std::uint32_t>(vmlinuz, payload_length_at);
  if (!version || !setup_sects || !offset || !length) {
    return bad(where, "the boot header is cut off");
  }
  if (*version < 0x0208) {
    return bad(where, fmt::format("boot protocol {}.{:02} does not tell where the payload lies",
                                  *version >> 8, *version & 0xff));
  }
  // A number of 0 stands for 4 setup sectors; the boot sector comes before them.
  const std::uint64_t setup = (std::uint64_t{*setup_sects == 0 ? 4U : *setup_sects} + 1) * 512;
  auto payload = slice(vmlinuz, setup + *offset, *length);
  if (!payload) {
    return bad(where, "the compressed kernel ends past the end of the file");
  }
  return *payload;
}

}  // namespace

Result<Bytes> extract_vmlinux(ByteView vmlinuz, const std::string& where) {
  if (is_elf(vmlinuz)) {
    return Bytes(vmlinuz.begin(), vmlinuz.end());
  }
  const ByteView payload = TRY(find_payload(vmlinuz, where));
  Bytes vmlinux = TRY(decompress(payload, where));
  if (!is_elf(vmlinux)) {
    return bad(where, "what it holds is not an ELF file");
  }
  return vmlinux;
}

}  // namespace suture::kernel
