// SPDX-License-Identifier: GPL-2.0-or-later
#include "kernel/vmlinuz.h"

#include <gtest/gtest.h>

#include "kernel/decompress.h"
#include "support/packers.h"
#include "support/tiny_elf.h"

namespace suture::kernel {
namespace {

using test::boot_image;
using test::Packer;
using test::packers;

// An ELF file with enough in it, packable and not, for several blocks of lzop.
const Bytes& sample_elf() {
  static const Bytes elf = [] {
    Bytes noise(700'000);
    std::uint32_t state = 1;
    for (std::size_t i = 0; i < noise.size(); ++i) {
      state = state * 1664525 + 1013904223;
      noise[i] = i < 300'000 ? static_cast<std::uint8_t>(state >> 24) : std::uint8_t{0x90};
    }
    return test::tiny_elf(ET_EXEC, {{".text", SHT_PROGBITS, SHF_ALLOC, 0x1000, noise}});
  }();
  return elf;
}

Code code_of(const Result<Bytes>& result) {
  return result ? Code::test_failed : result.error().code;
}

class Payload : public testing::TestWithParam<Packer> {};

TEST_P(Payload, IsUnpacked) {
  auto vmlinux = extract_vmlinux(boot_image(GetParam().pack(sample_elf())), "vmlinuz");
  ASSERT_TRUE(vmlinux) << vmlinux.error().reason;
  EXPECT_TRUE(*vmlinux == sample_elf());
}

TEST_P(Payload, MayBeFollowedByItsUnpackedSize) {
  Bytes payload = GetParam().pack(sample_elf());
  append_le(payload, static_cast<std::uint32_t>(sample_elf().size()));
  auto vmlinux = extract_vmlinux(boot_image(payload), "vmlinuz");
  ASSERT_TRUE(vmlinux) << vmlinux.error().reason;
  EXPECT_TRUE(*vmlinux == sample_elf());
}

TEST_P(Payload, CutOffAnywhereIsBadImage) {
  const Bytes payload = GetParam().pack(sample_elf());
  for (std::size_t size = 0; size < payload.size(); size += 1 + payload.size() / 40) {
    const Bytes part(payload.begin(), payload.begin() + static_cast<std::ptrdiff_t>(size));
    EXPECT_EQ(code_of(extract_vmlinux(boot_image(part), "vmlinuz")), Code::bad_image) << size;
  }
}

TEST_P(Payload, WithDamagedBytesNeverUnpacksToSomethingElse) {
  const Bytes payload = GetParam().pack(sample_elf());
  for (std::size_t at = 0; at < payload.size(); at += 1 + payload.size() / 40) {
    Bytes damaged = payload;
    damaged[at] ^= 0x55;
    // lz4's legacy frame and .lzma carry no checksum: there, wrong bytes can only be survived.
    auto vmlinux = decompress(damaged, "payload");
    if (vmlinux && GetParam().name != "lz4" && GetParam().name != "lzma") {
      EXPECT_TRUE(*vmlinux == sample_elf()) << at;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Formats, Payload, testing::ValuesIn(packers()),
                         [](const auto& packer) { return packer.param.name; });

TEST(Vmlinuz, RawElfIsReturnedAsItIs) {
  auto vmlinux = extract_vmlinux(sample_elf(), "vmlinux");
  ASSERT_TRUE(vmlinux);
  EXPECT_TRUE(*vmlinux == sample_elf());
}

TEST(Vmlinuz, NoSetupSectorsMeansFour) {
  auto vmlinux = extract_vmlinux(boot_image(test::pack_zstd(sample_elf()), 0), "vmlinuz");
  ASSERT_TRUE(vmlinux) << vmlinux.error().reason;
  EXPECT_TRUE(*vmlinux == sample_elf());
}

TEST(Vmlinuz, CutOffAnywhereIsBadImage) {
  const Bytes image = boot_image(test::pack_gzip(sample_elf()));
  for (std::size_t size = 0; size < image.size(); size += size < 2200 ? 37 : 9973) {
    EXPECT_EQ(code_of(extract_vmlinux(ByteView(image).first(size), "vmlinuz")), Code::bad_image);
  }
}

TEST(Vmlinuz, OldBootProtocolIsBadImage) {
  Bytes image = boot_image(test::pack_gzip(sample_elf()));
  write_le<std::uint16_t>(image, 0x206, 0x0207);
  EXPECT_EQ(code_of(extract_vmlinux(image, "vmlinuz")), Code::bad_image);
}

TEST(Vmlinuz, PayloadBeyondTheFileIsBadImage) {
  Bytes image = boot_image(test::pack_gzip(sample_elf()));
  write_le<std::uint32_t>(image, 0x248, 0xffffffff);
  EXPECT_EQ(code_of(extract_vmlinux(image, "vmlinuz")), Code::bad_image);
  write_le<std::uint32_t>(image, 0x248, 64);
  write_le<std::uint32_t>(image, 0x24c, 0xffffffff);
  EXPECT_EQ(code_of(extract_vmlinux(image, "vmlinuz")), Code::bad_image);
}

TEST(Vmlinuz, PayloadThatIsNoElfIsBadImage) {
  EXPECT_EQ(code_of(extract_vmlinux(boot_image(test::pack_gzip(Bytes(100, 'x'))), "vmlinuz")),
            Code::bad_image);
}

TEST(Vmlinuz, UnknownFormatIsBadImage) {
  EXPECT_EQ(code_of(extract_vmlinux(boot_image(Bytes(100, 'x')), "vmlinuz")), Code::bad_image);
  EXPECT_EQ(code_of(extract_vmlinux(Bytes(5000, 'x'), "vmlinuz")), Code::bad_image);
  EXPECT_EQ(code_of(extract_vmlinux({}, "vmlinuz")), Code::bad_image);
}

TEST(Decompress, RefusesToUnpackMoreThanItsLimit) {
  // A zstd frame without a content size, of blocks that repeat one byte 128 KiB times.
  Bytes bomb = {0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38};
  for (std::size_t size = 0; size <= max_unpacked; size += 128 << 10) {
    append_le<std::uint32_t>(bomb,
                             (128 << 10) << 3 | 1 << 1);  // the fourth byte is the one repeated
  }
  auto unpacked = decompress(bomb, "bomb");
  ASSERT_FALSE(unpacked);
  EXPECT_EQ(unpacked.error().code, Code::bad_image);
  EXPECT_NE(unpacked.error().reason.find("512 MiB"), std::string::npos);
}

TEST(Decompress, ReportsTheCodeThatItIsGiven) {
  EXPECT_EQ(code_of(decompress(Bytes{0x1f, 0x8b}, "module.ko.gz", Code::bad_module)),
            Code::bad_module);
}

}  // namespace
}  // namespace suture::kernel
